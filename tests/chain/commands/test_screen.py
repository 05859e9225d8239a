"""What the screen of `assay up` tells of a round."""

import json
from pathlib import Path
from typing import Any

import pytest

from chain.client import Head
from chain.commands import screen as screens
from chain.commands.screen import Screen


class Blocks:
    """A chain whose blocks have these events."""

    def __init__(self, **events: list[tuple[str, Any]]) -> None:
        self._events = events

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
