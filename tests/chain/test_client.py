"""The client beside what is no node, or a node that falls silent."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from aiohttp import WSMsgType, web
from substrateinterface.exceptions import SubstrateRequestException

from chain import client, connection
from chain.client import Chain, Refused
from chain.connection import Connection, Unreachable, WrongChain, brief
from chain.keys.pair import SuriError

GENESIS = "0x" + "11" * 32


async def websocket_server(answer: str | None) -> AsyncIterator[str]:
    """A WebSocket server that gives everybody the same answer, or none."""

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT and answer is not None:
                await socket.send_str(answer)
        return socket

    app = web.Application()
    app.router.add_get("/", talk)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that never answers."""
    async for url in websocket_server(None):
        yield url


@pytest.fixture(
    params=["no JSON", "[]", "{}", '{"id": 1, "result": null}', '{"id": 1, "error": {"code": 1}}']
)
async def strange(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a server that talks about something else."""
    async for url in websocket_server(request.param):
        yield url


@pytest.mark.parametrize("suri", ["nonsense", "0x12", "bottom drive obey", "//Alice/" * 200])
def test_a_key_that_is_none_is_said_without_repeating_it(suri: str) -> None:
    with pytest.raises(SuriError, match=r"^--key names no key: ") as refused:
        Chain("ws://127.0.0.1:1", suri)
    assert suri not in str(refused.value)


@pytest.mark.parametrize("url", ["", "foo", "http://127.0.0.1:1", "ws://", "ws://127.0.0.1:no", "ws://[::1"])
async def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(Unreachable) as refused:
        async with Chain.connect(url, "//Alice"):
            pass
    rule = "is no node's address: give --url ws://HOST:PORT or wss://HOST:PORT"
    assert str(refused.value) == f"{url!r} {rule}"


async def test_a_closed_port_is_said() -> None:
    with pytest.raises(Unreachable, match=r"no node answers at ws://127\.0\.0\.1:1 \(.*refused"):
        async with Chain.connect("ws://127.0.0.1:1", "//Alice"):
            pass


async def test_a_name_nobody_has_is_said() -> None:
    with pytest.raises(Unreachable, match=r"no node answers at ws://no\.such\.host\.invalid:1 \("):
        async with Chain.connect("ws://no.such.host.invalid:1", "//Alice"):
            pass


@pytest.mark.parametrize(
    ("scheme", "greeting", "said"),
    [
        ("ws", b"HTTP/1.1 200 OK\r\n\r\n", "speaks HTTP and takes no WebSocket (status 200)"),
        ("ws", b"HTTP/1.1 404 Not Found\r\n\r\n", "speaks HTTP and takes no WebSocket (status 404)"),
        ("ws", b"SSH-2.0-OpenSSH_9\r\n", "speaks no HTTP (Invalid status line: 'SSH-2.0-OpenSSH_9')"),
        ("wss", b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks no TLS this machine trusts ("),
    ],
)
async def test_what_answers_instead_of_a_node_is_said(scheme: str, greeting: bytes, said: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(greeting)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(Unreachable) as refused:
            async with Chain.connect(url, "//Alice"):
                pass
    assert str(refused.value).startswith(f"what answers at {url} {said}")
    assert str(refused.value).endswith(": give a node's address with --url")


async def test_what_talks_about_something_else_is_no_assay_chain(
    strange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)
    with pytest.raises((WrongChain, Unreachable)) as refused:
        async with Chain.connect(strange, "//Alice"):
            pass
    assert "\n" not in str(refused.value)


async def test_a_silent_node_is_given_up_after_a_while(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.2)
    with pytest.raises(Unreachable, match="timed out"):
        async with Chain.connect(silent, "//Alice"):
            pass


async def test_a_silent_node_does_not_hold_up_the_end(silent: str) -> None:
    link = Connection(silent)
    asking = asyncio.ensure_future(link.open())
    async with asyncio.timeout(60):
        while link._interface is None:  # noqa: ASYNC110 - connected, and asking what is not answered
            await asyncio.sleep(0.01)
    asking.cancel()
    begun = time.monotonic()
    await link.close()
    assert time.monotonic() - begun < connection.CONNECT_SECONDS + 1


class History:
    """What a connection asks to see whether a chain goes on where it was."""

    def __init__(self, **blocks: str) -> None:
        self._blocks = {int(number.removeprefix("at_")): block for number, block in blocks.items()}

    def get_block_hash(self, number: int) -> str | None:
        return self._blocks.get(number)


def test_a_node_that_lost_its_data_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    link = Connection("ws://127.0.0.1:1")
    link.made = 1
    link.check_history(History(), 7, "0xaa")
    link.made = 2  # it came back
    link.check_history(History(), 2, "0xbb")
    link.check_history(History(), 3, "0xcc")
    assert caplog.messages == [
        "the node at ws://127.0.0.1:1 is at #2, it was at #7: it is catching up, or its data was deleted"
    ]
    with pytest.raises(WrongChain, match="came back with another block #7"):
        link.check_history(History(at_7="0xdd"), 8, "0xee")


def test_a_node_that_caught_up_is_trusted_again() -> None:
    link = Connection("ws://127.0.0.1:1")
    link.made = 1
    link.check_history(History(), 7, "0xaa")
    link.made = 2
    link.check_history(History(), 2, "0xbb")
    link.check_history(History(at_7="0xaa"), 9, "0xcc")
    link.check_history(History(at_7="0xdd"), 10, "0xee")  # not asked twice


def test_other_peoples_errors_become_one_short_line() -> None:
    assert brief(ValueError("a\n  b -+-+- {headers}")) == "a b"
    assert brief(EOFError()) == "EOFError"
    assert len(brief("x" * 10_000)) == connection.MOST_TEXT


class Forgetful:
    """A node whose pool takes a transaction once, drops it as no longer valid, and says so later."""

    websocket = SimpleNamespace(settimeout=lambda seconds: None)
    runtime_version = 1

    def __init__(self, *_: object, **__: object) -> None:
        self.height = 0
        self.sent = 0

    def get_block_hash(self, number: int) -> str:
        return "0x" + number.to_bytes(32, "big").hex()

    def get_metadata(self) -> Any:
        return SimpleNamespace(pallets=[SimpleNamespace(name="Training")])

    def get_chain_finalised_head(self) -> str:
        self.height += 1
        return self.get_block_hash(self.height)

    def compose_call(self, *_: object) -> None:
        return None

    def create_signed_extrinsic(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(data="0x1234")

    def rpc_request(self, method: str, _: list[Any]) -> Any:
        if method == "author_submitExtrinsic":
            self.sent += 1
            if self.sent > 1:
                raise SubstrateRequestException({"code": 1010, "message": "Invalid", "data": "round over"})
        answers: dict[str, Any] = {
            "chain_getHeader": {"number": hex(self.height)},
            "chain_getBlock": {"block": {"extrinsics": []}},
            "system_accountNextIndex": 0,
            "state_getRuntimeVersion": {"specVersion": 1},
        }
        return {"result": answers.get(method)}

    def close(self) -> None:
        return None


async def test_a_transaction_that_the_pool_has_dropped_is_refused_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "SubstrateInterface", Forgetful)
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)
    async with Chain.connect("ws://127.0.0.1:1", "//Alice") as chain:
        with pytest.raises(Refused) as refused:
            await chain.submit("Training.attest_root", round=1)
        assert refused.value.code == 1010
        assert (await chain.finalized_head()).number < client.RESEND_BLOCKS + 6


class Waiting(Forgetful):
    """A node whose pool keeps what it is given, and whose blocks are empty."""

    pool: ClassVar[list[str]] = []

    def create_signed_extrinsic(self, *_: object, **fields: Any) -> Any:
        return SimpleNamespace(data=f"0x{fields['nonce']:04x}")

    def rpc_request(self, method: str, asked: list[Any]) -> Any:
        if method == "author_submitExtrinsic":
            self.pool.append(asked[0])
        if method == "system_accountNextIndex":
            return {"result": len(self.pool)}
        return super().rpc_request(method if method != "author_submitExtrinsic" else "", asked)


async def test_what_is_submitted_at_once_gets_a_nonce_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SubstrateInterface", Waiting)
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)
    async with Chain.connect("ws://127.0.0.1:1", "//Alice") as chain:
        calls = ("Training.attest_root", "Verification.report_audit", "Verification.vote_challenge")
        outcomes = await asyncio.gather(*map(chain.submit, calls), return_exceptions=True)
    assert [each.name for each in outcomes if isinstance(each, Refused)] == ["Expired"] * 3
    assert list(dict.fromkeys(Waiting.pool)) == ["0x0000", "0x0001", "0x0002"]


class Away(Waiting):
    """A node that is lost while it is asked to help with a signature, and back many blocks later."""

    is_back: ClassVar[bool] = False
    signed_at: ClassVar[int] = 0

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()
        self.height = 200 if Away.is_back else 0

    def rpc_request(self, method: str, asked: list[Any]) -> Any:
        if method == "system_accountNextIndex":
            Away.signed_at = self.height
            if not Away.is_back:
                Away.is_back = True
                raise ConnectionResetError("the node is lost")
        return super().rpc_request(method, asked)


async def test_what_is_signed_when_a_node_is_back_has_all_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SubstrateInterface", Away)
    monkeypatch.setattr(connection, "RETRY_SECONDS", (0.0,))
    monkeypatch.setattr(client, "POLL_SECONDS", 0.0)
    async with Chain.connect("ws://127.0.0.1:1", "//Alice") as chain:
        with pytest.raises(Refused, match="no block took it"):
            await chain.submit("Training.attest_root")
        assert (await chain.finalized_head()).number > Away.signed_at + client.LIFETIME


class Seatless(Forgetful):
    """A node on whose chain the judge with uid 0 has done everything, and the one who asks has no seat."""

    seats: ClassVar[dict[str, int]] = {}

    def query(self, pallet: str, name: str, keys: list[Any], block_hash: str) -> Any:
        if (pallet, name) == ("Neurons", "Uids"):
            return SimpleNamespace(value=self.seats.get(keys[1]))
        if (pallet, name) == ("Neurons", "Neurons"):
            return SimpleNamespace(value={"hotkey": "5", "registered_at": 40 + keys[1]})
        assert name in ("ScoreCommits", "Scores", "Attestations")
        return SimpleNamespace(value="0x" + "22" * 32 if keys[2] == 0 else None)


async def test_what_uid_0_has_done_is_not_taken_for_work_of_who_has_no_seat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "SubstrateInterface", Seatless)
    done = []
    async with Chain.connect("ws://127.0.0.1:1", "//Alice") as chain:
        for seats in ({}, {chain.address: 0}, {chain.address: 1}):
            monkeypatch.setattr(Seatless, "seats", seats)
            done.append(
                (
                    await chain.score_commitment(1, 7),
                    await chain.has_scored(1, 7),
                    await chain.has_attested(1, 7),
                )
            )
    assert done == [(None, False, False), (b"\x22" * 32, True, True), (None, False, False)]


async def test_a_seat_is_named_by_its_uid_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SubstrateInterface", Seatless)
    async with Chain.connect("ws://127.0.0.1:1", "//Alice") as chain:
        head = await chain.finalized_head()
        for seats, named in (({}, None), ({chain.address: 0}, {"uid": 0, "registered_at": 40})):
            monkeypatch.setattr(Seatless, "seats", seats)
            assert await chain.seat(1, head) == named
