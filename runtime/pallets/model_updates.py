"""ModelUpdates: who offered which update in which round; append-only, never overwritten and never pruned.

    commit (TRAIN)  ->  reveal (REVEAL)  ->  the blob is served off the chain, by its digest

Nobody learns a digest before every commitment is in, so the order of commits says who copied whom.
"""

from typing import Protocol

from runtime.frame.declare import Pays, Signed, call, coupled, db, event
from runtime.frame.errors import PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, NMap, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.primitives.commitments import Salt, update_commitment
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.shapes import struct, u16, u32
from runtime.primitives.types import AccountId, BlockNumber, Hash

BY_MINER = (twox_64_concat, twox_64_concat, blake2_128_concat)
"""Netuids and rounds are the chain's own numbers; a hotkey is anybody's choice."""


class ChainOf(BlockNumberProvider, Protocol):
    """Names the chain and counts its blocks."""

    def genesis_hash(self) -> Hash:
        """Return the hash of block 0."""
        ...


class RoundsOf(Protocol):
    """Says who may act in a round now. All raise DispatchError."""

    def admit_to_train(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the caller's uid while TRAIN of this round is open."""
        ...

    def admit_to_reveal(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the caller's uid while REVEAL of this round is open."""
        ...

    def base_root(self, netuid: int, round: int) -> Hash:
        """Return the model_root a round starts from."""
        ...

    def max_payload_bytes(self, netuid: int) -> int:
        """Return how long a payload may be."""
        ...


@struct("pallet_model_updates::types::Commit")
class Commit:
    """A sealed update: its block, and its position among the commits of the round."""

    commitment: Hash
    height: BlockNumber
    index: u32


@struct("pallet_model_updates::types::Update")
class Update:
    """A revealed update; `length` is in bytes, height and index are those of its commit."""

    miner: AccountId
    base_root: Hash
    digest: Hash
    length: u32
    ef_digest: Hash
    commit_height: BlockNumber
    commit_index: u32


@event
class UpdateCommitted:
    """A miner committed to its update of a round."""

    netuid: u16
    round: u32
    miner: AccountId
    commitment: Hash


@event
class UpdateRevealed:
    """A miner revealed which payload it had committed to."""

    netuid: u16
    round: u32
    miner: AccountId
    digest: Hash
    length: u32


class Error(PalletError):
    """Why an update is refused."""

    AlreadyCommitted = (
        "This hotkey has committed in this round: one commitment counts, wait for the next round."
    )
    AlreadyRevealed = "This hotkey has revealed its update of this round: nothing is left to do."
    NotCommitted = "Nothing to reveal: this hotkey did not commit in TRAIN; commit in the next round."
    CommitmentMismatch = (
        "Digest, length, ef_digest and salt do not hash to the commitment: reveal exactly what was committed."
    )
    PayloadTooLarge = "The payload is longer than the subnet's max_payload_bytes: compress harder."
    EmptyPayload = "A payload has at least one byte: reveal the length of the real blob."


class ModelUpdates(Pallet[UpdateCommitted | UpdateRevealed, Error]):
    """The audit trail of training: salted commits, then reveals, for each subnet and round."""

    system: ChainOf = coupled()
    training: RoundsOf = coupled()

    commits: NMap[tuple[u16, u32, AccountId], Commit] = storage(hashers=BY_MINER)
    updates: NMap[tuple[u16, u32, AccountId], Update] = storage(hashers=BY_MINER)
    commit_count: DoubleMap[u16, u32, u32] = storage(default=0, hasher=twox_64_concat)

    @call(0, weight=db(reads=12, writes=2), pays=Pays.No)
    def commit(self, who: Signed, netuid: u16, round: u32, commitment: Hash) -> None:
        """Commit to an update of this round without showing it; free, once per round."""
        self.check_commit(who, netuid, round, commitment)
        position = self.commit_count[netuid, round]
        self.commit_count[netuid, round] = position + 1
        self.commits[netuid, round, who] = Commit(commitment, self.system.number.get(), position)
        self.deposit(UpdateCommitted(netuid, round, who, commitment))

    @call(1, weight=db(reads=12, writes=1), pays=Pays.No)
    def reveal(
        self, who: Signed, netuid: u16, round: u32, digest: Hash, length: u32, ef_digest: Hash, salt: Salt
    ) -> None:
        """Reveal the digest of the payload that was committed to; free, once per round."""
        self.check_reveal(who, netuid, round, digest, length, ef_digest, salt)
        sealed = self.commits[netuid, round, who]
        self.updates[netuid, round, who] = Update(
            who,
            self.training.base_root(netuid, round),
            digest,
            length,
            ef_digest,
            sealed.height,
            sealed.index,
        )
        self.deposit(UpdateRevealed(netuid, round, who, digest, length))

    def check_commit(self, who: AccountId, netuid: int, round: int, commitment: Hash) -> None:
        """Refuse what `commit` would refuse.

        Raises: DispatchError.
        """
        self.training.admit_to_train(who, netuid, round)
        ensure((netuid, round, who) not in self.commits, Error.AlreadyCommitted)

    def check_reveal(
        self,
        who: AccountId,
        netuid: int,
        round: int,
        digest: Hash,
        length: int,
        ef_digest: Hash,
        salt: bytes,
    ) -> None:
        """Refuse what `reveal` would refuse.

        Raises: DispatchError.
        """
        self.training.admit_to_reveal(who, netuid, round)
        ensure((netuid, round, who) not in self.updates, Error.AlreadyRevealed)
        sealed = self.commits.get((netuid, round, who)) or refuse(Error.NotCommitted)
        ensure(length > 0, Error.EmptyPayload)
        ensure(length <= self.training.max_payload_bytes(netuid), Error.PayloadTooLarge)
        genesis = self.system.genesis_hash()
        opened = update_commitment(genesis, netuid, round, who, salt, digest, length, ef_digest)
        ensure(opened == sealed.commitment, Error.CommitmentMismatch)

    # What other pallets use.

    def committed(self, netuid: int, round: int) -> list[AccountId]:
        """Return who committed in a round, in the order of the commits."""
        entries = [(commit.index, miner) for (miner,), commit in self.commits.under(netuid, round)]
        return [miner for _, miner in sorted(entries)]

    def revealed(self, netuid: int, round: int) -> list[Update]:
        """Return the updates of a round, in the order of their commits."""
        updates = [update for _, update in self.updates.under(netuid, round)]
        return sorted(updates, key=lambda update: (update.commit_height, update.commit_index))

    def has_revealed(self, netuid: int, round: int, miner: AccountId) -> bool:
        """Say whether a miner has revealed an update of a round."""
        return (netuid, round, miner) in self.updates

    def originals(self, netuid: int, round: int) -> list[Update]:
        """Return the updates of a round without copies: of equal digests the earliest commit counts."""
        return [alike[0] for alike in self.alike(netuid, round)]

    def alike(self, netuid: int, round: int) -> list[list[Update]]:
        """Return the updates of a round, those with equal digests together, in the order of their commits."""
        groups: dict[Hash, list[Update]] = {}
        for update in self.revealed(netuid, round):
            groups.setdefault(update.digest, []).append(update)
        return list(groups.values())

    def try_state(self) -> None:
        """Every update opens a commit; the positions of a round's commits are 0, 1, 2, ..."""
        positions: dict[tuple[int, int], list[int]] = {}
        for (netuid, round, _), commit in self.commits.under():
            positions.setdefault((netuid, round), []).append(commit.index)
        for (netuid, round), found in positions.items():
            assert sorted(found) == list(range(self.commit_count[netuid, round]))
        for (netuid, round, miner), update in self.updates.under():
            commit = self.commits[netuid, round, miner]
            assert (update.miner, update.commit_height, update.commit_index) == (
                miner,
                commit.height,
                commit.index,
            )
