"""What peers say: every message of the network by its codec, and a whole node behind its transport.

The node is the real one, in virtual time and without disk; a message may do anything to it that the protocol
allows, but neither end it nor be a thing it has no handling for.
"""

import asyncio
import logging
from functools import cache

from chain.common.block_data import BlockData, WarpStep
from chain.common.state_data import NOTHING
from chain.consensus.grandpa.messages import (
    GOSSIP_MESSAGE,
    CatchUp,
    CatchUpRequest,
    CommitMessage,
    GossipMessage,
    Neighbor,
    NeighborPacket,
    SignedPrevote,
    Vote,
)
from chain.network.messages import (
    BLOCK_ANNOUNCE,
    BLOCK_REQUEST,
    BLOCK_RESPONSE,
    ID_SIZE,
    PEER_EXCHANGE,
    PEER_RECORD,
    STATE_REQUEST,
    STATE_RESPONSE,
    STATUS,
    TRANSACTION_IDS,
    TRANSACTION_REQUEST,
    TRANSACTIONS,
    WARP_REQUEST,
    WARP_RESPONSE,
    BlockAnnounce,
    BlockRequest,
    BlockResponse,
    Channel,
    FromHash,
    FromNumber,
    PeerExchange,
    PeerRecord,
    StateRequest,
    StateResponse,
    Status,
    TransactionIds,
    TransactionRequest,
    Transactions,
    WarpRequest,
    WarpResponse,
)
from chain.node import Node
from chain.storage.store import ChainStore
from runtime.primitives.grandpa import (
    Commit,
    Precommit,
    Prevote,
    SignedMessage,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError
from tests.chain.network.lab import Lab, grown, status_of
from tests.fuzz.chain import remark
from tests.fuzz.engine import Target
from tests.fuzz.state_targets import truth
from tests.sim.database import MemoryDatabase
from tests.sim.env import Life
from tests.sim.genesis import session_pair, spec_of
from tests.sim.loop import VirtualLoop

BLOCKS = 4
MESSAGES = 200
"""of one peer before another takes its place"""
STEP = 0.05
"""seconds of virtual time between two messages"""


@cache
def blocks() -> list[BlockData]:
    """Return the first blocks of a chain, each with its proof."""
    store = ChainStore.on(MemoryDatabase(grown(BLOCKS)[0].copy(), Life()), spec_of((1,)).state())
    hashes = [store.hash_at(number) for number in range(1, BLOCKS + 1)]
    found = [(store.header(each), store.body(each), store.justification(each)) for each in hashes if each]
    return [BlockData(header, body, proof) for header, body, proof in found if header is not None]


@cache
def votes() -> tuple[GossipMessage, ...]:
    """Return one message of every kind, signed by the only voter where it is a vote."""
    pair, block = session_pair("v0"), blocks()[-1].header
    target, round_ = (block.hash(), block.number), BLOCKS
    prevote, precommit = Prevote(*target), Precommit(*target)
    signatures = [pair.sign(localized_payload(each, round_, 0)) for each in (prevote, precommit)]
    signed = SignedPrecommit(precommit, signatures[1], pair.public)
    return (
        Vote(round_, 0, SignedMessage(prevote, signatures[0], pair.public)),
        CommitMessage.of(round_, 0, Commit(*target, [signed])),
        Neighbor(NeighborPacket(round_, 0, block.number)),
        CatchUpRequest(1, 0),
        CatchUp(0, round_, [SignedPrevote(prevote, signatures[0], pair.public)], [signed], *target),
    )


class Peer:
    """A node that follows the chain, and one peer of it after the other."""

    def __init__(self) -> None:
        tables, seconds = grown(BLOCKS - 1)[0].copy(), grown(BLOCKS)[1]
        self._loop = VirtualLoop()
        asyncio._set_running_loop(self._loop)
        lab = Lab(self._loop, ("a", "b"), [], 1, seconds)
        lab.tables["a"] = tables
        self.node: Node = lab.start("a")
        self._pass()
        asyncio._set_running_loop(None)
        self._lab = lab
        self._count = 0
        self._bugs: list[logging.LogRecord] = []
        listener = logging.Handler(logging.ERROR)
        listener.emit = self._bugs.append  # type: ignore[method-assign]
        logging.getLogger("network").addHandler(listener)

    def say(self, data: bytes) -> str:
        """Say something on the channel that its first byte names; return what it cost."""
        asyncio._set_running_loop(self._loop)
        try:
            return self._said(data or b"\0")
        finally:
            asyncio._set_running_loop(None)

    def _said(self, data: bytes) -> str:
        network = self.node.network
        name = f"p{self._count // MESSAGES}"
        self._count += 1
        if name not in network.peers():
            for peer in network.peers():
                network.disconnected(peer)
            network.connected(name)
            network.received(name, Channel.STATUS, STATUS.encode(status_of(self.node)))
        before = network.cost_of(name)
        network.received(name, data[0], data[1:])
        self._pass()
        assert not self._bugs, self._bugs.pop().getMessage()
        task, _ = self._lab._runs["a"]
        assert not task.done(), "the node has ended"
        cost = network.cost_of(name) - before
        return f"{data[0]} {cost.bit_length() if cost > 0 else 0}"

    def close(self) -> None:
        """Stop the node."""
        self._loop.run(self._lab.stop("a"))

    def _pass(self) -> None:
        self._loop.run_until_complete(self._loop.create_task(asyncio.sleep(STEP)))


@cache
def peer() -> Peer:
    """Return the node of this process."""
    return Peer()


def leave() -> None:
    """Stop the node of this process, if there is one."""
    if peer.cache_info().currsize:
        peer().close()
        peer.cache_clear()


def targets() -> list[Target]:
    """Return the targets of this module."""
    found, ranges = blocks(), (*truth()[1], NOTHING)
    steps = [WarpStep(each.header, each.justification) for each in found if each.justification is not None]
    ids = [blake2_256(remark(0, b"fuzz"))[:ID_SIZE], bytes(ID_SIZE)]
    first = found[0].header.hash()
    last, headers = found[-1], [BlockData(each.header, None, None) for each in found]
    seeds: dict[Channel, list[bytes]] = {
        Channel.STATUS: [STATUS.encode(_status())],
        Channel.ANNOUNCES: [
            BLOCK_ANNOUNCE.encode(BlockAnnounce(last.header, True, last.body)),
            BLOCK_ANNOUNCE.encode(BlockAnnounce(last.header, False, None)),
        ],
        Channel.REQUESTS: [
            BLOCK_REQUEST.encode(BlockRequest(1, FromNumber(0), False, 128, 19)),
            BLOCK_REQUEST.encode(BlockRequest(2, FromHash(last.header.hash()), True, 3, 1)),
        ],
        Channel.ANSWERS: [BLOCK_RESPONSE.encode(BlockResponse(1, each)) for each in (found, headers, [])],
        Channel.TRANSACTIONS: [TRANSACTIONS.encode(Transactions([remark(0, b"fuzz"), b"", b"\x04\x00"]))],
        Channel.TRANSACTION_IDS: [TRANSACTION_IDS.encode(TransactionIds(each)) for each in (ids, [])],
        Channel.TRANSACTION_REQUESTS: [
            TRANSACTION_REQUEST.encode(TransactionRequest(each)) for each in (ids, [])
        ],
        Channel.WARP_REQUESTS: [WARP_REQUEST.encode(WarpRequest(1, found[0].header.parent_hash))],
        Channel.WARP_ANSWERS: [WARP_RESPONSE.encode(WarpResponse(1, each, True)) for each in (steps, [])],
        Channel.PEERS: [PEER_EXCHANGE.encode(PeerExchange(True, []))],
        Channel.VOTES: [GOSSIP_MESSAGE.encode(votes()[0])],
        Channel.GRANDPA: [GOSSIP_MESSAGE.encode(each) for each in votes()[1:]],
        Channel.STATE_REQUESTS: [
            STATE_REQUEST.encode(StateRequest(1, last.header.hash(), b"", None)),
            STATE_REQUEST.encode(StateRequest(2, first, b"\x01", b"\x09")),
        ],
        Channel.STATE_ANSWERS: [STATE_RESPONSE.encode(StateResponse(1, each)) for each in ranges],
    }
    record = PEER_RECORD.encode(PeerRecord(1, 2, ["/ip4/127.0.0.1/tcp/1"]))
    whole = tuple(bytes([channel]) + seed for channel, several in seeds.items() for seed in several)
    return [
        Target(f"network.{name}", codec.decode, (DecodeError,), tuple(seeds[channel]), codec.encode)
        for name, (channel, codec) in _CODECS.items()
    ] + [
        Target("network.peer_record", PEER_RECORD.decode, (DecodeError,), (record,), PEER_RECORD.encode),
        Target(
            "network.peer", lambda data: peer().say(data), (), whole, kind=str, quick=1_500, long=200_000,
            why_loose="a node does not say again what it was told",
        )
    ]  # fmt: skip


def _status() -> Status:
    head = blocks()[-1].header
    return Status(1, 1, blocks()[0].header.parent_hash, head.hash(), head.number, head.hash(), head.number)


_CODECS = {
    "status": (Channel.STATUS, STATUS),
    "announce": (Channel.ANNOUNCES, BLOCK_ANNOUNCE),
    "request": (Channel.REQUESTS, BLOCK_REQUEST),
    "response": (Channel.ANSWERS, BLOCK_RESPONSE),
    "transactions": (Channel.TRANSACTIONS, TRANSACTIONS),
    "transaction_ids": (Channel.TRANSACTION_IDS, TRANSACTION_IDS),
    "warp_request": (Channel.WARP_REQUESTS, WARP_REQUEST),
    "warp_response": (Channel.WARP_ANSWERS, WARP_RESPONSE),
    "state_request": (Channel.STATE_REQUESTS, STATE_REQUEST),
    "state_response": (Channel.STATE_ANSWERS, STATE_RESPONSE),
    "transaction_request": (Channel.TRANSACTION_REQUESTS, TRANSACTION_REQUEST),
}
"""How what a channel carries is read, by the name of the target."""
