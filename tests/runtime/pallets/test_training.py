"""Whole rounds of a training subnet, driven block by block."""

import pytest

from runtime.frame.declare import Root
from runtime.frame.testing import assert_noop
from runtime.pallets.training.decisions import Ballot, lower_median, majority, steps_of, weight_of
from runtime.pallets.training.types import (
    Accepted,
    CheckpointAttested,
    Dataset,
    DatasetSet,
    Error,
    LineageEntry,
    Phase,
    PhaseChanged,
    RootAttested,
    RoundClosed,
    RoundOpened,
    RoundVoided,
    VoidReason,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash
from tests.runtime.pallets.training_bench import (
    ASY,
    DATA_ROOT,
    FIRST_ROOT,
    NETUID,
    OWNER,
    STRANGER,
    URL,
    Bench,
    digest_of,
    marks,
    root_of,
)

MAX = 65_535


def mine_events(events: list[object]) -> list[object]:
    """Return the events of the phase machine among others."""
    return [
        each for each in events if isinstance(each, RoundOpened | PhaseChanged | RoundClosed | RoundVoided)
    ]


def beacon(bench: Bench, domain: bytes, number: int) -> Hash:
    accumulator = bench.runtime.babe.vrf_accumulator.get()
    scope = NETUID.to_bytes(2, "little") + number.to_bytes(4, "little")
    return Hash(blake2_256(domain + scope + accumulator))


def test_first_round_opens_when_everything_has_been_there_for_three_blocks() -> None:
    bench = Bench()
    for _ in range(5):
        assert mine_events(bench.step()) == []
    assert (bench.phase, bench.number) == (Phase.Idle, 0)
    bench.call(OWNER, "Training", "set_dataset", DATA_ROOT, URL)
    assert bench.ext.new_events()[-1] == DatasetSet(NETUID, DATA_ROOT, URL)
    assert bench.runtime.training.datasets[NETUID] == Dataset(DATA_ROOT, URL, 6)
    opened = [mine_events(bench.step()) for _ in range(4)]
    assert opened == [[], [], [], [RoundOpened(NETUID, 1, FIRST_ROOT, beacon(bench, b"b0", 1))]]
    assert bench.round.expected_miners == [2, 3]
    assert bench.round.expected_judges == [0, 1]
    assert (bench.round.opened_at, bench.round.deadline) == (10, 18)


def test_inner_steps_rise_with_the_rounds_that_close() -> None:
    bench = Bench(1, 1, inner_steps=20, inner_steps_start=5, warmup_rounds=3)
    bench.start()
    bench.play(root_of(1))
    bench.run_to(Phase.Train, 3)  # round 2 is void: it does not count
    for number in (3, 4, 5):
        bench.play(root_of(number))
    steps = [bench.ended(number).inner_steps for number in range(1, 7)]
    assert steps == [5, 10, 10, 15, 20, 20]
    assert bench.runtime.training.closed_rounds[NETUID] == 4


@pytest.mark.parametrize(
    ("first", "rounds", "steps"),
    [
        (0, 10, [20, 20, 20]),
        (1, 0, [20, 20, 20]),
        (1, 1, [1, 20, 20]),
        (1, 2, [1, 10, 20]),
        (20, 9, [20] * 3),
    ],
)
def test_the_rise_of_inner_steps(first: int, rounds: int, steps: list[int]) -> None:
    assert [steps_of(first, 20, rounds, closed) for closed in range(3)] == steps


def test_warm_up_starts_again_when_a_miner_leaves() -> None:
    bench = Bench(miners=1)
    bench.call(OWNER, "Training", "set_dataset", DATA_ROOT, URL)
    bench.step()
    bench.step()
    bench.call(bench.miners[0], "Neurons", "deregister", bench.miners[0])
    bench.step()
    assert NETUID not in bench.runtime.training.ready_since
    bench.call(bench.miners[0], "Neurons", "burned_register", bench.miners[0], 100 * ASY)
    opened = [mine_events(bench.step()) for _ in range(4)]
    assert [len(events) for events in opened] == [0, 0, 0, 1]


@pytest.mark.parametrize(("judges", "miners"), [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_round_closes_when_everybody_acts(judges: int, miners: int) -> None:
    bench = Bench(judges, miners)
    bench.start()
    for number in (1, 2):
        before = bench.runtime.training.model_root[NETUID]
        bench.play(root_of(number))
        share = 1_000_000 // miners
        accepted = [
            Accepted(
                bench.uid(miner), bench.miners[miner], digest_of(miner, number), share * MAX // 1_000_000
            )
            for miner in range(miners)
        ]
        ended = bench.ended(number)
        assert (ended.phase, ended.accepted, ended.new_root) == (Phase.Closed, accepted, root_of(number))
        assert bench.runtime.training.model_root[NETUID] == root_of(number)
        entry = bench.runtime.training.lineage[NETUID, number]
        assert entry == LineageEntry(before, root_of(number), accepted, 1)
        assert (bench.phase, bench.number) == (Phase.Train, number + 1)
        assert bench.round.base_root == root_of(number)


def test_phases_advance_in_the_block_after_the_last_one_acted() -> None:
    bench = Bench(2, 2)
    bench.start()
    bench.commit(0, 1)
    assert mine_events(bench.step()) == [PhaseChanged(NETUID, 1, Phase.Reveal, bench.now + 4, None, [])]
    bench.reveal(0, 1)
    beacon1 = beacon(bench, b"b1", 1)
    scoring = PhaseChanged(NETUID, 1, Phase.ScoreCommit, bench.now + 6, beacon1, [])
    assert mine_events(bench.step()) == [scoring]
    scores = [marks(2, 600_000), marks(3, 400_000)]
    bench.commit_scores(0, scores)
    assert mine_events(bench.step()) == []
    bench.commit_scores(1, scores)
    assert [type(each) for each in mine_events(bench.step())] == [PhaseChanged]
    bench.reveal_scores(0, scores)
    bench.reveal_scores(1, scores)
    accepted = [
        Accepted(2, bench.miners[0], digest_of(0, 1), 600_000 * MAX // 1_000_000),
        Accepted(3, bench.miners[1], digest_of(1, 1), 400_000 * MAX // 1_000_000),
    ]
    attesting = PhaseChanged(NETUID, 1, Phase.Attest, bench.now + 6, beacon1, accepted)
    assert mine_events(bench.step()) == [attesting]
    bench.attest(0, root_of(1))
    assert bench.ext.new_events()[-1] == RootAttested(NETUID, 1, 0, root_of(1))
    bench.attest(1, root_of(1))
    opened = RoundOpened(NETUID, 2, root_of(1), beacon(bench, b"b0", 2))
    assert mine_events(bench.step()) == [RoundClosed(NETUID, 1, root_of(1), 2), opened]


def test_rounds_without_commits_are_void_and_the_next_one_opens_at_once() -> None:
    bench = Bench()
    bench.start()
    deadline = bench.round.deadline
    for _ in range(7):
        assert mine_events(bench.step()) == []
    events = mine_events(bench.step())
    assert bench.now == deadline
    opened = RoundOpened(NETUID, 2, FIRST_ROOT, beacon(bench, b"b0", 2))
    assert events == [RoundVoided(NETUID, 1, VoidReason.NoCommits), opened]
    assert (bench.ended(1).phase, bench.ended(1).new_root) == (Phase.Void, None)
    assert bench.runtime.training.model_root[NETUID] == FIRST_ROOT


def voided(bench: Bench, number: int = 1, limit: int = 40) -> VoidReason:
    """Wait for the end of a round and return why it is void."""
    for _ in range(limit):
        for each in bench.step():
            if isinstance(each, RoundVoided) and each.round == number:
                assert bench.ended(number).phase is Phase.Void
                return each.reason
    raise AssertionError("the round is not void")


def test_nobody_reveals() -> None:
    bench = Bench()
    bench.start()
    bench.commit(0, 1)
    assert voided(bench) is VoidReason.NoReveals


def test_no_judge_scores() -> None:
    bench = Bench()
    bench.start()
    bench.mine(0, 1)
    assert voided(bench) is VoidReason.NoScores


def test_no_judge_reveals_its_scores() -> None:
    bench = Bench()
    bench.start()
    bench.mine(0, 1)
    bench.commit_scores(0, [marks(2, 1)])
    assert voided(bench) is VoidReason.NoScores


def test_nothing_is_good_enough() -> None:
    bench = Bench(2, 1)
    bench.start()
    bench.mine(0)
    bench.commit_scores(0, [marks(2, 1_000_000)])
    bench.commit_scores(1, [marks(2, 0)])
    bench.run_to(Phase.ScoreReveal)
    bench.reveal_scores(0, [marks(2, 1_000_000)])
    bench.reveal_scores(1, [marks(2, 0)])
    assert voided(bench) is VoidReason.NothingAccepted


def test_judges_that_disagree_one_to_one_void_the_round_and_nobody_gets_a_row() -> None:
    bench = Bench(2, 2)
    bench.start()
    bench.mine(0, 1)
    bench.score({0: [marks(2, 500_000)], 1: [marks(2, 500_000)]})
    bench.attest(0, root_of(1))
    bench.attest(1, root_of(2))
    assert voided(bench, limit=1) is VoidReason.NoMajority
    assert bench.runtime.training.model_root[NETUID] == FIRST_ROOT
    assert list(bench.runtime.training.lineage.items()) == []
    assert bench.runtime.weights.row(NETUID, 0) == []


def test_the_larger_stake_decides_between_two_roots() -> None:
    bench = Bench(3, 1, stakes=[1_000, 2_000, 1_500])
    bench.start()
    bench.mine(0)
    bench.score({judge: [marks(3, 1_000_000)] for judge in range(3)})
    bench.attest(0, root_of(1))
    bench.attest(1, root_of(2))
    bench.step()
    assert bench.phase is Phase.Attest
    bench.attest(2, root_of(1))
    bench.step()
    assert bench.ended(1).new_root == root_of(1)


def test_a_majority_of_all_who_revealed_closes_without_the_rest() -> None:
    bench = Bench(3, 1)
    bench.start()
    bench.mine(0)
    bench.score({judge: [marks(3, 1_000_000)] for judge in range(3)})
    bench.attest(0, root_of(1))
    bench.attest(2, root_of(1))
    bench.step()
    assert (bench.ended(1).phase, bench.number) == (Phase.Closed, 2)


def test_a_judge_that_did_not_score_cannot_outvote_silent_ones_early() -> None:
    bench = Bench(3, 1, stakes=[1_000, 1_500, 2_000])
    bench.start()
    bench.mine(0)
    bench.commit_scores(0, [marks(3, 1_000_000)])
    bench.commit_scores(1, [marks(3, 1_000_000)])
    bench.run_to(Phase.ScoreReveal)
    bench.reveal_scores(0, [marks(3, 1_000_000)])
    bench.reveal_scores(1, [marks(3, 1_000_000)])
    bench.run_to(Phase.Attest)
    bench.attest(2, root_of(2))
    bench.step()
    assert bench.phase is Phase.Attest
    bench.attest(0, root_of(1))
    bench.attest(1, root_of(1))
    bench.step()
    assert bench.ended(1).new_root == root_of(1)


def test_a_dead_miner_costs_one_deadline_and_is_not_expected_again() -> None:
    bench = Bench(1, 2)
    bench.start()
    bench.commit(0)
    bench.run_to(Phase.Reveal)
    assert bench.now == bench.ended(1).opened_at + 8
    bench.reveal(0)
    bench.run_to(Phase.ScoreCommit)
    bench.score({0: [marks(1, 1_000_000)]})
    bench.attest(0, root_of(1))
    bench.step()
    assert (bench.number, bench.round.expected_miners) == (2, [1])
    bench.commit(0)
    bench.step()
    assert bench.phase is Phase.Reveal


def test_a_round_closes_on_time_with_half_of_the_miners_gone() -> None:
    """A quarter does not commit, a quarter does not reveal what it has committed."""
    bench = Bench(1, 8)
    bench.start()
    for miner in range(6):
        bench.commit(miner)
    bench.run_to(Phase.Reveal)
    assert bench.now == bench.ended(1).opened_at + 8
    since = bench.round.phase_since
    for miner in range(4):
        bench.reveal(miner)
    bench.run_to(Phase.ScoreCommit)
    assert bench.now == since + 4
    bench.score({0: [marks(uid, 250_000) for uid in range(1, 5)]})
    bench.attest(0, root_of(1))
    bench.step()
    assert (bench.ended(1).phase, len(bench.ended(1).accepted)) == (Phase.Closed, 4)
    assert bench.round.expected_miners == [1, 2, 3, 4]


def test_a_dead_judge_costs_deadlines_and_is_not_expected_again() -> None:
    bench = Bench(2, 1)
    bench.start()
    bench.mine(0)
    bench.commit_scores(0, [marks(2, 1_000_000)])
    since = bench.round.phase_since
    bench.run_to(Phase.ScoreReveal)
    assert bench.now == since + 5
    bench.reveal_scores(0, [marks(2, 1_000_000)])
    bench.run_to(Phase.Attest)
    bench.attest(0, root_of(1))
    bench.step()
    assert (bench.ended(1).phase, bench.round.expected_judges) == (Phase.Closed, [0])


def test_when_nobody_revealed_everybody_is_expected_again() -> None:
    bench = Bench(1, 2)
    bench.start()
    bench.commit(0)
    assert voided(bench) is VoidReason.NoReveals
    assert bench.round.expected_miners == [1, 2]
    assert bench.round.expected_judges == [0]


def test_a_newcomer_is_expected_in_the_next_round() -> None:
    bench = Bench(1, 1)
    bench.start()
    bench.call(STRANGER, "Neurons", "burned_register", STRANGER, 100 * ASY)
    assert bench.round.expected_miners == [1]
    bench.play(root_of(1))
    assert bench.round.expected_miners == [1, 2]


def test_a_miner_that_leaves_is_not_waited_for() -> None:
    bench = Bench(1, 2)
    bench.start()
    bench.commit(0)
    bench.call(bench.miners[1], "Neurons", "deregister", bench.miners[1])
    bench.step()
    assert bench.phase is Phase.Reveal


def test_the_subnet_rests_when_its_last_miner_has_left() -> None:
    bench = Bench(1, 1)
    bench.start()
    bench.call(bench.miners[0], "Neurons", "deregister", bench.miners[0])
    assert voided(bench) is VoidReason.NoCommits
    assert bench.phase is Phase.Idle
    bench.call(bench.miners[0], "Neurons", "burned_register", bench.miners[0], 100 * ASY)
    bench.run_to(Phase.Train, 2, limit=4)


def test_a_pause_voids_the_round_and_stops_the_subnet() -> None:
    bench = Bench()
    bench.start()
    bench.ext.dispatch(Root(), "Subnets", "pause", NETUID)
    assert mine_events(bench.step()) == [RoundVoided(NETUID, 1, VoidReason.Paused)]
    assert bench.phase is Phase.Idle
    bench.step()
    assert bench.phase is Phase.Idle
    bench.ext.dispatch(Root(), "Subnets", "unpause", NETUID)
    bench.run_to(Phase.Train, 2, limit=4)


@pytest.mark.parametrize(("authorities", "needed"), [(1, 1), (3, 1), (4, 2), (7, 3)])
def test_the_second_beacon_waits_for_enough_authors(authorities: int, needed: int) -> None:
    bench = Bench(1, 1, authorities=authorities)
    bench.start()
    bench.commit(0)
    bench.step()
    bench.reveal(0)
    bench.step(author=0)
    for author in range(1, needed):
        assert bench.round.beacon1 is None
        commitment = Hash(bytes(32))
        arguments = (NETUID, 1, commitment)
        assert_noop(
            bench.ext, bench.judges[0], "Verification", "commit_scores", *arguments, error=Error.BeaconPending
        )
        assert mine_events(bench.step(author=author - 1)) == []
        drawn = bench.step(author=author)[-1:]
    assert bench.round.beacon1 == beacon(bench, b"b1", 1)
    if needed > 1:
        stored = bench.round
        assert drawn == [PhaseChanged(NETUID, 1, Phase.ScoreCommit, stored.deadline, stored.beacon1, [])]
    bench.commit_scores(0, [marks(1, 1_000_000)])


def test_authors_count_by_weight() -> None:
    bench = Bench(1, 1, authorities=[50] * 4 + [1] * 8, score_commit_window=12)
    bench.start()
    bench.commit(0)
    bench.step()
    bench.reveal(0)
    for author in (4, 5, 6, 7, 8, 9, 10, 11, 0, 0):  # 58 of 208
        bench.step(author=author)
    assert bench.round.beacon1 is None
    bench.step(author=1)
    assert bench.round.beacon1 == beacon(bench, b"b1", 1)


def test_without_enough_authors_the_round_is_void() -> None:
    bench = Bench(1, 1, authorities=4)
    bench.start()
    bench.commit(0)
    bench.step()
    bench.reveal(0)
    assert voided(bench) is VoidReason.NoBeacon
    assert NETUID not in bench.runtime.training.witnesses


def test_a_new_data_set_takes_effect_in_the_next_round() -> None:
    bench = Bench(1, 1)
    bench.start()
    other = Hash(b"\xdb" * 32)
    bench.call(OWNER, "Training", "set_dataset", other, URL)
    assert bench.round.data_root == DATA_ROOT
    bench.play(root_of(1))
    assert bench.round.data_root == other


def test_only_the_owner_names_the_data_set() -> None:
    bench = Bench(1, 1)
    arguments = (DATA_ROOT, URL)
    assert_noop(bench.ext, STRANGER, "Training", "set_dataset", NETUID, *arguments, error=Error.NotOwner)
    assert_noop(bench.ext, OWNER, "Training", "set_dataset", 9, *arguments, error=Error.NotTraining)


@pytest.mark.parametrize(
    "url", ["", "ftp://host", "http://", "http://:80", "http://a b", "http://①②⑦.⓪.⓪.①", "http://u@h"]
)
def test_a_data_set_must_be_at_a_plain_web_address(url: str) -> None:
    bench = Bench(1, 1)
    arguments = (NETUID, DATA_ROOT, url)
    assert_noop(bench.ext, OWNER, "Training", "set_dataset", *arguments, error=Error.InvalidUrl)


def test_who_may_attest() -> None:
    bench = Bench(2, 2)
    bench.start()
    root = root_of(1)

    def refused(who: bytes, number: int, error: Error) -> None:
        assert_noop(bench.ext, who, "Training", "attest_root", NETUID, number, root, error=error)

    refused(bench.judges[0], 1, Error.WrongPhase)
    bench.mine(0, 1)
    bench.score({0: [marks(2, 1)], 1: [marks(2, 1)]})
    refused(STRANGER, 1, Error.NotRegistered)
    refused(bench.miners[0], 1, Error.NoPermit)
    refused(bench.judges[0], 2, Error.WrongRound)
    bench.attest(0, root)
    refused(bench.judges[0], 1, Error.AlreadyAttested)


def test_the_weight_is_the_lower_stake_weighted_median() -> None:
    assert lower_median([(5, 1), (9, 1)]) == 5
    assert lower_median([(9, 3), (5, 1)]) == 9
    assert lower_median([(1, 1), (2, 1), (3, 1)]) == 2
    assert lower_median([(1, 1), (2, 1), (3, 1), (4, 1)]) == 2


def test_a_payload_needs_more_than_half_of_all_revealed_stake() -> None:
    assert weight_of(7, [Ballot(1, {7: 10}), Ballot(1, {})]) is None
    assert weight_of(7, [Ballot(2, {7: 1_000_000}), Ballot(1, {})]) == MAX
    assert weight_of(7, [Ballot(2, {7: 3}), Ballot(1, {7: 0})]) == 1
    assert weight_of(7, [Ballot(1, {7: 0}), Ballot(1, {7: 10})]) is None
    assert weight_of(7, [Ballot(0, {7: 10})]) is None
    assert weight_of(7, []) is None


def test_a_root_needs_more_than_half_of_the_electorate() -> None:
    one, two = root_of(1), root_of(2)
    assert majority([(one, 1), (two, 1)], 2) is None
    assert majority([(one, 1), (two, 2), (one, 2)], 5) == one
    assert majority([(one, 2)], 4) is None
    assert majority([], 0) is None


def test_every_so_many_closed_rounds_leave_a_checkpoint() -> None:
    bench = Bench(1, 1, checkpoint_rounds=2)
    bench.start()
    bench.play(root_of(1))
    bench.run_to(Phase.Train, 3)  # nobody commits in the second: it is void, and counts for nothing
    assert bench.ended(2).phase is Phase.Void
    assert dict(bench.runtime.training.checkpoints.items()) == {}
    bench.mine(0)
    bench.score({0: [marks(1, 500_000)]})
    bench.attest(0, root_of(3))
    assert CheckpointAttested(NETUID, 3, root_of(3)) in bench.step()
    bench.play(root_of(4))
    assert dict(bench.runtime.training.checkpoints.items()) == {(NETUID, 3): root_of(3)}
