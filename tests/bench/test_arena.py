"""The arena at its smallest: the table's figures come from what a subnet did."""

import asyncio
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.arena import NUMBERS, TRIALS, expectation, misses, numbers_of
from bench.arena_play import MONEY, WINDOWS, Cell, Game, Memo, Story
from bench.arena_servers import Redirect
from bench.lab import SIZES, Text, key_of
from miners.attacks import ATTACKS, Attack, every
from miners.data import MANIFEST_VERSION, SHARD_BYTES, Corpus, Manifest, Shard
from miners.parameters import MUON, TrainingParameters
from miners.payload import PayloadShape
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

TINY = TrainingParameters(
    model=SIZES["tiny"],
    inner_steps=2,
    warmup_steps=0,
    batch_size=2,
    evaluation_sequences=8,
    chunk=1_024,
    top_k=32,
)
PROSE = b"".join(b"line %d says %d\n" % (number, number * number) for number in range(4_000))[:SHARD_BYTES]
SHARD = Shard(Hash(blake2_256(PROSE)), len(PROSE))
TEXT = Text(Corpus(Manifest(MANIFEST_VERSION, [SHARD], [SHARD]), {SHARD.digest: PROSE}))
CELL = Cell(
    Attack,
    0,
    5,
    2,
    0,
    TINY,
    rules=(("audit_rate_ppm", 50_000), ("newcomer_rounds", 10), ("vesting_rounds", 0)),
)
MEMO = Memo()


def played(attack: type[Attack], attackers: int) -> Story:
    return asyncio.run(Game(replace(CELL, attack=attack, attackers=attackers), TEXT, MEMO).play())


def test_honest_miners_are_audited_and_keep_their_bonds() -> None:
    story = played(Attack, 0)
    assert (story.closed, story.void) == (2, 0)
    assert story.audits == {"honest AuditDrawn": 10, "honest AuditPassed": 10}
    assert {overlap for _, _, overlap, _ in story.overlaps} == {1_000_000}
    assert story.slashed == {}
    assert len(story.losses) == 3
    assert all(sum(row[miner][0] for miner in row) <= 1_000_000 for row in story.rows)


@pytest.mark.parametrize("name", ["nan", "sign_flip"])
def test_a_cheat_of_a_newcomer_is_found_by_two_judges_and_slashed(name: str) -> None:
    story = played(ATTACKS[name], 1)
    assert (story.closed, story.void) == (2, 0)
    assert set(story.slashed) == {4}
    assert (story.audits["cheat AuditFailed"], story.audits.get("honest AuditFailed", 0)) == (1, 0)
    assert story.paid.get(4, 0) == 0


class Clumsy(Attack):
    """Cannot work with a young model."""

    name = "clumsy"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        raise ValueError("nothing to work with yet")


def test_an_attack_that_fails_sits_the_round_out() -> None:
    story = played(Clumsy, 1)
    assert (story.closed, story.void) == (2, 0)
    assert story.refused == {"attack: ValueError": 2}
    assert all(set(row) == {0, 1, 2, 3} for row in story.rows)


def test_who_signs_for_other_bytes_is_shown_to_the_chain() -> None:
    story = played(ATTACKS["mismatch"], 1)
    assert set(story.slashed) == {4}
    assert story.audits.get("cheat AuditFailed", 0) == 0
    assert all(4 not in row for row in story.rows)


def test_who_sends_readers_elsewhere_is_not_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.arena_play.HOSTILE_SECONDS", 60.0)  # it answers, and the others may be slow
    story = played(Redirect, 1)
    assert story.closed == 2
    assert all(4 not in row for row in story.rows)


def test_an_attack_is_found_by_its_name_wherever_it_is_written() -> None:
    names = [attack.name for attack in every()]
    assert len(names) == len(set(names))
    assert {"stall", *ATTACKS} <= set(names)
    assert set(TRIALS) <= set(names)


def test_a_run_is_kept_under_a_name_that_every_rule_is_part_of(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [
        replace(CELL, rules=(*CELL.rules, ("audit_window", 9))),
        replace(CELL, rules=(("audit_rate_ppm", 60_000), *CELL.rules[1:])),
        replace(CELL, parameters=replace(TINY, inner_optimizer=MUON)),
        replace(CELL, attackers=1),
    ]
    names = [key_of(each.settings) for each in (CELL, replace(CELL), *others)]
    monkeypatch.setitem(MONEY, "tempo", 30)
    names.append(key_of(CELL.settings))
    monkeypatch.setitem(WINDOWS, "train_window", 9)
    names.append(key_of(CELL.settings))
    assert names[0] == names[1]
    assert len(set(names)) == len(names) - 1


def test_a_number_that_is_set_comes_before_that_of_the_size() -> None:
    wanted = ["inner_optimizer=1", "inner_steps=4"]
    chosen = numbers_of(Namespace(size="mini", set=wanted))
    assert chosen == NUMBERS["mini"] | {"inner_optimizer": MUON, "inner_steps": 4}
    assert numbers_of(Namespace(size="mini", set=[])) == NUMBERS["mini"]


def test_cheating_never_pays_where_it_is_found() -> None:
    assert expectation(100.0, 0.0) == 100.0
    assert expectation(100.0, 1.0) < 0
    assert expectation(200.0, 1.0) < 0


def test_what_is_missed_is_said() -> None:
    good = {"kept": 0.95, "share_percent": 1.0, "each_percent": 1.0, "replays": 3, "replays_failed": 3}
    good |= {"false_failures": 0, "void": 0, "success": None, "stage": "newcomers", "slashed": 3, "met": 3}
    assert list(misses(TRIALS["noise"], good)) == []
    assert list(misses(TRIALS["noise"], good | {"kept": 0.5, "void": 1})) == [
        "kept 0.5 of 0.9",
        "1 rounds void",
    ]
    assert list(misses(TRIALS["backdoor"], good | {"success": 0.2})) == ["success 0.2 of 0.1"]
    assert list(misses(TRIALS["forged_memory"], good | {"slashed": 2})) == ["1 of 3 not slashed"]
    assert list(misses(TRIALS["forged_memory"], good | {"slashed": 2, "stage": "past"})) == []
    assert list(misses(TRIALS["lazy_50"], good | {"replays_failed": 1, "ev_percent": 3})) == [
        "2 of 3 replays passed",
        "ev 3 %",
    ]
