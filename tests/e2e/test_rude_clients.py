"""A node keeps authoring, and keeps its manners, whatever comes to its port."""

import contextlib
import json
import random
import socket

import psutil
import pytest

from tests.e2e.process import DEADLINE, NodeProcess, Refused, eventually

pytestmark = pytest.mark.e2e

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, TOO_BIG = -32700, -32600, -32602, -32007
SILENT = 40
"""connections that say nothing, below the limit of the node"""
GROWTH = 200 << 20
"""bytes of memory that rude clients may cost"""


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
    for method, arguments in (("author_submitExtrinsic", ()), ("payment_queryInfo", ())):
        with pytest.raises(Refused) as refused:
            node.rpc(method, extrinsic, *arguments)
        assert refused.value.error["code"] in (1010, 4003, 1011), refused.value


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
        node.rpc("author_submitExtrinsic", "0x" + "00" * (5 << 20))
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
