"""What a round's numbers say about each update, in words."""

from typing import Any

import pytest

from chain.verdicts import VOID_REASONS, Cause, Outcome, cause_of, outcomes
from runtime.pallets.training.types import VoidReason


def update(uid: int, *, is_guilty: bool = False) -> dict[str, Any]:
    about = {"miner": f"5Miner{uid}", "length": 100 + uid}
    return {"uid": uid, "update": about, "isGuilty": is_guilty, "audit": None}


def row(uid: int, score: int, before: int = 5, after: int = 4, alignment: int = 0) -> dict[str, int]:
    return {"uid": uid, "score": score, "lossBefore": before, "lossAfter": after, "alignment": alignment}


def told(
    updates: list[dict[str, Any]], weights: dict[int, int], *rows: list[dict[str, int]] | None
) -> dict[str, Any]:
    """Return what a node answers about a round; a judge without a row has opened nothing."""
    accepted = [{"hotkey": f"5Miner{uid}", "weight": weight} for uid, weight in weights.items()]
    judges = [{"uid": at, "scores": scores} for at, scores in enumerate(rows)]
    return {"updates": updates, "judges": judges, "state": {"accepted": accepted}}


def test_accepted_updates_are_ranked_by_weight_and_the_others_share_the_last_place() -> None:
    rows = [row(4, 7), row(5, 9), row(6, 0), row(7, 7)]
    found = outcomes(told([update(uid) for uid in (4, 5, 6, 7)], {4: 16_384, 5: 32_767, 7: 16_384}, rows))
    assert [(one.uid, one.rank, one.of, one.ppm) for one in found] == [
        (5, 1, 4, 499_992), (4, 2, 4, 250_003), (7, 2, 4, 250_003), (6, 4, 4, 0),
    ]  # fmt: skip
    assert [one.why for one in found if one.ppm] == ["", "", ""]
    assert (found[0].miner, found[0].length) == ("5Miner5", 105)


@pytest.mark.parametrize(
    ("numbers", "cause"),
    [
        ((1, 5, 5, 0), None),
        ((0, 5, 5, 0), Cause.CheapChecks),
        ((0, 5, 6, 9), Cause.NoGain),
        ((0, 5, 4, -1), Cause.Against),
        ((0, 5, 4, 0), Cause.Record),
    ],
)
def test_a_cause_is_read_off_a_row(numbers: tuple[int, int, int, int], cause: Cause | None) -> None:
    assert cause_of(*numbers) is cause


def why(weights: dict[int, int], *rows: list[dict[str, int]] | None, is_guilty: bool = False) -> str:
    return outcomes(told([update(4, is_guilty=is_guilty)], weights, *rows))[0].why


def test_why_an_update_did_not_enter() -> None:
    cheap, worse = [row(4, 0, 5, 5)], [row(4, 0, 5, 6)]
    assert why({}, cheap, cheap, cheap, worse, None) == (
        "failed the cheap checks (3 of 4 judges); does not lower the loss (1 of 4 judges)"
    )
    assert why({}, [], cheap) == (
        "could not be fetched or measured in time (1 of 2 judges); failed the cheap checks (1 of 2 judges)"
    )
    assert why({}, [row(4, 9)], worse) == (
        "1 of 2 judges gave it a score, not with half of the stake; does not lower the loss (1 of 2 judges)"
    )
    assert why({}, None) == "no judge opened scores"
    assert why({}, [row(4, 9)], is_guilty=True) == "its miner signed for other bytes than it revealed"


def test_a_round_without_updates_has_no_outcomes() -> None:
    assert outcomes(told([], {}, [])) == []
    assert outcomes(told([update(4)], {})) == [
        Outcome(uid=4, miner="5Miner4", length=104, ppm=0, rank=1, of=1, judges=0, causes=(), is_guilty=False)
    ]


def test_every_reason_has_words() -> None:
    assert set(VOID_REASONS) == {reason.name for reason in VoidReason}
