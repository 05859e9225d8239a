"""What a blob server spends on those it refuses, what on those it serves, and how fast bytes pass.

    python -m bench.blobs [--requests 1000] [--mib 64] [--json FILE]

The server is a process of its own on loopback; its CPU time is the kernel's figure. The baselines of the same
run are aiohttp's own file server for downloads, and the plain store, fsync included, for pushes.
"""

import asyncio
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from aiohttp import ClientSession, web

from bench.record import finish, parser, resident_mib
from chain.keys.pair import Keypair
from miners.blobs import receipts
from miners.blobs.client import BlobClient, Source
from miners.blobs.limits import Limits
from miners.blobs.receipts import Owed
from miners.blobs.server import Expected, Guard, serve
from miners.blobs.signing import BadRequest, Doorman, sign
from miners.blobs.store import BlobStore
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import RECEIPT

GENESIS = bytes(32)
NETUID, ROUND = 1, 1
PAYLOAD = 30_000
"""bytes, as an update of a model of a million parameters"""
MIB = 1 << 20
UNLIMITED = Limits(rate=1 << 40, signer_rate=1 << 40, stranger_rate=1 << 40)


class Hotkey:
    """Signs as one account of this machine's."""

    genesis_hash = GENESIS

    def __init__(self, name: str) -> None:
        self._pair = Keypair.from_suri(name, "sr25519")

    @property
    def hotkey(self) -> bytes:
        """Public key."""
        return self._pair.public

    def sign(self, message: bytes) -> bytes:
        """Return an sr25519 signature."""
        return self._pair.sign(message)


class Everybody:
    """Callers of which one has revealed whatever it pushes, if it has this length."""

    def __init__(self, store: BlobStore, length: int) -> None:
        self._store = store
        self._length = length
        self._known = {Hotkey("//Miner").hotkey}

    async def stake(self, hotkey: bytes) -> int | None:
        """Return 0 for the miner of this benchmark."""
        return 0 if hotkey in self._known else None

    async def expects(self, hotkey: bytes, digest: bytes) -> Expected:
        """Expect anything from the miner."""
        if hotkey not in self._known:
            raise BadRequest(404, "not revealed")
        return Expected(self._length, self._store, Owed(GENESIS, NETUID, ROUND, hotkey))


def main() -> None:
    """Measure one server after the other."""
    flags = parser(__doc__)
    flags.add_argument("--serve", choices=("ours", "aiohttp"), help="be the server of a run")
    flags.add_argument("--home", type=Path, help="where the server keeps blobs")
    flags.add_argument("--requests", type=int, default=1_000, metavar="COUNT", help="[1000]")
    flags.add_argument("--mib", type=int, default=64, metavar="COUNT", help="size of a long blob [64]")
    given = flags.parse_args()
    if given.serve:
        asyncio.run(_ours(given.home) if given.serve == "ours" else _aiohttp(given.home))
        return
    with tempfile.TemporaryDirectory() as home:
        figures = asyncio.run(_measure(Path(home), given.requests, given.mib))
    finish("blobs", figures, given)


async def _ours(home: Path) -> None:
    judge, store = Hotkey("//Judge"), BlobStore(home)
    guard = Guard(Doorman(GENESIS, judge.hotkey), Everybody(store, PAYLOAD))
    async with serve(store, "127.0.0.1", 0, guard, UNLIMITED) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


async def _aiohttp(home: Path) -> None:
    store = BlobStore(home)

    async def get(request: web.Request) -> web.FileResponse:
        return web.FileResponse(store.path(bytes.fromhex(request.match_info["digest"])))

    app = web.Application()
    app.router.add_get("/blob/{digest}", get)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


@contextmanager
def _server(kind: str, home: Path) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "bench.blobs", "--serve", kind, "--home", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.terminate()


async def _measure(home: Path, requests: int, mib: int) -> dict[str, object]:
    long, short = secrets.token_bytes(mib * MIB), secrets.token_bytes(PAYLOAD)
    store = BlobStore(home)
    digests = store.put(long), store.put(short)
    figures: dict[str, object] = {"payload_bytes": PAYLOAD, "requests": requests, "long_mib": mib}
    with _server("ours", home) as (url, server):
        figures["server_cpu_us"] = {
            name: await _cost(url, server, digests[1], signer, receiver, requests)
            for name, signer, receiver in (
                ("refused_for_another_server", "//Miner", "//Other"),
                ("refused_signature", "//Liar", "//Judge"),
                ("served_signed", "//Miner", "//Judge"),
                ("served_stranger", "", ""),
            )
        }
        figures["signed_download_mib_s"] = await _speed(url, digests[0], len(long), "//Miner")
        figures["push_ms"] = await _push(url, requests // 20)
        figures["server_resident_mib"] = resident_mib(server.pid)
    figures["store_alone_ms"] = _store(home, requests // 20)
    with _server("aiohttp", home) as (url, server):
        figures["aiohttp_server_cpu_us"] = await _cost(url, server, digests[1], "", "", requests)
        figures["aiohttp_download_mib_s"] = await _speed(url, digests[0], len(long), "")
    return figures


async def _cost(
    url: str, server: psutil.Process, digest: bytes, signer: str, receiver: str, requests: int
) -> int:
    """Return the server's CPU time for one request, in µs; a liar signs with another key than it names."""
    path, made = f"/blob/{digest.hex()}", []
    hotkey = Hotkey(signer or "//Nobody")
    for _ in range(requests):
        headers = sign(hotkey, public_of(receiver), "GET", path) if signer else {}
        if signer == "//Liar":
            headers["Assay-Signed-By"] = public_of("//Miner").hex()
        made.append(headers)
    async with ClientSession() as session:
        before = sum(server.cpu_times()[:2])
        for headers in made:
            async with session.get(url + path, headers=headers) as response:
                await response.read()
        return round((sum(server.cpu_times()[:2]) - before) / requests * 1e6)


_KEYS: dict[str, bytes] = {}


def public_of(name: str) -> bytes:
    """Return a public key, derived once."""
    if name not in _KEYS:
        _KEYS[name] = Hotkey(name).hotkey
    return _KEYS[name]


async def _speed(url: str, digest: bytes, size: int, signer: str) -> int:
    hotkey = public_of("//Judge") if signer else None
    async with BlobClient(timeout=600, signer=Hotkey(signer) if signer else None) as blobs:
        began = time.perf_counter()
        await blobs.fetch([Source(url, hotkey)], digest, size)
        return round(size / MIB / (time.perf_counter() - began))


async def _push(url: str, count: int) -> float:
    miner = Hotkey("//Miner")
    async with BlobClient(signer=miner) as blobs:
        made = [secrets.token_bytes(PAYLOAD) for _ in range(count)]
        began = time.perf_counter()
        for blob in made:
            digest = blake2_256(blob)
            receipt = RECEIPT.encode(receipts.sign(miner, NETUID, ROUND, digest, blob)).hex()
            await blobs.push(Source(url, public_of("//Judge")), digest, blob, receipt)
        return round((time.perf_counter() - began) / count * 1_000, 2)


def _store(home: Path, count: int) -> float:
    store = BlobStore(home / "alone")
    made = [secrets.token_bytes(PAYLOAD) for _ in range(count)]
    began = time.perf_counter()
    for blob in made:
        store.put(blob)
    return round((time.perf_counter() - began) / count * 1_000, 2)


if __name__ == "__main__":
    main()
