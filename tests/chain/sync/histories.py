"""Headers of chains whose voters change, with the votes that make them final; nothing is executed."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field, replace

from chain.common.block_data import WarpStep
from chain.keys.pair import Keypair
from chain.sync.warp import TrustedPoint
from runtime.primitives.babe import Authorities, SecondaryVRF, VrfSignature, pre_digest_item
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    Change,
    Commit,
    ForcedChange,
    GrandpaJustification,
    Precommit,
    ScheduledChange,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash

GENESIS = Header(ZERO_HASH, 0, ZERO_HASH, ZERO_HASH, Digest([]))
FIRST_SLOT = 1_000


def voter(index: int) -> Keypair:
    """Return the key of a voter."""
    return Keypair.from_seed(index.to_bytes(32, "little"), "ed25519")


def authorities(indices: Sequence[int]) -> Authorities:
    """Return these voters with equal weights."""
    return [(voter(index).public, 1) for index in indices]


def votes(header: Header, set_id: int, indices: Sequence[int], round_: int = 1) -> bytes:
    """Return the justification of a header by these voters."""
    vote = Precommit(header.hash(), header.number)
    payload = localized_payload(vote, round_, set_id)
    signed = [SignedPrecommit(vote, voter(each).sign(payload), voter(each).public) for each in indices]
    return GrandpaJustification(round_, Commit(vote.target_hash, vote.target_number, signed), []).encode()


def child(
    parent: Header,
    *,
    scheduled: Authorities | None = None,
    forced: Authorities | None = None,
    delay: int = 0,
    salt: int = 0,
) -> Header:
    """Return a header on another, which may announce voters."""
    slot = FIRST_SLOT + parent.number + 1
    logs = [
        pre_digest_item(SecondaryVRF(0, slot, VrfSignature(bytes(32), bytes(64)))),
    ]
    if scheduled is not None:
        logs.append(
            Consensus(GRANDPA_ENGINE, CONSENSUS_LOG.encode(ScheduledChange(Change(scheduled, delay))))
        )
    if forced is not None:
        change = ForcedChange(0, Change(forced, delay))
        logs.append(Consensus(GRANDPA_ENGINE, CONSENSUS_LOG.encode(change)))
    return Header(parent.hash(), parent.number + 1, Hash(bytes([salt]) * 32), ZERO_HASH, Digest(logs))


@dataclass
class History:
    """A final chain on genesis: sets of voters, each in charge for so many blocks, its last the handover."""

    sets: Sequence[Sequence[int]]  # who votes, set by set; the last one is in charge now
    length: int = 3  # blocks of every set
    salt: int = 0
    headers: list[Header] = field(default_factory=lambda: [GENESIS])
    proofs: dict[int, bytes] = field(default_factory=dict)
    ends: list[int] = field(default_factory=list)
    first: int = 0  # below, only what changed voters is there
    _by_hash: dict[Hash, Header] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for set_id in range(len(self.sets)):
            for _ in range(self.length - 1):
                self.headers.append(child(self.headers[-1], salt=self.salt))
            is_last = set_id == len(self.sets) - 1
            handover = None if is_last else authorities(self.sets[set_id + 1])
            self.headers.append(child(self.headers[-1], scheduled=handover, salt=self.salt))
            self.prove(len(self.headers) - 1, set_id)
            if handover is not None:
                self.ends.append(len(self.headers) - 1)

    def prove(self, number: int, set_id: int) -> None:
        """Have a set make a block final."""
        self.proofs[number] = votes(self.headers[number], set_id, self.sets[set_id])

    def until(self, number: int) -> "History":
        """Return the same chain when this block was its newest, and the last one that is final."""
        found = replace(self, sets=self.sets[:1], length=1, headers=[GENESIS], proofs={}, ends=[])
        found.sets, found.headers = self.sets, self.headers[: number + 1]
        found.ends = [each for each in self.ends if each <= number]
        found.proofs = {each: proof for each, proof in self.proofs.items() if each <= number}
        if number not in found.proofs:
            found.prove(number, len(found.ends))
        return found

    def since(self, number: int) -> "History":
        """Return the same chain as a node has it that began at this block."""
        found = copy(self)
        found.first = number
        return found

    @property
    def genesis(self) -> TrustedPoint:
        """The point that everybody begins at."""
        return TrustedPoint(GENESIS.hash(), 0, 0, authorities(self.sets[0]))

    @property
    def steps(self) -> list[WarpStep]:
        """The whole proof."""
        heights = [*self.ends, len(self.headers) - 1]
        return [WarpStep(self.headers[number], self.proofs[number]) for number in heights]

    # As a store (chain.network.warps.Proofs).

    @property
    def finalized_number(self) -> int:
        """Its height."""
        return len(self.headers) - 1

    def header(self, block: Hash) -> Header | None:
        """Return a block's header."""
        if len(self._by_hash) < len(self.headers):
            self._by_hash = {header.hash(): header for header in self.headers}
        found = self._by_hash.get(block)
        return found if found is not None and self._keeps(found.number) else None

    def justification(self, block: Hash) -> bytes | None:
        """Return what proves a block final."""
        header = self.header(block)
        return None if header is None else self.proofs.get(header.number)

    def hash_at(self, number: int) -> Hash | None:
        """Return the block at a height."""
        return self.headers[number].hash() if self._keeps(number) else None

    def _keeps(self, number: int) -> bool:
        is_below = number < self.first and number not in (0, *self.ends)
        return 0 <= number < len(self.headers) and not is_below

    def set_ends_above(self, number: int) -> list[int]:
        """Return where sets ended."""
        return [each for each in self.ends if each > number]
