"""The table of rounds: what stands in a row, and rows that come one by one as rounds end."""

import asyncio
from typing import Any

import pytest

from chain.commands import rounds
from chain.commands.failure import Failure


def told(number: int, phase: str, *losses: int, **more: Any) -> dict[str, Any]:
    """Return what a node says about a round of four judges, some of whom have opened their scores."""
    ended = phase in ("Closed", "Void")
    judges = [
        {"uid": uid, "hotkey": "5J", "isVoid": False, "root": "0x01" if ended else None,
         "scores": [{"uid": 7, "score": 1, "lossBefore": loss, "lossAfter": loss - 1, "alignment": 0}]}
        for uid, loss in enumerate(losses)
    ]  # fmt: skip
    update = {"uid": 7, "update": {"miner": "5M", "length": 9}, "isGuilty": False, "audit": None}
    state = {
        "phase": phase, "openedAt": 10 * number, "phaseSince": 10 * number + 9, "baseRoot": "0x" + "ab" * 32,
        "newRoot": "0x" + "cd" * 32 if phase == "Closed" else None, "expectedMiners": [7, 8],
        "expectedJudges": [0, 1, 2, 3],
        "accepted": [{"hotkey": "5M", "weight": 65_535}] if phase == "Closed" else [],
    }  # fmt: skip
    found = {"round": number, "commits": 2, "updates": [update], "judges": judges, "state": state}
    return {**found, "checkpoint": False, **more}


class Node:
    """Answers what `rounds` asks; its newest round goes on by one step with each look."""

    def __init__(self, *script: list[dict[str, Any]]) -> None:
        self.script = list(script)

    async def ask(self, method: str, netuid: int, *parameters: int) -> Any:
        known = {each["round"]: each for each in self.script[0]}
        if method == "training_lineage":
            return {"last": max(known, default=0)}
        if len(self.script) > 1 and parameters[0] == max(known):
            self.script.pop(0)
        return known.get(parameters[0])


def test_a_row_says_how_far_a_round_has_come() -> None:
    row = rounds._row(told(3, "Closed", 4_000_000, 5_000_000, 1_500_000, 2_000_000))
    model = "0xcdcd…cdcdcd"
    assert row == ("3", "Closed", "#30-39", model, "2/2", "1", "1", "4/4", "4", "2.0000", "")
    open_row = rounds._row(told(4, "ScoreReveal", 4_000_000, checkpoint=True))
    assert open_row[1:4] == ("ScoreReveal", "#40-", "0xabab…ababab")
    assert open_row[7:] == ("1/4", "0", "4.0000", "checkpoint")
    assert rounds._row(told(5, "Train"))[9] == ""
    other = {"uid": 8, "update": {"miner": "5N", "length": 9}, "isGuilty": False, "audit": None}
    closed = told(6, "Closed", 4_000_000)
    closed["updates"] += [other, {**other, "uid": 9, "isGuilty": True}]
    assert rounds._row(closed)[10] == "uid 8 rejected, uid 9 guilty"


async def test_the_last_rounds_come_oldest_first() -> None:
    node = Node([told(number, "Closed") for number in range(1, 8)])
    assert [each["round"] for each in await rounds._last(node.ask, 1, 3)] == [5, 6, 7]
    assert [each["round"] for each in await rounds._last(node.ask, 1, 99)] == list(range(1, 8))
    with pytest.raises(Failure, match="subnet 1 has had no round"):
        await rounds._last(Node([]).ask, 1, 3)


async def test_each_round_comes_once_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "POLL_SECONDS", 0.0)
    one, two = told(1, "Closed"), told(2, "Void")
    node = Node(
        [one, told(2, "Train")], [one, told(2, "Attest")], [one, two, told(3, "Train")],
        [one, two, told(3, "Train")], [one, two, told(3, "Closed")],
    )  # fmt: skip
    seen = []
    async with asyncio.timeout(60):
        async for each in rounds._ended(node.ask, 1, 10):
            seen.append((each["round"], each["state"]["phase"]))
            if each["round"] == 3:
                break
    assert seen == [(1, "Closed"), (2, "Void"), (3, "Closed")]


def test_rows_that_come_one_by_one_stand_below_their_titles() -> None:
    titles = rounds._line([title.removeprefix("<") for title in rounds.TITLES])
    row = rounds._line(rounds._row(told(12, "Closed", 4_000_000)))
    assert titles.index("model") == row.index("0xcdcd")
    assert titles.index("loss") + len("loss") == row.index("4.0000") + len("4.0000")
