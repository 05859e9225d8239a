"""Miners whose servers misbehave, for the arena: the payload is honest, and nobody gets it.

A class with a name and a handler is one more of them.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

from aiohttp import web

from miners.attacks import Attack

ENDLESS = 10 << 30
"""bytes that are sent to who reads them"""
PIECE = bytes(1 << 16)
CLOSE_SECONDS = 0.1


class Hostile(Attack):
    """Answers as its handler does; this one answers nothing, ever."""

    name = "stall"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request for a payload."""
        await asyncio.sleep(3_600)
        return web.Response(status=404)


class Redirect(Hostile):
    """Sends whoever asks to a port of the reader's own machine."""

    name = "redirect"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:22/"})


class Endless(Hostile):
    """Sends ten gigabytes."""

    name = "endless"
    length: ClassVar[int | None] = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = self.length
        await response.prepare(request)
        for _ in range(ENDLESS // len(PIECE)):
            await response.write(PIECE)
        return response


class Announced(Endless):
    """Announces ten gigabytes, and sends them."""

    name = "announced"
    length = ENDLESS


class Liar(Hostile):
    """Announces a payload, sends half of it, and is silent."""

    name = "liar"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 20_000
        await response.prepare(request)
        await response.write(PIECE[:10_000])
        await asyncio.sleep(3_600)
        return response


class Zipped(Hostile):
    """Sends a few bytes that unpack to very many."""

    name = "zipped"
    bomb: ClassVar[bytes] = gzip.compress(bytes(1 << 26))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=self.bomb, headers={"Content-Encoding": "gzip"})


def hostile(mind: Attack) -> AbstractAsyncContextManager[str] | None:
    """Return the server of a miner that has one of this kind; entered, it is a base URL."""
    return _serve(mind) if isinstance(mind, Hostile) else None


@asynccontextmanager
async def _serve(mind: Hostile) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(mind.answer), shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
