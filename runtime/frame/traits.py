"""What pallets and the executive may ask of each other without naming one another."""

from typing import Any, Protocol

from runtime.frame.declare import DispatchClass
from runtime.frame.storage import Value
from runtime.primitives.header import Digest, DigestItem
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Weight


class BlockNumberProvider(Protocol):
    """Where the number of the current block lies: the System pallet."""

    number: Value[BlockNumber]


class SystemHost(BlockNumberProvider, Protocol):
    """What the executive needs of the System pallet."""

    def begin_upgrade(self) -> int | None:
        """Return the spec_version that wrote the state when it was another one, and note this one."""
        ...

    def initialize(self, number: BlockNumber, parent: Hash, digest: Digest) -> None:
        """Open a block."""
        ...

    def note_weight(self, weight: Weight, dispatch_class: DispatchClass) -> None:
        """Count weight that was used."""
        ...

    def note_applied(self, info: Any, error: Any | None) -> None:
        """Close an extrinsic with its last event, ExtrinsicSuccess or ExtrinsicFailed."""
        ...

    def finish(self, events: list[bytes]) -> tuple[BlockNumber, Hash, Digest]:
        """Store the events and return number, parent and digest of the header."""
        ...


class Digests(Protocol):
    """Where a pallet leaves messages to consensus engines."""

    def deposit_log(self, log: DigestItem) -> None:
        """Append to the digest of the block under construction."""
        ...


class Reserves(Protocol):
    """Deposits in the native token, in planck. Source: FRAME's ReservableCurrency."""

    def reserve(self, who: AccountId, value: Balance) -> None:
        """Set usable money aside. Raises: DispatchError."""
        ...

    def unreserve(self, who: AccountId, value: Balance) -> Balance:
        """Free what was set aside, as far as there is any; return the amount freed."""
        ...

    def reserved(self, who: AccountId) -> Balance:
        """Return what is set aside."""
        ...


class Currency(Reserves, Protocol):
    """The native token, in planck. Source: FRAME's Currency."""

    def free(self, who: AccountId) -> Balance:
        """Return the free balance, locked or not."""
        ...

    def usable(self, who: AccountId, *, keep_alive: bool = True) -> Balance:
        """Return what may leave the account."""
        ...

    def move(self, source: AccountId, dest: AccountId, value: Balance, *, keep_alive: bool) -> None:
        """Transfer. Raises: DispatchError."""
        ...

    def mint(self, who: AccountId, value: Balance) -> None:
        """Create money in an account; issuance rises by exactly this much."""
        ...

    def burn(self, who: AccountId, value: Balance) -> None:
        """Destroy usable money of an account. Raises: DispatchError."""
        ...

    def burn_reserved(self, who: AccountId, value: Balance) -> Balance:
        """Destroy what was set aside, as far as there is any; return the amount burnt."""
        ...

    def set_lock(self, identifier: bytes, who: AccountId, amount: Balance) -> None:
        """Keep an amount from being spent; zero lifts the lock. `identifier` has 8 bytes."""
        ...
