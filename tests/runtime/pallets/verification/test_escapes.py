"""Moves of seats and keys that must not pay: out of an audit, into another's score, past a challenge."""

from runtime.frame.testing import assert_noop
from runtime.pallets.model_updates.types import Error as TrailError
from runtime.pallets.neurons.pallet import seat_weight
from runtime.pallets.training.types import Phase
from runtime.pallets.verification.lots import is_drawn
from runtime.pallets.verification.pallet import report_weight
from runtime.pallets.verification.types import (
    AuditFailed,
    AuditLapsed,
    Error,
    LetGo,
    Measurement,
    MinerWithheld,
    Standing,
    Verdict,
)
from runtime.primitives.commitments import Score
from runtime.primitives.types import AccountId
from tests.runtime.pallets.training_bench import ASY, NETUID, STRANGER, account, digest_of, marks, root_of
from tests.runtime.pallets.verification.court import Court, told

GOOD, BAD = 1_000_000, 0


def sealed(court: Court, scores: list[Score]) -> Court:
    """Play until the judges may open these scores, which all of them have sealed."""
    court.start()
    court.mine(*range(len(court.miners)))
    for judge in range(len(court.judges)):
        court.commit_scores(judge, scores)
    court.run_to(Phase.ScoreReveal)
    return court


def leave(court: Court, *miners: int) -> None:
    for miner in miners:
        court.call(court.miners[miner], "Neurons", "deregister", court.miners[miner])


def join(court: Court, who: AccountId) -> int:
    """Register a hotkey; return its uid."""
    court.call(who, "Neurons", "burned_register", who, 1_000 * ASY)
    uid = court.runtime.neurons.uid_of(NETUID, who)
    assert isinstance(uid, int)
    return uid


def change_places(court: Court) -> None:
    """Let both miners leave, and the second one take the seat that the first had."""
    leave(court, 0, 1)
    assert join(court, court.miners[1]) == court.uid(0)


def test_no_miner_that_moves_keeps_judges_from_opening_what_they_sealed() -> None:
    for move in ("swap", "leave", "replaced"):
        court = sealed(Court(), [marks(4, 400_000), marks(5, 600_000)])
        if move == "swap":
            court.call(court.miners[0], "Neurons", "swap_hotkey", court.miners[0], STRANGER)
        else:
            leave(court, 0)
        if move == "replaced":
            join(court, STRANGER)
        for judge in range(4):
            court.reveal_scores(judge, [marks(4, 400_000), marks(5, 600_000)])
        court.step()
        assert [accepted.uid for accepted in court.round.accepted] == [5]


def test_nobody_enters_the_model_with_the_score_of_who_sat_there_before() -> None:
    scores = [marks(4, GOOD), marks(5, BAD)]
    court = sealed(Court(newcomer_rounds=0), scores)
    for judge in range(4):
        court.reveal_scores(judge, scores)
    change_places(court)
    court.step()
    assert court.ended(1).accepted == []


def test_nobody_is_paid_for_the_score_of_who_sat_there_before() -> None:
    scores = [marks(4, 900_000), marks(5, 100_000)]
    court = sealed(Court(newcomer_rounds=0), scores)
    for judge in range(4):
        court.reveal_scores(judge, scores)
    court.step()
    change_places(court)
    for judge in range(4):
        court.attest(judge, root_of(1))
    court.step()
    assert [court.points(judge, 4) for judge in range(4)] == [0] * 4


def test_only_the_seat_that_committed_reveals() -> None:
    court = Court()
    court.start()
    court.commit(0, 1)
    change_places(court)
    court.run_to(Phase.Reveal)
    opened = court.opened(1)
    call = ("ModelUpdates", "reveal", NETUID, 1, *opened)
    assert_noop(court.ext, court.miners[1], *call, error=TrailError.NotCommitted)


def test_a_judge_is_held_to_what_it_said_of_the_miner_and_not_of_the_seat() -> None:
    true = Score(5, 400_000, 5_500_000, 5_450_000, 900_000, 0)
    scores = [marks(4, 600_000), true]
    court = sealed(Court(newcomer_rounds=0), scores)
    for judge in range(4):
        court.reveal_scores(judge, scores)
    court.step()
    court.challenge(court.judges[1], 0, 1)
    case = court.case(0, 1)
    assert case is not None
    assert case.claimed == Measurement(true.loss_before, true.loss_after, true.alignment)
    change_places(court)
    call = ("Verification", "challenge_score", NETUID, 1, 1, court.miners[1])
    assert_noop(court.ext, court.judges[2], *call, error=Error.UnknownScore)


def test_no_judge_escapes_a_challenge_with_another_hotkey() -> None:
    court = Court(newcomer_rounds=0)
    court.start()
    court.play_one()
    stash = court.runtime.neurons.neuron(NETUID, 0).coldkey
    court.call(stash, "Neurons", "swap_hotkey", court.judges[0], STRANGER)
    assert court.has_row(0)
    court.challenge(court.miners[0], 0, 0)
    assert court.case(0, 0) is not None


def test_no_miner_ends_its_challenges_by_moving() -> None:
    court = Court(newcomer_rounds=0)
    court.start()
    court.play_one()
    court.call(court.miners[0], "Neurons", "swap_hotkey", court.miners[0], STRANGER)
    court.challenge(court.judges[1], 0, 0)
    case = court.case(0, 0)
    assert case is not None
    assert case.barred == [account("stash 0"), account("stash 1"), court.miners[0]]


def test_nobody_knows_who_is_audited_before_it_is_held() -> None:
    """Given the beacon of the round, known while scores are sealed, then it does not say who is audited."""
    rate, hits = 500_000, list[bool]()
    court = Court(miners=12, newcomer_rounds=0, audit_rate_ppm=rate)
    court.start()
    court.mine(*range(12))
    beacon = court.round.beacon1
    assert beacon is not None
    foreseen = [is_drawn(beacon, miner, rate) for miner in court.miners]
    court.play_scores()
    hits = [court.audit(miner) is not None for miner in range(12)]
    assert hits != foreseen


def test_a_judge_that_leaves_does_not_leave_its_second_voice_to_another_hotkey() -> None:
    template = Court(2, 1)
    seats = template.genesis["neurons"][str(NETUID)]
    seats[1]["coldkey"] = seats[0]["coldkey"]
    court = Court(2, 1, genesis=template.genesis)
    court.start()
    court.play_one()
    judge = court.report(0, Verdict.Failed)
    stash = court.runtime.neurons.neuron(NETUID, judge).coldkey
    court.call(stash, "Neurons", "deregister", court.judges[judge])
    assert [type(each) for each in told(court.step())] == [AuditFailed, MinerWithheld]


def test_who_is_paid_for_a_copy_is_audited_for_it() -> None:
    court = Court()
    court.start()
    copied = digest_of(0, 1)
    court.commit(0)
    court.call(court.miners[1], "ModelUpdates", "commit", 1, court.sealed(1, copied))
    court.run_to(Phase.Reveal)
    court.reveal(0)
    court.call(court.miners[1], "ModelUpdates", "reveal", 1, *court.opened(1, copied))
    court.run_to(Phase.ScoreCommit)
    court.score({judge: [marks(court.uid(0), 1_000)] for judge in range(4)})
    assert None not in (court.audit(0), court.audit(1))


def test_challenges_leave_room_for_audits() -> None:
    genesis = Court(newcomer_rounds=2).genesis | {"constants": {"Verification": {"MaxOpen": 6}}}
    court = Court(genesis=genesis)
    court.start()
    court.play_one()
    for miner in (0, 1):
        court.report(miner, Verdict.Passed)
    for judge in (0, 1, 2):
        court.challenge(court.miners[0], judge, 0)
    call = (NETUID, 1, 3, court.miners[0])
    assert_noop(court.ext, court.miners[0], "Verification", "challenge_score", *call, error=Error.TooManyOpen)
    court.play_one()
    assert None not in (court.audit(0, 2), court.audit(1, 2))


def test_a_newcomer_nobody_has_room_for_stays_one() -> None:
    court = Court(genesis=Court().genesis | {"constants": {"Verification": {"MaxOpen": 1}}})
    sealed(court, [])
    for judge in range(4):
        court.reveal_scores(judge, [])
    assert told(court.step()) == [AuditLapsed(NETUID, 1, court.miners[1])]
    assert [court.standing(miner) for miner in (0, 1)] == [Standing(1, 0, 0), Standing(0, 0, 0)]


def test_a_report_that_may_empty_a_seat_weighs_as_much() -> None:
    court = Court()
    emptied, said = seat_weight(court.runtime, NETUID).ref_time, (1, court.miners[0], Verdict.Failed, 0)
    assert report_weight(court.runtime, NETUID, *said).ref_time > emptied


def test_a_block_begins_few_jobs_even_if_they_come_to_nothing() -> None:
    court = Court()
    court.start()
    court.runtime.verification.agenda.put([LetGo(NETUID)] * 40)
    court.step()
    assert len(court.runtime.verification.agenda.get()) == 24
