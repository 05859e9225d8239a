"""What the consensus pallets share when they accuse a validator of having signed twice.

A report brings two proofs: of the deed, and of whose the key was. The pallet of the key (Babe, Grandpa)
checks both and makes an accusation of them; Historical knows the owners, Offences takes the accusation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runtime.frame.declare import db
from runtime.primitives.membership import Identification, MembershipProof
from runtime.primitives.transaction import ValidTransaction
from runtime.primitives.types import AccountId, Weight
from runtime.primitives.validity import TransactionSource

REPORT = Weight(200_000_000) + db(reads=60, writes=60)
"""Two signatures, a path of hashes, and what slashing a validator with its nominators touches."""


@dataclass(frozen=True, slots=True)
class Accusation:
    """A proven deed; the time slot is what its kind takes for one chance to commit it."""

    kind: bytes
    time_slot: bytes
    session: int
    offender: Identification


class KeyOwners(Protocol):
    """Who knows whose a session key was: the Historical pallet."""

    def check_proof(self, kind: bytes, key: bytes, proof: MembershipProof) -> Identification | None:
        """Return who owned a key in the session of a proof, None where that is not shown."""
        ...


class OffenceReports(Protocol):
    """Who takes accusations: the Offences pallet."""

    def report(self, accusation: Accusation, reporter: AccountId | None) -> bool:
        """Slash for a deed; return False where it is known already."""
        ...

    def admit(
        self, source: TransactionSource, session: int, tag: bytes, accuse: Callable[[], Accusation]
    ) -> ValidTransaction:
        """Let a report in that nobody signed. Raises: TransactionRejected."""
        ...
