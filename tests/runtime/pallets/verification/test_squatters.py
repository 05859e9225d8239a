"""Miners that reveal and never serve anything: judges cannot audit them, and they lose their seats."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.pallets.neurons.messages import NeuronDeregistered
from runtime.pallets.verification import auditing
from runtime.pallets.verification.types import (
    AuditDrawn,
    AuditReported,
    MinerEvicted,
    MinerSlashed,
    MinerWithheld,
    Standing,
    Verdict,
)
from tests.runtime.pallets.training_bench import ASY, NETUID, STRANGER, account, marks, root_of
from tests.runtime.pallets.verification.court import ENOUGH, Court, told

PASSED, FAILED, UNAVAILABLE = Verdict.Passed, Verdict.Failed, Verdict.Unavailable
SQUATTER = 2
"""The last of three miners; the others work."""


def full(**options: Any) -> Court:
    """Return a subnet without a free seat, in which nobody is immune."""
    court = Court(4, 3, max_uids=7, immunity_period=0, audit_window=2, **options)
    court.start()
    return court


def reveal_all(court: Court) -> None:
    """Play a round up to the scores: what the squatter reveals nobody can fetch."""
    miners = [miner for miner in range(3) if court.seated(miner)]
    court.mine(*miners)
    scores = [marks(court.uid(miner), 500_000) for miner in miners if miner != SQUATTER]
    court.score({judge: scores for judge in range(4)})


def close(court: Court) -> list[Any]:
    """Let the judges agree on a model; return what the end of the round brought."""
    number = court.number
    for judge in range(4):
        court.attest(judge, root_of(number))
    return court.step()


def report_due(court: Court, *working: int) -> list[Any]:
    """Let judges report as they do: who works at once, who serves nothing when time is nearly over."""
    events = list[Any]()
    for (number, hotkey), audit in sorted(court.runtime.verification.audits.under(NETUID), key=str):
        miner = court.miners.index(hotkey)
        works = miner in working if working else miner != SQUATTER
        if audit.judge is None or not court.seated(miner):
            continue
        if works or court.number >= audit.until_round:
            verdict = PASSED if works else UNAVAILABLE
            said = (number, hotkey, verdict, ENOUGH if works else 0)
            court.call(court.judges[audit.judge.uid], "Verification", "report_audit", *said)
            events += court.ext.new_events()
    return events


def play(court: Court, rounds: int) -> list[Any]:
    """Play so many rounds; return all that happened."""
    events = list[Any]()
    for _ in range(rounds):
        reveal_all(court)
        events += court.ext.new_events()
        events += report_due(court)
        events += court.step()
        events += report_due(court)
        events += close(court)
    return events


def about(court: Court, events: list[Any], kind: type) -> list[int]:
    """Return the rounds of events about the squatter."""
    miner = court.miners[SQUATTER]
    return [each.round for each in events if isinstance(each, kind) and each.miner == miner]


def found_away(court: Court, number: int, *verdicts: Verdict) -> list[Any]:
    """Let judges report on the first miner, a block apart; return what came of the last report."""
    for verdict in verdicts or (UNAVAILABLE, UNAVAILABLE):
        court.step()
        court.report(0, verdict, number)
    return told(court.ext.new_events())


def burnt_once() -> Court:
    """Return a court in which two judges could not audit the first miner's round 1; round 2 is open."""
    court = Court(4, 2)
    court.start()
    court.play_one()
    court.report(1, PASSED)
    found_away(court, 1)
    return court


def leaving(number: int, window: int = 3) -> Court:
    """Return a court whose first miner is to leave, while one judge doubts its round `number`."""
    court = burnt_once()
    court.rounds(3)
    numbers = court.runtime.subnets.hyperparameters
    numbers[NETUID] = replace(numbers[NETUID], audit_window=window)  # for the judges to come
    found_away(court, number, FAILED)
    court.step()
    found_away(court, 3)
    assert court.standing(0) == Standing(4, 0, 3, 2, True)
    return court


def ends(court: Court, events: list[Any]) -> list[Any]:
    """Return how it ended for the first miner."""
    kinds = (MinerEvicted, MinerSlashed, NeuronDeregistered)
    return [each for each in events if isinstance(each, kinds)]


def bond_of(court: Court) -> int:
    bond: int = court.runtime.neurons.neuron(NETUID, court.uid(0)).bond
    return bond


def test_a_squatter_loses_its_seat_in_a_full_subnet() -> None:
    """Else it is held in 29 of 30 rounds, judges report on it 67 times, and newcomers replace others."""
    court = full()
    hotkey, uid = court.miners[SQUATTER], court.uid(SQUATTER)
    events = list[Any]()
    while court.seated(SQUATTER) and court.number < 15:
        events += play(court, 1)
    withheld, evicted = about(court, events, MinerWithheld), about(court, events, MinerEvicted)
    assert evicted == [withheld[-1]]
    assert not court.seated(SQUATTER)
    assert not court.is_held(uid)
    assert len(about(court, events, AuditDrawn)) < 20
    assert len(about(court, events, AuditReported)) < 14
    left = [each for each in events if isinstance(each, NeuronDeregistered)]
    bond = court.runtime.subnets.parameters(NETUID).uid_bond
    assert left == [NeuronDeregistered(NETUID, uid, hotkey, hotkey, bond)]
    newcomer = account("newcomer")
    court.runtime.balances.mint(newcomer, 10_000 * ASY)
    court.call(newcomer, "Neurons", "burned_register", newcomer, 1_000 * ASY)
    assert court.runtime.neurons.uid_of(NETUID, newcomer) == uid
    assert [court.seated(miner) for miner in (0, 1)] == [True, True]
    court.runtime.try_state()


def test_squatters_do_not_take_all_the_time_that_judges_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given five of eight miners that serve nothing, whom the lot falls on is looked at all the same."""
    court = Court(4, 8, audit_window=2, newcomer_rounds=0)
    court.start()
    works = 5
    monkeypatch.setattr(auditing, "is_drawn", lambda beacon, miner, rate: miner == court.miners[works])
    passed = list[int]()
    for _ in range(8):
        miners = [miner for miner in range(8) if court.seated(miner)]
        court.mine(*miners)
        scores = [marks(court.uid(miner), 300_000 * (miner >= works)) for miner in miners]
        scores = [each if each.score else replace(each, loss_after=each.loss_before) for each in scores]
        court.score({judge: scores for judge in range(4)})
        for _ in range(2):
            court.step()
            said = [each for each in report_due(court, works) if isinstance(each, AuditReported)]
            passed += [each.round for each in said if each.verdict is PASSED]
        close(court)
    assert passed == list(range(1, 9))


def test_a_second_pair_of_judges_about_a_later_round_frees_the_seat() -> None:
    court = burnt_once()
    assert court.standing(0) == Standing(1, 0, 1, 2)
    court.play_one()
    found_away(court, 2)  # that round was open when the first pair agreed
    assert court.standing(0) == Standing(2, 0, 2, 2)
    court.play_one()
    uid, miner, bond = court.uid(0), court.miners[0], bond_of(court)
    reserved = court.runtime.balances.reserved(miner)
    events = found_away(court, 3)
    assert events[1:] == [MinerWithheld(NETUID, 3, miner, uid, 0), MinerEvicted(NETUID, 3, miner, uid)]
    assert court.runtime.balances.reserved(miner) == reserved - bond
    assert court.standing(0) == Standing(0, 0, 0)
    court.step()
    court.call(miner, "Neurons", "burned_register", miner, 1_000 * ASY)
    assert court.runtime.neurons.uid_of(NETUID, miner) == uid
    assert court.standing(0) == Standing(0, 0, 0)


def test_an_audit_that_is_passed_in_between_begins_it_anew() -> None:
    court = burnt_once()
    court.rounds(2)
    found_away(court, 3, PASSED)
    assert court.standing(0) == Standing(3, 3, 0)
    found_away(court, 2)
    assert court.seated(0)
    assert court.standing(0) == Standing(3, 3, 2, 4)


def test_one_judge_alone_never_takes_a_seat() -> None:
    court = Court(1, 1)
    court.start()
    for number in range(1, 8):
        court.play_one()
        court.report(0, UNAVAILABLE, number)
        court.step()
    assert court.standing(0) == Standing(7, 0, 7)
    assert court.seated(0)


def test_another_hotkey_of_the_seat_is_the_same_miner() -> None:
    court = burnt_once()
    court.call(court.miners[0], "Neurons", "swap_hotkey", court.miners[0], STRANGER)
    court.miners[0] = STRANGER
    court.rounds(2)
    events = found_away(court, 3)
    assert events[-1] == MinerEvicted(NETUID, 3, STRANGER, court.uid(0))
    court.step()
    court.runtime.try_state()


@pytest.mark.parametrize("number", [2, 4])
def test_who_may_still_be_slashed_is_not_let_go(number: int) -> None:
    court = leaving(number)
    uid, miner, bond = court.uid(0), court.miners[0], bond_of(court)
    court.report(0, FAILED, number)
    assert ends(court, court.ext.new_events()) == [
        NeuronDeregistered(NETUID, uid, miner, miner, 0), MinerSlashed(NETUID, number, miner, uid, bond)
    ]  # fmt: skip


def test_who_is_to_leave_goes_with_its_bond_when_the_doubt_is_over() -> None:
    court = leaving(4)
    uid, miner, bond = court.uid(0), court.miners[0], bond_of(court)
    freed = NeuronDeregistered(NETUID, uid, miner, miner, bond)
    court.report(0, UNAVAILABLE, 4)
    assert ends(court, court.ext.new_events()) == [freed, MinerEvicted(NETUID, 4, miner, uid)]
    court = leaving(2)
    court.report(0, PASSED, 2)  # which is no later round than those it was found away in
    court.mine(0, 1)
    court.play_scores()
    assert court.seated(0)
    assert court.audit(0, court.number) is None  # nobody spends time on it any more
    assert ends(court, [each for _ in range(20) for each in court.step()]) == [
        freed, MinerEvicted(NETUID, 3, miner, uid)
    ]  # fmt: skip


def test_silence_after_a_doubt_keeps_no_seat() -> None:
    court, events = leaving(4, window=1), list[Any]()
    for _ in range(200):
        if not court.seated(0):
            break
        events += court.step()
    assert [type(each) for each in ends(court, events)] == [NeuronDeregistered, MinerEvicted]


def test_who_works_again_before_the_doubt_is_over_stays() -> None:
    court = leaving(4)
    court.report(0, PASSED, 4)
    assert court.standing(0) == Standing(4, 4, 0)
    number = court.number
    court.play_one()
    assert (court.seated(0), court.audit(0, number)) == (True, None)


def test_an_audit_of_who_has_left_takes_no_time_of_judges() -> None:
    """Given one judge with time for one audit, and a miner that loses its seat while it waits for it."""
    court = Court(1, 2, audit_window=1, newcomer_rounds=10)
    court.start()
    for number, miner in ((1, 0), (2, 1)):
        court.mine(miner)
        court.score({0: [marks(court.uid(miner), 500_000)]})
        court.step()
        asked = court.audit(miner, number)
        assert asked is not None
        if number == 1:
            court.runtime.neurons.evict(NETUID, court.uid(miner), asked.miner.registered_at)
            court.attest(0, root_of(number))
            court.step()
