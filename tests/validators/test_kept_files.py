"""What a worker keeps in JSON is read as it was written, or not at all: damage ends none with a traceback."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from miners.casebook import CASES_FILE, Casebook
from miners.files import write_whole
from miners.joining import CHAIN_FILE, CannotJoin, bind
from miners.promise import DUE_FILE, PROMISE_FILE, Promises
from miners.replica import SAVED_STEP, SAVED_WEIGHTS, Replica, genesis_weights
from miners.shelf import Shelf
from runtime.primitives.hashing import blake2_256
from tests.miners.test_casebook import ONE, TWO, debt, told
from tests.miners.test_files import NO_JSON, OTHERS
from tests.miners.test_promise import promised, trained
from tests.miners.test_replica import SMALL, Ledger
from tests.validators.test_envelope import HOTKEY, SEALED
from validators.envelope import ENVELOPE_FILE, Envelope
from validators.mirror import STATE_FILE, Mirror
from validators.replay import Finding
from validators.replaying import FINDING, conclude, found

GENESIS = b"\x11" * 32
LIE = told(TWO, blake2_256(ONE))
WEIGHTS = genesis_weights(1, SMALL.model)
NOBODY: Any = None
HERE = b'"here"'


@dataclass(frozen=True)
class Kept:
    """A file: how it comes to a directory, and whether it is read as it was written."""

    name: str
    write: Callable[[Path], None]
    is_read: Callable[[Path], bool]


def _promise(home: Path) -> None:
    blob, after = trained()
    Promises(home).keep(promised(blob), blob, after)


def _owe(home: Path) -> None:
    _promise(home)
    Promises(home).fulfil()


def _is_bound(home: Path) -> bool:
    try:
        bind(home, GENESIS, 1)
    except CannotJoin as problem:
        damaged = f"{home / CHAIN_FILE} is damaged: choose another directory with --directory"
        return str(problem) != damaged
    return True


def _mirror(home: Path) -> None:
    write_whole(home / STATE_FILE, b'{"round": 4, "missing": [3], "dropped": 2}')


def _is_mirrored(home: Path) -> bool:
    mirror = Mirror(NOBODY, NOBODY, NOBODY, home, 1)
    return (mirror.done, mirror.missing, mirror.dropped) == (4, {3}, 2)


def _save(home: Path) -> None:
    write_whole(home / SAVED_WEIGHTS, WEIGHTS.to_bytes())
    write_whole(home / SAVED_STEP, json.dumps({"round": 2, "root": WEIGHTS.root().hex()}).encode())


def _is_saved(home: Path) -> bool:
    chain: Any = Ledger()
    return Replica(chain, NOBODY, Shelf(home), home, 1, SMALL.model).applied == 2


FILES = (
    Kept(CHAIN_FILE, lambda home: bind(home, GENESIS, 1), _is_bound),
    Kept(SAVED_STEP, _save, _is_saved),
    Kept(PROMISE_FILE, _promise, lambda home: Promises(home).open() is not None),
    Kept(DUE_FILE, _owe, lambda home: Promises(home).due() is not None),
    Kept(
        CASES_FILE,
        lambda home: Casebook(home).hear(debt(), LIE),
        lambda home: bool(Casebook(home)._cases),
    ),
    Kept(STATE_FILE, _mirror, _is_mirrored),
    Kept(
        ENVELOPE_FILE,
        lambda home: Envelope(home).keep(SEALED),
        lambda home: Envelope(home).of(5, HOTKEY) == SEALED,
    ),
    Kept(
        FINDING,
        lambda home: conclude(home, Finding(1, "why", 2)),
        lambda home: found(home) == Finding(1, "why", 2),
    ),
)


def damages(content: bytes) -> Iterator[bytes]:
    """Yield files that are none, and this one with something else in place of each value."""
    yield from (*NO_JSON, *OTHERS)
    for marked in _marked(json.loads(content)):
        yield from (json.dumps(marked).encode().replace(HERE, other) for other in OTHERS)


def _marked(tree: Any) -> Iterator[Any]:
    """Yield a tree with a mark in place of each value that has no parts."""
    if isinstance(tree, dict):
        yield from ({**tree, name: each} for name in tree for each in _marked(tree[name]))
        yield from ({key: value for key, value in tree.items() if key != name} for name in tree)
    elif isinstance(tree, list):
        yield from (
            [*tree[:at], each, *tree[at + 1 :]] for at in range(len(tree)) for each in _marked(tree[at])
        )
    else:
        yield json.loads(HERE)


@pytest.mark.parametrize("kept", FILES, ids=lambda kept: kept.name)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, kept: Kept) -> None:
    kept.write(tmp_path)
    assert kept.is_read(tmp_path)
    path = tmp_path / kept.name
    for damage in damages(path.read_bytes()):
        path.write_bytes(damage)
        assert not kept.is_read(tmp_path), damage[:200]
