"""Timestamp: one moment a block, in the block's slot, not far ahead of the clock."""

import pytest

from runtime.frame.errors import RuntimeTrap
from tests.runtime.bench import FIRST_SLOT, SLOT_MS, Chain

NOW = FIRST_SLOT * SLOT_MS


def test_the_inherent_is_made_of_what_the_author_knows() -> None:
    timestamp = Chain().open().runtime.timestamp  # type: ignore[attr-defined]
    assert timestamp.create_inherent({"timestamp": NOW}) == ("set", (NOW,))
    assert timestamp.create_inherent({}) is None


@pytest.mark.parametrize(
    ("moment", "clock", "problem"),
    [
        (NOW, NOW, None),
        (NOW + SLOT_MS - 1, NOW, None),
        (NOW, NOW - 30_000, None),
        (NOW, NOW + 10**9, None),
        (NOW, NOW - 30_001, f"time {NOW} ms is more than 30000 ms ahead of this clock"),
        (NOW - 1, NOW, f"time {NOW - 1} ms is not in slot {FIRST_SLOT}"),
        (NOW + SLOT_MS, NOW, f"time {NOW + SLOT_MS} ms is not in slot {FIRST_SLOT}"),
        (2**64 - 1, NOW, f"time {2**64 - 1} ms is not in slot {FIRST_SLOT}"),
        (0, NOW, f"time 0 ms is not in slot {FIRST_SLOT}"),
    ],
)
def test_a_foreign_moment_is_judged(moment: int, clock: int, problem: str | None) -> None:
    timestamp = Chain().open().runtime.timestamp  # type: ignore[attr-defined]
    assert timestamp.check_inherent((moment,), {"timestamp": clock}) == problem


def test_an_author_cannot_stamp_twice_or_out_of_its_slot() -> None:
    execution = Chain().open()
    (stamp,) = execution.inherents({"timestamp": NOW})
    (late,) = execution.inherents({"timestamp": NOW + SLOT_MS})
    with pytest.raises(RuntimeTrap, match="not in the block's slot"):
        execution.apply(late)
    execution.apply(stamp)
    with pytest.raises(RuntimeTrap, match="set already"):
        execution.apply(stamp)
