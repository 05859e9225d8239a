"""Audits: who is drawn, who reports, and what becomes of miners and of judges that keep silent."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.frame.testing import assert_noop
from runtime.pallets.neurons.messages import Error as SeatError
from runtime.pallets.neurons.messages import NeuronSlashed
from runtime.pallets.training.types import Phase
from runtime.pallets.verification import pallet as verification
from runtime.pallets.verification.types import (
    Audit,
    AuditDrawn,
    AuditFailed,
    AuditLapsed,
    AuditMissed,
    AuditPassed,
    AuditReported,
    Error,
    MinerSlashed,
    MinerWithheld,
    Report,
    Standing,
    Verdict,
)
from runtime.primitives.commitments import Score
from tests.runtime.pallets.training_bench import ASY, NETUID, STRANGER, account, hexed, marks
from tests.runtime.pallets.verification.court import ENOUGH, Court, told

PASSED, FAILED, UNAVAILABLE = Verdict.Passed, Verdict.Failed, Verdict.Unavailable


def started(judges: int = 4, miners: int = 2, **options: Any) -> Court:
    """Return a court after its first round, in which every miner is new."""
    court = Court(judges, miners, **options)
    court.start()
    court.play_one()
    return court


# Who is drawn.


def test_a_newcomers_updates_are_audited_when_the_scores_are_open() -> None:
    court = Court()
    court.start()
    court.mine(0, 1)
    scores = [marks(court.uid(0), 500_000), marks(court.uid(1), 500_000)]
    for judge in range(4):
        court.commit_scores(judge, scores)
    court.run_to(Phase.ScoreReveal)
    for judge in range(4):
        court.reveal_scores(judge, scores)
    events = court.step()
    drawn = [each for each in events if isinstance(each, AuditDrawn)]
    assert [(each.netuid, each.round, each.miner, each.until_round) for each in drawn] == [
        (NETUID, 1, miner, 4) for miner in court.miners
    ]
    for miner, each in enumerate(drawn):
        asked, coldkey = court.seat(each.judge), account(f"stash {each.judge}")
        assert court.audit(miner) == Audit(court.seat(court.uid(miner)), asked, 4, [coldkey], 1, [])
        assert court.is_held(court.uid(miner))
        assert court.standing(miner) == Standing(1, 0, 0)


def test_who_is_no_newcomer_is_audited_by_chance() -> None:
    court = started(newcomer_rounds=2)
    court.rounds(2)
    assert [court.turn(0, number) is not None for number in (1, 2, 3)] == [True, True, False]
    always = started(newcomer_rounds=0, audit_rate_ppm=1_000_000)
    always.rounds(1)
    assert None not in [always.turn(miner, number) for miner in (0, 1) for number in (1, 2)]


def test_many_newcomers_cost_no_judge_its_row() -> None:
    """A judge replays one round in a round: it has three audits open at most, drawn by lot."""
    court = started(2, 20, newcomer_rounds=10, audit_window=3)
    asked = [court.turn(miner) for miner in range(20)]
    assert [asked.count(judge) for judge in (0, 1)] == [3, 3]
    assert [miner for miner in range(20) if asked[miner] is not None] != list(range(6))
    assert [court.standing(miner).rounds for miner in range(20)] == [int(each is not None) for each in asked]
    court.rounds(2)
    assert sum(court.turn(miner, number) is not None for miner in range(20) for number in (1, 2, 3)) == 6


def test_without_a_rate_nobody_is_audited() -> None:
    court = started(audit_rate_ppm=0)
    assert court.audit(0) is None
    assert court.standing(0) == Standing(0, 0, 0)
    assert court.runtime.verification.agenda.get() == []


def unmeasured(uid: int) -> Score:
    return Score(uid, 0, 5_500_000, 5_500_000, 0, 0)


@pytest.mark.parametrize(("against", "audited"), [(2, False), (3, True)])
def test_what_most_judges_refuse_to_measure_is_audited(against: int, audited: bool) -> None:
    court = Court(newcomer_rounds=0)
    court.start()
    court.mine(0, 1)
    uid, fine = court.uid(0), marks(court.uid(1), 500_000)
    verdicts = {judge: [unmeasured(uid) if judge < against else marks(uid, 0), fine] for judge in range(4)}
    court.score(verdicts)
    assert (court.audit(0) is not None) is audited
    assert court.audit(1) is None


def test_a_round_that_accepts_nothing_is_audited_too() -> None:
    court = Court()
    court.start()
    court.mine(0, 1)
    court.score({judge: [unmeasured(court.uid(miner)) for miner in (0, 1)] for judge in range(4)})
    assert court.ended(1).phase is Phase.Void
    assert None not in (court.turn(0), court.turn(1))


def test_draws_follow_stake() -> None:
    """Given one judge with nearly all of the stake, then it is drawn for nearly everybody."""
    court = started(3, 12, stakes=[90_000, 1, 1], audit_window=12)
    assert [court.turn(miner) for miner in range(12)] == [0] * 12


def test_no_judge_audits_a_miner_of_its_own_coldkey() -> None:
    """Given one judge that owns the only miner, then the audit lapses; with two the other one is asked."""
    for stakes, judges in (([1_000], []), ([90_000, 1], [1])):
        court = Court(len(stakes), 1, stakes=stakes)
        court.genesis["neurons"][str(NETUID)][-1]["coldkey"] = hexed(account("stash 0"))
        court = Court(len(stakes), 1, genesis=court.genesis)
        court.start()
        court.mine(0)
        uid = court.uid(0)
        court.score({judge: [marks(uid, 1_000)] for judge in range(len(stakes))})
        assert [court.turn(0)] == (judges or [None])
        assert court.is_held(uid) is bool(judges)


def test_no_more_is_open_than_there_is_room_for() -> None:
    court = Court(genesis=Court().genesis | {"constants": {"Verification": {"MaxOpen": 1}}})
    court.start()
    court.mine(0, 1)
    scores = [marks(court.uid(0), 500_000), marks(court.uid(1), 500_000)]
    for judge in range(4):
        court.commit_scores(judge, scores)
    court.run_to(Phase.ScoreReveal)
    for judge in range(4):
        court.reveal_scores(judge, scores)
    assert told(court.step()) == [AuditLapsed(NETUID, 1, court.miners[1])]
    assert [court.is_held(court.uid(miner)) for miner in (0, 1)] == [True, False]


def test_a_block_draws_so_many_and_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "JOBS_PER_BLOCK", 2)
    court = Court(2, 5)
    court.start()
    court.mine(*range(5))
    court.score({judge: [marks(court.uid(miner), 1_000) for miner in range(5)] for judge in range(2)})
    drawn = [sum(court.turn(miner) is not None for miner in range(5))]
    for _ in range(6):
        court.step()
        drawn.append(sum(court.turn(miner) is not None for miner in range(5)))
    assert drawn == [0, 0, 0, 2, 4, 5, 5]  # all are looked at before newcomers are
    assert court.runtime.verification.agenda.get() == []


# What judges report.


def test_who_passes_is_released() -> None:
    court = started()
    judge = court.report(0, PASSED)
    assert court.ext.new_events()[-2:] == [
        AuditReported(NETUID, 1, court.miners[0], judge, PASSED, ENOUGH),
        AuditPassed(NETUID, 1, court.miners[0], judge, ENOUGH, None),
    ]
    assert court.audit(0) is None
    assert not court.is_held(court.uid(0))
    assert court.standing(0) == Standing(1, 1, 0)


def test_who_fails_twice_loses_bond_pay_and_seat() -> None:
    court = Court(tempo=10)
    court.start()
    court.earn()
    uid, miner = court.uid(0), court.miners[0]
    bond = court.runtime.neurons.neuron(NETUID, uid).bond
    issuance = court.runtime.balances.total_issuance.get()
    first = court.report(0, FAILED)
    assert court.runtime.balances.total_issuance.get() == issuance
    assert court.turn(0) is None
    court.step()
    issuance, mine = court.runtime.balances.total_issuance.get(), court.unvested(0)
    others = court.unvested(1)
    second = court.report(0, FAILED, overlap=300_000)
    assert second != first
    events = court.ext.new_events()
    reports = [Report(first, FAILED, 0), Report(second, FAILED, 300_000)]
    assert told(events) == [
        AuditFailed(NETUID, 1, miner, reports),
        MinerSlashed(NETUID, 1, miner, uid, bond + mine),
    ]
    assert [each for each in events if isinstance(each, NeuronSlashed)] == [
        NeuronSlashed(NETUID, uid, miner, miner, bond, mine)
    ]
    assert court.runtime.balances.total_issuance.get() == issuance - bond - mine
    assert mine > 0
    assert court.unvested(1) == others
    assert not court.seated(0)
    assert court.standing(0) == Standing(0, 0, 0)
    court.runtime.try_state()


def test_a_second_judge_that_disagrees_clears_the_miner_and_names_the_first() -> None:
    court = started()
    first = court.report(0, FAILED)
    court.step()
    second = court.report(0, PASSED)
    assert told(court.ext.new_events()) == [AuditPassed(NETUID, 1, court.miners[0], second, ENOUGH, first)]
    assert court.seated(0)
    assert court.standing(0) == Standing(1, 1, 0)


@pytest.mark.parametrize(
    "verdicts", [(FAILED, UNAVAILABLE), (UNAVAILABLE, FAILED), (UNAVAILABLE, UNAVAILABLE)]
)
def test_who_cannot_be_audited_earns_nothing_until_it_passes(verdicts: tuple[Verdict, Verdict]) -> None:
    court = Court(tempo=10)
    court.start()
    court.earn()
    uid, miner = court.uid(0), court.miners[0]
    bond = court.runtime.neurons.neuron(NETUID, uid).bond
    court.report(1, PASSED)
    reports = [Report(court.report(0, verdicts[0]), verdicts[0], 0)]
    court.step()
    mine = court.unvested(0)
    reports.append(Report(court.report(0, verdicts[1]), verdicts[1], 0))
    assert mine > 0
    assert told(court.ext.new_events()) == [
        AuditFailed(NETUID, 1, miner, reports),
        MinerWithheld(NETUID, 1, miner, uid, mine),
    ]
    assert court.unvested(0) == 0
    assert court.runtime.neurons.neuron(NETUID, uid).bond == bond
    assert court.standing(0) == Standing(1, 0, 1, court.number)
    court.run_to(Phase.Train)
    number = court.play_one()
    assert [court.points(judge, uid) for judge in range(4)] == [0] * 4
    assert [court.points(judge, court.uid(1)) for judge in range(4)] == [500_000] * 4
    court.report(0, PASSED, number)  # flagged: audited though it is no newcomer
    assert court.standing(0) == Standing(2, number, 0)
    court.play_one()
    assert [court.points(judge, uid) for judge in range(4)] == [500_000] * 4


def test_points_of_the_epoch_are_taken_from_who_is_withheld() -> None:
    court = started(tempo=360)
    uid = court.uid(0)
    assert [court.points(judge, uid) for judge in range(4)] == [500_000] * 4
    court.report(0, UNAVAILABLE)
    court.step()
    court.report(0, FAILED)
    assert [court.points(judge, uid) for judge in range(4)] == [0] * 4
    assert [court.runtime.weights.row(NETUID, judge) for judge in range(4)] == [[(court.uid(1), 65_535)]] * 4
    court.runtime.try_state()


def test_an_older_audit_does_not_clear_a_later_failure() -> None:
    court = started(newcomer_rounds=2)
    court.play_one()
    court.report(0, FAILED, 2)
    court.step()
    court.report(0, UNAVAILABLE, 2)
    court.report(0, PASSED, 1)
    assert court.standing(0) == Standing(2, 1, 2, 3)


def test_nobody_is_withheld_where_audits_are_off() -> None:
    court = started()
    court.report(0, FAILED)
    court.step()
    court.report(0, UNAVAILABLE)
    assert court.runtime.verification.is_withheld(NETUID, court.uid(0))
    hyperparameters = court.runtime.subnets.hyperparameters
    hyperparameters[NETUID] = replace(hyperparameters[NETUID], audit_rate_ppm=0)
    assert not court.runtime.verification.is_withheld(NETUID, court.uid(0))


# Judges that keep silent.


def test_three_silent_judges_lose_their_rows_and_the_audit_lapses() -> None:
    court = started(4, 1, audit_window=1, tempo=360)
    asked, events = [court.turn(0)], list[Any]()
    for _ in range(3):
        assert all(court.has_row(judge) for judge in range(4) if judge not in asked[:-1])
        number = court.number
        while court.number == number:  # the round ends without a commit
            events += told(court.step())
        asked.append(court.turn(0))
    assert asked[3] is None
    assert len(set(asked)) == 4
    missed = [AuditMissed(NETUID, 1, court.miners[0], judge) for judge in asked[:3]]
    assert events == [*missed, AuditLapsed(NETUID, 1, court.miners[0])]
    assert [court.has_row(judge) for judge in range(4)] == [judge not in asked for judge in range(4)]
    assert not court.is_held(court.uid(0))
    assert court.standing(0) == Standing(1, 0, 0)


def test_a_dropped_row_stays_dropped_until_the_next_epoch() -> None:
    court = started(2, 1, audit_window=1, tempo=60)
    silent = court.turn(0)
    assert silent is not None
    while court.has_row(silent):
        court.step()
    court.report(0, PASSED)
    court.run_to(Phase.Train)
    court.play_one()
    assert (court.has_row(silent), court.has_row(1 - silent)) == (False, True)
    epoch = court.runtime.incentive.last_epoch_block(NETUID)
    while court.runtime.incentive.last_epoch_block(NETUID) == epoch:
        court.step()
    court.run_to(Phase.Train)
    court.play_one()
    assert court.has_row(silent)


def test_after_a_doubt_that_nobody_shares_in_time_the_miner_is_withheld() -> None:
    court = started(2, 1, audit_window=1, tempo=360)
    first = court.report(0, FAILED)
    court.step()
    assert court.turn(0) == 1 - first
    events = list[Any]()
    while court.audit(0) is not None:
        events += told(court.step())
    miner = court.miners[0]
    assert events == [
        AuditMissed(NETUID, 1, miner, 1 - first),
        AuditFailed(NETUID, 1, miner, [Report(first, FAILED, 0)]),
        MinerWithheld(NETUID, 1, miner, court.uid(0), 0),
    ]
    assert court.seated(0)


@pytest.mark.parametrize("verdict", [FAILED, UNAVAILABLE])
def test_the_word_of_the_only_judge_withholds_and_never_slashes(verdict: Verdict) -> None:
    court = Court(1, 1, tempo=10)
    court.start()
    court.earn()
    court.report(0, verdict)
    events = told(court.step())
    miner, uid = court.miners[0], court.uid(0)
    assert events == [
        AuditFailed(NETUID, 1, miner, [Report(0, verdict, 0)]),
        MinerWithheld(NETUID, 1, miner, uid, 0),
    ]
    assert court.unvested(0) > 0
    assert court.standing(0) == Standing(1, 0, 1)


def test_two_hotkeys_of_one_judge_are_one_voice() -> None:
    """Given two judges of one coldkey, then a doubt of the one cannot be confirmed by the other."""
    template = Court(2, 1)
    seats = template.genesis["neurons"][str(NETUID)]
    seats[1]["coldkey"] = seats[0]["coldkey"]
    court = Court(2, 1, genesis=template.genesis)
    court.start()
    court.play_one()
    court.report(0, FAILED)
    assert [type(each) for each in told(court.step())] == [AuditFailed, MinerWithheld]


# What is refused, and who comes and goes.


def test_only_the_judge_that_was_drawn_reports_and_once() -> None:
    court = started()
    judge = court.turn(0)
    assert judge is not None

    def refused(who: Any, error: Error, verdict: Verdict, overlap: int, number: int = 1) -> None:
        arguments = (NETUID, number, court.miners[0], verdict, overlap)
        assert_noop(court.ext, who, "Verification", "report_audit", *arguments, error=error)

    others = [court.judges[each] for each in range(4) if each != judge]
    for who in (*others, *court.miners, STRANGER):
        refused(who, Error.NotDrawn, PASSED, ENOUGH)
    refused(court.judges[judge], Error.NotDrawn, PASSED, ENOUGH, number=2)
    for verdict, overlap in ((PASSED, 899_999), (PASSED, 1_000_001), (FAILED, 1_000_001), (UNAVAILABLE, 1)):
        refused(court.judges[judge], Error.VerdictMismatch, verdict, overlap)
    court.report(0, FAILED)
    refused(court.judges[judge], Error.NotDrawn, PASSED, ENOUGH)
    court.step()
    refused(court.judges[judge], Error.NotDrawn, PASSED, ENOUGH)


def test_nobody_leaves_under_audit() -> None:
    court = started()
    call = ("Neurons", "deregister", NETUID, court.miners[0])
    assert_noop(court.ext, court.miners[0], *call, error=SeatError.UnderAudit)
    court.report(0, PASSED)
    court.ext.dispatch(court.miners[0], *call)
    assert not court.seated(0)


def test_a_miner_that_changed_its_hotkey_is_slashed_all_the_same() -> None:
    court = started()
    uid, miner = court.uid(0), court.miners[0]
    court.call(miner, "Neurons", "swap_hotkey", miner, STRANGER)
    court.report(0, FAILED)
    court.step()
    court.report(0, FAILED)
    assert court.runtime.neurons.neuron(NETUID, uid) is None


def test_a_judge_that_changed_its_hotkey_reports_under_the_new_one() -> None:
    court = started()
    judge = court.turn(0)
    assert judge is not None
    stash = court.runtime.neurons.neuron(NETUID, judge).coldkey
    court.call(stash, "Neurons", "swap_hotkey", court.judges[judge], STRANGER)
    court.call(STRANGER, "Verification", "report_audit", 1, court.miners[0], PASSED, ENOUGH)
    assert court.audit(0) is None


def test_who_takes_over_a_judges_uid_does_not_report_for_it() -> None:
    court = started(2, 1, audit_window=1)
    judge = court.turn(0)
    assert judge is not None
    stash = court.runtime.neurons.neuron(NETUID, judge).coldkey
    court.call(stash, "Neurons", "deregister", court.judges[judge])
    court.call(STRANGER, "Neurons", "burned_register", STRANGER, 1_000 * ASY)
    assert court.runtime.neurons.uid_of(NETUID, STRANGER) == judge
    arguments = (NETUID, 1, court.miners[0], PASSED, ENOUGH)
    assert_noop(court.ext, STRANGER, "Verification", "report_audit", *arguments, error=Error.NotDrawn)
    events = list[Any]()
    while court.turn(0) == judge:
        events += told(court.step())
    assert events == []  # nobody is left who could have missed it
    assert court.turn(0) == 1 - judge


def test_a_slashed_miners_other_audits_end_without_a_word() -> None:
    court = started(newcomer_rounds=2)
    court.play_one()
    other = court.turn(0, 2)
    assert other is not None
    for _ in range(2):
        court.report(0, FAILED, 1)
        court.step()
    assert not court.seated(0)
    newcomer = account("newcomer")
    court.runtime.balances.mint(newcomer, 10_000 * ASY)
    court.call(newcomer, "Neurons", "burned_register", newcomer, 1_000 * ASY)
    assert court.runtime.neurons.uid_of(NETUID, newcomer) == court.uid(0)
    arguments = (NETUID, 2, court.miners[0], FAILED, 0)
    who = court.judges[other]
    assert_noop(court.ext, who, "Verification", "report_audit", *arguments, error=Error.NotDrawn)
    events = list[Any]()
    while court.audit(0, 2) is not None:
        events += [each for each in told(court.step()) if each.miner == court.miners[0]]
    assert events == []
    assert not court.is_held(court.uid(0))


def test_a_subnet_that_stands_still_lets_everybody_go() -> None:
    court = started(1, 2)
    for judge in court.runtime.incentive.permitted(NETUID):
        del court.runtime.incentive.validator_permit[NETUID, judge]
    events = list[Any]()
    while court.phase is not Phase.Idle:
        events += told(court.step())
    events += told(court.step())
    assert sorted(each.miner for each in events if isinstance(each, AuditLapsed)) == sorted(court.miners)
    assert [court.is_held(court.uid(miner)) for miner in (0, 1)] == [False, False]
