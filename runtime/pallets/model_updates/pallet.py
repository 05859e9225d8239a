"""ModelUpdates: who offered which update in which round; append-only, never overwritten and never pruned.

    commit (TRAIN)  ->  reveal (REVEAL)  ->  the blob is served off the chain, by its digest
                            |
                            +-> leaf of one Merkle mountain range over the updates of all subnets

Nobody learns a digest before every commitment is in, so the order of commits says who copied whom. A miner
signs what it hands out; two faces of one update are evidence that anybody may submit.
"""

from typing import Any, Protocol

from runtime.frame.declare import Pays, Signed, call, coupled, db
from runtime.frame.errors import ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, NMap, Value, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.pallets.model_updates.types import (
    Commit,
    Delivery,
    DoublePublication,
    Error,
    Evidence,
    EvidenceAccepted,
    Leaf,
    Update,
    UpdateCommitted,
    UpdateRevealed,
    leaf_hash,
)
from runtime.pallets.neurons.pallet import seat_weight
from runtime.primitives import mmr
from runtime.primitives.commitments import PPM, Salt, update_commitment
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.shapes import u16, u32, u64
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Ppm, Weight

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


class NeuronOf(Protocol):
    """Who holds a uid."""

    @property
    def hotkey(self) -> AccountId:
        """The key that acts."""
        ...

    @property
    def coldkey(self) -> AccountId:
        """The key that owns."""
        ...

    @property
    def registered_at(self) -> BlockNumber:
        """The block it came in."""
        ...


class NeuronsOf(Protocol):
    """Who is in a subnet, and the door through which they are slashed."""

    def neuron(self, netuid: int, uid: int) -> NeuronOf | None:
        """Return who holds a uid."""
        ...

    def slash(self, netuid: int, uid: int, registered_at: BlockNumber, part_ppm: Ppm) -> Balance:
        """Burn a part of the bond and of what has not vested, return how much; who loses all has to go."""
        ...


def evidence_weight(runtime: Any, netuid: int, *arguments: Any) -> Weight:
    """Return the weight of evidence: when it is right, it empties a seat."""
    return seat_weight(runtime, netuid) + db(reads=6, writes=1)


class ModelUpdates(Pallet[UpdateCommitted | UpdateRevealed | EvidenceAccepted, Error]):
    """The audit trail of training: salted commits, then reveals, for each subnet and round."""

    system: ChainOf = coupled()
    training: RoundsOf = coupled()
    neurons: NeuronsOf = coupled()

    commits: NMap[tuple[u16, u32, AccountId], Commit] = storage(hashers=BY_MINER)
    updates: NMap[tuple[u16, u32, AccountId], Update] = storage(hashers=BY_MINER)
    commit_count: DoubleMap[u16, u32, u32] = storage(default=0, hasher=twox_64_concat)
    peaks: Value[mmr.Hashes] = storage(default=[])
    leaf_count: Value[u64] = storage(default=0)
    nodes: Map[u64, Hash] = storage(hasher=twox_64_concat)
    leaves: Map[u64, Leaf] = storage(hasher=twox_64_concat)
    guilty: NMap[tuple[u16, u32, AccountId], BlockNumber] = storage(hashers=BY_MINER)

    @call(0, weight=db(reads=12, writes=2), pays=Pays.No)
    def commit(self, who: Signed, netuid: u16, round: u32, commitment: Hash) -> None:
        """Commit to an update of this round without showing it; free, once per round."""
        uid = self.check_commit(who, netuid, round, commitment)
        position = self.commit_count[netuid, round]
        self.commit_count[netuid, round] = position + 1
        seat = self.neurons.neuron(netuid, uid)
        assert seat is not None, "its uid was found"
        now = self.system.number.get()
        self.commits[netuid, round, who] = Commit(commitment, now, position, uid, seat.coldkey)
        self.deposit(UpdateCommitted(netuid, round, who, commitment))

    @call(1, weight=db(reads=14, writes=6), pays=Pays.No)  # two nodes of the range, on average
    def reveal(
        self, who: Signed, netuid: u16, round: u32, digest: Hash, length: u32, ef_digest: Hash, salt: Salt
    ) -> None:
        """Reveal the digest of the payload that was committed to; free, once per round."""
        self.check_reveal(who, netuid, round, digest, length, ef_digest, salt)
        sealed = self.commits[netuid, round, who]
        update = Update(
            who,
            self.training.base_root(netuid, round),
            digest,
            length,
            ef_digest,
            sealed.height,
            sealed.index,
            self.leaf_count.get(),
        )
        self.updates[netuid, round, who] = update
        self._append(netuid, round, update)
        self.deposit(UpdateRevealed(netuid, round, who, digest, length))

    def _append(self, netuid: int, round: int, update: Update) -> None:
        """Make an update the last leaf of the range."""
        count = update.leaf
        self.leaves[count] = Leaf(netuid, round, update.miner)
        peaks, made = mmr.append(self.peaks.get(), count, leaf_hash(netuid, round, update))
        for place, node in enumerate(made, mmr.size(count)):
            self.nodes[place] = node
        self.peaks.put(peaks)
        self.leaf_count.put(count + 1)

    @call(2, weight=evidence_weight)
    def submit_evidence(
        self, who: Signed, netuid: u16, round: u32, miner: AccountId, evidence: Evidence
    ) -> Pays:
        """Show by a miner's own signatures that it cheated; costs nothing when it is right and new.

        The miner loses its whole bond, what has not vested, and its seat.
        """
        self._check_evidence(netuid, round, miner, evidence)
        uid, seat = self._seat(netuid, round, miner)
        self.guilty[netuid, round, miner] = self.system.number.get()
        slashed = self.neurons.slash(netuid, uid, seat.registered_at, PPM)
        self.deposit(EvidenceAccepted(netuid, round, miner, uid, who, slashed))
        return Pays.No

    def _check_evidence(self, netuid: int, round: int, miner: AccountId, evidence: Evidence) -> None:
        """Refuse what proves nothing about a miner's round. Raises: DispatchError."""
        ensure((netuid, round, miner) in self.commits, Error.UnknownCommit)
        ensure((netuid, round, miner) not in self.guilty, Error.AlreadyAccepted)
        match evidence:
            case Delivery(receipt):
                update = self.updates.get((netuid, round, miner)) or refuse(Error.NotRevealed)
                ensure(receipt.digest == update.digest, Error.OtherDigest)
                ensure(receipt.sent != receipt.digest, Error.FaithfulDelivery)
                receipts = [receipt]
            case DoublePublication(first, second):
                ensure(first.digest != second.digest, Error.SameDigest)
                receipts = [first, second]
        genesis = self.system.genesis_hash()
        signed = all(receipt.is_signed_by(miner, genesis, netuid, round) for receipt in receipts)
        ensure(signed, Error.BadReceipt)

    def _seat(self, netuid: int, round: int, miner: AccountId) -> tuple[int, NeuronOf]:
        """Return the seat that a miner committed from, if whoever held it then still does.

        A seat that has swapped its hotkey since is still the same; so is one that was taken in the block of
        the commit, if it has the same owner or hotkey. Raises: DispatchError.
        """
        sealed = self.commits[netuid, round, miner]
        seat = self.neurons.neuron(netuid, sealed.uid)
        if seat is None:
            refuse(Error.SeatGone)
        is_same = seat.coldkey == sealed.coldkey or seat.hotkey == miner
        ensure(is_same and seat.registered_at <= sealed.height, Error.SeatGone)
        return sealed.uid, seat

    def check_commit(self, who: AccountId, netuid: int, round: int, commitment: Hash) -> int:
        """Refuse what `commit` would refuse, and return the miner's uid.

        Raises: DispatchError.
        """
        uid = self.training.admit_to_train(who, netuid, round)
        ensure((netuid, round, who) not in self.commits, Error.AlreadyCommitted)
        return uid

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
        ensure(self.seat_of(netuid, round, who) is not None, Error.NotCommitted)
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

    def uids(self, netuid: int, round: int) -> frozenset[int]:
        """Return the uids that updates of a round were committed under: no two, whoever moves."""
        listed = self.commits.under(netuid, round)
        return frozenset(commit.uid for (miner,), commit in listed if (netuid, round, miner) in self.updates)

    def uid_of(self, netuid: int, round: int, miner: AccountId) -> int | None:
        """Return the uid that a miner committed under in a round, unless that has changed hands since."""
        sealed = self.commits.get((netuid, round, miner))
        seat = self.neurons.neuron(netuid, sealed.uid) if sealed else None
        return sealed.uid if sealed and seat and seat.registered_at <= sealed.height else None

    def seat_of(self, netuid: int, round: int, miner: AccountId) -> int | None:
        """Return it, unless the seat has changed its hotkey: what that has offered is given up then."""
        uid = self.uid_of(netuid, round, miner)
        seat = None if uid is None else self.neurons.neuron(netuid, uid)
        return uid if seat and seat.hotkey == miner else None

    def originals(self, netuid: int, round: int) -> list[Update]:
        """Return the updates of a round without copies: of equal digests the earliest commit counts."""
        return [alike[0] for alike in self.alike(netuid, round)]

    def alike(self, netuid: int, round: int) -> list[list[Update]]:
        """Return the updates of a round, those with equal digests together, in the order of their commits."""
        groups: dict[Hash, list[Update]] = {}
        for update in self.revealed(netuid, round):
            groups.setdefault(update.digest, []).append(update)
        return list(groups.values())

    # What runtime APIs answer.

    def root(self) -> Hash:
        """Return what stands for all updates so far."""
        return mmr.root(self.leaf_count.get(), self.peaks.get())

    def path(self, leaf: int) -> list[Hash] | None:
        """Return the nodes beside the way from a leaf up to its peak; None where there is no such leaf."""
        count = self.leaf_count.get()
        if not 0 <= leaf < count:
            return None
        return [self.nodes[place] for place in mmr.path_places(leaf, count)]

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
        self._try_range()

    def _try_range(self) -> None:
        """Peaks and nodes are what the updates lead to, leaf by leaf; nobody is guilty without a commit."""
        peaks: list[Hash] = []
        nodes: list[Hash] = []
        for count in range(self.leaf_count.get()):
            leaf = self.leaves[count]
            update = self.updates[leaf.netuid, leaf.round, leaf.miner]
            assert update.leaf == count
            peaks, made = mmr.append(peaks, count, leaf_hash(leaf.netuid, leaf.round, update))
            nodes += made
        assert self.peaks.get() == peaks
        assert dict(self.nodes.items()) == dict(enumerate(nodes))
        assert len(list(self.leaves.keys())) == len(list(self.updates.under())) == self.leaf_count.get()
        for place, _ in self.guilty.under():
            assert place in self.commits
