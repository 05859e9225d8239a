"""What stays of the past: every state and body in the window, none below it, and no growth on disk."""

import random
from pathlib import Path

import pytest

from chain.common.errors import StateDiscarded, StorageError
from chain.storage import pruning, store
from chain.storage.db import BODIES, FORKS, HISTORY, JUSTIFICATIONS, UNDO
from chain.storage.pruning import NAMED, Modes, Pruning
from chain.storage.store import ChainStore
from runtime.primitives.header import GRANDPA_ENGINE, Consensus
from runtime.primitives.types import Hash
from tests.chain.storage.model import GENESIS, Chain, random_changes

ARCHIVE, CANONICAL = NAMED["archive"], NAMED["archive-canonical"]
HANDOVER = (Consensus(GRANDPA_ENGINE, b"\x01" + bytes(5)),)


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let twenty blocks show what 300 would."""
    monkeypatch.setattr(pruning, "REWIND", 5)
    monkeypatch.setattr(store, "FAST_REWIND", 2)


def grow(chain: Chain, count: int, step: int = 1) -> list[Hash]:
    """Add so many final blocks, a few at a time; return the whole chain."""
    rng = random.Random(chain.store.best_number)
    for index in range(count):
        logs = HANDOVER if chain.store.best_number % 7 == 3 else ()
        chain.add(chain.store.best, random_changes(rng), logs=logs)
        if index % step == step - 1:
            chain.store.finalize(chain.store.best, b"proof")
    return line(chain)


def line(chain: Chain) -> list[Hash]:
    found = [chain.store.hash_at(number) for number in range(chain.store.best_number + 1)]
    return [block for block in found if block is not None]


def held(chain: Chain, column: str) -> int:
    """Count the records of a column."""
    return len(list(chain.store._database.keys(column, b"")))


def states_stay_from(chain: Chain, blocks: list[Hash], lowest: int) -> None:
    for block in blocks[lowest:]:
        chain.check(block)
    for block in blocks[:lowest]:
        with pytest.raises(StateDiscarded, match="^State already discarded for 0x" + block.hex() + "$"):
            chain.store.state_at(block)


@pytest.mark.parametrize("kept", [0, 1, 3, 5, 6, 9])
@pytest.mark.parametrize("step", [1, 4])
def test_n_keeps_the_final_state_and_n_below(tmp_path: Path, kept: int, step: int) -> None:
    chain = Chain(tmp_path, states=Pruning(kept))
    blocks = grow(chain, 24, step)
    states_stay_from(chain, blocks, 24 - kept)
    chain.reopen()
    states_stay_from(chain, blocks, 24 - kept)
    assert held(chain, UNDO) <= kept + step
    chain.store.close()


def test_a_pruned_database_does_not_grow(tmp_path: Path) -> None:
    chain = Chain(tmp_path, states=Pruning(8), blocks=Pruning(4))
    chain.add(chain.store.best, {b"a": b"0"})
    counts = []
    for value in range(60):
        block = chain.add(chain.store.best, {b"a": bytes([value]), b"b": bytes([value])})
        chain.store.finalize(block, b"proof")
        counts.append([held(chain, column) for column in (UNDO, HISTORY, BODIES, JUSTIFICATIONS)])
    assert counts[20] == counts[-1] == [8, 16, 6, 5]  # genesis keeps its empty body
    chain.store.close()


@pytest.mark.parametrize("kept", [0, 2, 7])
def test_bodies_go_and_the_proofs_of_new_voters_stay(tmp_path: Path, kept: int) -> None:
    chain = Chain(tmp_path, blocks=Pruning(kept))
    blocks = grow(chain, 20)
    bodies = [number for number in range(1, 21) if chain.store.body(blocks[number]) is not None]
    proofs = [number for number in range(1, 21) if chain.store.justification(blocks[number]) == b"proof"]
    recent = list(range(20 - kept, 21))
    assert bodies == recent
    assert proofs == sorted({4, 11, 18, *recent})
    assert [chain.store.header(block) is not None for block in blocks] == [True] * 21
    chain.store.close()


@pytest.mark.parametrize("states", [ARCHIVE, CANONICAL, Pruning(3)], ids=str)
@pytest.mark.parametrize("blocks", [ARCHIVE, CANONICAL], ids=str)
def test_only_an_archive_keeps_abandoned_forks(tmp_path: Path, states: Pruning, blocks: Pruning) -> None:
    chain = Chain(tmp_path, states=states, blocks=blocks)
    rng = random.Random(3)
    trunk = grow(chain, 4)[-1]
    fork = [trunk]
    for _ in range(3):
        fork.append(chain.add(fork[-1], random_changes(rng), best=False))
    fork.append(chain.add(fork[1], random_changes(rng), best=False))  # a fork of the fork
    grow(chain, 2)
    for _ in range(2):
        for block in fork[1:]:
            assert (chain.store.header(block) is not None) == (states.forks or blocks.forks)
            assert (chain.store.body(block) is not None) == blocks.forks
            if states.forks:
                chain.check(block)
            else:
                with pytest.raises(LookupError, match=r"State already|Header was not found"):
                    chain.store.state_at(block)
        assert held(chain, FORKS) == (4 if states.forks else 0)
        assert chain.store.leaves() == [chain.store.best]
        grow(chain, 12)
        chain.reopen()
    with pytest.raises(LookupError):
        chain.store.finalize(fork[1], b"proof")
    assert chain.store.justification(fork[1]) is None
    chain.store.close()


def test_an_archive_keeps_forks_that_had_reached_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_LAYERS", 4)
    chain, rng = Chain(tmp_path, states=ARCHIVE), random.Random(4)
    lost = [chain.store.genesis_hash]
    for _ in range(9):
        lost.append(chain.add(lost[-1], random_changes(rng)))
    winner = chain.add(chain.store.genesis_hash, random_changes(rng), best=False)
    chain.store.finalize(winner, b"proof")
    chain.reopen()
    for block in lost:
        chain.check(block)
    chain.store.close()


def test_n_may_grow_and_shrink_but_what_is_gone_stays_gone(tmp_path: Path) -> None:
    chain = Chain(tmp_path, states=Pruning(4), blocks=Pruning(4))
    grow(chain, 10)
    chain.options = {"states": Pruning(9), "blocks": Pruning(9)}  # the history begins now, at 10
    chain.reopen()
    states_stay_from(chain, grow(chain, 6), 10)
    states_stay_from(chain, grow(chain, 6), 13)
    assert [chain.store.body(block) is not None for block in line(chain)[1:]] == [False] * 12 + [True] * 10
    chain.options = {"states": Pruning(2), "blocks": Pruning(2)}
    chain.reopen()
    states_stay_from(chain, line(chain), 20)
    assert held(chain, HISTORY) == 0
    blocks = grow(chain, 1)
    states_stay_from(chain, blocks, 21)
    assert (held(chain, UNDO), held(chain, BODIES)) == (2, 4)
    chain.options = {}
    chain.reopen()
    assert chain.store.modes == Modes(Pruning(2), Pruning(2))
    chain.store.close()


def test_a_long_overdue_cleaning_is_done_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "CATCH_UP", 3)
    chain = Chain(tmp_path, states=Pruning(20), blocks=Pruning(20))
    grow(chain, 20)
    chain.options = {"states": Pruning(1), "blocks": Pruning(1)}
    chain.reopen()
    counts = []
    for _ in range(7):
        blocks = grow(chain, 1)
        states_stay_from(chain, blocks, len(blocks) - 2)
        counts.append((held(chain, UNDO), held(chain, BODIES)))
    assert counts == [(17, 18), (14, 15), (11, 12), (8, 9), (5, 6), (2, 3), (1, 3)]
    chain.store.close()


@pytest.mark.parametrize(
    ("made", "asked"),
    [("256", "archive"), ("archive", "256"), ("archive", "archive-canonical"), ("archive-canonical", "0")],
)
@pytest.mark.parametrize("flag", ["states", "blocks"])
def test_another_kind_of_mode_is_refused(tmp_path: Path, made: str, asked: str, flag: str) -> None:
    ChainStore.open(tmp_path, GENESIS, **{flag: Pruning.parse(made)}).close()
    for _ in range(2):
        with pytest.raises(StorageError) as refused:
            ChainStore.open(tmp_path, GENESIS, **{flag: Pruning.parse(asked)})
        word = {"states": "--state-pruning", "blocks": "--blocks-pruning"}[flag]
        assert str(refused.value) == (
            f"the database at {tmp_path} was made with {word} {made}, it cannot become {asked}: "
            f"start with {word} {made}, or purge the chain and sync again"
        )
    reopened = ChainStore.open(tmp_path, GENESIS)
    assert str(getattr(reopened.modes, flag)) == made
    reopened.close()


@pytest.mark.parametrize("text", ["", "all", "-1", "4294967296", "1e3", "٣", "9" * 5000, "Archive"])
def test_other_words_are_no_mode(text: str) -> None:
    with pytest.raises(ValueError, match="is not archive, archive-canonical or a number of blocks"):
        Pruning.parse(text)


@pytest.mark.parametrize("text", ["archive", "archive-canonical", "0", "256", "4294967295"])
def test_a_mode_is_written_as_it_is_read(text: str) -> None:
    assert str(Pruning.parse(text)) == text


def test_the_defaults_are_substrates(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    assert chain.store.modes == Modes(Pruning(256), CANONICAL)
    chain.store.close()


def test_a_revert_takes_the_best_chain_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_LAYERS", 4)
    chain, rng = Chain(tmp_path, states=ARCHIVE), random.Random(8)
    trunk = grow(chain, 3)[-1]
    main = [trunk]
    for _ in range(12):
        main.append(chain.add(main[-1], random_changes(rng)))
    low = chain.add(trunk, random_changes(rng), best=False)
    middle = chain.add(low, random_changes(rng), best=False)
    high = chain.add(middle, random_changes(rng), best=False)
    gone = chain.store.revert(10)  # the disk is ahead of what stays, and comes back
    assert set(gone) == {*main[3:], high}
    assert (chain.store.best, chain.store.best_number, chain.store.hash_at(6)) == (main[2], 5, None)
    assert [chain.store.header(block) for block in gone] == [None] * len(gone)
    for _ in range(2):
        for block in (*main[:3], low, middle, *line(chain)):
            chain.check(block)
        chain.reopen()
    again = chain.add(main[2], random_changes(rng))
    chain.check(again)
    assert set(chain.store.revert(1000)) == {*main[1:3], low, middle, again}
    assert (chain.store.best, chain.store.unapplied(), chain.store.revert(5)) == (trunk, [], [])
    chain.check(trunk)
    chain.store.close()
