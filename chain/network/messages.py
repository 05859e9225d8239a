"""What peers say to each other, in SCALE, and on which channel.

A channel has a priority (votes before blocks before transactions), a size that no message may pass, and a
share: messages per second, and how many may come at once. A transport sends the channels of a peer by
priority, each in order.
"""

import enum
from dataclasses import dataclass
from typing import Annotated

from chain.common.block_data import MAX_BLOCKS, MAX_EXTRINSICS, BlockData, WarpStep
from chain.common.state_data import StateRange
from runtime.primitives.header import Header
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, Fixed, Variants, struct, u8, u32, u64, variant
from runtime.primitives.trie import MAX_KEY
from runtime.primitives.types import BlockNumber, Hash

PROTOCOL_VERSION = 1
MAX_TRANSACTIONS = 256
"""in one message, and as many ids as one request may have"""
MAX_IDS = 1024
"""of transactions in one announcement"""
ID_SIZE = 16
"""bytes of a transaction's hash that stand for it between peers"""
MAX_PUSHED_BODY = 60 * 1024
"""bytes of a body that goes with its announcement"""
MAX_ANSWER = 2 << 20
"""bytes of blocks in one answer, unless the first alone is larger"""
MAX_RECORDS = 100
"""of peers, in one message"""
MAX_RECORD_ADDRESSES = 8
MAX_RECORD_ADDRESS = 256
"""bytes of one address in a peer's record"""
MAX_RECORD = 16 + 2 + MAX_RECORD_ADDRESSES * (MAX_RECORD_ADDRESS + 2)
"""bytes of a peer's record"""

MAX_STEPS = 4096
"""changes of voters in one answer"""


class Channel(enum.IntEnum):
    """By number."""

    STATUS = 0
    VOTES = 1
    GRANDPA = 2
    ANNOUNCES = 3
    REQUESTS = 4
    ANSWERS = 5
    TRANSACTIONS = 6
    TRANSACTION_IDS = 7
    TRANSACTION_REQUESTS = 8
    STATE_REQUESTS = 9
    STATE_ANSWERS = 10
    WARP_REQUESTS = 11
    WARP_ANSWERS = 12
    PEERS = 13


@dataclass(frozen=True, slots=True)
class Limits:
    """What a channel may be used for."""

    priority: int  # 0 goes first
    size: int  # bytes of a message
    rate: float  # messages per second from one peer
    burst: int  # messages at once


LIMITS = {
    Channel.STATUS: Limits(0, 1 << 10, 0.5, 20),
    Channel.VOTES: Limits(0, 1 << 10, 500, 5_000),
    Channel.GRANDPA: Limits(0, 1 << 20, 20, 200),  # a catch-up of 1,024 voters has 270 KB
    Channel.ANNOUNCES: Limits(1, 256 << 10, 20, 200),  # a header that names 1,024 validators twice has 82 KB
    Channel.REQUESTS: Limits(2, 1 << 10, 50, 200),
    Channel.ANSWERS: Limits(2, 6 << 20, 50, 200),  # the first block of an answer may be the largest legal one
    Channel.TRANSACTIONS: Limits(3, 5 << 20, 50, 400),
    Channel.TRANSACTION_IDS: Limits(3, 32 << 10, 50, 400),
    Channel.TRANSACTION_REQUESTS: Limits(3, 32 << 10, 50, 400),
    Channel.STATE_REQUESTS: Limits(4, 1 << 10, 20, 40),
    Channel.STATE_ANSWERS: Limits(4, 4 << 20, 20, 40),
    Channel.WARP_REQUESTS: Limits(4, 1 << 10, 4, 16),
    Channel.WARP_ANSWERS: Limits(4, 4 << 20, 4, 16),
    Channel.PEERS: Limits(5, 256 << 10, 0.2, 8),
}


class Roles(enum.IntFlag):
    """What a node does for the network, by Substrate's bits."""

    FULL = 1
    AUTHORITY = 4


@struct("assay_network::Status")
class Status:
    """Where a node stands when it meets another."""

    version: u32
    roles: u8
    genesis: Hash
    best_hash: Hash
    best_number: BlockNumber
    final_hash: Hash
    final_number: BlockNumber
    first_number: BlockNumber = BlockNumber(
        0
    )  # from here on it has every block of its best chain, with bodies


@struct("assay_network::BlockAnnounce")
class BlockAnnounce:
    """A block was imported; some peers are given its body at once."""

    header: Header
    is_best: bool
    body: Annotated[list[bytes], Bounded(MAX_EXTRINSICS)] | None


@variant
class FromHash:
    """Begin at this block."""

    _0: Hash


@variant
class FromNumber:
    """Begin at this height of the best chain."""

    _0: BlockNumber


Start = Annotated[FromHash | FromNumber, Variants("sc_network_sync::FromBlock")]


@struct("assay_network::BlockRequest")
class BlockRequest:
    """Asks for blocks: upwards on the best chain, or downwards by parents; the start is the first."""

    id: u64
    start: Start
    descending: bool
    count: u8
    fields: u8


@struct("assay_network::BlockResponse")
class BlockResponse:
    """Answers a request with as many blocks as there are, are allowed, and fit."""

    id: u64
    blocks: Annotated[list[BlockData], Bounded(MAX_BLOCKS)]


@struct("assay_network::Transactions")
class Transactions:
    """Answers a request with as many of its transactions as are there and fit, in its order."""

    extrinsics: Annotated[list[bytes], Bounded(MAX_TRANSACTIONS)]


@struct("assay_network::StateRequest")
class StateRequest:
    """Asks for the keys of a final block's state from `start` on, up to the first that is not below `end`."""

    id: u64
    block: Hash
    start: Annotated[bytes, Bounded(MAX_KEY + 1)]
    end: Annotated[bytes, Bounded(MAX_KEY + 1)] | None


@struct("assay_network::StateResponse")
class StateResponse:
    """Answers a request with as much as fits; with nothing where the state is not there."""

    id: u64
    found: StateRange


TransactionId = Annotated[bytes, Fixed(ID_SIZE)]


@struct("assay_network::TransactionIds")
class TransactionIds:
    """Transactions that are in a pool, by the beginning of their hashes."""

    ids: Annotated[list[TransactionId], Bounded(MAX_IDS)]


@struct("assay_network::TransactionRequest")
class TransactionRequest:
    """Asks for transactions that were announced."""

    ids: Annotated[list[TransactionId], Bounded(MAX_TRANSACTIONS)]


@struct("assay_network::PeerRecord")
class PeerRecord:
    """Where a peer listens, as it says itself; a later record of it counts instead of an earlier one."""

    seq: u64  # ms since the Unix epoch, when it was made
    expires: u64  # ms since the Unix epoch
    addresses: Annotated[list[Annotated[str, Bounded(MAX_RECORD_ADDRESS)]], Bounded(MAX_RECORD_ADDRESSES)]


@struct("assay_network::SignedRecord")
class SignedRecord:
    """A peer's record; its node key signs "assay-peer-record:" | genesis | record."""

    public: Annotated[bytes, Fixed(32)]
    signature: Annotated[bytes, Fixed(64)]
    record: Annotated[bytes, Bounded(MAX_RECORD)]


@struct("assay_network::PeerExchange")
class PeerExchange:
    """Records of peers that may be dialled; whoever wants some is answered once a minute."""

    wants: bool
    records: Annotated[list[SignedRecord], Bounded(MAX_RECORDS)]


@struct("assay_network::WarpRequest")
class WarpRequest:
    """Asks who votes, and how that came about since a final block."""

    id: u64
    begin: Hash


@struct("assay_network::WarpResponse")
class WarpResponse:
    """The next blocks that changed voters, and their proofs; last the newest final block, where it fits."""

    id: u64
    steps: Annotated[list[WarpStep], Bounded(MAX_STEPS)]
    is_finished: bool
    first: BlockNumber = BlockNumber(0)  # below it nothing is proven here


STATUS = codec(Status)
BLOCK_ANNOUNCE = codec(BlockAnnounce)
BLOCK_REQUEST = codec(BlockRequest)
BLOCK_RESPONSE = codec(BlockResponse)
TRANSACTIONS = codec(Transactions)
STATE_REQUEST = codec(StateRequest)
STATE_RESPONSE = codec(StateResponse)
TRANSACTION_IDS = codec(TransactionIds)
TRANSACTION_REQUEST = codec(TransactionRequest)
PEER_RECORD = codec(PeerRecord)
PEER_EXCHANGE = codec(PeerExchange)
WARP_REQUEST = codec(WarpRequest)
WARP_RESPONSE = codec(WarpResponse)
