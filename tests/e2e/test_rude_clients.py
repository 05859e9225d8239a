"""A node keeps authoring, and keeps its manners, whatever comes to its port."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runtime.primitives.types import Hash
from tests.e2e.attacks import ATTACKS
from tests.e2e.field import entered, framed
from tests.e2e.process import DEADLINE, NodeProcess, Refused, eventually, flags_of, running, write_spec

pytestmark = pytest.mark.e2e

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, TOO_BIG = -32700, -32600, -32602, -32007
SILENT = 40
"""connections that say nothing, below the limit of the node"""
GROWTH = 200 << 20
"""bytes of memory that rude clients may cost"""
BRIEFLY = 0.5
"""seconds of each attack; bench/hostile.py attacks for longer and counts missed slots"""
CROWD = 3
"""clients of those attacks that are many"""


def quiet() -> contextlib.suppress:
    """Ignore that the node hangs up."""
    return contextlib.suppress(ConnectionError)


def send(node: NodeProcess, content: bytes, *, hang_up: bool = True) -> bytes:
    """Send raw bytes to the port and return the beginning of the answer, if there is one."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as peer, quiet():
        peer.sendall(content)
        if hang_up:
            peer.shutdown(socket.SHUT_WR)
        return peer.recv(4096)
    return b""


def grows(node: NodeProcess) -> None:
    """Wait for two more blocks."""
    height = node.number()
    node.wait_height(height + 2)


def code_of(answer: dict[str, dict[str, int]]) -> int:
    """Return the error code of an answer."""
    return answer["error"]["code"]


def test_malformed_requests_are_told_so(node: NodeProcess) -> None:
    requests = {
        b"": PARSE_ERROR,
        b"{": PARSE_ERROR,
        b"\xff\xfe": PARSE_ERROR,
        b"[" * 100_000: PARSE_ERROR,
        b'{"jsonrpc":"2.0","id":NaN}': PARSE_ERROR,
        b"[]": INVALID_REQUEST,
        b"3": INVALID_REQUEST,
        b'{"id":1}': INVALID_REQUEST,
        b'{"jsonrpc":"2.0","id":1,"method":5}': INVALID_REQUEST,
    }
    assert {body: code_of(node.post(body)) for body in requests} == requests
    grows(node)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("state_getStorage", ["0xzz"]),
        ("state_getStorage", ["0x123"]),
        ("state_getStorage", [5]),
        ("chain_getHeader", ["0x12"]),
        ("chain_getBlockHash", [-1]),
        ("chain_getBlockHash", [2**70]),
        ("system_accountNextIndex", ["5Gxx"]),
        ("author_submitExtrinsic", [{}]),
        ("state_call", ["Core_version", "é"]),
    ],
)
def test_malformed_parameters_are_named(node: NodeProcess, method: str, params: list[object]) -> None:
    with pytest.raises(Refused) as refused:
        node.rpc(method, *params)
    assert refused.value.error["code"] == INVALID_PARAMS


@pytest.mark.parametrize(
    "extrinsic", ["0x", "0x00", "0xff", "0x" + "ff" * 70, "0x0400", "0x04ff", "0x" + "00" * 3000]
)
def test_garbage_is_no_transaction(node: NodeProcess, extrinsic: str) -> None:
    is_framed = extrinsic in ("0x00", "0x0400", "0x04ff")
    expected = {"author_submitExtrinsic": 1002 if is_framed else 1001, "payment_queryInfo": 4003}
    for method, code in expected.items():
        with pytest.raises(Refused) as refused:
            node.rpc(method, extrinsic)
        assert refused.value.error["code"] == code, refused.value


def test_what_is_too_big_is_refused_while_blocks_go_on(node: NodeProcess) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16777216\r\n\r\n"
    )
    answer = send(node, request, hang_up=False)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert code_of(json.loads(answer.partition(b"\r\n\r\n")[2])) == TOO_BIG
    many = [{"jsonrpc": "2.0", "id": number, "method": "system_health"} for number in range(101)]
    assert code_of(node.post(json.dumps(many).encode())) == -32010
    with pytest.raises(Refused) as huge:
        node.rpc("author_submitExtrinsic", "0x" + framed(bytes(5 << 20)).hex())
    assert huge.value.error["code"] == 1010
    grows(node)


def test_noise_and_silence_hold_nothing_up(node: NodeProcess) -> None:
    process, rng = psutil.Process(node.pid), random.Random(7)
    before = process.memory_info().rss
    with contextlib.ExitStack() as peers:
        for _ in range(SILENT):
            peers.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE))
        for _ in range(60):
            send(node, rng.randbytes(rng.randrange(2000)))
        for request in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999\r\nContent-Type: application/json\r\n\r\n{",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client
        ):
            send(node, request)
        grows(node)
        assert node.rpc("system_health") == {"peers": 0, "isSyncing": False, "shouldHavePeers": False}
    assert process.memory_info().rss - before < GROWTH
    eventually(lambda: len(process.net_connections()) <= 3, "the end of closed connections")
    output = node.output()
    assert "Traceback" not in output, output[-4000:]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node of its own: what the attacks leave in its pool concerns nobody else."""
    home: Path = tmp_path_factory.mktemp("victim")
    with running(home / "log", *flags_of(write_spec(home / "spec.json"))) as process:
        process.wait_height(1)
        yield process


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # attackers do not say goodbye
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_rightly_and_costs_little(victim: NodeProcess, name: str) -> None:
    genesis = Hash(bytes.fromhex(victim.rpc("chain_getBlockHash", 0)[2:]))
    before, said = psutil.Process(victim.pid).memory_info().rss, len(victim.output())
    Path(f"/proc/{victim.pid}/clear_refs").write_text("5")  # the kernel's peak counts from here

    async def attack() -> dict[str, int]:
        async with entered(victim.port, genesis, BRIEFLY, CROWD) as field:
            return await ATTACKS[name](field)

    assert any(asyncio.run(attack()).values()), "nothing was tried"
    eventually(lambda: health(victim), "an answer to an honest client")
    victim.wait_height(victim.number() + 1)
    assert peak(victim.pid) - before < GROWTH
    output = victim.output()[said:]
    assert "Traceback" not in output, output[:4000]


def health(node: NodeProcess) -> object:
    """Return the node's health, None while it refuses connections."""
    with contextlib.suppress(OSError):
        return node.rpc("system_health")
    return None


def peak(pid: int) -> int:
    """Return the most memory a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
