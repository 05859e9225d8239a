"""Audits: who is drawn, who reports, and what becomes of the miner.

    drawn -> judge asked -> Passed                    the audit is passed
                         -> Failed, Unavailable -> second judge asked, of another coldkey
                               -> Passed              passed; the event names the first judge
                               -> Failed twice        slashed
                               -> anything else       unvested pay burnt, and withheld; again: seat lost
                               -> nobody reports      withheld
                         -> nobody reports            lapsed

A judge that does not report in time loses its row of the epoch; another one is asked, at most three in all.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from runtime.frame.storage import DoubleMap, NMap
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.verification.book import Book
from runtime.pallets.verification.couplings import BeaconOf, NeuronsOf, PayOf, SubnetsOf, UpdatesOf
from runtime.pallets.verification.docket import Docket, Seats
from runtime.pallets.verification.lots import Candidate, drawn_judge, is_drawn, lot_of
from runtime.pallets.verification.outcomes import Outcome, is_decided, outcome
from runtime.pallets.verification.types import (
    MOST_DRAWS,
    MOST_REPORTS,
    Audit,
    AuditDrawn,
    AuditFailed,
    AuditLapsed,
    AuditMissed,
    AuditPassed,
    AuditReported,
    DrawAudits,
    DrawJudge,
    Event,
    MinerEvicted,
    MinerSlashed,
    MinerWithheld,
    Report,
    Seat,
    Standing,
    Verdict,
)
from runtime.primitives.commitments import PPM
from runtime.primitives.types import AccountId, Hash

LATER = b"audit"
"""Domain of the beacons that draw a judge after the first."""
NEWCOMER = Standing(0, 0, 0)


class Rank(enum.IntEnum):
    """Why an update is looked at, the most urgent first where judges have little room."""

    Flagged = 0  # its miner's pay is withheld, or most judges refuse to measure it
    Drawn = 1  # by lot, which falls on everybody alike
    New = 2
    Spared = 3  # no audit


@dataclass(frozen=True, slots=True)
class Case:
    """One update under audit: what identifies it."""

    netuid: int
    round: int
    miner: AccountId


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """An update whose turn it is; who has a lower lot comes first."""

    rank: Rank
    lot: int
    case: Case = field(compare=False)
    seat: Seat = field(compare=False)
    waits: bool = field(compare=False)  # without room it is looked at again, among the newcomers


@dataclass(frozen=True, slots=True)
class Auditing:
    """The audits of all subnets, and whom they concern."""

    audits: NMap[tuple[int, int, AccountId], Audit]
    standings: DoubleMap[int, int, Standing]
    contradicted: DoubleMap[int, int, int]
    docket: Docket
    seats: Seats
    book: Callable[[int], Book]
    subnets: SubnetsOf
    neurons: NeuronsOf
    updates: UpdatesOf
    incentive: PayOf
    babe: BeaconOf
    deposit: Callable[[Event], None]
    now: int

    def draw(self, job: DrawAudits, suspected: Sequence[int], most: int) -> tuple[int, DrawAudits | None]:
        """Draw among so many of a round's updates; say how many these were, and what is left.

        Copies are drawn, too, since they are paid. The lot is of this block: who knows it, is held already.
        A judge is asked for as many audits as it has rounds for: none loses its row because a network grows.
        Where that is short the flagged come first, up to half of it all: among them is who serves nothing,
        and keeps judges waiting. Then whom the lot falls on, newcomer or not. Newcomers as such are looked at
        once all others have been: no crowd hides anybody. Among several of a kind lots decide; a newcomer
        that is left out stays one.
        """
        netuid, chosen = job.netuid, self.subnets.parameters(job.netuid)
        updates, candidates = self.updates.revealed(netuid, job.round), self.seats.candidates(netuid)
        beacon, end = self.babe.beacon(LATER), job.first + most
        part, left = updates[job.first : end], len(updates) - job.first
        found = [self._place(job, update.miner, suspected, beacon, chosen) for update in part]
        places = sorted(each for each in found if each is not None)
        waiting = self._waiting(netuid)
        room = _room(waiting, candidates, chosen.audit_window)
        first = self._room_of_flagged(netuid, waiting, suspected, chosen.audit_window * len(candidates))
        for flagged in [each for each in places if each.rank is Rank.Flagged]:
            free = candidates if first > 0 else []
            first -= self._take_up(flagged, beacon, free, room)
        open_now = -(-sum(room.values()) * len(part) // max(1, left))  # later blocks have their share
        for place in [each for each in places if each.rank is not Rank.Flagged]:
            free = candidates if open_now else []
            open_now -= self._take_up(place, beacon, free, room)
        if end < len(updates):
            return len(part), replace(job, first=end)
        return len(part), None if job.newcomers else replace(job, first=0, newcomers=True)

    def _place(
        self,
        job: DrawAudits,
        miner: AccountId,
        suspected: Sequence[int],
        beacon: Hash,
        chosen: Hyperparameters,
    ) -> Place | None:
        """Return whether and why an update is audited; None where it is not its turn."""
        netuid = job.netuid
        uid = self.updates.seat_of(netuid, job.round, miner)
        seat = None if uid is None else self.seats.at(netuid, uid)
        standing = NEWCOMER if seat is None else self.standings[netuid, seat.uid]
        if seat is None or standing.leaves or (netuid, job.round, miner) in self.audits:
            return None
        is_new = standing.rounds < chosen.newcomer_rounds
        is_flagged = bool(standing.withheld) or seat.uid in suspected
        if job.newcomers:
            rank = Rank.New if is_new and not is_flagged else None
        elif is_flagged:
            rank = Rank.Flagged
        elif is_drawn(beacon, miner, chosen.audit_rate_ppm):
            rank = Rank.Drawn
        else:
            rank = None if is_new else Rank.Spared
        if rank is None:
            return None
        waits = rank is Rank.Drawn and is_new  # has its turn among the newcomers if there is no room now
        return Place(rank, lot_of(beacon, miner), Case(netuid, job.round, miner), seat, waits)

    def _take_up(
        self, place: Place, beacon: Hash, candidates: Sequence[Candidate], room: dict[int, int]
    ) -> int:
        """Open an audit where one is due and somebody has room, and count the round; return how many."""
        netuid, seat = place.case.netuid, place.seat
        asked: int | None = None
        if place.rank is not Rank.Spared:
            free = [each for each in candidates if room[each.seat.uid]]
            asked = self._open(place.case, seat, beacon, free)
            if asked is None:
                if not place.waits:
                    self.deposit(AuditLapsed(netuid, place.case.round, place.case.miner))
                return 0
            room[asked] -= 1
        standing = self.standings[netuid, seat.uid]
        self.standings[netuid, seat.uid] = replace(standing, rounds=standing.rounds + 1)
        return int(asked is not None)

    def report(self, case: Case, told: Report) -> None:
        """Note a judge's report; end the audit, or leave it to the next block to ask another judge."""
        audit = self._of(case)
        self._deposit_report(case, told)
        heard = replace(audit, judge=None, draws=0, reports=[*audit.reports, told])
        if is_decided(heard.reports, MOST_REPORTS):
            self._conclude(case, heard)
        else:
            self._put(case, heard)
            self.docket.plan(DrawJudge(case.netuid, case.round, case.miner))

    def draw_judge(self, case: Case) -> None:
        """Ask another judge, by the randomness of this block; without one, what was reported decides."""
        audit = self.audits.get((case.netuid, case.round, case.miner))
        if audit is not None and audit.judge is None:
            candidates, since = self.seats.candidates(case.netuid), self.seats.round_number(case.netuid)
            self._draw_judge(case, audit, candidates, since)

    def _draw_judge(self, case: Case, audit: Audit, candidates: Sequence[Candidate], since: int) -> None:
        gone = not self.seats.is_held(case.netuid, audit.miner)
        if gone or not self._ask(case, audit, self.babe.beacon(LATER), candidates, since):
            self._conclude(case, audit)

    def end_round(self, netuid: int, round: int, most: int) -> int:
        """Take those audits, at most so many, whose judges had to report by now; return how many."""
        late = [
            Case(netuid, of, miner)
            for (of, miner), audit in self.audits.under(netuid)
            if audit.judge is not None and audit.until_round <= round
        ]
        candidates = self.seats.candidates(netuid) if late else []
        for case in late[:most]:
            self._miss(case, candidates, round)
        return len(late[:most])

    def let_go(self, netuid: int, most: int) -> int:
        """End so many audits as they stand; return how many."""
        found = [Case(netuid, round, miner) for (round, miner), _ in self.audits.under(netuid)]
        for case in found[:most]:
            self._conclude(case, self._of(case))
        return len(found[:most])

    def _waiting(self, netuid: int) -> list[Audit]:
        """Return the audits that wait for a judge; about who has left there is nothing to report."""
        waiting = [audit for _, audit in self.audits.under(netuid) if audit.judge is not None]
        uids = dict.fromkeys(audit.miner.uid for audit in waiting)
        held = {uid: self.seats.at(netuid, uid) for uid in uids}
        return [audit for audit in waiting if held[audit.miner.uid] == audit.miner]

    def _room_of_flagged(
        self, netuid: int, waiting: Sequence[Audit], suspected: Sequence[int], most: int
    ) -> int:
        """Return how many more of the flagged may be looked at; judges have time for `most` audits in all."""
        withheld = [uid for uid, standing in self.standings.under(netuid) if standing.withheld]
        flagged = frozenset([*withheld, *suspected])
        return -(-most // 2) - sum(audit.miner.uid in flagged for audit in waiting)

    def _open(self, case: Case, seat: Seat, beacon: Hash, free: Sequence[Candidate]) -> int | None:
        """Ask the first judge of an audit and return its uid; None without room, or anybody to ask."""
        audit = Audit(seat, None, 0, [], 0, [])
        if self.docket.has_room(case.netuid) and self._ask(case, audit, beacon, free, case.round):
            self.docket.open(case.netuid)
            self.neurons.hold(case.netuid, seat.uid, seat.registered_at)
            asked = self._of(case).judge
            return None if asked is None else asked.uid
        return None

    def _ask(self, case: Case, audit: Audit, seed: Hash, candidates: Sequence[Candidate], since: int) -> bool:
        """Draw the judge whose turn it is from a round on; say whether there is one."""
        netuid, round, miner = case.netuid, case.round, case.miner
        barred = [*audit.asked, *self.seats.coldkeys(netuid, [audit.miner])]
        free = [each for each in candidates if each.coldkey not in barred]
        drawn = drawn_judge(seed, netuid, round, miner, len(audit.asked), free)
        if drawn is None or audit.draws >= MOST_DRAWS:
            return False
        until = since + self.subnets.parameters(netuid).audit_window
        asked = [*audit.asked, drawn.coldkey]
        self._put(
            case, replace(audit, judge=drawn.seat, until_round=until, asked=asked, draws=audit.draws + 1)
        )
        self.deposit(AuditDrawn(netuid, round, miner, drawn.seat.uid, until))
        return True

    def _miss(self, case: Case, candidates: Sequence[Candidate], round: int) -> None:
        """Take the row of a judge that did not report, and ask another one."""
        audit = self._of(case)
        judge = audit.judge
        assert judge is not None, "it is somebody's turn"
        if self.seats.is_held(case.netuid, audit.miner) and self.seats.is_held(case.netuid, judge):
            self.deposit(AuditMissed(case.netuid, case.round, case.miner, judge.uid))
            self.book(case.netuid).drop(judge.uid)
        self._draw_judge(case, replace(audit, judge=None), candidates, round)

    def _conclude(self, case: Case, audit: Audit) -> None:
        """End an audit with what the reports come to; nothing comes to who has left."""
        netuid, uid = case.netuid, audit.miner.uid
        del self.audits[netuid, case.round, case.miner]
        self.docket.close(netuid)
        if not self.seats.is_held(netuid, audit.miner):
            return
        self.neurons.release(netuid, uid, audit.miner.registered_at)
        result = outcome(audit.reports)
        if result is Outcome.Passed:
            self._pass(case, uid, audit)
        elif result is Outcome.Lapsed:
            self.deposit(AuditLapsed(netuid, case.round, case.miner))
        else:
            self.deposit(AuditFailed(netuid, case.round, case.miner, audit.reports))
            self._punish(case, audit.miner, result)

    def _pass(self, case: Case, uid: int, audit: Audit) -> None:
        netuid, round, first, last = case.netuid, case.round, audit.reports[0], audit.reports[-1]
        contradicted = first.judge if len(audit.reports) > 1 else None
        self.deposit(AuditPassed(netuid, round, case.miner, last.judge, last.overlap_ppm, contradicted))
        judge = None if contradicted is None else self.neurons.neuron(netuid, contradicted)
        if judge is not None and judge.coldkey in audit.asked:  # not who took its seat since
            self.contradicted[netuid, first.judge] = self.contradicted[netuid, first.judge] + 1
        before = self.standings[netuid, uid]
        kept = replace(before, audited=max(round, before.audited))
        is_cleared = round > before.withheld
        self.standings[netuid, uid] = replace(kept, withheld=0, burnt=0, leaves=False) if is_cleared else kept

    def _punish(self, case: Case, seat: Seat, result: Outcome) -> None:
        """Slash, or let the miner earn nothing more; what it was given in this epoch is gone, too."""
        netuid, round, miner, uid = case.netuid, case.round, case.miner, seat.uid
        if result is Outcome.Slashed:
            burnt = self.neurons.slash(netuid, uid, seat.registered_at, PPM)
            self.deposit(MinerSlashed(netuid, round, miner, uid, burnt))
            return
        before = self.standings[netuid, uid]
        self.standings[netuid, uid] = replace(before, withheld=max(round, before.withheld))
        self.book(netuid).strike(uid, self.now)
        burnt = self.incentive.burn_vesting(netuid, uid, PPM) if result is Outcome.Burnt else 0
        self.deposit(MinerWithheld(netuid, round, miner, uid, burnt))
        if result is Outcome.Burnt:
            self._count(netuid, round, uid)

    def _count(self, netuid: int, round: int, uid: int) -> None:
        """Note that two judges agree; on a round that opened after they did so before, the seat is lost."""
        before = self.standings[netuid, uid]
        first = before.burnt or self.seats.round_number(netuid)
        leaves = before.leaves or 0 < before.burnt < round
        self.standings[netuid, uid] = replace(before, burnt=first, leaves=leaves)
        if leaves:
            self._evict(netuid, uid, self._doubted(netuid))

    def evict_one(self, netuid: int) -> bool:
        """Free one seat whose miner is to leave, and whom no audit may slash; say whether one is free."""
        leaving = sorted(uid for uid, standing in self.standings.under(netuid) if standing.leaves)
        doubted = self._doubted(netuid) if leaving else []
        return any(self._evict(netuid, uid, doubted) for uid in leaving)

    def _evict(self, netuid: int, uid: int, doubted: Sequence[Seat]) -> bool:
        """Free a seat unless a report of failure waits for a second one; say whether it is free."""
        seat, neuron = self.seats.at(netuid, uid), self.neurons.neuron(netuid, uid)
        if seat is None or neuron is None or seat in doubted:
            return False
        last = self.standings[netuid, uid].withheld
        self.neurons.evict(netuid, uid, seat.registered_at)
        self.deposit(MinerEvicted(netuid, last, neuron.hotkey, uid))
        return True

    def _doubted(self, netuid: int) -> list[Seat]:
        """Return the seats of whom an open audit says already that they cheat."""
        return [
            audit.miner
            for _, audit in self.audits.under(netuid)
            if any(report.verdict is Verdict.Failed for report in audit.reports)
        ]

    def _deposit_report(self, case: Case, told: Report) -> None:
        self.deposit(
            AuditReported(case.netuid, case.round, case.miner, told.judge, told.verdict, told.overlap_ppm)
        )

    def _of(self, case: Case) -> Audit:
        return self.audits[case.netuid, case.round, case.miner]

    def _put(self, case: Case, audit: Audit) -> None:
        self.audits[case.netuid, case.round, case.miner] = audit


def _room(waiting: Sequence[Audit], candidates: Sequence[Candidate], most: int) -> dict[int, int]:
    """Return how many audits each judge may be asked for, beside those that wait for it."""
    room = {each.seat.uid: most for each in candidates}
    for audit in waiting:
        if audit.judge is not None and room.get(audit.judge.uid):
            room[audit.judge.uid] -= 1
    return room
