"""What the screen of `assay up` tells of a round."""

import json
from pathlib import Path
from typing import Any

import pytest

from chain.client import Head
from chain.commands import screen as screens
from chain.commands.screen import Screen
from tests.chain.test_verdicts import row, update
from tests.chain.test_verdicts import told as told_of


class Blocks:
    """A chain whose blocks have these events."""

    def __init__(self, **events: list[tuple[str, Any]]) -> None:
        self._events = events
        self.answer: dict[str, Any] = {}

    async def rpc(self, method: str, *parameters: Any) -> dict[str, Any]:
        return self.answer

    async def events(self, at: Head) -> list[tuple[str, Any]]:
        return self._events.get(f"at_{at.number}", [])


async def texts(screen: Screen, chain: Any, number: int) -> list[str]:
    """Return the lines of a block, without the time before them."""
    lines = await screen.lines(chain, Head(number, "0x" + "11" * 32))
    return [line.text.split(" ", 1)[1] for line in lines]


async def test_a_loss_that_a_slow_judge_measures_late_has_its_own_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screens, "JOURNAL_SECONDS", 0.0)
    journal = tmp_path / "rounds.jsonl"

    def measured(number: int, loss: float) -> None:
        with journal.open("a") as file:
            file.write(json.dumps({"event": "model", "round": number, "held_out_loss": loss}) + "\n")

    measured(0, 5.6)
    closed = {"netuid": 1, "round": 1, "accepted": 2, "new_root": "0x" + "ab" * 32}
    chain, screen = Blocks(at_1=[("Training.RoundClosed", closed)]), Screen(1, journal)
    assert await texts(screen, chain, 1) == ["🧠 round 1 closed: 2 updates accepted   model 0xabababab…"]
    assert await texts(screen, chain, 2) == []
    measured(1, 4.75)
    assert await texts(screen, chain, 3) == ["📉 round 1 measured: held-out loss 5.600 → 4.750"]
    assert await texts(screen, chain, 4) == []


async def test_evidence_is_told_with_what_it_costs(tmp_path: Path) -> None:
    guilty = {"round": 3, "miner": "5Miner", "slashed": 510_250_000_000_000}
    chain, screen = Blocks(at_1=[("ModelUpdates.EvidenceAccepted", guilty)]), Screen(1, tmp_path / "none")
    screen.name_accounts({"5Miner": "Miner1"})
    (line,) = await screen.lines(chain, Head(1, "0x" + "11" * 32))  # type: ignore[arg-type]
    assert line.text.split(" ", 1)[1] == (
        "🚨 round 3  Miner1 signed for other bytes than it revealed: 510.25 ASY burnt, its seat is free"
    )
    assert (line.event, line.values["slashed"]) == ("evidence", 510_250_000_000_000)


async def test_what_befalls_miners_and_judges_is_told(tmp_path: Path) -> None:
    about = {"round": 3, "miner": "5Miner", "judge": 2}
    reports = [{"judge": 2, "verdict": "Failed", "overlap_ppm": 312_000}]
    chain = Blocks(at_1=[
        ("Verification.AuditPassed", {**about, "overlap_ppm": 987_000, "contradicted": None}),
        ("Verification.AuditFailed", {**about, "reports": reports}),
        ("Verification.MinerWithheld", {**about, "uid": 4, "burnt": 10**12}),
        ("Verification.MinerSlashed", {**about, "uid": 4, "burnt": 500 * 10**12}),
        ("Verification.MinerEvicted", {**about, "uid": 4}),
        ("Verification.ChallengeUpheld", {**about, "median": {}}),
        ("Training.RoundVoided", {"round": 4, "reason": "NoReveals"}),
    ])  # fmt: skip
    screen = Screen(1, tmp_path / "none")
    screen.name_accounts({"5Miner": "Miner1"})
    assert await texts(screen, chain, 1) == [
        "🔍 round 3  Miner1 passed its audit: 98.7 % alike",
        "🔍 round 3  Miner1 failed its audit (uid 2: Failed, 31.2 %)",
        "🧊 round 3  Miner1 earns nothing until it passes an audit: 1.00 ASY of unvested pay burnt",
        "🚨 round 3  Miner1 failed two audits: 500.00 ASY burnt, its seat is free",
        "🚪 round 3  Miner1 served nothing that could be audited, again: its seat is free",
        "🧾 round 3  Miner1 was scored wrong by uid 2, a jury found: those scores are void",
        "⚪ round 4 void: no miner revealed",
    ]


async def test_scores_are_told_with_why_others_have_none(tmp_path: Path) -> None:
    rows = [row(4, 1), row(5, 0, 5, 5)]
    chain = Blocks(at_1=[("Training.PhaseChanged", {"round": 3, "phase": "Attest"})])
    chain.answer = told_of([update(4), update(5)], {4: 65_535}, rows)
    screen = Screen(1, tmp_path / "none")
    screen.name_accounts({"5Miner4": "Miner1", "5Miner5": "Miner2"})
    (line,) = await screen.lines(chain, Head(1, "0x" + "11" * 32))  # type: ignore[arg-type]
    assert line.text.split(" ", 1)[1] == (
        "⚖️  round 3  scores  Miner1 1,000,000 ppm   Miner2 rejected: failed the cheap checks (the only judge)"
    )
    assert line.values["rejected"] == {"5Miner5": "failed the cheap checks (the only judge)"}


async def test_epochs_that_pay_nobody_are_told_once_in_a_row(tmp_path: Path) -> None:
    def epoch(number: int, paid: int) -> list[tuple[str, Any]]:
        payments = [{"netuid": 1, "hotkey": "5Miner", "incentive": paid, "dividend": 0}] if paid else []
        events: list[tuple[str, Any]] = [("Incentive.EmissionPaid", each) for each in payments]
        return [*events, ("Incentive.EpochRun", {"netuid": 1, "paid": paid, "carried": number * 10**12})]

    amounts = (0, 0, 3 * 10**12, 0, 0)
    blocks = {f"at_{number}": epoch(number, paid) for number, paid in enumerate(amounts, 11)}
    chain, screen = Blocks(**blocks), Screen(1, tmp_path / "none")
    screen.name_accounts({"5Miner": "Miner1"})
    told = [line for number in range(11, 16) for line in await texts(screen, chain, number)]
    assert [line for line in told if line.startswith("💰")] == [
        "💰 epoch at #11  nothing was earned in it; 11.00 ASY carried to the next one",
        "💰 epoch at #13  paid 3.00 ASY   Miner1 +3.00   carried 13.00",
        "💰 epoch at #14  nothing was earned in it; 14.00 ASY carried to the next one",
    ]
