"""Scores of judges: sealed, opened, and summed into the row of the epoch."""

import pytest

from runtime.frame.testing import assert_noop
from runtime.pallets.training.types import Error as RoundError
from runtime.pallets.training.types import Phase
from runtime.pallets.verification.types import Error, Points, ScoresCommitted, ScoresRevealed, Tally
from runtime.primitives.commitments import Score, score_commitment
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import (
    ASY,
    NETUID,
    SALT,
    STRANGER,
    Bench,
    account,
    digest_of,
    marks,
    root_of,
)

NOTHING = Hash(bytes(32))
TOP = 65_535


def scoring(judges: int = 2, miners: int = 2, **hyperparameters: int) -> Bench:
    """Return a bench in SCORE_COMMIT of round 1, all updates revealed."""
    bench = Bench(judges, miners, **hyperparameters)
    bench.start()
    bench.mine(*range(miners))
    return bench


def refused_commit(bench: Bench, who: AccountId, number: int, error: RoundError | Error) -> None:
    assert_noop(bench.ext, who, "Verification", "commit_scores", NETUID, number, NOTHING, error=error)


def refused_reveal(
    bench: Bench, who: AccountId, scores: list[Score], error: RoundError | Error, salt: bytes = SALT
) -> None:
    arguments = (NETUID, bench.number, scores, salt)
    assert_noop(bench.ext, who, "Verification", "reveal_scores", *arguments, error=error)


def test_scores_are_sealed_then_opened() -> None:
    bench = scoring()
    scores = [marks(2, 700_000), marks(3, 0)]
    commitment = score_commitment(bench.genesis_hash, NETUID, 1, bench.judges[1], SALT, scores)
    bench.commit_scores(1, scores)
    assert bench.ext.new_events()[-1] == ScoresCommitted(NETUID, 1, 1, commitment)
    assert bench.runtime.verification.committed(NETUID, 1) == [1]
    assert bench.runtime.verification.revealed(NETUID, 1) == []
    bench.run_to(Phase.ScoreReveal)
    bench.reveal_scores(1, scores)
    assert bench.ext.new_events()[-1] == ScoresRevealed(NETUID, 1, 1, scores)
    assert bench.runtime.verification.revealed(NETUID, 1) == [(1, scores)]


def test_who_may_seal_scores() -> None:
    bench = Bench()
    bench.start()
    refused_commit(bench, bench.judges[0], 1, RoundError.WrongPhase)
    bench.mine(0, 1)
    refused_commit(bench, STRANGER, 1, RoundError.NotRegistered)
    refused_commit(bench, bench.miners[0], 1, RoundError.NoPermit)
    refused_commit(bench, bench.judges[0], 2, RoundError.WrongRound)
    bench.commit_scores(0, [])
    refused_commit(bench, bench.judges[0], 1, Error.AlreadyCommitted)


def test_only_what_was_sealed_is_opened() -> None:
    bench = scoring()
    scores = [marks(2, 10)]
    refused_reveal(bench, bench.judges[0], scores, RoundError.WrongPhase)
    bench.commit_scores(0, scores)
    bench.run_to(Phase.ScoreReveal)
    refused_reveal(bench, bench.judges[1], scores, Error.NotCommitted)
    refused_reveal(bench, STRANGER, scores, RoundError.NotRegistered)
    refused_reveal(bench, bench.judges[0], [marks(2, 11)], Error.CommitmentMismatch)
    refused_reveal(bench, bench.judges[0], scores, Error.CommitmentMismatch, b"x" * 32)
    bench.reveal_scores(0, scores)
    refused_reveal(bench, bench.judges[0], scores, Error.AlreadyRevealed)


def refused_when_opened(scores: list[Score], error: Error) -> None:
    """Seal scores that no judge may give, and find that they cannot be opened."""
    bench = Bench(2, 2)
    bench.start()
    bench.commit(0, 1)
    bench.run_to(Phase.Reveal)
    bench.reveal(0)
    bench.run_to(Phase.ScoreCommit)
    bench.commit_scores(0, scores)
    bench.run_to(Phase.ScoreReveal)
    refused_reveal(bench, bench.judges[0], scores, error)


def test_scores_must_be_possible() -> None:
    refused_when_opened([marks(2, 1), marks(2, 1)], Error.DuplicateUid)
    refused_when_opened([marks(0, 1)], Error.OwnUid)
    refused_when_opened([marks(2, 1_000_001)], Error.TooMuch)
    refused_when_opened([marks(3, 1)], Error.UnknownUpdate)
    refused_when_opened([marks(1, 1)], Error.UnknownUpdate)
    refused_when_opened([marks(99, 1)], Error.UnknownUpdate)


@pytest.mark.parametrize("leaves", ["deregister", "swap_hotkey"])
def test_who_leaves_takes_no_row_of_a_judge_along(leaves: str) -> None:
    bench = scoring()
    scores, number = [marks(2, 10), marks(3, 20)], bench.number
    bench.commit_scores(0, scores)
    bench.run_to(Phase.ScoreReveal)
    others = [account("another key")] if leaves == "swap_hotkey" else []
    bench.call(bench.miners[1], "Neurons", leaves, bench.miners[1], *others)
    bench.reveal_scores(0, scores)
    bench.run_to(Phase.Attest)
    assert [(each.uid, each.hotkey) for each in bench.ended(number).accepted] == [(2, bench.miners[0])]


def test_scores_of_one_seat_are_never_those_of_another_payload() -> None:
    bench = scoring()
    first, second = bench.miners
    bench.commit_scores(0, [marks(2, 10)])
    bench.run_to(Phase.ScoreReveal)
    for miner in (first, second):
        bench.call(miner, "Neurons", "deregister", miner)
    bench.call(second, "Neurons", "burned_register", second, 100 * ASY)
    assert bench.runtime.neurons.uid_of(NETUID, second) == 2
    bench.reveal_scores(0, [marks(2, 10)])
    while bench.phase is Phase.ScoreReveal:
        bench.step()
    assert bench.ended(1).accepted == []


def play(bench: Bench, verdicts: dict[int, list[Score]]) -> None:
    """Play a round with these scores; everybody attests."""
    number = bench.number
    bench.mine(*range(len(bench.miners)))
    bench.score(verdicts)
    for judge in range(len(bench.judges)):
        bench.attest(judge, root_of(number))
    bench.step()


def test_rows_sum_the_rounds_of_an_epoch_and_start_anew_after_it() -> None:
    bench = Bench(2, 2, tempo=30)
    bench.start()
    play(bench, {0: [marks(2, 600_000), marks(3, 400_000)], 1: [marks(2, 1_000_000)]})
    closed = bench.now

    def row(netuid: int, judge: int) -> list[tuple[int, int]]:
        stored: list[tuple[int, int]] = bench.runtime.weights.row(netuid, judge)
        return stored

    assert row(NETUID, 0) == [(2, TOP), (3, 43_690)]
    assert row(NETUID, 1) == [(2, TOP)]
    assert bench.runtime.weights.updated_at(NETUID, 0) == closed
    play(bench, {0: [marks(2, 200_000), marks(3, 800_000)], 1: [marks(2, 500_000), marks(3, 500_000)]})
    assert bench.runtime.verification.tallies[NETUID, 0] == Tally(
        0, [Points(2, 800_000), Points(3, 1_200_000)], False
    )
    assert row(NETUID, 0) == [(2, 43_690), (3, TOP)]
    assert row(NETUID, 1) == [(2, TOP), (3, 21_845)]
    while bench.runtime.incentive.last_epoch_block(NETUID) == 0:
        bench.step()
    epoch = bench.runtime.incentive.last_epoch_block(NETUID)
    bench.run_to(Phase.Train)
    play(bench, {0: [marks(3, 1)], 1: [marks(3, 1)]})
    assert bench.runtime.incentive.last_epoch_block(NETUID) == epoch
    assert bench.runtime.verification.tallies[NETUID, 0] == Tally(epoch, [Points(3, 1)], False)
    assert row(NETUID, 0) == [(3, TOP)]


def test_identical_payloads_share_one_score() -> None:
    bench = Bench(2, 3, tempo=40)
    bench.start()
    copied = digest_of(1, 1)
    bench.commit(1)
    for thief in (0, 2):
        bench.call(bench.miners[thief], "ModelUpdates", "commit", 1, bench.sealed(thief, copied))
    bench.run_to(Phase.Reveal)
    bench.reveal(1)
    for thief in (0, 2):
        bench.call(bench.miners[thief], "ModelUpdates", "reveal", 1, *bench.opened(thief, copied))
    bench.run_to(Phase.ScoreCommit)
    bench.score({0: [marks(3, 1_000)], 1: [marks(2, 400_000), marks(3, 100_000), marks(4, 400_000)]})
    for judge in (0, 1):
        bench.attest(judge, root_of(1))
    bench.step()
    tallies = bench.runtime.verification.tallies
    # The first to commit is miner 1, whose uid is 3; what judges give its copies counts for nothing.
    assert tallies[NETUID, 0].points == [Points(2, 333), Points(3, 334), Points(4, 333)]
    assert [entry.points for entry in tallies[NETUID, 1].points] == [33_333, 33_334, 33_333]
    assert sum(entry.points for entry in tallies[NETUID, 0].points) == 1_000


def test_a_round_is_paid_for() -> None:
    bench = Bench(2, 2, tempo=20)
    bench.start()
    bench.play(root_of(1))
    while bench.runtime.incentive.last_epoch_block(NETUID) == 0:
        bench.step()
    emitted = [bench.runtime.incentive.emission_of(NETUID, uid) for uid in range(4)]
    assert all(amount > 0 for amount in emitted)
    incentive = bench.runtime.incentive
    assert incentive.paid.get() + incentive.total_vesting.get() == sum(emitted)
    assert incentive.total_vesting.get() == sum(incentive.vesting_of(NETUID, uid) for uid in (2, 3)) > 0


def test_a_judge_with_nothing_good_to_say_has_an_empty_row_of_this_epoch() -> None:
    bench = Bench(3, 1)
    bench.start()
    play(bench, {0: [marks(3, 0)], 1: [marks(3, 1)], 2: [marks(3, 1)]})
    assert bench.runtime.weights.row(NETUID, 0) == []
    assert bench.runtime.weights.updated_at(NETUID, 0) == bench.now


def test_a_judge_that_leaves_leaves_no_tally() -> None:
    bench = Bench(2, 1)
    bench.start()
    play(bench, {0: [marks(2, 1)], 1: [marks(2, 1)]})
    bench.call(account("stash 1"), "Neurons", "deregister", bench.judges[1])
    assert [judge for judge, _ in bench.runtime.verification.tallies.under(NETUID)] == [0]
    bench.runtime.try_state()


def test_who_takes_over_a_uid_inherits_no_points() -> None:
    bench = Bench(1, 2)
    bench.start()
    play(bench, {0: [marks(1, 500_000), marks(2, 500_000)]})
    bench.call(bench.miners[1], "Neurons", "deregister", bench.miners[1])
    bench.call(STRANGER, "Neurons", "burned_register", STRANGER, 100 * ASY)
    assert bench.runtime.neurons.uid_of(NETUID, STRANGER) == 2
    assert bench.runtime.weights.row(NETUID, 0) == [(1, TOP)]
    assert bench.runtime.verification.tallies[NETUID, 0].points == [Points(1, 500_000)]
    bench.commit(0)
    bench.run_to(Phase.Reveal)
    bench.reveal(0)
    bench.run_to(Phase.ScoreCommit)
    bench.score({0: [marks(1, 1)]})
    bench.attest(0, root_of(2))
    bench.step()
    assert bench.runtime.weights.row(NETUID, 0) == [(1, TOP)]


def test_scores_of_a_miner_that_left_meanwhile_count_for_nobody() -> None:
    bench = scoring(1, 2)
    bench.score({0: [marks(1, 400_000), marks(2, 600_000)]})
    bench.call(bench.miners[1], "Neurons", "deregister", bench.miners[1])
    bench.call(STRANGER, "Neurons", "burned_register", STRANGER, 100 * ASY)
    bench.attest(0, root_of(1))
    bench.step()
    assert bench.ended(1).phase is Phase.Closed
    assert bench.runtime.weights.row(NETUID, 0) == [(1, TOP)]


def test_a_judge_that_left_has_no_vote_and_leaves_none_behind() -> None:
    bench = scoring(2, 1)
    bench.commit_scores(0, [marks(2, 1_000_000)])
    bench.commit_scores(1, [])
    bench.run_to(Phase.ScoreReveal)
    bench.reveal_scores(0, [marks(2, 1_000_000)])
    bench.reveal_scores(1, [])
    stash = bench.runtime.neurons.neuron(NETUID, 1).coldkey
    bench.call(stash, "Neurons", "deregister", bench.judges[1])
    bench.call(STRANGER, "Neurons", "burned_register", STRANGER, 100 * ASY)
    assert bench.runtime.neurons.uid_of(NETUID, STRANGER) == 1
    assert bench.runtime.verification.revealed(NETUID, 1) == [(0, [marks(2, 1_000_000)])]
    bench.step()
    assert [accepted.uid for accepted in bench.round.accepted] == [2]
