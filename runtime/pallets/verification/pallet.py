"""Verification: what the judges of a training subnet think of each payload, and who checks whom.

    commit_scores (SCORE_COMMIT)  ->  reveal_scores (SCORE_REVEAL)  ->  book, when the round has closed
    SCORE_REVEAL is over  ->  audits drawn  ->  report_audit, by one judge, and by a second one after a doubt
    challenge_score  ->  jury drawn  ->  vote_challenge  ->  the judge was right; or all judges vote

Sealing keeps judges from copying each other. A payload that a judge leaves out of its list is an abstention.
An audit is a miner's round trained once more; nothing is slashed unless two judges of two coldkeys say that
it failed. What takes a lot of work waits in the agenda, and each block does so much of it.
"""

from typing import Any

from runtime.frame.declare import Pays, Signed, call, constant, coupled, db
from runtime.frame.errors import ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, NMap, Value, storage
from runtime.frame.traits import Currency
from runtime.pallets.incentive.shares import apportion
from runtime.pallets.neurons.pallet import seat_weight
from runtime.pallets.subnets.numbers import Parameter
from runtime.pallets.verification.auditing import NEWCOMER, Auditing, Case
from runtime.pallets.verification.book import Book
from runtime.pallets.verification.challenging import Challenging, Doubt
from runtime.pallets.verification.couplings import (
    BeaconOf,
    ChainOf,
    NeuronsOf,
    PayOf,
    RoundsOf,
    RowsOf,
    SubnetsOf,
    UpdatesOf,
)
from runtime.pallets.verification.docket import Docket, Seats
from runtime.pallets.verification.outcomes import is_consistent, suspects
from runtime.pallets.verification.types import (
    MOST_DRAWS,
    MOST_REPORTS,
    Audit,
    Challenge,
    DrawAudits,
    DrawJudge,
    DrawJury,
    EndRound,
    Error,
    Event,
    Job,
    LetGo,
    Measurement,
    Report,
    ScoresCommitted,
    ScoresRevealed,
    Seat,
    Standing,
    Tally,
    Verdict,
    Vote,
)
from runtime.primitives.commitments import PPM, Salt, Score, Scores, score_commitment
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.shapes import i32, u16, u32
from runtime.primitives.types import AccountId, Balance, Hash, Ppm, Weight

BY_NUMBER = (twox_64_concat, twox_64_concat, twox_64_concat)
"""Netuids, rounds and uids are the chain's own numbers."""
BY_MINER = (twox_64_concat, twox_64_concat, blake2_128_concat)
BY_SCORE = (twox_64_concat, twox_64_concat, twox_64_concat, blake2_128_concat)
ASY = 10**12
"""planck in one ASY"""
JOBS_PER_BLOCK = 128
"""Updates, audits and challenges that one block looks at."""
JOB_WEIGHT = db(reads=8, writes=6)
DRAW_UNITS = 8
"""What each job costs beside: everybody's stake is looked up, or everything open."""


def reveal_weight(runtime: Any, netuid: int, round: int, scores: list[Score], salt: bytes) -> Weight:
    """Return the weight of opening scores: all commits of the round are looked up."""
    return db(reads=12 + 2 * runtime.model_updates.commit_count[netuid, round], writes=1)


def report_weight(
    runtime: Any, netuid: int, round: int, miner: bytes, verdict: Verdict, overlap_ppm: int
) -> Weight:
    """Return the weight of a report: a bad one may strike all rows and empty the seat."""
    usual = db(reads=90, writes=90)
    if verdict is Verdict.Passed:
        return usual
    return usual + seat_weight(runtime, netuid) + db(reads=runtime.verification.open_count[netuid])


def vote_weight(runtime: Any, netuid: int, round: int, judge: int, miner: bytes, *measured: int) -> Weight:
    """Return the weight of a juror's vote: the last one, or any of all, is weighed with all stakes."""
    challenge = runtime.verification.challenges.get((netuid, round, judge, miner))
    usual = db(reads=40, writes=10)
    if challenge is None:
        return usual
    is_weighed = challenge.all_asked or len(challenge.votes) + 1 >= len(challenge.jurors)
    return usual + seat_weight(runtime, netuid) if is_weighed else usual


class Verification(Pallet[Event, Error]):
    """Scores of updates by the judges of training subnets, audits of miners, and challenges of judges."""

    system: ChainOf = coupled()
    subnets: SubnetsOf = coupled()
    training: RoundsOf = coupled()
    neurons: NeuronsOf = coupled()
    model_updates: UpdatesOf = coupled()
    incentive: PayOf = coupled()
    weights: RowsOf = coupled()
    babe: BeaconOf = coupled()
    currency: Currency = coupled()

    challenge_deposit: Balance = constant(10 * ASY)
    max_open: u32 = constant(1_024)

    score_commits: NMap[tuple[u16, u32, u16], Hash] = storage(hashers=BY_NUMBER)
    scores: NMap[tuple[u16, u32, u16], Scores] = storage(hashers=BY_NUMBER)
    judges: NMap[tuple[u16, u32, u16], AccountId] = storage(hashers=BY_NUMBER)
    tallies: DoubleMap[u16, u16, Tally] = storage(hasher=twox_64_concat)
    audits: NMap[tuple[u16, u32, AccountId], Audit] = storage(hashers=BY_MINER)
    standings: DoubleMap[u16, u16, Standing] = storage(default=NEWCOMER, hasher=twox_64_concat)
    contradicted: DoubleMap[u16, u16, u32] = storage(default=0, hasher=twox_64_concat)
    challenges: NMap[tuple[u16, u32, u16, AccountId], Challenge] = storage(hashers=BY_SCORE)
    voided: NMap[tuple[u16, u32, u16], bool] = storage(hashers=BY_NUMBER)
    open_count: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    agenda: Value[list[Job]] = storage(default=[])

    def on_initialize(self, now: int) -> Weight:
        """Do what waits, so much of it: draw audits, judges and juries, and end what is over.

        Invariant: no job plans another one.
        """
        jobs, left = self.agenda.get(), JOBS_PER_BLOCK
        if not jobs:
            return db(reads=1)
        while jobs and left > 0:
            used, rest = self._work(jobs[0], left)
            left -= DRAW_UNITS + used
            jobs = jobs[1:] if rest is None else [rest, *jobs[1:]]
        self.agenda.put(jobs)
        done = JOBS_PER_BLOCK - left
        return db(reads=1_400, writes=1) + Weight(JOB_WEIGHT.ref_time * done, 0)

    def _work(self, job: Job, most: int) -> tuple[int, Job | None]:
        """Do a part of a job; return how much of `most` it took, and what is left of the job."""
        match job:
            case DrawAudits():
                return self._draw_audits(job, most)
            case DrawJudge(netuid, round, miner):
                self._auditing.draw_judge(Case(netuid, round, miner))
            case DrawJury(netuid, round, judge, miner):
                self._challenging.draw(Doubt(netuid, round, judge, miner))
            case EndRound(netuid, round):
                done = self._auditing.end_round(netuid, round, most)
                done += self._challenging.end_round(netuid, round, most - done)
                if done >= most:
                    return done, job
                seats = self.subnets.parameters(netuid).max_uids  # whose rows are looked up to empty one
                return done + (seats if self._auditing.evict_one(netuid) else 0), None
            case LetGo(netuid):
                done = self._auditing.let_go(netuid, most)
                done += self._challenging.let_go(netuid, most - done)
                return done, job if done >= most else None
        return 0, None

    def _draw_audits(self, job: DrawAudits, most: int) -> tuple[int, Job | None]:
        netuid, round = job.netuid, job.round
        if not self.subnets.parameters(netuid).audit_rate_ppm:
            return 0, None
        stakes = self.neurons.stakes(netuid)
        ballots = [(stakes.get(judge, 0), scores) for judge, scores in self.revealed(netuid, round)]
        return self._auditing.draw(job, suspects(ballots), most)

    # Scores.

    @call(0, weight=db(reads=12, writes=2), pays=Pays.No)
    def commit_scores(self, who: Signed, netuid: u16, round: u32, commitment: Hash) -> None:
        """Seal the scores of this round; free, once per round."""
        judge = self.check_commit_scores(who, netuid, round, commitment)
        self.score_commits[netuid, round, judge] = commitment
        self.judges[netuid, round, judge] = who
        self.deposit(ScoresCommitted(netuid, round, judge, commitment))

    @call(1, weight=reveal_weight, pays=Pays.No)
    def reveal_scores(self, who: Signed, netuid: u16, round: u32, scores: Scores, salt: Salt) -> None:
        """Open the scores that were sealed; free, once per round."""
        judge = self.check_reveal_scores(who, netuid, round, scores, salt)
        self.scores[netuid, round, judge] = scores
        self.deposit(ScoresRevealed(netuid, round, judge, scores))

    def check_commit_scores(self, who: AccountId, netuid: int, round: int, commitment: Hash) -> int:
        """Refuse what `commit_scores` would refuse, and return the judge's uid.

        Raises: DispatchError.
        """
        judge = self.training.admit_to_score_commit(who, netuid, round)
        ensure((netuid, round, judge) not in self.score_commits, Error.AlreadyCommitted)
        return judge

    def check_reveal_scores(
        self, who: AccountId, netuid: int, round: int, scores: list[Score], salt: bytes
    ) -> int:
        """Refuse what `reveal_scores` would refuse, and return the judge's uid.

        Raises: DispatchError.
        """
        judge = self.training.admit_to_score_reveal(who, netuid, round)
        ensure((netuid, round, judge) not in self.scores, Error.AlreadyRevealed)
        sealed = self.score_commits.get((netuid, round, judge)) or refuse(Error.NotCommitted)
        opened = score_commitment(self.system.genesis_hash(), netuid, round, who, salt, scores)
        ensure(opened == sealed, Error.CommitmentMismatch)
        self._check_scores(netuid, round, judge, scores)
        return judge

    def _check_scores(self, netuid: int, round: int, judge: int, scores: list[Score]) -> None:
        uids = [score.uid for score in scores]
        ensure(len(frozenset(uids)) == len(uids), Error.DuplicateUid)
        ensure(judge not in uids, Error.OwnUid)
        ensure(sum(score.score for score in scores) <= PPM, Error.TooMuch)
        ensure(self.model_updates.uids(netuid, round).issuperset(uids), Error.UnknownUpdate)

    # What Training uses.

    def committed(self, netuid: int, round: int) -> list[int]:
        """Return the judges that sealed scores in a round and still hold their uid, ascending."""
        signers = self.judges.under(netuid, round)
        return sorted(judge for (judge,), hotkey in signers if self._holds(netuid, judge, hotkey))

    def revealed(self, netuid: int, round: int) -> list[tuple[int, list[Score]]]:
        """Return (judge, scores) of those among them that revealed, by ascending judge."""
        return [
            (judge, scores)
            for judge in self.committed(netuid, round)
            if (scores := self.scores.get((netuid, round, judge))) is not None
        ]

    def _holds(self, netuid: int, uid: int, hotkey: AccountId) -> bool:
        neuron = self.neurons.neuron(netuid, uid)
        return neuron is not None and neuron.hotkey == hotkey

    def book(self, netuid: int, round: int, now: int) -> None:
        """Add a closed round's scores to each judge's row of the current subnet epoch.

        Identical payloads are one piece of work: those who revealed it share the score of the first of them.
        Whose pay is withheld gets nothing of it; void scores count for nothing.
        """
        groups, book = self._groups(netuid, round), self._book_of(netuid)
        withheld = [uid for group in groups for uid in group if self.is_withheld(netuid, uid)]
        for judge, scores in self.revealed(netuid, round):
            if (netuid, round, judge) in self.voided:
                continue
            given = {score.uid: score.score for score in scores}
            shares = [
                (uid, share)
                for group in groups
                for uid, share in zip(group, apportion(given.get(group[0], 0), [1] * len(group)), strict=True)
                if uid not in withheld
            ]
            book.add(judge, shares, now)

    def end_scoring(self, netuid: int, round: int) -> None:
        """Have the audits of a round drawn, whose scores are open."""
        if self.subnets.parameters(netuid).audit_rate_ppm:
            self._docket.plan(DrawAudits(netuid, round, 0, False))

    def end_round(self, netuid: int, round: int) -> None:
        """Look at what had to be reported by the end of a round, and at who is to leave."""
        if self.open_count[netuid] or self.subnets.parameters(netuid).audit_rate_ppm:
            self._docket.plan(EndRound(netuid, round))

    def let_go(self, netuid: int) -> None:
        """Give up audits and challenges of a subnet in which no round opens: nobody is held for ever."""
        if self.open_count[netuid] and LetGo(netuid) not in self.agenda.get():
            self._docket.plan(LetGo(netuid))

    def is_withheld(self, netuid: int, uid: int) -> bool:
        """Say whether a miner earns nothing until it passes an audit; without audits nobody does."""
        return bool(self.standings[netuid, uid].withheld and self.subnets.parameters(netuid).audit_rate_ppm)

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove what a leaving neuron has given and was given; what is open about it ends by itself."""
        del self.standings[netuid, uid]
        del self.contradicted[netuid, uid]
        self._book_of(netuid).forget(uid)

    def _groups(self, netuid: int, round: int) -> list[list[int]]:
        """Return the uids of who revealed the same payload, the first to commit first.

        Where that one has left the subnet, nobody earns anything with its payload.
        """
        found = []
        for alike in self.model_updates.alike(netuid, round):
            uids = [self.model_updates.seat_of(netuid, round, update.miner) for update in alike]
            if uids[0] is not None:
                found.append([uid for uid in uids if uid is not None])
        return found

    # Audits.

    @call(2, weight=report_weight, pays=Pays.No)
    def report_audit(
        self, who: Signed, netuid: u16, round: u32, miner: AccountId, verdict: Verdict, overlap_ppm: Ppm
    ) -> None:
        """Say as the judge that was drawn what training a miner's round once more has shown; free, once."""
        judge = self.check_report_audit(who, netuid, round, miner, verdict, overlap_ppm)
        self._auditing.report(Case(netuid, round, miner), Report(judge, verdict, overlap_ppm))

    def check_report_audit(
        self, who: AccountId, netuid: int, round: int, miner: AccountId, verdict: Verdict, overlap_ppm: int
    ) -> int:
        """Refuse what `report_audit` would refuse, and return the judge's uid.

        Raises: DispatchError.
        """
        audit = self.audits.get((netuid, round, miner)) or refuse(Error.NotDrawn)
        judge = self._seats.of(netuid, who)
        if judge is None or judge != audit.judge or not self._seats.is_held(netuid, audit.miner):
            refuse(Error.NotDrawn)
        least = self.training.number(netuid, round, Parameter.overlap_ppm)
        ensure(is_consistent(verdict, overlap_ppm, least), Error.VerdictMismatch)
        return judge.uid

    # Challenges.

    @call(3, weight=db(reads=40, writes=6))
    def challenge_score(self, who: Signed, netuid: u16, round: u32, judge: u16, miner: AccountId) -> None:
        """Doubt what a judge measured of a miner's update, with a deposit; other judges measure again."""
        challenger = AccountId(who)
        mine = self._seats.of(netuid, challenger) or refuse(Error.NotRegistered)
        ensure(mine.uid != judge, Error.OwnScore)
        seat, theirs, claimed = self._claimed(netuid, round, judge, miner)
        age = self.training.round_number(netuid) - round
        ensure(age <= self.subnets.parameters(netuid).challenge_window, Error.TooLate)
        ensure((netuid, round, judge) not in self.voided, Error.AlreadyVoid)
        ensure((netuid, round, judge, miner) not in self.challenges, Error.AlreadyChallenged)
        ensure(self._docket.has_room_for_doubt(netuid), Error.TooManyOpen)
        ensure(self.currency.usable(challenger) >= self.challenge_deposit, Error.CannotAfford)
        doubt = Doubt(netuid, round, judge, miner)
        parties = self._seats.coldkeys(netuid, [seat, mine, theirs])
        self._challenging.open(doubt, challenger, self.challenge_deposit, seat, claimed, parties)

    @call(4, weight=vote_weight, pays=Pays.No)
    def vote_challenge(
        self,
        who: Signed,
        netuid: u16,
        round: u32,
        judge: u16,
        miner: AccountId,
        loss_before: u32,
        loss_after: u32,
        alignment: i32,
    ) -> None:
        """Say as a juror what measuring a doubted score again has shown; free, once."""
        measured = Measurement(loss_before, loss_after, alignment)
        juror = self.check_vote_challenge(
            who, netuid, round, judge, miner, loss_before, loss_after, alignment
        )
        self._challenging.vote(Doubt(netuid, round, judge, miner), Vote(juror, measured))

    def check_vote_challenge(
        self,
        who: AccountId,
        netuid: int,
        round: int,
        judge: int,
        miner: AccountId,
        loss_before: int,
        loss_after: int,
        alignment: int,
    ) -> int:
        """Refuse what `vote_challenge` would refuse, and return the juror's uid.

        Raises: DispatchError.
        """
        challenge = self.challenges.get((netuid, round, judge, miner)) or refuse(Error.NotJuror)
        juror = self._seats.of(netuid, who)
        if juror is None or juror not in challenge.jurors:
            refuse(Error.NotJuror)
        ensure(juror.uid not in [vote.juror for vote in challenge.votes], Error.NotJuror)
        return juror.uid

    def _claimed(
        self, netuid: int, round: int, judge: int, miner: AccountId
    ) -> tuple[Seat, Seat, Measurement]:
        """Return the seats of judge and miner, and what was measured: neither escapes by another hotkey."""
        ensure(self.model_updates.has_revealed(netuid, round, miner), Error.UnknownScore)
        uid, given = self.model_updates.uid_of(netuid, round, miner), self.scores.get((netuid, round, judge))
        found = next((score for score in given or () if score.uid == uid), None) or refuse(Error.UnknownScore)
        seat = self._seats.at(netuid, judge) or refuse(Error.UnknownScore)
        theirs = self._seats.at(netuid, found.uid) or refuse(Error.UnknownScore)
        was_there = seat.registered_at <= self.training.opened_at(netuid, round)
        ensure(was_there or self._holds(netuid, judge, self.judges[netuid, round, judge]), Error.UnknownScore)
        return seat, theirs, Measurement(found.loss_before, found.loss_after, found.alignment)

    # What is asked of the parts.

    @property
    def _docket(self) -> Docket:
        return Docket(self.agenda, self.open_count, self.max_open)

    @property
    def _seats(self) -> Seats:
        return Seats(self.training, self.neurons, self.incentive)

    def _book_of(self, netuid: int) -> Book:
        since = self.incentive.last_epoch_block(netuid)
        return Book(netuid, since, self.tallies, self.weights)

    @property
    def _auditing(self) -> Auditing:
        return Auditing(
            self.audits, self.standings, self.contradicted, self._docket, self._seats, self._book_of,
            self.subnets, self.neurons, self.model_updates, self.incentive, self.babe, self.deposit,
            self.system.number.get(),
        )  # fmt: skip

    @property
    def _challenging(self) -> Challenging:
        return Challenging(
            self.challenges, self.voided, self._docket, self._seats, self._book_of, self.subnets,
            self.training, self.babe, self.currency, self.deposit,
        )  # fmt: skip

    def try_state(self) -> None:
        """Only sealed scores are opened; lists keep their bounds; who is open to judgement is held."""
        for (netuid, round, judge), scores in self.scores.under():
            assert (netuid, round, judge) in self.score_commits
            assert judge not in [score.uid for score in scores]
            assert sum(score.score for score in scores) <= PPM
        for (netuid, judge), tally in self.tallies.items():
            uids = [entry.uid for entry in tally.points]
            assert len(frozenset(uids)) == len(uids)
            assert not (tally.dropped and uids)
            assert all(self.neurons.neuron(netuid, uid) is not None for uid in [judge, *uids])
        for (netuid, uid), standing in self.standings.items():
            assert self.neurons.neuron(netuid, uid) is not None
            assert standing.withheld or not standing.burnt
            assert standing.burnt or not standing.leaves
        for (netuid, uid), count in self.contradicted.items():
            assert count
            assert self.neurons.neuron(netuid, uid) is not None
        self._try_open()

    def _try_open(self) -> None:
        """Everything open is counted; audited miners are held, and challengers' deposits set aside."""
        agenda, count = self.agenda.get(), dict[int, int]()
        held, deposits = dict[tuple[int, int], int](), dict[AccountId, int]()
        for (netuid, round, miner), audit in self.audits.under():
            count[netuid] = count.get(netuid, 0) + 1
            assert self.model_updates.has_revealed(netuid, round, miner)
            assert audit.judge is not None or DrawJudge(netuid, round, miner) in agenda
            assert audit.draws <= MOST_DRAWS
            assert len(audit.reports) < MOST_REPORTS
            assert all(report.verdict is not Verdict.Passed for report in audit.reports)
            assert len(frozenset(audit.asked)) == len(audit.asked)
            if self._seats.is_held(netuid, audit.miner):
                place = (netuid, audit.miner.uid)
                held[place] = held.get(place, 0) + 1
        for (netuid, round, judge, miner), challenge in self.challenges.under():
            count[netuid] = count.get(netuid, 0) + 1
            deposits[challenge.challenger] = deposits.get(challenge.challenger, 0) + challenge.deposit
            assert challenge.jurors or DrawJury(netuid, round, judge, miner) in agenda
            assert {vote.juror for vote in challenge.votes} < {juror.uid for juror in challenge.jurors} or (
                not challenge.votes
            )
        assert dict(self.open_count.items()) == count
        assert all(self.neurons.held(*place) >= holds for place, holds in held.items())
        assert all(self.currency.reserved(who) >= amount for who, amount in deposits.items())
