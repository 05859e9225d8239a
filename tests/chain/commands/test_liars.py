"""Commands against nodes that lie, fall silent, or write what drives a terminal: one line, the right code."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from aiohttp import web

from chain import connection
from chain.cli import main

WAIT = 60
"""seconds before a test that hangs fails"""
ESCAPE = "\x1b[2J\x1b]0;stolen\x07"

Answer = dict[str, Any] | None
Liar = Callable[[Any], Answer]
"""What a node adds to the answer about a subnet; None for silence."""


async def _serve(lie: Liar, started: "Queue[tuple[str, Callable[[], None]]]") -> None:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            answer: Answer
            match asked["method"]:
                case "chain_getBlockHash":
                    answer = {"result": "0x" + 64 * "1"}
                case "rpc_methods":
                    answer = {"result": {"methods": ["subnet_metagraph"]}}
                case _:
                    answer = lie(asked["params"])
            if answer is not None:
                await socket.send_json({"jsonrpc": "2.0", "id": asked["id"]} | answer)
        return socket

    app = web.Application()
    app.router.add_get("/", talk)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    started.put((f"ws://127.0.0.1:{runner.addresses[0][1]}", lambda: loop.call_soon_threadsafe(over.set)))
    await over.wait()
    await runner.cleanup()


@contextmanager
def node_that(lie: Liar) -> Iterator[str]:
    """Run a node of a kind; yields its address."""
    started: Queue[tuple[str, Callable[[], None]]] = Queue()
    thread = Thread(target=lambda: asyncio.run(_serve(lie, started)))
    thread.start()
    url, stop = started.get(timeout=WAIT)
    try:
        yield url
    finally:
        stop()
        thread.join(WAIT)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RETRY_SECONDS", (0.0,))
    monkeypatch.setattr(connection, "CONNECT_SECONDS", WAIT)
    monkeypatch.setattr(connection, "ANSWER_SECONDS", WAIT)


def metagraph(**changes: Any) -> Answer:
    """Return the smallest subnet there is, but for some changes."""
    neuron = {
        "uid": 0, "hotkey": ESCAPE, "validatorPermit": True, "stake": "1", "consensus": 0, "incentive": 0,
        "dividends": 0, "emission": "0", "lastUpdate": 0, "pruneRank": None, "immuneUntil": 5, "axon": None,
        "name": f"good\n  9  {ESCAPE}",
    }  # fmt: skip
    subnet = {
        "netuid": 1, "block": 3, "kind": f"Training{ESCAPE}", "paused": False, "nextEpoch": 5, "epoch": 0,
        "hyperparameters": {"uidBond": "1", "maxUids": 3}, "emission": "12", "price": "1", "ownerUid": 0,
        "neurons": [neuron], "pendingChanges": [],
    }  # fmt: skip
    return {"result": subnet | changes}


@pytest.mark.parametrize(
    "answer",
    [
        {"result": "hello"},
        {"result": [1, 2]},
        {"result": {}},
        {},
        {"error": {"code": -1, "message": f"no\n{ESCAPE}"}},
        metagraph(block="x"),
        metagraph(emission="9" * 5_000),
        metagraph(neurons=[{}]),
        metagraph(neurons=3),
    ],
    ids=["text", "list", "empty", "nothing", "error", "types", "digits", "no neuron", "no list"],
)
def test_nonsense_is_one_line(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    with node_that(lambda _: answer) as url:
        assert main(["metagraph", "--url", url]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    assert line.startswith(("assay: the node's answer makes no sense", "assay: the node at ws://127.0.0.1:"))
    assert line.isprintable()


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_drives_our_terminal(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with node_that(lambda _: metagraph()) as url:
        assert main(["metagraph", "--url", url, *more]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == (1 if more else 5)


def test_a_node_that_falls_silent_is_given_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.3)
    with node_that(lambda _: None) as url:
        assert main(["metagraph", "--url", url]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"assay: no node answers at {url} (")
