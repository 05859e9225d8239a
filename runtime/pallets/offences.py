"""Offences: who signed twice, each such deed once, and what share of the stake it costs.

    fraction = min(1, (3 * offending weight / weight of the set)^2), at least 0.1 %

It is taken over all offenders of one kind and time slot: alone it is an accident, together it is an attack. A
further offender in the same time slot raises what the earlier ones lose. Reports stay for good: a set of
voters may last for years, and each of its sessions proves whose a key was. Source: FRAME's pallet-offences.
"""

from collections.abc import Callable
from typing import Annotated, Protocol

from runtime.frame.declare import coupled, event
from runtime.frame.errors import DispatchError, NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, storage
from runtime.pallets.equivocation import Accusation
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.membership import Identification
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Fixed, struct, u32
from runtime.primitives.transaction import TransactionRejected, ValidTransaction
from runtime.primitives.types import AccountId, Hash
from runtime.primitives.validity import TransactionSource

Kind = Annotated[bytes, Fixed(16)]

WHOLE = 1_000_000_000
"""A fraction in parts per billion."""
MIN_FRACTION = 1_000_000
"""0.1 %: even a single accident in a large set costs more than it can earn."""

PRIORITY = (1 << 64) - 1
"""Nothing in a pool is more urgent than evidence."""
REPORT_ID = codec(tuple[Kind, bytes, AccountId])


@event
class Offence:
    """There is an offence reported of the given `kind` happened at the `session_index` and time slot."""

    kind: Kind
    timeslot: bytes


@struct("sp_staking::offence::OffenceDetails")
class OffenceDetails:
    """An offender, the session in which it was a validator, and who is rewarded for saying so."""

    offender: Identification
    session: u32
    reporters: list[AccountId]


class OffenceHandler(Protocol):
    """Who slashes: the Staking pallet; of several fractions in one era only the highest counts."""

    sessions_per_era: u32
    bonding_duration: u32

    def on_offence(
        self, stash: AccountId, fraction_ppb: int, session: int, reporters: list[AccountId]
    ) -> None:
        """Slash a validator for what it did in a session."""
        ...


class Sessions(Protocol):
    """What tells sessions to come."""

    def is_future(self, session: int) -> bool:
        """Say whether a session has not begun yet."""
        ...


class BlockAuthor(Protocol):
    """Who is rewarded for a report that nobody signed."""

    def author_of_block(self) -> AccountId | None:
        """Return the stash that authored the block."""
        ...


class EpochLength(Protocol):
    """How long a session is, in slots."""

    epoch_duration: int


class Offences(Pallet[Offence, NoError]):
    """Every offence that was proven, by its time slot."""

    historical: Sessions = coupled()
    staking: OffenceHandler = coupled()
    authorship: BlockAuthor = coupled()
    babe: EpochLength = coupled()

    reports: Map[Hash, OffenceDetails] = storage(hasher=twox_64_concat)
    concurrent_reports_index: DoubleMap[Kind, bytes, list[Hash]] = storage(default=[], hasher=twox_64_concat)

    def report(self, accusation: Accusation, reporter: AccountId | None) -> bool:
        """Slash everybody who did this in the same time slot; return False where it is known already.

        A report that nobody signed is the block author's.
        """
        if self.is_known(accusation):
            return False
        rewarded = reporter or self.authorship.author_of_block()
        kind, time_slot = accusation.kind, accusation.time_slot
        report = report_id(accusation)
        reporters = [] if rewarded is None else [rewarded]
        self.reports[report] = OffenceDetails(accusation.offender, accusation.session, reporters)
        concurrent = [*self.concurrent_reports_index[kind, time_slot], report]
        self.concurrent_reports_index[kind, time_slot] = concurrent
        self._slash(*(self.reports[each] for each in concurrent))
        self.deposit(Offence(kind, time_slot))
        return True

    def _slash(self, *concurrent: OffenceDetails) -> None:
        """Slash the last of those who did it in one time slot, and the others if that costs them more."""
        *others, last = concurrent
        before = sum(each.offender.weight for each in others)
        total = last.offender.total
        fraction = slash_fraction(before + last.offender.weight, total)
        for each in concurrent if fraction > slash_fraction(before, total) else [last]:
            self.staking.on_offence(each.offender.stash, fraction, each.session, each.reporters)

    def is_known(self, accusation: Accusation) -> bool:
        """Say whether somebody has reported this."""
        return report_id(accusation) in self.reports

    def admit(
        self, source: TransactionSource, session: int, tag: bytes, accuse: Callable[[], Accusation]
    ) -> ValidTransaction:
        """Let a report in that nobody signed, if it is right and new: from this node, or in a block.

        Raises: TransactionRejected.
        """
        if source is TransactionSource.External:
            raise TransactionRejected("invalid", "Call")
        if self.historical.is_future(session):
            raise TransactionRejected("invalid", "Future", early=True)
        try:
            accusation = accuse()
        except DispatchError as refused:
            raise TransactionRejected("invalid", "BadProof") from refused
        if self.is_known(accusation):
            raise TransactionRejected("invalid", "Stale")
        longevity = self.staking.bonding_duration * self.staking.sessions_per_era * self.babe.epoch_duration
        return ValidTransaction(PRIORITY, [], [tag], longevity, propagate=False)

    def try_state(self) -> None:
        """Every report is in the index of its time slot, once, and nothing else is."""
        indexed = [each for _, reports in self.concurrent_reports_index.items() for each in reports]
        assert sorted(indexed) == sorted(self.reports.keys())


def report_id(accusation: Accusation) -> Hash:
    """Return what stands for one deed of one validator, whichever session the proof is of."""
    deed = accusation.kind, accusation.time_slot, accusation.offender.stash
    return Hash(blake2_256(REPORT_ID.encode(deed)))


def slash_fraction(offending: int, total: int) -> int:
    """Return the share of their stake that offenders of this weight lose, in parts per billion."""
    threefold = min(3 * offending, total)
    return max(MIN_FRACTION, threefold * threefold * WHOLE // (total * total))
