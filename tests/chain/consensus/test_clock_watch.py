"""The clock rules: whoever is outvoted by the others' blocks stops, nobody else does, and all go on again."""

import logging
from dataclasses import dataclass

import pytest

from chain.consensus.clock_watch import ENOUGH, MAX_AGE, WHOLE, ClockWatch
from chain.consensus.slots import BUILD_SHARE

SLOT_MS = 6_000
LIMIT_MS = SLOT_MS // BUILD_SHARE
START = 1_000_000


@dataclass
class Clocks:
    """A wall clock that can be wrong, and a monotonic one that cannot."""

    true_ms: int = START * SLOT_MS
    wrong_ms: int = 0

    def wall_ms(self) -> int:
        return self.true_ms + self.wrong_ms

    def monotonic(self) -> float:
        return self.true_ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.true_ms += round(seconds * 1000)


class Scene:
    """A node among authors whose blocks arrive after a delay."""

    def __init__(self, shares: list[int], wrong_ms: int = 0) -> None:
        self.clocks = Clocks(wrong_ms=wrong_ms)
        self.watch = ClockWatch(self.clocks, SLOT_MS)
        self.shares = shares
        self.slot = START

    def hear(self, blocks: int, delays_ms: list[int]) -> list[bool]:
        """Have the authors send blocks in turn, with a delay each; return what the watch says after each."""
        said = []
        for _ in range(blocks):
            self.slot += 1
            author = self.slot % len(self.shares)
            self.clocks.true_ms = self.slot * SLOT_MS + delays_ms[author]
            name, share = bytes([author]) * 32, self.shares[author]
            self.watch.arrived(name, share, self.slot)
            said.append(self.watch.may_author())
        return said


THIRDS = [WHOLE // 4] * 3
"""the other three of four equal authorities"""


def test_a_slow_network_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(THIRDS)
    assert all(scene.hear(150, [LIMIT_MS + SLOT_MS // 2] * 3))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("delay_ms", [0, 250, LIMIT_MS, LIMIT_MS + 400])
def test_honest_delays_say_nothing(delay_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(THIRDS)
    assert all(scene.hear(150, [delay_ms] * 3))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("wrong_ms", "where"), [(-LIMIT_MS - 350, "2.2 s behind"), (LIMIT_MS + SLOT_MS + 100, "6.2 s ahead of")]
)
def test_a_wrong_clock_stops_the_author_once_enough_blocks_say_so(
    wrong_ms: int, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(THIRDS, wrong_ms)
    assert scene.hear(30, [150] * 3) == [True] * (ENOUGH - 1) + [False] * (31 - ENOUGH)
    assert caplog.messages == [
        f"⏰ This clock is {where} the other authors': no block is authored until it is right; "
        "set it (is NTP running?)"
    ]
    assert caplog.records[0].levelno == logging.ERROR


def test_half_a_second_is_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(THIRDS, wrong_ms=-700)
    assert all(scene.hear(120, [100] * 3))
    assert caplog.messages == ["⏰ This clock is 0.6 s behind the other authors': set it (is NTP running?)"]
    assert scene.watch.ahead_ms == -600


def test_setting_the_clock_right_counts_at_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(THIRDS, wrong_ms=-5_000)
    assert not scene.hear(50, [100] * 3)[-1]
    caplog.clear()
    caplog.set_level(logging.INFO)
    scene.clocks.wrong_ms = 0
    assert scene.watch.may_author()
    assert caplog.messages == [
        "⏰ The clock was set by +5.0 s",
        "⏰ This clock agrees with the other authors' again: authoring goes on",
    ]
    scene.clocks.wrong_ms = 9_000
    assert not scene.watch.may_author()


def test_a_machine_that_slept_is_soon_believed_again() -> None:
    """While it sleeps its monotonic clock stands still: that looks as if the wall clock had been set."""
    scene = Scene(THIRDS)
    scene.hear(100, [100] * 3)
    scene.clocks.wrong_ms = 3_600_000
    assert not scene.watch.may_author()
    for number in range(ENOUGH):
        scene.clocks.true_ms += SLOT_MS
        slot = scene.slot + 3_600_000 // SLOT_MS + number + 1
        scene.watch.arrived(bytes([number % 3]), THIRDS[0], slot)
    assert scene.watch.may_author()


@pytest.mark.parametrize("wrong_ms", [-60_000, 60_000])
def test_a_minority_with_wrong_clocks_stops_nobody_else(wrong_ms: int) -> None:
    scene = Scene(THIRDS)
    assert all(scene.hear(120, [100, 100, max(0, wrong_ms) or 100]))
    assert scene.watch.ahead_ms == 0


@pytest.mark.parametrize("shares", [[WHOLE // 2], [WHOLE // 4, WHOLE // 4]], ids=["of two", "of three"])
def test_half_of_the_weight_cannot_tell_the_other_half_the_time(shares: list[int]) -> None:
    scene = Scene(shares, wrong_ms=-5_000)
    assert all(scene.hear(120, [100] * len(shares)))
    assert scene.watch.ahead_ms == -4_900  # it is said all the same


def test_old_blocks_say_nothing() -> None:
    scene = Scene(THIRDS, wrong_ms=-5_000)
    assert not scene.hear(50, [100] * 3)[-1]
    scene.clocks.true_ms += MAX_AGE * SLOT_MS
    assert scene.watch.may_author()
    assert scene.watch.ahead_ms is None


def test_the_judgement_is_of_the_last_hundred_blocks() -> None:
    scene = Scene(THIRDS)
    assert all(scene.hear(300, [100] * 3))
    late = LIMIT_MS + SLOT_MS + 100  # as if all links had become slow: nothing sets a clock
    said = scene.hear(100, [late] * 3)
    assert said.index(False) in (49, 50)  # the oldest are forgotten meanwhile


def test_who_shows_blocks_of_many_slots_at_once_is_heard_once() -> None:
    scene = Scene(THIRDS)
    scene.hear(100, [100] * 3)
    for ahead in range(500):
        scene.watch.arrived(b"\0" * 32, THIRDS[0], scene.slot + 10 + ahead)
    assert scene.watch.ahead_ms == 0
