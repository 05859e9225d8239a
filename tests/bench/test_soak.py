"""What the soak and the load on four nodes say of a run is what happened in it."""

from pathlib import Path

import pytest

from bench import full_sync
from bench.observe import Door, missed, slope
from bench.soak import memory_of, unpaid_rounds, wrong_lines
from tests.e2e.process import flags_of, running, write_spec

PAID, NOTHING = ({"event": "epoch", "payments": [{"incentive": 1}]}, {"event": "epoch", "payments": []})


def closed(number: int) -> dict[str, object]:
    """Return the line of a round that is over."""
    return {"event": "round_closed", "round": number}


def test_missed_slots_are_those_between_the_first_and_the_last() -> None:
    assert missed([7]) == missed([]) == missed([7, 8, 9]) == 0
    assert missed([7, 9, 12]) == 3


def test_a_slope_is_that_of_the_line() -> None:
    assert slope([(0, 5.0), (1, 7.0), (2, 9.0)]) == pytest.approx(2)
    assert slope([(3, 5.0)]) == slope([]) == 0
    assert slope([(0, 1.0), (1, 3.0), (2, 2.0), (3, 4.0)]) == pytest.approx(0.8)


def test_growth_counts_from_where_memory_has_settled() -> None:
    points = [(float(at), 100.0 + (50 if at < 20 else 0)) for at in range(60)]
    assert memory_of(points) == {"settled": 100.0, "end": 100.0, "mib_per_hour": 0.0}
    growing = [(float(at), 100.0 + at / 60) for at in range(3600)]
    assert memory_of(growing)["mib_per_hour"] == pytest.approx(60)
    assert memory_of(growing)["end"] > memory_of(growing)["settled"]


def test_a_round_is_paid_by_one_of_the_two_epochs_after_it() -> None:
    assert unpaid_rounds([closed(1), NOTHING, PAID, closed(2), PAID, NOTHING]) == []
    assert unpaid_rounds([closed(1), NOTHING, NOTHING, closed(2), PAID, PAID]) == [1]
    assert unpaid_rounds([PAID, closed(1), NOTHING]) == [], "the next epoch may still pay it"


def test_logs_are_searched_for_what_must_not_be_there(tmp_path: Path) -> None:
    (tmp_path / "node.log").write_text("Imported #1\nTraceback (most recent call last):\n")
    (tmp_path / "judge.log").write_text("round 00001 | THIS JUDGE DISAGREES WITH THE CHAIN\n")
    assert len(wrong_lines(tmp_path)) == 2


@pytest.mark.e2e
def test_a_door_reads_heights_hashes_and_slots(tmp_path: Path) -> None:
    with running(tmp_path / "log", *flags_of(write_spec(tmp_path / "spec.json"))) as node:
        node.wait_height(4)
        door = Door(node.port)
        hashes = door.hashes(0, 4)
        assert [door.height(block) for block in hashes] == [0, 1, 2, 3, 4]
        slots = door.slots(1, 4)
        assert slots == sorted(set(slots))
        number, block = door.final()
        assert door.hashes(number, number) == [block]


@pytest.mark.e2e
def test_a_joining_process_gets_the_whole_chain(tmp_path: Path) -> None:
    figures = full_sync.measure(tmp_path, 30)
    assert (figures["blocks"], figures["same_head"]) == (30, True)
