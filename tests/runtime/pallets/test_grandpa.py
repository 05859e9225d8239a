"""Grandpa: a set of voters follows another in the block that says so; by force only where they are lost."""

import pytest

from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, DispatchError
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.grandpa import Error, Grandpa, Live, NewAuthorities, StoredPendingChange
from runtime.pallets.session import NewSession
from runtime.primitives.grandpa import Change, ForcedChange, ScheduledChange
from tests.runtime.pallets.session_bench import Bench, account, keys

Voters = list[tuple[bytes, int]]


def voters(**weights: int) -> Voters:
    return [(keys(name).grandpa, weight) for name, weight in weights.items()]


@pytest.fixture
def bench() -> Bench:
    """Ann and Ben vote; Cat has keys and is not chosen."""
    return Bench({"ann": 30, "ben": 20, "cat": 0}, ["ann", "ben", "cat"])


def grandpa(bench: Bench) -> Grandpa:
    bound: Grandpa = bench.runtime.grandpa
    return bound


def test_genesis_voters_are_set_zero_of_session_zero(bench: Bench) -> None:
    assert grandpa(bench).authorities.get() == voters(ann=30, ben=20)
    assert grandpa(bench).current_set_id.get() == 0
    assert list(grandpa(bench).set_id_session.items()) == [(0, 0)]
    assert grandpa(bench).state.get() == Live()


def test_the_same_voters_stay_one_set(bench: Bench) -> None:
    for session in (1, 2, 3):
        bench.next_session()
        bench.ext.close_block()
        assert bench.grandpa_logs() == []
        assert grandpa(bench).current_set_id.get() == 0
        assert list(grandpa(bench).set_id_session.items()) == [(0, session)]
        bench.ext.open_block()


def test_a_block_that_changes_voters_says_so_and_has_them(bench: Bench) -> None:
    bench.choose(cat=50, ben=20)
    bench.next_session()
    assert bench.next_session() == [NewSession(2)]
    after = voters(cat=50, ben=20)
    assert grandpa(bench).authorities.get() == voters(ann=30, ben=20)
    assert grandpa(bench).pending_change.get() == StoredPendingChange(bench.ext.number, 0, after, None)
    bench.ext.close_block()
    assert bench.grandpa_logs() == [ScheduledChange(Change(after, 0))]
    assert bench.ext.events[-1].event == NewAuthorities(after)
    assert grandpa(bench).authorities.get() == after
    assert not grandpa(bench).pending_change.exists()
    assert grandpa(bench).current_set_id.get() == 1
    assert dict(grandpa(bench).set_id_session.items()) == {0: 1, 1: 2}
    bench.ext.open_block()
    bench.ext.close_block()
    assert bench.grandpa_logs() == []


def test_the_same_validators_planned_anew_are_another_set(bench: Bench) -> None:
    bench.choose(ann=30, ben=20)
    bench.next_session()
    bench.next_session()
    assert bench.office()
    assert grandpa(bench).current_set_id.get() == 1


def test_stalled_finality_is_changed_by_force(bench: Bench) -> None:
    assert_noop(bench.ext, account("ann"), "Grandpa", "note_stalled", 3, 1, error=BadOrigin())
    assert_ok(bench.ext, Root(), "Grandpa", "note_stalled", 3, 1)
    bench.next_session()
    scheduled, same = bench.ext.number, voters(ann=30, ben=20)
    bench.ext.close_block()
    assert bench.grandpa_logs() == [ForcedChange(1, Change(same, 3))]
    assert (grandpa(bench).current_set_id.get(), grandpa(bench).stalled.find()) == (1, None)
    seen = []
    for _ in range(4):
        bench.ext.open_block()
        bench.ext.close_block()
        seen += [(each.event, bench.ext.number) for each in bench.ext.events]
    assert seen == [(NewAuthorities(same), scheduled + 3)]
    assert not grandpa(bench).pending_change.exists()


def test_a_pending_change_keeps_the_set_until_it_is_enacted(bench: Bench) -> None:
    assert_ok(bench.ext, Root(), "Grandpa", "note_stalled", 2, 1)
    bench.choose(cat=50)
    bench.next_session()
    bench.next_session()  # Cat is in office, and the forced change is two blocks away
    assert grandpa(bench).current_set_id.get() == 1
    with pytest.raises(DispatchError) as refused:
        grandpa(bench).schedule_change([], 0, None)
    assert refused.value.reason == Error.ChangePending
    assert dict(grandpa(bench).set_id_session.items()) == {0: 0, 1: 2}


def test_changes_are_not_forced_one_upon_the_other(bench: Bench) -> None:
    grandpa(bench).schedule_change([], 1, 0)
    grandpa(bench).pending_change.kill()
    with pytest.raises(DispatchError) as refused:
        grandpa(bench).schedule_change([], 1, 0)
    assert refused.value.reason == Error.TooSoon
    bench.next_block()
    bench.next_block()
    grandpa(bench).schedule_change([], 1, 0)


def test_sessions_of_sets_long_ago_are_forgotten(bench: Bench) -> None:
    limit = grandpa(bench).max_set_id_session_entries
    grandpa(bench).current_set_id.put(limit - 1)
    bench.choose(cat=50)
    bench.next_session()
    bench.next_session()
    assert sorted(grandpa(bench).set_id_session.keys()) == [limit - 1, limit]
