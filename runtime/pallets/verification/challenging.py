"""Challenges: somebody doubts what a judge measured, and a jury of other judges measures again.

challenged -> jury drawn -> all have voted, or time is over
                              -> the median agrees     the challenger's deposit is burnt
                              -> it does not           the judge's scores of the round are void, and its row
                                                       of the epoch is dropped; the deposit goes back
                              -> most are silent, or   the deposit goes back
                                 of two minds
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runtime.frame.storage import NMap
from runtime.frame.traits import Currency
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.verification.book import Book
from runtime.pallets.verification.couplings import BeaconOf, RoundsOf, SubnetsOf
from runtime.pallets.verification.docket import Docket, Seats
from runtime.pallets.verification.lots import drawn_jury
from runtime.pallets.verification.outcomes import judgement, median
from runtime.pallets.verification.types import (
    MOST_JURORS,
    Challenge,
    ChallengeDismissed,
    ChallengeLapsed,
    ChallengeUpheld,
    ChallengeVoted,
    DrawJury,
    Event,
    JuryDrawn,
    Measurement,
    ScoreChallenged,
    Seat,
    Vote,
)
from runtime.primitives.types import AccountId

LATER = b"jury"
"""Domain of the beacons that draw juries."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One doubted score: what identifies it."""

    netuid: int
    round: int
    judge: int
    miner: AccountId


@dataclass(frozen=True, slots=True)
class Challenging:
    """The challenges of all subnets."""

    challenges: NMap[tuple[int, int, int, AccountId], Challenge]
    voided: NMap[tuple[int, int, int], bool]
    docket: Docket
    seats: Seats
    book: Callable[[int], Book]
    subnets: SubnetsOf
    training: RoundsOf
    babe: BeaconOf
    currency: Currency
    deposit: Callable[[Event], None]

    def open(
        self,
        doubt: Doubt,
        challenger: AccountId,
        amount: int,
        judge: Seat,
        claimed: Measurement,
        barred: list[AccountId],
    ) -> None:
        """Set a deposit aside (planck), and leave it to the next block to draw a jury."""
        netuid = doubt.netuid
        self.currency.reserve(challenger, amount)
        self._put(doubt, Challenge(challenger, amount, judge, claimed, barred, [], [], 0))
        self.docket.open(netuid)
        self.docket.plan(DrawJury(netuid, doubt.round, doubt.judge, doubt.miner))
        self.deposit(ScoreChallenged(netuid, doubt.round, doubt.judge, doubt.miner, challenger, amount))

    def draw(self, doubt: Doubt) -> None:
        """Name the jury, by the randomness of this block; where there is none, the challenge is over."""
        challenge = self.challenges.get((doubt.netuid, doubt.round, doubt.judge, doubt.miner))
        if challenge is None or challenge.jurors:
            return
        netuid, round, judge, miner = doubt.netuid, doubt.round, doubt.judge, doubt.miner
        able = [each for each in self.seats.candidates(netuid) if each.coldkey not in challenge.barred]
        jury = drawn_jury(self.babe.beacon(LATER), netuid, round, judge, miner, able, MOST_JURORS)
        if not jury:
            self._settle(doubt)
            return
        seats, window = [juror.seat for juror in jury], self.subnets.parameters(netuid).audit_window
        until = self.seats.round_number(netuid) + window
        self._put(doubt, replace(challenge, jurors=seats, until_round=until))
        self.deposit(JuryDrawn(netuid, round, judge, miner, [seat.uid for seat in seats], until))

    def vote(self, doubt: Doubt, vote: Vote) -> None:
        """Count a juror's vote; the last one settles the challenge."""
        challenge = self._of(doubt)
        votes = [*challenge.votes, vote]
        self._put(doubt, replace(challenge, votes=votes))
        self.deposit(ChallengeVoted(doubt.netuid, doubt.round, doubt.judge, doubt.miner, vote))
        if len(votes) == len(challenge.jurors):
            self._settle(doubt)

    def end_round(self, netuid: int, round: int, most: int) -> int:
        """Settle those challenges, at most so many, whose time is over; return how many."""
        late = [
            Doubt(netuid, of, judge, miner)
            for (of, judge, miner), challenge in self.challenges.under(netuid)
            if challenge.jurors and challenge.until_round <= round
        ]
        return self._settle_all(late[:most])

    def let_go(self, netuid: int, most: int) -> int:
        """Settle so many challenges as they stand; return how many."""
        found = [Doubt(netuid, *rest) for rest, _ in self.challenges.under(netuid)]
        return self._settle_all(found[:most])

    def _settle_all(self, doubts: Sequence[Doubt]) -> int:
        for doubt in doubts:
            self._settle(doubt)
        return len(doubts)

    def _settle(self, doubt: Doubt) -> None:
        """Compare what the judge measured with the jury's median."""
        netuid, round, judge, miner = doubt.netuid, doubt.round, doubt.judge, doubt.miner
        challenge = self._of(doubt)
        del self.challenges[netuid, round, judge, miner]
        self.docket.close(netuid)
        challenger, amount = challenge.challenger, challenge.deposit
        tolerance = self.training.number(netuid, round, Parameter.tolerance_ppm)
        wrong = judgement(challenge.claimed, challenge.votes, len(challenge.jurors), tolerance)
        if wrong is False:
            burnt = self.currency.burn_reserved(challenger, amount)
            middle = median(challenge.votes)
            self.deposit(ChallengeDismissed(netuid, round, judge, miner, middle, burnt))
            return
        self.currency.unreserve(challenger, amount)
        if wrong:
            self._void(doubt, challenge.judge)
            self.deposit(ChallengeUpheld(netuid, round, judge, miner, median(challenge.votes)))
        else:
            self.deposit(ChallengeLapsed(netuid, round, judge, miner))

    def _void(self, doubt: Doubt, judge: Seat) -> None:
        self.voided[doubt.netuid, doubt.round, doubt.judge] = True
        if self.seats.is_held(doubt.netuid, judge):
            self.book(doubt.netuid).drop(judge.uid)

    def _of(self, doubt: Doubt) -> Challenge:
        return self.challenges[doubt.netuid, doubt.round, doubt.judge, doubt.miner]

    def _put(self, doubt: Doubt, challenge: Challenge) -> None:
        self.challenges[doubt.netuid, doubt.round, doubt.judge, doubt.miner] = challenge
