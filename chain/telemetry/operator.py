"""What the node answers to its operator: peers, keys, votes, slots. Satisfies chain.rpc.backend.Operator."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from chain.common.errors import PeerArgumentError
from chain.consensus.grandpa.driver import Driver
from chain.consensus.grandpa.round import PRECOMMIT, PREVOTE
from chain.consensus.grandpa.round import Round as VotingRound
from chain.consensus.slots import Epoch, claim
from chain.executor import Executor
from chain.keys.pair import Keypair
from chain.keys.session import SessionKeys
from chain.rpc.backend import Round, RoundState, Slots, Votes
from chain.storage.store import ChainStore
from runtime.primitives.babe import PRE_DIGEST, Primary
from runtime.primitives.types import AccountId

log = logging.getLogger("keystore")


class Peering(Protocol):
    """The transport, where there is one with addresses."""

    def reserved_peers(self) -> list[str]:
        """Return who is reserved."""
        ...

    def reserve(self, text: str) -> None:
        """Be connected with a peer from now on.

        Raises: PeerArgumentError.
        """
        ...

    def release(self, peer: str) -> None:
        """Reserve a peer no more.

        Raises: PeerArgumentError.
        """
        ...


class NodeOperator:
    """The operator's view of one node."""

    def __init__(
        self,
        peer_id: str,
        listen_addresses: Callable[[], list[str]],
        keys: SessionKeys,
        driver: Driver,
        store: ChainStore,
        executor: Executor,
        peering: Peering | None,
    ) -> None:
        self.peer_id = peer_id
        self.listen_addresses = listen_addresses
        self._keys = keys
        self._driver = driver
        self._store = store
        self._executor = executor
        self._peering = peering

    def reserved_peers(self) -> list[str]:
        """Return the peer ids of those this node is always to be connected with."""
        return [] if self._peering is None else self._peering.reserved_peers()

    def add_reserved_peer(self, address: str) -> None:
        """Reserve the peer at an address that ends in /p2p/ and its id.

        Raises: PeerArgumentError.
        """
        if self._peering is None:
            raise PeerArgumentError("this node has no way to peers: start it with --port")
        self._peering.reserve(address)

    def remove_reserved_peer(self, peer: str) -> None:
        """Reserve a peer no more.

        Raises: PeerArgumentError.
        """
        if self._peering is not None:
            self._peering.release(peer)

    def insert_key(self, key_type: bytes, suri: str, public: bytes) -> None:
        """Store a session key and sign with it from now on.

        Raises: KeystoreError, OSError.
        """
        self._keys.insert(key_type, suri, public)
        log.info("🔑 A client inserted the %s key 0x%s", key_type.decode(), public.hex())

    def rotate_keys(self) -> bytes:
        """Make a new session key of every type; return the public keys in the order of the runtime.

        Raises: KeystoreError, OSError.
        """
        made = self._keys.rotate()
        log.info("🔑 A client made the session keys 0x%s", made.hex())
        return made

    def prove_keys(self, made: bytes, owner: AccountId) -> bytes:
        """Return the proof that this node holds session keys it made for their owner.

        Raises: KeystoreError, OSError.
        """
        return self._keys.prove(made, owner)

    def has_key(self, key_type: bytes, public: bytes) -> bool:
        """Say whether the keystore has a key."""
        return self._keys.has(key_type, public)

    def round_state(self) -> RoundState | None:
        """Return the rounds that this node follows; None where it has no voter."""
        voter = self._driver.voter
        if voter is None:
            return None
        return RoundState(voter.set_id, _round(voter.rounds[-1]), tuple(map(_round, voter.background)))

    async def epoch_authorship(self) -> dict[bytes, Slots]:
        """Return the slots of the current epoch by BABE key of this node."""
        epoch, first, count = self._executor.current_epoch(self._store.state_at(self._store.best))
        pairs = [pair for pair in self._keys.authors if epoch.index_of(pair.public) is not None]
        return {
            pair.public: await asyncio.to_thread(_slots, pair, epoch, range(first, first + count))
            for pair in pairs
        }


def _round(round_: VotingRound) -> Round:
    """Return a round as RPC shows it."""
    prevotes, precommits = (
        Votes(round_.weight(phase), tuple(round_.missing(phase))) for phase in (PREVOTE, PRECOMMIT)
    )
    voters = round_.voters
    return Round(round_.number, voters.total, voters.threshold, prevotes, precommits)


def _slots(pair: Keypair, epoch: Epoch, slots: range) -> Slots:
    """Claim every slot of an epoch; takes a millisecond or so for each."""
    primary: list[int] = []
    secondary: list[int] = []
    for slot in slots:
        ours = claim(pair, slot, epoch)
        if ours is not None:
            (primary if isinstance(PRE_DIGEST.decode(ours._1), Primary) else secondary).append(slot)
    return Slots(primary=tuple(primary), secondary_vrf=tuple(secondary))
