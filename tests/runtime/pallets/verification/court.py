"""A training subnet with audits: rounds are played, judges report, jurors vote."""

from typing import Any

from runtime.pallets.incentive.vesting import outstanding, settle
from runtime.pallets.verification.types import (
    Audit,
    AuditFailed,
    AuditLapsed,
    AuditMissed,
    AuditPassed,
    Challenge,
    MinerEvicted,
    MinerSlashed,
    MinerWithheld,
    Seat,
    Standing,
    Verdict,
)
from runtime.primitives.types import AccountId
from tests.runtime.pallets.training_bench import NETUID, Bench, marks, root_of

ENOUGH = 950_000
"""ppm; an overlap that passes"""
RARELY = 1
"""ppm; audits are on, and hit nobody by chance in a test"""
OUTCOMES = (
    AuditPassed, AuditFailed, AuditLapsed, AuditMissed, MinerWithheld, MinerSlashed, MinerEvicted,
)  # fmt: skip
"""Events that say how audits went."""


class Court(Bench):
    """Newcomers are audited in their first round; nothing vests at once."""

    def __init__(self, judges: int = 4, miners: int = 2, **options: Any) -> None:
        numbers = {"audit_rate_ppm": RARELY, "newcomer_rounds": 1, "vesting_rounds": 100}
        super().__init__(judges, miners, **(numbers | options))

    def audit(self, miner: int, number: int = 1) -> Audit | None:
        """Return the open audit of what a miner did in a round."""
        found: Audit | None = self.runtime.verification.audits.get((NETUID, number, self.miners[miner]))
        return found

    def turn(self, miner: int, number: int = 1) -> int | None:
        """Return the judge that is to report."""
        audit = self.audit(miner, number)
        return None if audit is None or audit.judge is None else audit.judge.uid

    def report(
        self,
        miner: int,
        verdict: Verdict,
        number: int = 1,
        overlap: int | None = None,
        judge: int | None = None,
    ) -> int:
        """Let the judge whose turn it is, or another one, report; return who did."""
        speaker = self.turn(miner, number) if judge is None else judge
        assert speaker is not None, "nobody is asked"
        said = overlap if overlap is not None else {Verdict.Passed: ENOUGH}.get(verdict, 0)
        arguments = (number, self.miners[miner], verdict, said)
        self.call(self.judges[speaker], "Verification", "report_audit", *arguments)
        return speaker

    def standing(self, miner: int) -> Standing:
        """Return how far a miner is trusted."""
        found: Standing = self.runtime.verification.standings[NETUID, self.uid(miner)]
        return found

    def seat(self, uid: int) -> Seat:
        """Return who holds a uid."""
        return Seat(uid, self.runtime.neurons.neuron(NETUID, uid).registered_at)

    def seated(self, miner: int) -> bool:
        """Say whether a miner has its uid."""
        return self.runtime.neurons.uid_of(NETUID, self.miners[miner]) is not None

    def is_held(self, uid: int) -> bool:
        """Say whether a neuron may not leave."""
        return bool(self.runtime.neurons.held(NETUID, uid))

    def play_one(self) -> int:
        """Play the round that is open; return its number."""
        number = self.number
        self.play(root_of(number))
        return number

    def rounds(self, count: int) -> None:
        """Play so many rounds."""
        for _ in range(count):
            self.play_one()

    def play_scores(self) -> None:
        """Let every judge seal and open the same scores of all miners."""
        share = 1_000_000 // len(self.miners)
        scores = [marks(self.uid(miner), share) for miner in range(len(self.miners))]
        self.score({judge: scores for judge in range(len(self.judges))})

    def points(self, judge: int, uid: int) -> int:
        """Return what a judge's book gives a uid in this epoch."""
        tally = self.runtime.verification.tallies.get(NETUID, judge)
        return sum(entry.points for entry in tally.points if entry.uid == uid) if tally else 0

    def has_row(self, judge: int) -> bool:
        """Say whether a judge counts in this epoch."""
        return bool(self.runtime.weights.updated_at(NETUID, judge))

    # Challenges.

    def challenge(self, who: AccountId, judge: int, miner: int, number: int = 1) -> None:
        """Doubt a score."""
        self.call(who, "Verification", "challenge_score", number, judge, self.miners[miner])

    def case(self, judge: int, miner: int, number: int = 1) -> Challenge | None:
        """Return an open challenge."""
        key = (NETUID, number, judge, self.miners[miner])
        found: Challenge | None = self.runtime.verification.challenges.get(key)
        return found

    def vote(
        self, juror: int, judge: int, miner: int, before: int, after: int, alignment: int, number: int = 1
    ) -> None:
        """Let a juror say what it measured."""
        about = (number, judge, self.miners[miner])
        self.call(self.judges[juror], "Verification", "vote_challenge", *about, before, after, alignment)

    def earn(self) -> None:
        """Play a round and wait for the epoch that pays it."""
        self.play_one()
        for _ in range(60):
            if self.unvested(0):
                return
            self.step()
        raise AssertionError("no epoch paid")

    def unvested(self, miner: int) -> int:
        """Return what a miner has earned and a slash in this block would burn, planck."""
        incentive = self.runtime.incentive
        vesting = incentive.vesting.get(NETUID, self.uid(miner))
        return outstanding(settle(vesting, incentive.rounds_ended[NETUID])[0]) if vesting else 0


def told(events: list[Any]) -> list[Any]:
    """Return how audits went, of all events."""
    return [each for each in events if isinstance(each, OUTCOMES)]
