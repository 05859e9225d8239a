"""Whom a round waits for: those who acted in the last one, and everybody at a roll call."""

from runtime.pallets.training.pallet import ROLL_CALL
from runtime.pallets.training.types import Phase
from tests.runtime.pallets.training_bench import Bench, marks, root_of


def finish(bench: Bench, judge: int, *miners: int) -> None:
    """Let one judge do all that is left of a round from SCORE_COMMIT on."""
    number = bench.number
    bench.score({judge: [marks(bench.uid(miner), 1_000_000 // len(miners)) for miner in miners]})
    bench.attest(judge, root_of(number))
    bench.step()
    assert (bench.ended(number).phase, bench.number) == (Phase.Closed, number + 1)


def test_judges_without_half_of_the_stake_do_not_hurry_the_others() -> None:
    bench = Bench(3, 1, stakes=[4_500, 4_500, 1_000])
    bench.start()
    bench.mine(0)
    finish(bench, 2, 0)  # the others miss the first round
    assert bench.round.expected_judges == [0, 1, 2]
    bench.mine(0)
    scores = [marks(bench.uid(0), 1_000_000)]
    bench.commit_scores(2, scores)
    bench.step()
    assert bench.phase is Phase.ScoreCommit
    bench.commit_scores(0, scores)
    bench.commit_scores(1, scores)
    bench.step()
    assert bench.phase is Phase.ScoreReveal


def test_judges_with_half_of_the_stake_do_not_wait_for_the_others() -> None:
    bench = Bench(3, 1, stakes=[1_000, 1_500, 2_500])
    bench.start()
    bench.mine(0)
    finish(bench, 2, 0)
    assert bench.round.expected_judges == [2]


def test_a_roll_call_expects_everybody() -> None:
    bench = Bench(2, 2)
    bench.start()
    for _ in range(ROLL_CALL):
        bench.mine(0)
        finish(bench, 0, 0)
    rounds = [bench.ended(number) for number in range(2, ROLL_CALL + 2)]
    assert [each.expected_miners for each in rounds] == [[2]] * (ROLL_CALL - 2) + [[2, 3], [2]]
    assert [each.expected_judges for each in rounds] == [[0]] * (ROLL_CALL - 2) + [[0, 1], [0]]


def test_a_slow_miner_that_missed_a_round_is_in_again_from_the_next_roll_call_on() -> None:
    bench = Bench(1, 2)
    bench.start()
    came = []
    for number in range(1, ROLL_CALL + 2):
        bench.commit(0)
        bench.step()
        bench.step()
        in_time = number > 1 and bench.phase is Phase.Train  # it needs two blocks, and misses the first round
        if in_time:
            bench.commit(1)
            came.append(number)
        bench.run_to(Phase.Reveal)
        miners = (0, 1) if in_time else (0,)
        bench.reveal(*miners)
        bench.run_to(Phase.ScoreCommit)
        finish(bench, 0, *miners)
    assert came == [ROLL_CALL, ROLL_CALL + 1]
