"""Challenges: somebody doubts what a judge measured, and a jury of other judges measures again.

    challenged -> jury drawn -> all have voted, or time is over
                                  -> its median agrees    the challenger's deposit is burnt
                                  -> it does not          all other judges are asked, too
                                  -> most are silent, or  the deposit goes back
                                     of two minds
    all asked  -> those with more than half of all stake say
                                  -> wrong                the judge's scores of the round are void, and its
                                                          row of the epoch is dropped; the deposit goes back
                                  -> right                the deposit is burnt
                                  -> neither              the deposit goes back

A lot may fall on friends: a jury accuses, and only a majority of the stake takes a judge's row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runtime.frame.storage import NMap
from runtime.frame.traits import Currency
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.verification.book import Book
from runtime.pallets.verification.couplings import BeaconOf, RoundsOf, SubnetsOf
from runtime.pallets.verification.docket import Docket, Seats
from runtime.pallets.verification.lots import Candidate, drawn_jury
from runtime.pallets.verification.outcomes import judgement, median, verdict
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
        self._put(doubt, Challenge(challenger, amount, judge, claimed, barred, [], [], 0, False))
        self.docket.open(netuid)
        self.docket.plan(DrawJury(netuid, doubt.round, doubt.judge, doubt.miner))
        self.deposit(ScoreChallenged(netuid, doubt.round, doubt.judge, doubt.miner, challenger, amount))

    def draw(self, doubt: Doubt) -> None:
        """Name the jury, by the randomness of this block; where there is none, the challenge is over."""
        challenge = self.challenges.get((doubt.netuid, doubt.round, doubt.judge, doubt.miner))
        if challenge is None or challenge.jurors:
            return
        netuid, round, judge, miner = doubt.netuid, doubt.round, doubt.judge, doubt.miner
        candidates = self.seats.candidates(netuid)
        able = [each for each in candidates if each.coldkey not in challenge.barred]
        jury = drawn_jury(self.babe.beacon(LATER), netuid, round, judge, miner, able, MOST_JURORS)
        if jury:
            self._ask(doubt, replace(challenge, jurors=[juror.seat for juror in jury]))
        else:
            self._settle(doubt, candidates)

    def vote(self, doubt: Doubt, vote: Vote) -> None:
        """Count a juror's vote; the last one settles the challenge, or of all the one that decides it."""
        before = self._of(doubt)
        challenge = replace(before, votes=[*before.votes, vote])
        self._put(doubt, challenge)
        self.deposit(ChallengeVoted(doubt.netuid, doubt.round, doubt.judge, doubt.miner, vote))
        is_last = len(challenge.votes) == len(challenge.jurors)
        if not is_last and not challenge.all_asked:
            return
        candidates = self.seats.candidates(doubt.netuid)
        if is_last or self._verdict(doubt, challenge, candidates) is not None:
            self._settle(doubt, candidates)

    def end_round(self, netuid: int, round: int, most: int) -> int:
        """Settle those challenges, at most so many, whose time is over; return how many."""
        late = [
            Doubt(netuid, of, judge, miner)
            for (of, judge, miner), challenge in self.challenges.under(netuid)
            if challenge.jurors and challenge.until_round <= round
        ]
        return self._settle_all(netuid, late[:most])

    def let_go(self, netuid: int, most: int) -> int:
        """Settle so many challenges as they stand; return how many."""
        found = [Doubt(netuid, *rest) for rest, _ in self.challenges.under(netuid)]
        return self._settle_all(netuid, found[:most], is_last=True)

    def _settle_all(self, netuid: int, doubts: Sequence[Doubt], *, is_last: bool = False) -> int:
        candidates = self.seats.candidates(netuid) if doubts else []
        for doubt in doubts:
            self._settle(doubt, candidates, is_last=is_last)
        return len(doubts)

    def _ask(self, doubt: Doubt, challenge: Challenge) -> None:
        """Give jurors their time, from now on."""
        netuid = doubt.netuid
        until = self.seats.round_number(netuid) + self.subnets.parameters(netuid).audit_window
        self._put(doubt, replace(challenge, until_round=until))
        asked = [seat.uid for seat in challenge.jurors]
        self.deposit(JuryDrawn(netuid, doubt.round, doubt.judge, doubt.miner, asked, until))

    def _settle(self, doubt: Doubt, candidates: Sequence[Candidate], *, is_last: bool = False) -> None:
        """End a challenge, or ask everybody where the jury has found the judge wrong."""
        netuid, round, judge, miner = doubt.netuid, doubt.round, doubt.judge, doubt.miner
        challenge = self._of(doubt)
        wrong = judgement(challenge.claimed, challenge.votes, len(challenge.jurors), self._tolerance(doubt))
        if wrong or challenge.all_asked:
            wrong = self._verdict(doubt, challenge, candidates)
            others = self._not_asked(challenge, candidates)
            if wrong is None and others and not is_last:
                self._ask(doubt, replace(challenge, jurors=[*challenge.jurors, *others], all_asked=True))
                return
        del self.challenges[netuid, round, judge, miner]
        self.docket.close(netuid)
        if wrong is False:
            burnt = self.currency.burn_reserved(challenge.challenger, challenge.deposit)
            self.deposit(ChallengeDismissed(netuid, round, judge, miner, median(challenge.votes), burnt))
            return
        self.currency.unreserve(challenge.challenger, challenge.deposit)
        if wrong:
            self._void(doubt, challenge.judge)
            self.deposit(ChallengeUpheld(netuid, round, judge, miner, median(challenge.votes)))
        else:
            self.deposit(ChallengeLapsed(netuid, round, judge, miner))

    def _verdict(self, doubt: Doubt, challenge: Challenge, candidates: Sequence[Candidate]) -> bool | None:
        """Weigh the votes by the stake of who holds its permit still."""
        stakes = {candidate.seat: candidate.stake for candidate in candidates}
        jurors = {seat.uid: stakes.get(seat, 0) for seat in challenge.jurors}
        votes = [(jurors[vote.juror], vote.measured) for vote in challenge.votes]
        doubting = self.seats.of(doubt.netuid, challenge.challenger)
        own = [
            each for each in candidates if each.coldkey in challenge.barred
        ]  # a hotkey may be a juror's by now
        parties = sum(each.stake for each in own if each.seat == doubting), stakes.get(challenge.judge, 0)
        return verdict(challenge.claimed, votes, parties, sum(stakes.values()), self._tolerance(doubt))

    def _tolerance(self, doubt: Doubt) -> int:
        return self.training.number(doubt.netuid, doubt.round, Parameter.tolerance_ppm)

    @staticmethod
    def _not_asked(challenge: Challenge, candidates: Sequence[Candidate]) -> list[Seat]:
        if challenge.all_asked:
            return []
        asked = [seat.uid for seat in challenge.jurors]
        able = [each for each in candidates if each.coldkey not in challenge.barred]
        return [each.seat for each in able if each.seat.uid not in asked]

    def _void(self, doubt: Doubt, judge: Seat) -> None:
        self.voided[doubt.netuid, doubt.round, doubt.judge] = True
        if self.seats.is_held(doubt.netuid, judge):
            self.book(doubt.netuid).drop(judge.uid)

    def _of(self, doubt: Doubt) -> Challenge:
        return self.challenges[doubt.netuid, doubt.round, doubt.judge, doubt.miner]

    def _put(self, doubt: Doubt, challenge: Challenge) -> None:
        self.challenges[doubt.netuid, doubt.round, doubt.judge, doubt.miner] = challenge
