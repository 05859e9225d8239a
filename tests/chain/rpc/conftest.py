"""A small node held in dicts, and a server in front of it that tests reach through real sockets."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import aiohttp
import pytest

from chain.common.errors import PeerArgumentError, RuntimeMissing, StateDiscarded, SubmitError, UnknownBlock
from chain.common.notifications import FinalityNotification, ImportNotification, Notifications
from chain.keys.keystore import KeystoreError
from chain.rpc.backend import Backend, ChainInfo, Health, PeerInfo, RoundState, Slots
from chain.rpc.server import RpcConfig, RpcServer
from chain.telemetry.metrics import Metrics
from runtime.apis import KeyTypeId, answer
from runtime.frame.api import ApiNotFound, ApiTrap
from runtime.primitives.hashing import blake2_64, blake2_256
from runtime.primitives.header import Digest, Header, Other
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import ZERO_HASH, AccountId, Hash, Weight
from tests.runtime.bench import Chain

CODE = b":code"
NEWEST = 9
DECODED_KEYS = codec(list[tuple[bytes, KeyTypeId]] | None)
WAIT = 60
"""seconds before a test that hangs fails"""


class MemoryState:
    """Storage in a dict; its root is a hash of the entries, its proof the entries themselves."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self.entries = dict(entries)

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        return iter(sorted(key for key in self.entries if key.startswith(prefix) and key > after))

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        after = {key: value for key, value in (self.entries | changes).items() if value is not None}
        return Hash(blake2_256(b"".join(key + value for key, value in sorted(after.items()))))

    def prove(self, keys: list[bytes]) -> list[bytes]:
        return [key + self.entries.get(key, b"") for key in keys]

    def closest_merkle_value(self, key: bytes) -> bytes | None:
        below = {each: self.entries[each] for each in self.keys(key)}
        return MemoryState(below).root({}) if below else None


@dataclass(frozen=True)
class Version:
    """A runtime version that follows the first byte of :code."""

    spec_version: int
    spec_name: str = "assay"
    impl_name: str = "assay-node"
    authoring_version: int = 1
    impl_version: int = 2
    transaction_version: int = 3
    system_version: int = 1
    apis: list[tuple[bytes, int]] = field(default_factory=lambda: [(blake2_64(b"Core"), 5)])


@cache
def market() -> Chain:
    """Return a real chain at block 1: what is asked about subnets is asked of it."""
    chain = Chain()
    chain.build()
    return chain


class MemoryRuntime:
    """A runtime that knows a few calls; this node has those of version 9 at most."""

    def call_api(self, state: MemoryState, at: Header, name: str, argument: bytes) -> bytes:
        self.version(state)
        match name:
            case "Test_echo":
                return argument
            case "Test_number":
                return at.number.to_bytes(4, "little")
            case "TransactionPaymentApi_query_info":
                if argument[:-4] == b"\xff":
                    raise DecodeError("needs 1 bytes at offset 1, 0 are left")
                return (
                    codec(Weight).encode(Weight(1000, 20)) + b"\0" + self.fee(argument).to_bytes(16, "little")
                )
            case "TransactionPaymentApi_query_fee_details":
                if argument[:-4] == b"\xfe":
                    return bytes(17)
                parts = (self.fee(argument), 2**70, 0)
                return b"\1" + b"".join(part.to_bytes(16, "little") for part in parts) + bytes(16)
            case "Test_trap":
                raise ApiTrap("no keystore here")
            case "SessionKeys_decode_session_keys":
                keys = codec(bytes).decode(argument)
                pairs = [(keys[:32], b"babe"), (keys[32:], b"gran")]
                return DECODED_KEYS.encode(pairs if len(keys) == 64 else None)
            case _ if name.startswith(("SubnetApi_", "ModelUpdatesApi_", "TrainingApi_")):
                chain = market()
                return answer(chain.state, chain.head, name, argument)
            case "Test_bug":
                raise ZeroDivisionError("a secret of this node")
        raise ApiNotFound(name)

    def fee(self, argument: bytes) -> int:
        extrinsic, length = argument[:-4], int.from_bytes(argument[-4:], "little")
        assert len(extrinsic) == length
        return 10**18 + length

    def dry_run(self, state: MemoryState, at: Header, extrinsic: bytes) -> bytes:
        return at.number.to_bytes(1, "little") + extrinsic

    def metadata(self, state: MemoryState) -> bytes:
        return b"meta\x0e" + state.entries[CODE]

    def version(self, state: MemoryState) -> Version:
        found = state.entries[CODE][0]
        if found > NEWEST:
            raise RuntimeMissing(f"this chain needs version {found}")
        return Version(found)


class MemoryStatuses:
    """The statuses of one watched transaction."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[object] = asyncio.Queue()
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[object]:
        while (status := await self.queue.get()) is not None:
            yield status

    def close(self) -> None:
        self.closed = True


class MemoryPool:
    """Takes everything but what ends with 0xff (invalid), with 0xfe (banned), or is in it already."""

    def __init__(self) -> None:
        self.extrinsics: list[bytes] = []
        self.watched: dict[bytes, MemoryStatuses] = {}
        self.was_asked_to_watch = asyncio.Event()

    def submit(self, extrinsic: bytes) -> Hash:
        if extrinsic[-1:] == b"\xff":
            raise SubmitError(1010, "Invalid Transaction", "Transaction has a bad signature")
        if extrinsic in self.extrinsics:
            raise SubmitError(1013, "Transaction Already Imported", f"0x{blake2_256(extrinsic).hex()}")
        if extrinsic[-1:] == b"\xfe":
            raise SubmitError(1012, "Transaction is temporarily banned")
        self.extrinsics.append(extrinsic)
        return Hash(blake2_256(extrinsic))

    def watch(self, extrinsic: bytes) -> tuple[Hash, MemoryStatuses]:
        submitted = self.submit(extrinsic)
        self.watched[extrinsic] = MemoryStatuses()
        self.was_asked_to_watch.set()
        return submitted, self.watched[extrinsic]

    def ready(self) -> list[bytes]:
        return list(self.extrinsics)

    def remove(self, transactions: list[Hash]) -> list[Hash]:
        held = {Hash(blake2_256(each)): each for each in self.extrinsics}
        self.extrinsics = [each for found, each in held.items() if found not in transactions]
        return [each for each in transactions if each in held]

    def next_index(self, account: bytes) -> int:
        return account[0] + len(self.extrinsics)


class MemoryOperator:
    """Keeps public keys in a set; a secret URI must be `//` and the public key in hex."""

    def __init__(self) -> None:
        self.peer_id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
        self.listen_addresses = list[str]
        self.keys: set[tuple[bytes, bytes]] = set()
        self.round: RoundState | None = None
        self.slots: dict[bytes, Slots] = {}
        self.reserved: list[str] = []

    def reserved_peers(self) -> list[str]:
        return self.reserved

    def add_reserved_peer(self, address: str) -> None:
        peer = address.rpartition("/p2p/")[2]
        if peer == address:
            raise PeerArgumentError(f"{address!r} has to end in /p2p/ and a peer id")
        self.reserved.append(peer)

    def remove_reserved_peer(self, peer: str) -> None:
        if peer not in self.reserved:
            raise PeerArgumentError(f"{peer!r} is no peer id")
        self.reserved.remove(peer)

    def insert_key(self, key_type: bytes, suri: str, public: bytes) -> None:
        if suri != f"//{public.hex()}":
            raise KeystoreError("the secret belongs to another key")
        self.keys.add((key_type, public))

    def rotate_keys(self) -> bytes:
        made = {b"babe": bytes([len(self.keys)]) * 32, b"gran": bytes([len(self.keys) + 1]) * 32}
        self.keys |= set(made.items())
        return b"".join(made.values())

    def prove_keys(self, made: bytes, owner: AccountId) -> bytes:
        return made + owner

    def has_key(self, key_type: bytes, public: bytes) -> bool:
        return (key_type, public) in self.keys

    def round_state(self) -> RoundState | None:
        return self.round

    async def epoch_authorship(self) -> dict[bytes, Slots]:
        return self.slots


class MemoryNode:
    """Blocks and states by hash; satisfies Blocks and States."""

    def __init__(self) -> None:
        self.headers: dict[Hash, Header] = {}
        self.bodies: dict[Hash, list[bytes]] = {}
        self.states: dict[Hash, MemoryState] = {}
        self.justifications: dict[Hash, bytes] = {}
        self.set_ends: list[int] = []
        self.discarded: set[Hash] = set()
        self.feed = Notifications(limit=256)
        self.pool = MemoryPool()
        self.operator = MemoryOperator()
        self.now = Health(peers=0, is_syncing=False, should_have_peers=False)
        self.peers: list[PeerInfo] = []
        self.genesis_hash = self.best = self.finalized = self.build(ZERO_HASH, {CODE: b"\7"})

    def build(self, parent: Hash, changes: dict[bytes, bytes | None], body: tuple[bytes, ...] = ()) -> Hash:
        """Store a block on a parent; nobody is told."""
        old = self.states[parent].entries if parent in self.states else {}
        entries = {key: value for key, value in (old | changes).items() if value is not None}
        number = self.headers[parent].number + 1 if parent in self.headers else 0
        state = MemoryState(entries)
        log = Other(bytes([len(self.headers) % 256]))
        header = Header(parent, number, state.root({}), Hash(blake2_256(b"".join(body))), Digest([log]))
        block = header.hash()
        self.headers[block], self.bodies[block], self.states[block] = header, list(body), state
        return block

    def announce(
        self,
        block: Hash,
        changed: set[bytes] = frozenset(),
        is_best: bool = True,
        retracted: tuple[Hash, ...] = (),
    ) -> Hash:
        """Make a block known."""
        if is_best:
            self.best = block
        enacted = (block,) if is_best else ()
        note = ImportNotification(block, self.headers[block], is_best, retracted, enacted, frozenset(changed))
        self.feed.imported(note)
        return block

    def grow(self, changes: dict[bytes, bytes | None] | None = None, body: tuple[bytes, ...] = ()) -> Hash:
        """Build on the best block and make it known."""
        changes = changes or {}
        return self.announce(self.build(self.best, changes, body), set(changes))

    def finalize(self, *blocks: Hash) -> None:
        """Finalize blocks, oldest first."""
        self.finalized = blocks[-1]
        self.feed.finalized(FinalityNotification(blocks[-1], self.headers[blocks[-1]], blocks))

    def header(self, block: Hash) -> Header | None:
        return self.headers.get(block)

    def body(self, block: Hash) -> list[bytes] | None:
        return self.bodies.get(block)

    def justification(self, block: Hash) -> bytes | None:
        return self.justifications.get(block)

    def set_ends_above(self, number: int) -> list[int]:
        return [end for end in self.set_ends if end > number]

    def set_end(self, number: int) -> int | None:
        return next((end for end in self.set_ends if end >= number), None)

    def hash_at(self, number: int) -> Hash | None:
        block = self.best
        while self.headers[block].number > number:
            block = self.headers[block].parent_hash
        return block if self.headers[block].number == number else None

    def children(self, block: Hash) -> list[Hash]:
        return [each for each in self.headers if self.headers[each].parent_hash == block]

    def forget(self, block: Hash) -> None:
        """Drop a block as the database does with those of a lost fork."""
        del self.headers[block], self.bodies[block], self.states[block]

    def state_at(self, block: Hash) -> MemoryState:
        if block not in self.states:
            raise UnknownBlock(block)
        if block in self.discarded:
            raise StateDiscarded(block)
        return self.states[block]

    def backend(self) -> Backend:
        """Return the node as the server sees it."""
        properties: dict[str, int | str] = {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "ASY"}
        info = ChainInfo("Assay Test", "Development", properties, "Assay Node", "0.1.0", ("Authority",))
        return Backend(
            info, self, self, MemoryRuntime(), self.pool, self.feed, lambda: self.now, lambda: self.peers,
            self.operator,
        )  # fmt: skip


class Client:
    """One WebSocket connection that speaks JSON-RPC."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.pending: deque[dict[str, Any]] = deque()
        self._count = 0

    async def receive(self) -> Any:
        """Return the next message, whatever it is."""
        async with asyncio.timeout(WAIT):
            return await self.socket.receive_json()

    async def request(self, method: str, *params: object) -> Any:
        """Return the whole answer; notifications that come before it wait for `notification`."""
        self._count += 1
        await self.socket.send_json(
            {"jsonrpc": "2.0", "id": self._count, "method": method, "params": list(params)}
        )
        while (message := await self.receive()).get("id") != self._count:
            self.pending.append(message)
        return message

    async def call(self, method: str, *params: object) -> Any:
        """Return the result."""
        return (await self.request(method, *params))["result"]

    async def notification(self) -> dict[str, Any]:
        """Return the next notification."""
        return self.pending.popleft() if self.pending else await self.receive()

    async def update(self, subscription: str) -> Any:
        """Return the result inside the next notification, which must belong to this subscription."""
        message = await self.notification()
        assert message["params"]["subscription"] == subscription
        return message["params"]["result"]


class Served:
    """A node, its server and an HTTP client."""

    def __init__(
        self, node: MemoryNode, server: RpcServer, metrics: Metrics, http: aiohttp.ClientSession
    ) -> None:
        self.node, self.server, self.metrics, self.http = node, server, metrics, http
        self.url = f"http://127.0.0.1:{server.port}"

    async def post(self, body: object, **arguments: Any) -> tuple[int, Any]:
        """Return the status and the JSON of a POST; bytes are sent as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        arguments.setdefault("headers", {"Content-Type": "application/json"})
        async with self.http.post(self.url, data=raw, **arguments) as response:
            text = await response.text()
            return response.status, json.loads(text) if text[:1] in ("{", "[") else text

    async def request(self, method: str, *params: object) -> Any:
        """Return the answer to one request over HTTP."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return (await self.post(body))[1]

    async def call(self, method: str, *params: object) -> Any:
        """Return the result of one request over HTTP."""
        return (await self.request(method, *params))["result"]

    @asynccontextmanager
    async def connect(self, **arguments: Any) -> AsyncIterator[Client]:
        """Open a WebSocket."""
        async with self.http.ws_connect(self.url, max_msg_size=0, **arguments) as socket:
            yield Client(socket)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers with limits of the test's choice."""
    async with asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as http:
        running: list[asyncio.Task[None]] = []

        async def start(**limits: Any) -> Served:
            node = MemoryNode()
            metrics = Metrics("Assay Test", "Assay Node", "0.1.0", started_at=1_700_000_000)
            server = RpcServer(node.backend(), replace(RpcConfig(port=0), **limits), metrics)
            await server.start()
            running.append(tasks.create_task(server.run()))
            return Served(node, server, metrics, http)

        yield start
        for task in running:
            task.cancel()


@pytest.fixture
async def served(serve: Serve) -> Served:
    """A server with default limits."""
    return await serve()
