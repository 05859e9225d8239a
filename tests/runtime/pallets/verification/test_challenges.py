"""Challenges: a doubted score, a jury, and who pays."""

from typing import Any

import pytest

from runtime.frame.testing import assert_noop
from runtime.pallets.training.types import Phase
from runtime.pallets.verification.types import (
    Challenge,
    ChallengeDismissed,
    ChallengeLapsed,
    ChallengeUpheld,
    ChallengeVoted,
    Error,
    JuryDrawn,
    Measurement,
    ScoreChallenged,
    Vote,
)
from runtime.primitives.types import AccountId, Hash
from tests.runtime.pallets.training_bench import ASY, NETUID, STRANGER, account, root_of
from tests.runtime.pallets.verification.court import Court

DEPOSIT = 10 * ASY
CLAIMED = (5_500_000, 5_400_000, 1_000_000)
"""What every judge of the bench says it measured."""
OTHER = (5_500_000, 5_499_000, 1_000_000)
ENDED = (ChallengeUpheld, ChallengeDismissed, ChallengeLapsed)


def doubted(judges: int = 5, miners: int = 2, **options: Any) -> Court:
    """Return a court in which miner 0 doubts what judge 0 measured of it in round 1, and a jury is drawn."""
    court = Court(judges, miners, **({"newcomer_rounds": 0} | options))
    court.start()
    court.play_one()
    court.challenge(court.miners[0], 0, 0)
    court.step()
    return court


def jurors(court: Court) -> list[int]:
    found = court.case(0, 0)
    return [] if found is None else [juror.uid for juror in found.jurors]


def ended(events: list[Any]) -> list[Any]:
    return [each for each in events if isinstance(each, ENDED)]


def money(court: Court, who: AccountId) -> tuple[int, int, int]:
    """Return what an account has free and set aside, and what everybody has."""
    balances = court.runtime.balances
    return balances.free(who), balances.reserved(who), balances.total_issuance.get()


def test_a_challenge_sets_a_deposit_aside_and_draws_three_others() -> None:
    court = Court(5, 2, newcomer_rounds=0)
    court.start()
    court.play_one()
    challenger = court.miners[0]
    free, reserved, _ = money(court, challenger)
    court.challenge(challenger, 0, 1)
    assert court.ext.new_events()[-1] == ScoreChallenged(NETUID, 1, 0, court.miners[1], challenger, DEPOSIT)
    assert money(court, challenger)[:2] == (free - DEPOSIT, reserved + DEPOSIT)
    barred = [account("stash 0"), challenger, court.miners[1]]
    opened = Challenge(challenger, DEPOSIT, court.seat(0), Measurement(*CLAIMED), barred, [], [], 0, False)
    assert court.case(0, 1) == opened
    drawn = [each for each in court.step() if isinstance(each, JuryDrawn)]
    assert [(each.round, each.judge, each.miner, each.until_round) for each in drawn] == [
        (1, 0, court.miners[1], 5)
    ]
    assert len(set(drawn[0].jurors)) == 3
    assert not {0, court.uid(0), court.uid(1)} & set(drawn[0].jurors)


def test_a_judge_that_was_wrong_loses_its_scores_and_its_row() -> None:
    court = doubted(tempo=360)
    challenger = court.miners[0]
    free, reserved, issuance = money(court, challenger)
    first, second, third = jurors(court)
    assert court.has_row(0)
    court.vote(first, 0, 0, *OTHER)
    court.vote(second, 0, 0, *OTHER)
    assert court.ext.new_events()[-1] == ChallengeVoted(
        NETUID, 1, 0, challenger, Vote(second, Measurement(*OTHER))
    )
    court.vote(third, 0, 0, *OTHER)
    assert ended(court.ext.new_events()) == [ChallengeUpheld(NETUID, 1, 0, challenger, Measurement(*OTHER))]
    assert money(court, challenger) == (free + DEPOSIT, reserved - DEPOSIT, issuance)
    assert court.runtime.verification.voided[NETUID, 1, 0]
    assert [court.has_row(judge) for judge in range(5)] == [False, True, True, True, True]
    court.rounds(1)
    assert not court.has_row(0)


@pytest.mark.parametrize(
    ("said", "end"), [(OTHER, ChallengeUpheld), (CLAIMED, ChallengeDismissed), (None, ChallengeLapsed)]
)
def test_a_jury_that_is_less_than_half_of_the_stake_only_accuses(
    said: tuple[int, int, int] | None, end: type
) -> None:
    """Two of five find the judge wrong; the last one decides with whom the majority of the stake is."""
    court = doubted(tempo=360, audit_window=1)
    first, second, third = jurors(court)
    court.vote(first, 0, 0, *CLAIMED)
    court.vote(second, 0, 0, *OTHER)
    court.ext.new_events()
    court.vote(third, 0, 0, *OTHER)
    last = 10 - first - second - third
    asked = [each for each in court.ext.new_events() if isinstance(each, JuryDrawn)][-1]
    assert asked.jurors == [first, second, third, last]
    assert court.has_row(0)
    if said is not None:
        court.vote(last, 0, 0, *said)
        assert [type(each) for each in ended(court.ext.new_events())] == [end]
    else:
        assert [type(each) for each in wait(court)] == [end]
        assert court.number == asked.until_round + 1
    assert court.has_row(0) is (end is not ChallengeUpheld)


def test_juries_of_a_cabal_take_no_row() -> None:
    """A third of the stake is most of a jury now and then: it asks again and again, for ten ASY each."""
    court = Court(6, 2, newcomer_rounds=0, tempo=360, train_window=300)
    court.start()
    court.play_one()
    cabal, burnt, accused = (4, 5), 0, 0
    for block in range(40):
        court.challenge(court.miners[0], 0, 0)
        court.runtime.babe.vrf_accumulator.put(Hash(block.to_bytes(32)))
        court.step()
        while (case := court.case(0, 0)) is not None:
            told = {vote.juror for vote in case.votes}
            voter = next(seat.uid for seat in case.jurors if seat.uid not in told)
            accused += case.all_asked
            court.vote(voter, 0, 0, *(OTHER if voter in cabal else CLAIMED))
        (end,) = ended(court.ext.new_events())
        assert isinstance(end, ChallengeDismissed)
        burnt += end.burnt
    assert accused, "else nothing was tried"
    assert burnt == 40 * DEPOSIT
    assert court.has_row(0)


@pytest.mark.parametrize(("stakes", "end"), [([1_000, 1_000], ChallengeLapsed), ([10, 990], ChallengeUpheld)])
def test_of_two_judges_the_one_with_most_of_the_stake_is_believed(stakes: list[int], end: type) -> None:
    court = Court(2, 2, newcomer_rounds=0, tempo=360, stakes=stakes)
    court.start()
    court.play_one()
    court.challenge(court.miners[0], 0, 0)
    court.step()
    assert jurors(court) == [1]
    court.vote(1, 0, 0, *OTHER)
    assert [type(each) for each in ended(court.ext.new_events())] == [end]


def test_who_doubts_has_spoken() -> None:
    """Of four equal judges one doubts, and the two on the jury agree: three of four."""
    court = Court(4, 2, newcomer_rounds=0, tempo=360)
    court.start()
    court.play_one()
    court.challenge(court.judges[1], 0, 0)
    court.step()
    assert sorted(jurors(court)) == [2, 3]
    court.vote(2, 0, 0, *OTHER)
    court.vote(3, 0, 0, *OTHER)
    assert [type(each) for each in ended(court.ext.new_events())] == [ChallengeUpheld]


def test_no_stake_speaks_twice() -> None:
    """A hotkey may pass from who doubts to a juror: 30 and 6 % of the stake would be more than half."""
    court = Court(5, 2, newcomer_rounds=0, tempo=360, train_window=300, stakes=[100, 300, 60, 270, 270])
    court.start()
    court.play_one()
    doubting = account("stash 1")  # the coldkey of judge 1 is the hotkey of another seat
    court.call(STRANGER, "Neurons", "burned_register", doubting, 1_000 * ASY)
    for block in range(200):
        court.challenge(doubting, 0, 0)
        court.runtime.babe.vrf_accumulator.put(Hash(block.to_bytes(32)))
        court.step()
        jury = jurors(court)
        if {1, 2} < set(jury):
            break
        for juror in jury:
            court.vote(juror, 0, 0, *CLAIMED)
    court.call(STRANGER, "Neurons", "swap_hotkey", doubting, account("spare"))
    court.vote(1, 0, 0, *OTHER)
    court.call(doubting, "Neurons", "swap_hotkey", court.judges[1], doubting)
    court.judges[1] = doubting
    court.vote(2, 0, 0, *OTHER)
    (honest,) = {*jury} - {1, 2}
    court.vote(honest, 0, 0, *CLAIMED)
    assert {1, 2, 3, 4} == set(jurors(court))
    court.vote(7 - honest, 0, 0, *CLAIMED)
    assert isinstance(ended(court.ext.new_events())[-1], ChallengeDismissed)
    assert court.has_row(0)


def test_when_all_are_asked_who_is_silent_delays_nothing() -> None:
    court = Court(6, 2, newcomer_rounds=0, tempo=360, stakes=[170, 200, 200, 200, 220, 10])
    court.start()
    court.play_one()
    court.challenge(court.miners[0], 0, 0)
    court.step()
    first = jurors(court)
    for juror, said in zip(first, (CLAIMED, OTHER, OTHER), strict=True):
        court.vote(juror, 0, 0, *said)
    asked = jurors(court)
    assert len(asked) == 5
    late = next(juror for juror in asked[3:] if juror != 5)
    court.vote(late, 0, 0, *OTHER)
    assert isinstance(ended(court.ext.new_events())[-1], ChallengeUpheld)
    assert not court.has_row(0)


def test_who_challenges_a_judge_that_was_right_loses_the_deposit() -> None:
    court = doubted(tempo=360)
    challenger = court.miners[0]
    free, reserved, issuance = money(court, challenger)
    for juror, measured in zip(jurors(court), (CLAIMED, OTHER, CLAIMED), strict=True):
        court.vote(juror, 0, 0, *measured)
    assert ended(court.ext.new_events()) == [
        ChallengeDismissed(NETUID, 1, 0, challenger, Measurement(*CLAIMED), DEPOSIT)
    ]
    assert money(court, challenger) == (free, reserved - DEPOSIT, issuance - DEPOSIT)
    assert court.case(0, 0) is None
    assert court.has_row(0)


def wait(court: Court) -> list[Any]:
    """Step until the challenge is over; return how it ended."""
    events = list[Any]()
    for _ in range(120):
        if court.case(0, 0) is None:
            return events
        events += ended(court.step())
    raise AssertionError("the challenge does not end")


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ([], ChallengeLapsed),
        ([OTHER], ChallengeLapsed),
        ([CLAIMED, CLAIMED], ChallengeDismissed),
        ([CLAIMED, OTHER], ChallengeLapsed),
    ],
)
def test_when_time_is_over_those_who_voted_decide_if_they_are_most(
    said: list[tuple[int, int, int]], end: type
) -> None:
    court = doubted(audit_window=1)
    _, reserved, _ = money(court, court.miners[0])
    for juror, measured in zip(jurors(court), said, strict=False):
        court.vote(juror, 0, 0, *measured)
    opened = court.case(0, 0)
    assert [type(each) for each in wait(court)] == [end]
    assert opened is not None
    assert court.number == opened.until_round + 1
    assert money(court, court.miners[0])[1] == reserved - DEPOSIT


def test_without_anybody_to_ask_the_deposit_comes_back_at_once() -> None:
    court = Court(1, 2, newcomer_rounds=0)
    court.start()
    court.play_one()
    before = money(court, court.miners[0])
    court.challenge(court.miners[0], 0, 0)
    assert ended(court.step()) == [ChallengeLapsed(NETUID, 1, 0, court.miners[0])]
    assert money(court, court.miners[0])[:2] == before[:2]


def test_nobody_of_a_partys_coldkey_is_on_the_jury() -> None:
    template = Court(4, 1, newcomer_rounds=0)
    seats = template.genesis["neurons"][str(NETUID)]
    seats[1]["coldkey"] = seats[0]["coldkey"]  # beside the judge
    seats[2]["coldkey"] = seats[-1]["coldkey"]  # beside the miner
    stakes = template.genesis["staking"]["stakers"]
    stakes.append([seats[-1]["coldkey"], 1_000 * ASY])
    court = Court(4, 1, genesis=template.genesis)
    court.start()
    court.mine(0)
    court.play_scores()
    court.challenge(court.miners[0], 0, 0)
    court.step()
    assert jurors(court) == [3]


def test_scores_that_are_void_before_the_round_closes_count_for_nothing() -> None:
    court = Court(5, 2, newcomer_rounds=0)
    court.start()
    court.mine(0, 1)
    court.play_scores()
    assert court.phase is Phase.Attest
    court.challenge(court.miners[0], 0, 0)
    court.step()
    for juror in jurors(court):
        court.vote(juror, 0, 0, *OTHER)
    for judge in range(5):
        court.attest(judge, root_of(1))
    court.step()
    assert court.ended(1).phase is Phase.Closed
    assert [court.has_row(judge) for judge in range(5)] == [False, True, True, True, True]
    assert [court.points(judge, court.uid(0)) for judge in (0, 1)] == [0, 500_000]


def test_void_scores_count_for_nothing_in_the_epoch_after_either() -> None:
    court = Court(5, 2, newcomer_rounds=0, tempo=10, attest_window=40)
    court.start()
    court.mine(0, 1)
    court.play_scores()
    court.challenge(court.miners[0], 0, 0)
    court.step()
    for juror in jurors(court):
        court.vote(juror, 0, 0, *OTHER)
    epoch = court.runtime.incentive.last_epoch_block(NETUID)
    while court.runtime.incentive.last_epoch_block(NETUID) == epoch:
        court.step()
    assert court.phase is Phase.Attest
    for judge in range(5):
        court.attest(judge, root_of(1))
    court.step()
    assert court.ended(1).phase is Phase.Closed
    assert [court.points(judge, court.uid(0)) for judge in range(5)] == [0] + [500_000] * 4


def refused(
    court: Court, who: AccountId, error: Error, judge: int = 0, miner: int = 0, number: int = 1
) -> None:
    arguments = (NETUID, number, judge, court.miners[miner])
    assert_noop(court.ext, who, "Verification", "challenge_score", *arguments, error=error)


def test_what_cannot_be_challenged() -> None:
    court = doubted(challenge_window=1)
    miner = court.miners[1]
    refused(court, STRANGER, Error.NotRegistered)
    refused(court, court.judges[0], Error.OwnScore)
    refused(court, miner, Error.AlreadyChallenged)
    refused(court, miner, Error.UnknownScore, judge=court.uid(0))
    refused(court, miner, Error.UnknownScore, judge=99)
    refused(court, miner, Error.UnknownScore, number=2)
    for juror in jurors(court):
        court.vote(juror, 0, 0, *OTHER)
    refused(court, miner, Error.AlreadyVoid, miner=1)
    poor = court.judges[1]
    court.runtime.balances.burn(poor, court.runtime.balances.free(poor) - ASY)
    refused(court, poor, Error.CannotAfford, judge=2)
    court.rounds(2)
    refused(court, miner, Error.TooLate, judge=1)


def test_no_more_is_challenged_than_there_is_room_for() -> None:
    genesis = Court(newcomer_rounds=0).genesis | {"constants": {"Verification": {"MaxOpen": 1}}}
    court = Court(genesis=genesis)
    court.start()
    court.play_one()
    court.challenge(court.miners[0], 0, 0)
    refused(court, court.miners[1], Error.TooManyOpen, miner=1)


def test_only_a_juror_votes_and_once() -> None:
    court = doubted()
    chosen = jurors(court)
    idle = next(judge for judge in range(1, 5) if judge not in chosen)

    def no_juror(who: AccountId, judge: int = 0) -> None:
        arguments = (NETUID, 1, judge, court.miners[0], *CLAIMED)
        assert_noop(court.ext, who, "Verification", "vote_challenge", *arguments, error=Error.NotJuror)

    court.vote(chosen[0], 0, 0, *CLAIMED)
    for who in (STRANGER, court.miners[0], court.judges[0], court.judges[idle], court.judges[chosen[0]]):
        no_juror(who)
    no_juror(court.judges[chosen[1]], judge=1)


def test_a_judge_that_left_meanwhile_has_no_row_to_lose() -> None:
    court = doubted()
    stash = court.runtime.neurons.neuron(NETUID, 0).coldkey
    court.call(stash, "Neurons", "deregister", court.judges[0])
    court.call(STRANGER, "Neurons", "burned_register", STRANGER, 1_000 * ASY)
    for juror in jurors(court):
        court.vote(juror, 0, 0, *OTHER)
    assert [type(each) for each in ended(court.ext.new_events())] == [ChallengeUpheld]
    assert court.runtime.verification.tallies.get(NETUID, 0) is None
    court.runtime.try_state()
