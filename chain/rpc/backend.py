"""What the RPC server needs of the node; chain/node.py passes in parts that satisfy these Protocols."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chain.common.errors import UnknownBlock
from chain.common.notifications import FinalityNotification, ImportNotification, Subscription
from chain.rpc.errors import RpcError, client_error
from runtime.frame.api import ApiNotFound, ApiTrap
from runtime.frame.state import State
from runtime.primitives.header import Header
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import AccountId, BlockNumber, Hash

ChainType = Literal["Development", "Local", "Live"]


class Blocks(Protocol):
    """Stored headers, bodies and justifications; None where a block is not known."""

    @property
    def genesis_hash(self) -> Hash: ...
    @property
    def best(self) -> Hash: ...
    @property
    def finalized(self) -> Hash: ...

    def header(self, block: Hash) -> Header | None: ...

    def body(self, block: Hash) -> list[bytes] | None:
        """Return the extrinsics with their length prefix, as they were submitted."""
        ...

    def justification(self, block: Hash) -> bytes | None:
        """Return the GRANDPA justification, SCALE bytes."""
        ...

    def set_end(self, number: int) -> int | None:
        """Return the last block of the voters who decided on a final block; None where they still vote."""
        ...

    def set_ends_above(self, number: BlockNumber) -> list[BlockNumber]:
        """Return the final blocks above a height that changed voters, lowest first."""
        ...

    def hash_at(self, number: int) -> Hash | None:
        """Return the block of the best chain at a height."""
        ...

    def children(self, block: Hash) -> list[Hash]:
        """Return the known children of a block."""
        ...


class ProvableState(State, Protocol):
    """State at a block, able to prove what it says; never changes, and threads may share it."""

    def prove(self, keys: list[bytes]) -> list[bytes]:
        """Return the trie nodes that prove the values under these keys, or their absence."""
        ...

    def closest_merkle_value(self, key: bytes) -> bytes | None:
        """Return the Merkle value of the highest trie node at or below a key."""
        ...


class States(Protocol):
    """State of stored blocks."""

    def state_at(self, block: Hash) -> ProvableState:
        """Return the state after a block.

        Raises: UnknownBlock, StateDiscarded.
        """
        ...


class RuntimeVersion(Protocol):
    """The runtime's version; `apis` are blake2_64 of the name, and the version."""

    @property
    def spec_name(self) -> str: ...
    @property
    def impl_name(self) -> str: ...
    @property
    def authoring_version(self) -> int: ...
    @property
    def spec_version(self) -> int: ...
    @property
    def impl_version(self) -> int: ...
    @property
    def apis(self) -> list[tuple[bytes, int]]: ...
    @property
    def transaction_version(self) -> int: ...
    @property
    def system_version(self) -> int: ...


class RuntimeCalls(Protocol):
    """Questions to the runtime of a state."""

    def call_api(self, state: State, at: Header, name: str, argument: bytes) -> bytes:
        """Answer a runtime API call in SCALE.

        Raises: ApiNotFound, ApiTrap; DecodeError when the argument is malformed.
        """
        ...

    def dry_run(self, state: State, at: Header, extrinsic: bytes) -> bytes:
        """Return what applying an extrinsic in a child of a block leads to, a SCALE ApplyExtrinsicResult."""
        ...

    def metadata(self, state: State) -> bytes:
        """Return the metadata, magic number first."""
        ...

    def version(self, state: State) -> RuntimeVersion: ...


class Statuses(Protocol):
    """What becomes of one watched transaction: JSON-ready statuses, the last one final."""

    def __aiter__(self) -> AsyncIterator[object]: ...

    def close(self) -> None:
        """Stop watching; closing twice is fine."""
        ...


class Pool(Protocol):
    """The transaction pool."""

    def submit(self, extrinsic: bytes) -> Hash:
        """Take a transaction and return its hash.

        Raises: SubmitError.
        """
        ...

    def watch(self, extrinsic: bytes) -> tuple[Hash, Statuses]:
        """Take a transaction, return its hash and what becomes of it.

        Raises: SubmitError.
        """
        ...

    def ready(self) -> list[bytes]:
        """Return the transactions that could enter the next block."""
        ...

    def remove(self, transactions: list[Hash]) -> list[Hash]:
        """Drop transactions, whose bytes are then banned for a while; return those that were there."""
        ...

    def next_index(self, account: bytes) -> int:
        """Return the state's nonce plus the ready transactions that follow on it without a gap."""
        ...


class Feed(Protocol):
    """Imported blocks and finality as they happen."""

    def imports(self) -> Subscription[ImportNotification]: ...
    def finality(self) -> Subscription[FinalityNotification]: ...


@dataclass(frozen=True, slots=True)
class Votes:
    """What was said in one phase of a round."""

    current_weight: int
    missing: tuple[bytes, ...]  # public keys of voters not heard yet


@dataclass(frozen=True, slots=True)
class Round:
    """A GRANDPA round as this voter sees it."""

    number: int
    total_weight: int
    threshold_weight: int
    prevotes: Votes
    precommits: Votes


@dataclass(frozen=True, slots=True)
class RoundState:
    """The round being voted in, and older ones not finished yet."""

    set_id: int
    best: Round
    background: tuple[Round, ...] = ()


@dataclass(frozen=True, slots=True)
class Slots:
    """In which slots of an epoch one key may author."""

    primary: tuple[int, ...] = ()
    secondary: tuple[int, ...] = ()
    secondary_vrf: tuple[int, ...] = ()


class Operator(Protocol):
    """What this one node is asked by whoever runs it."""

    @property
    def peer_id(self) -> str:
        """The node's name among peers."""
        ...

    def listen_addresses(self) -> list[str]:
        """Return where peers can reach this node."""
        ...

    def reserved_peers(self) -> list[str]:
        """Return the peer ids of those this node is always to be connected with."""
        ...

    def add_reserved_peer(self, address: str) -> None:
        """Reserve the peer at an address that ends in /p2p/ and its id.

        Raises: PeerArgumentError.
        """
        ...

    def remove_reserved_peer(self, peer: str) -> None:
        """Reserve a peer no more.

        Raises: PeerArgumentError.
        """
        ...

    def insert_key(self, key_type: bytes, suri: str, public: bytes) -> None:
        """Store a session key and sign with it from now on.

        Raises: KeystoreError, OSError.
        """
        ...

    def rotate_keys(self) -> bytes:
        """Make a new session key of every type; return the public keys in the order of the runtime.

        Raises: KeystoreError, OSError.
        """
        ...

    def prove_keys(self, made: bytes, owner: AccountId) -> bytes:
        """Return the proof that this node holds session keys it made for their owner.

        Raises: KeystoreError, OSError.
        """
        ...

    def has_key(self, key_type: bytes, public: bytes) -> bool:
        """Say whether the keystore has a key."""
        ...

    def round_state(self) -> RoundState | None:
        """Return where finality stands; None where this node does not vote."""
        ...

    async def epoch_authorship(self) -> dict[bytes, Slots]:
        """Return the slots of the current epoch by BABE key of this node."""
        ...


class Observer(Protocol):
    """Counts what the server does; seconds are wall-clock."""

    def call_started(self, protocol: str, method: str) -> None: ...
    def call_finished(self, protocol: str, method: str, seconds: float, is_error: bool) -> None: ...
    def session_opened(self) -> None: ...
    def session_closed(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Health:
    """How the node is doing among its peers."""

    peers: int
    is_syncing: bool
    should_have_peers: bool
    starting_block: int = 0
    highest_block: int | None = None  # None: the best block we have


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One peer, as far as it has said."""

    peer_id: str
    roles: str  # "FULL" or "AUTHORITY"
    best_hash: Hash
    best_number: int


@dataclass(frozen=True, slots=True)
class ChainInfo:
    """What the node says of itself and its chain; none of it changes while it runs."""

    chain: str  # name in the chain spec, "Assay Development"
    chain_type: ChainType
    properties: dict[str, int | str]  # ss58Format, tokenDecimals, tokenSymbol
    node_name: str = "Assay Node"  # the implementation, as system_name
    node_version: str = "0.1.0"
    roles: tuple[str, ...] = field(default=("Full",))  # "Authority" when it authors


@dataclass(frozen=True, slots=True)
class Backend:
    """The parts of the node that answer, and the questions every namespace asks."""

    info: ChainInfo
    blocks: Blocks
    states: States
    runtime: RuntimeCalls
    pool: Pool
    feed: Feed
    health: Callable[[], Health]
    peers: Callable[[], list[PeerInfo]]
    operator: Operator

    def header(self, block: Hash) -> Header:
        """Return a header.

        Raises: UnknownBlock.
        """
        found = self.blocks.header(block)
        if found is None:
            raise UnknownBlock(block)
        return found

    def state(self, block: Hash | None) -> ProvableState:
        """Return the state after a block, the best one by default.

        Raises: UnknownBlock, StateDiscarded.
        """
        return self.states.state_at(self.blocks.best if block is None else block)

    def call(self, block: Hash | None, name: str, argument: bytes) -> bytes:
        """Answer a runtime API call at a block, the best one by default.

        Raises: UnknownBlock, StateDiscarded; RpcError when there is no such call or its argument is bad.
        """
        at = self.blocks.best if block is None else block
        return self.call_at(self.states.state_at(at), self.header(at), name, argument)

    def call_at(self, state: ProvableState, header: Header, name: str, argument: bytes) -> bytes:
        """Answer a runtime API call on the state of a block.

        Raises: RpcError when there is no such call or its argument is bad.
        """
        try:
            return self.runtime.call_api(state, header, name, argument)
        except ApiNotFound as problem:
            raise client_error(
                f"Execution failed: Other: Exported method {name[:100]} is not found"
            ) from problem
        except ApiTrap as problem:
            raise _trap(str(problem)) from problem
        except DecodeError as problem:
            raise _trap(f"Bad input data provided to {name}: {problem}") from problem


def _trap(reason: str) -> RpcError:
    return client_error(f"Execution failed: Execution aborted due to trap: {reason}")
