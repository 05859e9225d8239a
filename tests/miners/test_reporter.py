"""What a worker says of its rounds: one line each, with everything the chain and its own diary know."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from chain.client import Head
from miners.blobs.server import Traffic
from miners.diary import Diary
from miners.metrics import WorkerMetrics
from miners.reporter import LATE_BLOCKS, MINER, MOST_BLOCKS, Reporter, print_json
from miners.reports import Report
from miners.shelf import Shelf
from runtime.primitives.commitments import Score
from tests.chain.test_verdicts import row, update
from tests.miners.test_metrics import samples

ME, UID, NETUID = "5Miner4", 4, 1
ASY = 10**12
ROOT = "0x" + "ab" * 32

Events = list[tuple[str, dict[str, Any]]]


class Ledger:
    """A chain with these events in its blocks; `rounds` is what a node answers about each."""

    address = ME

    def __init__(self) -> None:
        self.blocks: dict[int, Events] = {}
        self.rounds: dict[int, dict[str, Any]] = {}
        self.withheld = 0
        self.read: list[int] = []

    async def uid(self, netuid: int) -> int:
        return UID

    async def query(self, item: str, *keys: int, at: Head | None = None) -> Any:
        standing = {"rounds": 1, "audited": 0, "withheld": self.withheld}
        return {"Incentive.LastEpoch": 9, "Incentive.Emission": 3 * ASY, "Verification.Standings": standing}[
            item
        ]

    async def round(self, netuid: int, number: int | None = None, at: Head | None = None) -> None:
        return None

    async def block_at(self, number: int) -> Head:
        return Head(number, f"0x{number}")

    async def events(self, at: Head) -> Events:
        self.read.append(at.number)
        return self.blocks.get(at.number, [])

    async def rpc(self, method: str, netuid: int, number: int) -> dict[str, Any]:
        assert method == "training_round"
        return self.rounds[number]


def closed(number: int, weights: dict[int, int], *rows: list[dict[str, int]]) -> dict[str, Any]:
    """Return a round that is over, with the updates of uids 4 and 5."""
    accepted = [{"hotkey": f"5Miner{uid}", "weight": weight} for uid, weight in weights.items()]
    state = {
        "phase": "Closed",
        "accepted": accepted,
        "newRoot": ROOT,
        "baseRoot": ROOT,
        "expectedJudges": [0],
    }
    judges = [{"uid": at, "scores": scores} for at, scores in enumerate(rows)]
    return {"round": number, "updates": [update(4), update(5)], "judges": judges, "state": state}


def void(number: int) -> dict[str, Any]:
    state = {"phase": "Void", "accepted": [], "newRoot": None, "baseRoot": ROOT, "expectedJudges": []}
    return {"round": number, "updates": [], "judges": [], "state": state}


class Desk:
    """A reporter, the chain it follows, and what it has told."""

    def __init__(self, home: Path, role: str) -> None:
        self.chain, self.told = Ledger(), list[Report]()
        self.diary = Diary(WorkerMetrics("Local", Traffic(), Shelf(home)))
        self.reporter = Reporter(self.chain, NETUID, role, self.diary, self._hear)  # type: ignore[arg-type]
        self.height = 10

    async def _hear(self, report: Report) -> None:
        self.told.append(report)

    async def look(self, *events: tuple[str, dict[str, Any]]) -> list[str]:
        """Put events into a block, and return the lines that are new."""
        self.height += 1
        self.chain.blocks[self.height] = [(name, {"netuid": NETUID, **values}) for name, values in events]
        before = len(self.told)
        await self.reporter.look(Head(self.height, f"0x{self.height}"))
        return [report.line for report in self.told[before:]]

    def numbers(self) -> dict[str, float]:
        """Return the metrics, but for those of every worker."""
        everybody = ("train_blob", "train_round_phase", "train_verification")
        found = samples(self.diary.metrics.render())
        return {name: value for name, value in found.items() if not name.startswith(everybody)}


@pytest.fixture
def miner(tmp_path: Path) -> Desk:
    return Desk(tmp_path, MINER)


@pytest.fixture
def judge(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "judge")


def end(number: int) -> tuple[str, dict[str, Any]]:
    return "Training.RoundClosed", {"round": number, "accepted": 2, "new_root": ROOT}


async def test_a_round_of_a_miner_is_one_line(miner: Desk) -> None:
    assert await miner.look() == []
    miner.diary.trained(7, tokens=10_240, seconds=2.0, loss=3.88031)
    miner.diary.revealed(7, 104)
    miner.diary.done(7)
    miner.chain.rounds[7] = closed(7, {4: 22_462, 5: 43_073}, [row(4, 1), row(5, 1)])
    assert await miner.look(("Training.RoundOpened", {"round": 7})) == []
    assert await miner.look(end(7)) == [
        "round 00007 | loss 3.8803 | 5,120 tokens/s | 104 B | score 342,748 ppm | rank 2 of 2 | "
        "last payout 3.00 ASY in #9"
    ]
    (report,) = miner.told
    assert json.loads(report.to_json()) == {
        "event": "round", "round": 7, "loss": 3.88031, "tokens_per_second": 5120.0, "payload_bytes": 104,
        "score_ppm": 342_748, "rank": 2, "of": 2, "phase": "Closed", "accepted": True, "why": None,
        "last_payout_planck": 3 * ASY, "last_payout_block": 9, "withheld_since_round": None,
        "text": report.text,
    }  # fmt: skip
    assert miner.numbers() == {
        'train_round{chain="Local"}': 7, 'miner_tokens_per_second{chain="Local"}': 5120,
        'miner_step_loss{chain="Local"}': 3.88031, 'miner_payload_bytes{chain="Local"}': 104,
        'miner_score_ppm{chain="Local"}': 342_748, 'miner_rank{chain="Local"}': 2,
        'train_updates_total{outcome="revealed"}': 1, 'train_updates_total{outcome="accepted"}': 1,
        'train_score_reveal_ratio{chain="Local"}': 1, 'train_withheld{chain="Local"}': 0,
    }  # fmt: skip


async def test_a_rejected_update_says_why(miner: Desk) -> None:
    await miner.look()
    miner.diary.revealed(1, 104)
    miner.diary.done(1)
    miner.chain.rounds[1] = closed(1, {5: 65_535}, [row(4, 0, 5, 5)], [row(4, 0, 5, 5)])
    assert await miner.look(end(1)) == [
        "round 00001 | 104 B | REJECTED: failed the cheap checks (all 2 judges) | last payout 3.00 ASY in #9"
    ]
    assert miner.told[0].level == logging.WARNING
    assert miner.told[0].values["why"] == "failed the cheap checks (all 2 judges)"
    assert miner.numbers()['train_rejections_total{cause="cheap_checks",chain="Local"}'] == 1
    assert miner.numbers()['train_updates_total{outcome="rejected"}'] == 1
    assert miner.numbers()['miner_score_ppm{chain="Local"}'] == 0


async def test_a_round_that_came_to_nothing_says_why(miner: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await miner.look()
    miner.diary.lost(1, "too late: round 1 is in phase Reveal already")
    miner.diary.done(1)
    assert caplog.messages == ["round 00001 | lost: too late: round 1 is in phase Reveal already"]
    miner.diary.trained(2, 100, 1.0, 3.5)
    miner.diary.done(2)
    miner.chain.rounds |= {1: closed(1, {}), 2: void(2)}
    miner.chain.rounds[1]["updates"] = []
    reason = ("Training.RoundVoided", {"round": 2, "reason": "NoReveals"})
    assert await miner.look(end(1), reason) == [
        "round 00001 | lost: too late: round 1 is in phase Reveal already | last payout 3.00 ASY in #9",
        "round 00002 | loss 3.5000 | 100 tokens/s | the round is void: no miner revealed | "
        "last payout 3.00 ASY in #9",
    ]


async def test_payments_and_audits_are_told(miner: Desk) -> None:
    await miner.look()
    about = {"round": 3, "miner": ME}
    paid = {"hotkey": ME, "incentive": 9 * ASY, "dividend": 0}
    other = {**paid, "hotkey": "5Other"}
    assert await miner.look(("Incentive.EmissionPaid", paid), ("Incentive.EmissionPaid", other)) == []
    passed = {"judge": 2, "overlap_ppm": 987_000, "contradicted": 0}
    lines = await miner.look(
        ("Verification.AuditDrawn", {**about, "judge": 2, "until_round": 6}),
        ("Verification.AuditDrawn", {"round": 3, "miner": "5Other", "judge": UID, "until_round": 6}),
        ("Verification.AuditPassed", {**about, **passed}),
        ("Verification.AuditFailed", {**about, "reports": [
            {"judge": 2, "verdict": "Failed", "overlap_ppm": 312_000},
            {"judge": 1, "verdict": "Unavailable", "overlap_ppm": 0},
        ]}),
        ("Verification.MinerWithheld", {**about, "uid": UID, "burnt": 2 * ASY}),
        ("Verification.MinerSlashed", {**about, "uid": UID, "burnt": 500 * ASY}),
        ("Verification.MinerEvicted", {**about, "uid": UID}),
        ("ModelUpdates.EvidenceAccepted", {**about, "uid": UID, "reporter": "5J", "slashed": 5 * ASY}),
        ("Verification.AuditLapsed", about),
    )  # fmt: skip
    assert [line.removeprefix("round 00003 | ") for line in lines] == [
        "audit: uid 2 trains this round once more",
        "audit passed: 98.7 % alike when uid 2 trained it; uid 0 had said otherwise",
        "AUDIT FAILED (uid 2: Failed, 31.2 %; uid 1: Unavailable, 0.0 %)",
        "PAY WITHHELD until an audit passes; 2.00 ASY of unvested pay burnt",
        "SLASHED for failed audits: 500.00 ASY burnt; this hotkey has no seat any more",
        "SEAT LOST: it served nothing that judges could audit, again; the bond came back",
        "SLASHED: this hotkey signed for other bytes than it revealed; 5.00 ASY burnt, and it has no seat "
        "any more",
        "audit lapsed: no judge has reported",
    ]
    miner.chain.withheld = 3
    miner.diary.done(4)
    miner.chain.rounds[4] = closed(4, {4: 65_535}, [row(4, 1)])
    assert await miner.look(end(4)) == [
        "round 00004 | 104 B | score 1,000,000 ppm | rank 1 of 2 | last payout 9.00 ASY in #12 | "
        "PAY WITHHELD since round 3, until an audit passes"
    ]
    numbers = miner.numbers()
    assert numbers['train_burnt_planck_total{chain="Local"}'] == 507 * ASY
    assert numbers['train_verdicts_total{event="audit_passed"}'] == 1
    assert numbers['train_emission_planck_total{role="miner"}'] == 9 * ASY
    assert numbers['train_last_payout_planck{role="miner"}'] == 9 * ASY
    assert numbers['train_withheld{chain="Local"}'] == 1


async def test_a_round_of_a_judge_is_one_line(judge: Desk) -> None:
    await judge.look()
    for number, loss in ((1, 4.5), (2, 3.25)):
        judge.diary.begin(number)
        scores = [Score(5, 1_000_000, 9, 8, 0, 0), Score(6, 0, 9, 9, 0, 0), Score(7, 0, 9, 10, 0, 0)]
        judge.diary.judged(number, 4.21, scores, unfetched=1)
        judge.diary.measured(number, loss)
        judge.diary.done(number)
        judge.chain.rounds[number] = closed(number, {5: 65_535}, [])
    lines = await judge.look(end(1), end(2))
    said = (
        "1 of 4 updates scored in 4.2 s | uid 6 failed the cheap checks | uid 7 does not lower the loss | "
        "1 not fetched or measured in time | 1 accepted | held-out loss "
    )
    rest = " | model 0xabababab… | last payout 3.00 ASY in #9"
    assert lines == [f"round 00001 | {said}4.5000{rest}", f"round 00002 | {said}4.5000 → 3.2500{rest}"]
    assert judge.told[1].values["rejected"] == {"6": "cheap_checks", "7": "no_gain"}
    numbers = judge.numbers()
    assert numbers['train_rejections_total{cause="cheap_checks",chain="Local"}'] == 2
    assert numbers['train_rejections_total{cause="unfetched",chain="Local"}'] == 2
    assert numbers['train_base_loss{chain="Local"}'] == 3.25


async def test_judges_that_reveal_no_scores_are_seen(judge: Desk) -> None:
    await judge.look()
    judge.diary.begin(1)
    judge.diary.done(1)
    judge.chain.rounds[1] = ended = closed(1, {5: 65_535}, [row(5, 1)])
    ended["state"]["expectedJudges"] = [0, 3]
    ended["judges"].append({"uid": 2, "scores": None})  # sealed and never opened
    await judge.look(end(1))
    assert judge.numbers()['train_score_reveal_ratio{chain="Local"}'] == pytest.approx(1 / 3)


async def test_what_befalls_a_judge_is_told(judge: Desk) -> None:
    await judge.look()
    about = {"round": 3, "miner": "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty", "judge": UID}
    lines = await judge.look(
        ("Verification.AuditReported", {**about, "verdict": "Passed", "overlap_ppm": 987_000}),
        ("Verification.AuditMissed", about),
        ("Verification.AuditMissed", {**about, "judge": 0}),
        ("Verification.ScoreChallenged", {**about, "challenger": "5C", "deposit": 1}),
        ("Verification.ChallengeDismissed", {**about, "median": {}, "burnt": 1}),
        ("Verification.ChallengeUpheld", {**about, "median": {}}),
        ("Verification.ChallengeLapsed", about),
    )
    assert [line.removeprefix("round 00003 | ") for line in lines] == [
        "reported on 5FHneW…M694ty: Passed, 98.7 % alike",
        "audit of 5FHneW…M694ty not reported in time: this judge's row of the epoch is dropped",
        "somebody doubts the score of 5FHneW…M694ty",
        "a jury agrees with the score of 5FHneW…M694ty",
        "A JURY FOUND THE SCORE OF 5FHneW…M694ty WRONG: the scores of the round are void, and this judge's "
        "row of the epoch is dropped",
        "no jury decided on the score of 5FHneW…M694ty",
    ]
    assert "train_burnt_planck_total" not in str(judge.numbers()), "the challenger's deposit is not its own"


async def test_a_worker_that_is_still_busy_is_waited_for_but_not_for_ever(judge: Desk) -> None:
    await judge.look()
    judge.diary.begin(1)
    judge.chain.rounds[1] = closed(1, {5: 65_535}, [])
    assert await judge.look(end(1)) == []
    for _ in range(LATE_BLOCKS):
        assert await judge.look() == []
    assert await judge.look() == ["round 00001 | 1 accepted | model 0xabababab… | last payout 3.00 ASY in #9"]


async def test_a_long_pause_is_not_read_block_by_block(miner: Desk) -> None:
    await miner.look()
    miner.height += MOST_BLOCKS - 1
    await miner.look()
    assert miner.chain.read == list(range(12, 12 + MOST_BLOCKS))
    miner.height += MOST_BLOCKS
    await miner.look()
    assert miner.chain.read[-1] == 11 + MOST_BLOCKS


async def test_programs_read_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    await print_json(Report("audit_lapsed", 3, "audit lapsed: “nobody”", {"miner": ME}))
    assert capsys.readouterr().out == (
        '{"event": "audit_lapsed", "round": 3, "miner": "5Miner4", "text": "audit lapsed: “nobody”"}\n'
    )
