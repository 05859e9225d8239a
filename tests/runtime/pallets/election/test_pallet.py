"""ElectionProvider: snapshot and seats over blocks, the result of which is that of the whole at once."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from runtime.frame.base import Runtime
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.frame.testing import Externalities, MemoryState
from runtime.pallets.election import pallet
from runtime.pallets.election.pallet import (
    Assigning,
    Done,
    Electing,
    ElectionFinalized,
    ElectionProvider,
    Off,
    PhaseTransitioned,
    Snapshot,
)
from runtime.pallets.system import System
from runtime.primitives.hashing import blake2_256, twox_128
from runtime.primitives.shapes import u32
from runtime.primitives.types import AccountId, Balance
from runtime.runtime import VERSION

Ballot = tuple[AccountId, Balance, list[AccountId]]


class Roll(Pallet[None, NoError]):
    """An electoral roll: who stands, who votes, and for how many seats."""

    candidates: Map[AccountId, bool] = storage()
    ballots: Map[AccountId, tuple[Balance, list[AccountId]]] = storage()
    seats: Value[u32] = storage(default=0)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write `candidates`, `ballots` [(who, planck, for whom)] and `seats`."""
        for who in config["candidates"]:
            self.candidates[who] = True
        for who, stake, named in config["ballots"]:
            self.ballots[who] = (stake, named)
        self.seats.put(config["seats"])

    def electable_targets(self, after: AccountId | None, limit: int) -> list[AccountId]:
        """Return candidates in key order."""
        listed = list(self.candidates.keys())
        return listed[0 if after is None else listed.index(after) + 1 :][:limit]

    def voters_page(self, after: AccountId | None, limit: int) -> list[Ballot]:
        """Return voters in key order."""
        listed = [(who, *ballot) for who, ballot in self.ballots.items()]
        first = 0 if after is None else [who for who, _, _ in listed].index(after) + 1
        return listed[first:][:limit]

    def desired_targets(self) -> int:
        """Return the number of seats."""
        return self.seats.get()


class Chain(Runtime):
    """As much of a runtime as an election needs."""

    system = System.at(0, version=VERSION)
    roll = Roll.at(7)
    election = ElectionProvider.at(11, voters=roll)


def account(number: int) -> AccountId:
    return AccountId(blake2_256(number.to_bytes(4, "big")))


def chain(
    candidates: Sequence[AccountId], ballots: Sequence[Ballot], seats: int, **constants: int
) -> Externalities:
    roll = {"candidates": candidates, "ballots": ballots, "seats": seats}
    return Externalities(Chain, genesis={"roll": roll, "constants": {"ElectionProvider": constants}})


A, B, C = sorted(account(number) for number in (1, 2, 3))
X, Y, Z = (account(number) for number in (10, 20, 30))
BALLOTS: list[Ballot] = [(X, 10, [A, B]), (Y, 20, [A, C]), (Z, 30, [B, C])]


def busy(validators: int, nominators: int, seats: int, **constants: int) -> Externalities:
    """Return a chain whose validators vote for themselves, and whose nominators for up to 16 of them."""
    chance = Random(seats)
    stashes = [account(number) for number in range(validators)]
    ballots: list[Ballot] = [(stash, chance.randrange(10**15, 10**17), [stash]) for stash in stashes]
    for number in range(validators, validators + nominators):
        named = chance.sample(stashes, chance.randint(1, min(16, validators)))
        ballots.append((account(number), chance.randrange(10**12, 10**17), named))
    return chain(stashes, ballots, seats, **constants)


def finish(ext: Externalities, blocks: int = 1_000) -> int:
    """Open blocks until the result is there; say how many it took."""
    for taken in range(blocks):
        ext.runtime.try_state()
        if isinstance(ext.runtime.election.current_phase.get(), Done):
            return taken
        ext.run_to_block(ext.number + 1)
    raise AssertionError("the election does not end")


def test_a_small_election_takes_one_block() -> None:
    ext = chain([A, B, C], BALLOTS, 2)
    provider = ext.runtime.election
    provider.start()
    assert provider.elect() is None
    ext.run_to_block(2)
    assert ext.events[-1].event == PhaseTransitioned(Off(), Snapshot(0), 1)
    assert ext.new_events() == [
        PhaseTransitioned(Snapshot(2), Electing(), 1),
        PhaseTransitioned(Electing(), Assigning(), 1),
        PhaseTransitioned(Assigning(), Done(), 1),
    ]
    assert {support.stash: (support.total, support.own) for support in ext.runtime.election.elect()} == {
        C: (35, 0),
        B: (25, 0),
    }
    assert ext.new_events()[3:] == [
        ElectionFinalized(1, 2, 25, 60),
        PhaseTransitioned(Done(), Off(), 1),
    ]
    assert ext.runtime.election.elect() is None
    ext.runtime.try_state()


def test_nothing_is_left_behind_but_the_number_of_rounds() -> None:
    ext = chain([A, B, C], BALLOTS, 2)
    ext.runtime.election.start()
    finish(ext)
    ext.runtime.election.elect()
    provider, stored = ext.runtime.election, list(ext.overlay.keys(twox_128(b"ElectionProvider")))
    assert sorted(stored) == sorted(
        [provider.round.key, provider.current_phase.key, provider.outside_work.key]
    )
    ext.run_to_block(ext.number + 1)  # the work of taking the result is counted
    assert not ext.runtime.election.outside_work.exists()


@pytest.mark.parametrize(("validators", "nominators", "seats"), [(5, 20, 4), (30, 150, 21), (110, 300, 100)])
@pytest.mark.parametrize("budget", [10**10, 10**11])
def test_an_election_over_blocks_is_the_election_at_once(
    validators: int, nominators: int, seats: int, budget: int
) -> None:
    ext = busy(validators, nominators, seats, BlockBudget=budget, VoterSnapshotPerBlock=64)
    at_once = ext.runtime.election.elect_now()
    assert len(at_once) == seats
    ext.runtime.election.start()
    finish(ext)
    assert ext.runtime.election.elect() == at_once


def test_a_block_takes_one_step_at_least() -> None:
    """Candidates, pages of voters and the one that is not there, a seat a block, and a voter a block."""
    ext = busy(5, 20, 4, BlockBudget=1, VoterSnapshotPerBlock=10)
    ext.runtime.election.start()
    assert finish(ext) == 1 + 3 + 1 + 4 + 25
    assert len(ext.runtime.election.elect()) == 4


def test_any_node_goes_on_from_any_block() -> None:
    """A node that has seen nothing of an election ends it as one that has seen all, wherever it comes in."""
    ext = busy(12, 40, 7, BlockBudget=1, VoterSnapshotPerBlock=20)
    ext.runtime.election.start()
    states = []
    while not isinstance(ext.runtime.election.current_phase.get(), Done):
        states.append(copied(ext))
        ext.run_to_block(ext.number + 1)
    right = ext.runtime.election.elect()
    assert len(states) == 1 + 3 + 1 + 7 + 52
    for state in states[::3]:
        pallet._PAGES.clear()
        finish(state)
        assert state.runtime.election.elect() == right


def copied(ext: Externalities) -> Externalities:
    """Return a chain of its own that starts where this one is."""
    twin = Externalities(Chain, genesis={"roll": {"candidates": [], "ballots": [], "seats": 0}})
    twin.state = MemoryState(ext.state.entries)
    twin.state.apply(ext.overlay.changes)
    twin.number = ext.number
    twin.open_block()
    return twin


def test_a_snapshot_holds_no_more_than_its_pages() -> None:
    ext = busy(5, 40, 4, BlockBudget=1, Pages=3, VoterSnapshotPerBlock=7, TargetSnapshotPerBlock=3)
    ext.runtime.election.start()
    finish(ext)
    provider, roll = ext.runtime.election, ext.runtime.roll
    assert provider.target_snapshot.get() == sorted(roll.electable_targets(None, 3))
    pages = [provider.paged_voter_snapshot[number] for number in range(3)]
    assert [voter.who for page in pages for voter in page] == [
        who for who, _, _ in roll.voters_page(None, 21)
    ]
    assert [len(page) for page in pages] == [7, 7, 7]
    assert len(provider.elect()) == 3


def test_a_ballot_counts_each_candidate_once_and_nobody_else() -> None:
    many = [account(number) for number in range(100, 130)]
    ballots: list[Ballot] = [(X, 10, [A, A, Y, B]), (Y, 20, []), (Z, 30, [C, *many])]
    ext = chain([A, B, C, *many], ballots, 33, BlockBudget=1)
    ext.runtime.election.start()
    finish(ext)
    index = {who: at for at, who in enumerate(ext.runtime.election.target_snapshot.get())}
    found = {
        voter.who: (voter.stake, voter.targets) for voter in ext.runtime.election.paged_voter_snapshot[0]
    }
    assert found[X] == (10, sorted((index[A], index[B])))
    assert found[Y] == (20, [])
    assert found[Z] == (30, sorted(index[who] for who in (C, *many))[:16])
    assert sum(support.total for support in ext.runtime.election.elect()) == 40


def test_who_comes_or_goes_during_the_snapshot_votes_once_at_most() -> None:
    ext = busy(6, 60, 4, BlockBudget=1, VoterSnapshotPerBlock=5)
    ext.runtime.election.start()
    chance = Random(1)
    while not isinstance(ext.runtime.election.current_phase.get(), Electing):
        ext.runtime.try_state()
        roll, last = ext.runtime.roll, ext.runtime.election.last_voter.find()
        for _ in range(4):
            roll.ballots[account(chance.randrange(60, 100))] = (10, [account(0)])
        gone = chance.choice([who for who, _ in roll.ballots.items() if who != last])
        del roll.ballots[gone]
        ext.run_to_block(ext.number + 1)
    finish(ext)
    assert len(ext.runtime.election.elect()) == 4


def test_an_unfinished_election_has_no_result_and_goes_on() -> None:
    ext = busy(6, 60, 4, BlockBudget=1, VoterSnapshotPerBlock=16)
    at_once = ext.runtime.election.elect_now()
    assert not ext.runtime.election.is_ongoing()
    ext.runtime.election.start()
    while not isinstance(ext.runtime.election.current_phase.get(), Done):
        assert ext.runtime.election.is_ongoing()
        assert ext.runtime.election.elect() is None
        ext.run_to_block(ext.number + 1)
    assert ext.runtime.election.elect() == at_once
    assert not ext.runtime.election.is_ongoing()


@pytest.mark.parametrize("blocks", range(1, 12))
def test_an_election_begun_anew_forgets_the_one_before(blocks: int) -> None:
    ext = busy(6, 60, 4, BlockBudget=1, VoterSnapshotPerBlock=16)
    ext.runtime.election.start()
    ext.run_to_block(1 + blocks)
    for number in range(60, 66):
        ext.runtime.roll.ballots[account(number)] = (10**18, [account(5)])
    at_once = ext.runtime.election.elect_now()
    ext.runtime.election.start()
    finish(ext)
    assert ext.runtime.election.round.get() == 2
    assert ext.runtime.election.elect() == at_once


def test_nobody_to_elect_is_a_result() -> None:
    for ext in (chain([], BALLOTS, 2), chain([A], [], 2), chain([A, B, C], BALLOTS, 0)):
        ext.runtime.election.start()
        finish(ext)
        assert ext.runtime.election.elect() == []


def test_a_block_weighs_what_it_did() -> None:
    """Without work next to nothing; at work no more than the budget and one step; each step something."""
    budget = 20_000_000_000
    ext = busy(40, 400, 21, BlockBudget=budget, VoterSnapshotPerBlock=64)
    idle = ext.runtime.system.block_weight.get().mandatory.ref_time
    ext.runtime.election.start()
    weights = []
    while not isinstance(ext.runtime.election.current_phase.get(), Done):
        ext.run_to_block(ext.number + 1)
        weights.append(ext.runtime.system.block_weight.get().mandatory.ref_time - idle)
    step = 16 * 440 * pallet.VOTE + 440 * pallet.DECODE + 64 * pallet.VOTER + 16 * 100 * pallet.STEP
    assert all(0 < weight <= budget + step for weight in weights)
    assert sum(weights) >= 440 * pallet.VOTER + 40 * pallet.TARGET
    ext.runtime.election.elect()
    ext.run_to_block(ext.number + 1)
    after = ext.runtime.system.block_weight.get().mandatory.ref_time - idle
    assert after == 440 * 2 * pallet.DECODE
