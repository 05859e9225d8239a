"""Published scores computed again from a node's own answers, and measurements of several judges compared."""

from dataclasses import replace
from typing import Any

import pytest

from chain.rpc.shapes import plain_json
from runtime.pallets.model_updates.types import Update
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.training.parameters import parameter_set
from runtime.pallets.training.types import Phase, Round
from runtime.primitives.commitments import PPM, Score
from runtime.primitives.types import AccountId, Hash
from runtime.trail_api import RoundInfo, RoundJudge, RoundUpdate
from validators.audit_scores import audit, text
from validators.recount import Deviation, Difference, deviations, differences
from validators.scorebook import scored
from validators.trail import Rows, Sitting, sitting_of

NETUID, MINERS, BEFORE, EMA = 1, (2, 3, 4, 5, 6), 5_000_000, 800_000
ALICE, BOB, CAROL = (AccountId(bytes([at]) * 32) for at in (0xA1, 0xB0, 0xCA))
JUDGES = (ALICE, BOB, CAROL)
ZERO = Hash(bytes(32))
STAKES = dict.fromkeys(map(bytes, JUDGES), 10**12)

Rounds = dict[int, Sitting]


def hotkey(uid: int) -> AccountId:
    return AccountId(bytes([uid]) * 32)


def entry(uid: int, number: int) -> Score:
    worth = PPM // 2 + 10_000 * uid + 1_000 * (number % 7)
    return Score(uid, 0, BEFORE, BEFORE - 1_000 * uid - number, worth, 100 if uid < 6 else -100)


def told(number: int, rows: dict[AccountId, list[Score]], void: tuple[AccountId, ...] = ()) -> Any:
    """Return what a node says about a round, as JSON."""
    updates = [
        RoundUpdate(uid, Update(hotkey(uid), ZERO, ZERO, 1_000, ZERO, 10, uid, uid), False, None)
        for uid in MINERS
    ]
    judges = [RoundJudge(uid, key, rows.get(key), key in void, None) for uid, key in enumerate(JUDGES)]
    state = Round(Phase.Closed, ZERO, ZERO, ZERO, ZERO, 1, 2, 3, [], [], [], None, 20, 1)
    numbers = parameter_set(Hyperparameters())
    info = RoundInfo(NETUID, number, 9, state, len(MINERS), updates, judges, False, numbers)
    return plain_json(RoundInfo)(info)


def play(rounds: int, *judges: AccountId, void: int = 0, known_from: int = 99) -> Rounds:
    """Let judges publish what follows; the rows of round `void` are void, as they know from a round on."""
    played, earlier = Rounds(), list[tuple[int, dict[bytes, Score]]]()
    for number in range(1, rounds + 1):
        memory = [row for at, row in earlier if at != void or number < known_from]
        hotkeys = {uid: bytes(hotkey(uid)) for uid in MINERS}
        row = scored([entry(uid, number) for uid in MINERS], hotkeys, memory, EMA)
        earlier.insert(0, (number, {hotkeys[one.uid]: one for one in row}))
        gone = judges if number == void else ()
        played[number] = sitting_of(number, told(number, dict.fromkeys(judges, row), tuple(gone)))
    return played


def changed(rounds: Rounds, number: int, judge: int, **values: int) -> Rounds:
    """Return the rounds with something else published about the first miner."""
    sitting = rounds[number]
    published = [
        replace(each, scores=[replace(each.scores[0], **values), *each.scores[1:]])
        if each.judge == judge
        else each
        for each in sitting.published
    ]
    return {**rounds, number: replace(sitting, published=published)}


def test_a_sitting_is_read_from_what_a_node_says() -> None:
    sitting = sitting_of(7, told(7, {BOB: [entry(2, 7)]}, (BOB,)))
    assert sitting.hotkeys == {uid: bytes(hotkey(uid)) for uid in MINERS}
    assert (sitting.numbers["ema_ppm"], sitting.numbers["tolerance_ppm"]) == (800_000, 20_000)
    (published,) = sitting.published
    assert (published.judge, published.hotkey, published.is_void) == (1, BOB, True)
    assert sitting.joined(published) == {bytes(hotkey(2)): entry(2, 7)}


def test_honest_scores_follow_from_what_was_published() -> None:
    assert list(differences(play(12, ALICE, BOB), 1, 12)) == []


def test_a_score_of_ones_own_making_is_found_and_what_follows_from_it_is_not() -> None:
    rounds = play(12, ALICE, BOB)
    honest = rounds[5].published[1].scores[0].score
    wrong = changed(rounds, 5, 1, score=honest + 7)
    assert list(differences(wrong, 1, 12)) == [Difference(5, 1, 2, honest + 7, honest)]
    assert list(differences(wrong, 6, 12)) == []


def test_a_row_that_was_changed_shows_in_every_later_one() -> None:
    wrong = changed(play(8, ALICE), 5, 0, alignment=0)
    assert {each.round for each in differences(wrong, 1, 8)} == {5, 6, 7, 8}


@pytest.mark.parametrize("known_from", [4, 6, 99])
def test_a_row_that_a_jury_made_void_may_have_been_so_for_its_judge_or_not_yet(known_from: int) -> None:
    rounds = play(8, ALICE, void=3, known_from=known_from)
    assert list(differences(rounds, 1, 8)) == []
    assert list(differences(changed(rounds, 7, 0, score=0), 1, 8)) != []


def test_measurements_are_held_against_the_median_by_stake() -> None:
    rounds = changed(play(1, ALICE, BOB, CAROL), 1, 2, loss_after=BEFORE - 12_001)
    found = {(each.judge, each.uid, each.what): each for each in deviations(rounds[1], STAKES)}
    assert len(found) == 3 * len(MINERS) * 3
    assert found[2, 2, "loss drop"] == Deviation(1, 2, 2, "loss drop", 12_001, 2_001, 10_000 * PPM // 100_000)
    assert all(each.off_ppm == 0 for key, each in found.items() if key != (2, 2, "loss drop"))
    heavy = {**STAKES, bytes(CAROL): 10**13}
    off = [each for each in deviations(rounds[1], heavy) if each.off_ppm]
    assert [(each.judge, each.what) for each in off] == [(0, "loss drop"), (1, "loss drop")]
    assert list(deviations(play(1, ALICE)[1], STAKES)) == []


def test_alignments_with_other_payloads_are_not_compared() -> None:
    rounds = changed(play(1, ALICE, BOB), 1, 1, loss_after=2 * BEFORE)  # the first one does not pass for Bob
    assert {each.what for each in deviations(rounds[1], STAKES)} == {"loss before", "loss drop"}


def test_the_report_names_judge_round_and_miner() -> None:
    rounds = changed(changed(play(12, ALICE, BOB, CAROL), 5, 1, score=9), 9, 2, alignment=-PPM)
    report = audit(NETUID, 1, 12, rounds, STAKES, {bytes(BOB): 2})
    found = [
        (each.rounds, each.scores, each.differing, each.off, each.contradicted) for each in report.judges
    ]
    wrong_from_9_to_12 = (12, 60, 16, 1, 0)  # but for uid 6
    assert found == [(12, 60, 0, 0, 0), (12, 60, 1, 0, 2), wrong_from_9_to_12]
    said = text(report)
    assert "round 5: judge 1 gave uid 2 9 ppm; what it has published gives" in said
    assert "assay audit challenge 1 9 2 2" in said
    assert said.splitlines()[-1].startswith("rounds 1 to 12 of subnet 1: 163 of 180 scores follow")
    assert audit(NETUID, 1, 12, play(12, ALICE, BOB), STAKES, {}).is_good


class Node:
    """Answers what a judge asks about its own rows."""

    def __init__(self, rounds: int) -> None:
        self.hotkey, self.asked, self.void = bytes(ALICE), list[int](), list[tuple[tuple[int, int], bool]]()
        self._rounds = rounds

    async def finalized_head(self) -> Any:
        return type("Head", (), {"hash": "0x00"})

    async def rpc(self, method: str, netuid: int, number: int, at: str) -> Any:
        self.asked.append(number)
        return told(number, {ALICE: [entry(2, number)], BOB: []}) if number <= self._rounds else None

    async def query_map(self, item: str, netuid: int, at: Any) -> Any:
        return self.void


async def test_a_judge_reads_its_rows_back_once_and_void_ones_are_left_out() -> None:
    node = Node(80)
    rows = Rows(node, NETUID)  # type: ignore[arg-type]
    found = await rows.before(71)
    assert node.asked == list(range(70, 6, -1))
    assert found == [{bytes(hotkey(2)): entry(2, number)} for number in range(70, 6, -1)]
    node.asked.clear()
    node.void = [((70, 0), True), ((69, 1), True)]
    assert (await rows.before(72))[:2] == [{bytes(hotkey(2)): entry(2, number)} for number in (71, 69)]
    assert node.asked == [71]
    assert await Rows(Node(0), NETUID).before(1) == []  # type: ignore[arg-type]
