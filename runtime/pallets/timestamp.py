"""Timestamp: the time of a block, set by its author once in every block. Source: FRAME's pallet-timestamp."""

from collections.abc import Mapping
from typing import Any, Protocol

from runtime.frame.declare import DispatchClass, Pays, Unsigned, call, constant, coupled, db
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Value, storage
from runtime.primitives.shapes import Compact
from runtime.primitives.types import Moment, Slot

MAX_DRIFT = 30_000
"""ms a block may lie ahead of a validator's clock, Substrate's bound"""


class Slots(Protocol):
    """What tells the slot of the block."""

    def current(self) -> Slot | None:
        """Return the slot of the block under execution, if it says one."""
        ...

    def slot_duration(self) -> int:
        """Return ms per slot."""
        ...


class Timestamp(Pallet[None, NoError]):
    """The time of the current block."""

    slots: Slots = coupled()
    minimum_period: Moment = constant(1_000)

    now: Value[Moment] = storage(default=0)
    did_update: Value[bool] = storage(default=False)

    @call(0, weight=db(reads=2, writes=1), dispatch_class=DispatchClass.Mandatory, pays=Pays.No)
    def set(self, origin: Unsigned, now: Compact[Moment]) -> None:
        """Set the current time."""
        assert not self.did_update.get(), "the time of this block is set already"
        slot = self.slots.current()
        assert slot is None or now // self.slots.slot_duration() == slot, (
            "the time is not in the block's slot"
        )
        self.now.put(now)
        self.did_update.put(True)

    def on_finalize(self, now: int) -> None:
        """Forget that the time was set, ready for the next block."""
        self.did_update.kill()

    def create_inherent(self, supplied: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
        """Return the `set` call, where the author knows the time (ms since the Unix epoch)."""
        return ("set", (supplied["timestamp"],)) if "timestamp" in supplied else None

    def check_inherent(self, arguments: tuple[Any, ...], supplied: Mapping[str, Any]) -> str | None:
        """Refuse a time outside the block's slot, or too far ahead of this node's clock."""
        (moment,) = arguments
        slot = self.slots.current()
        if slot is not None and moment // self.slots.slot_duration() != slot:
            return f"time {moment} ms is not in slot {slot}"
        if moment > supplied["timestamp"] + MAX_DRIFT:
            return f"time {moment} ms is more than {MAX_DRIFT} ms ahead of this clock"
        return None
