"""What survives kill -9, a torn log and a full disk: every acknowledged block, at whole batches."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from runpy import run_path

from chain.storage.store import ChainStore
from runtime.primitives.trie import trie_root

SCRIPT = Path(__file__).with_name("crash_writer.py")
WRITER = run_path(str(SCRIPT))
GENESIS, changes_of, body_of = WRITER["GENESIS"], WRITER["changes_of"], WRITER["body_of"]
rebuild, extend = WRITER["rebuild"], WRITER["extend"]
RESTORER = Path(__file__).with_name("crash_restorer.py")
RESTORED = run_path(str(RESTORER))
KILLS = int(os.environ.get("ASSAY_KILLS", "15"))
ROOT = Path(__file__).parents[3]


def expected_flat(number: int) -> dict[bytes, bytes]:
    flat = dict(GENESIS)
    for each in range(1, number + 1):
        flat.update(changes_of(each))
    return {key: value for key, value in flat.items() if value is not None}


def check_store(store: ChainStore) -> None:
    """Compare blocks and states with what the writer's blocks must be."""
    finalized = store.hash_at(store.finalized_number)
    assert finalized == store.finalized
    assert store.finalized_number <= store.best_number
    for number in range(store.best_number + 1):
        block = store.hash_at(number)
        assert block is not None
        assert store.body(block) == (body_of(number) if number else [])
    rebuild(store)
    for number in {0, store.finalized_number // 2, store.finalized_number, store.best_number}:
        block = store.hash_at(number)
        assert block is not None
        header, flat, state = store.header(block), expected_flat(number), store.state_at(block)
        assert header is not None
        assert header.state_root == trie_root(flat) == state.root({})
        assert {key: state.get(key) for key in state.keys(b"")} == flat


def run_writer(
    directory: Path, lines: int | None, file_limit: int = resource.RLIM_INFINITY, script: Path = SCRIPT
) -> list[list[str]]:
    """Run the writer, kill it after so many lines (None: wait for its end), return what it acknowledged."""
    with subprocess.Popen(
        [sys.executable, str(script), str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit)),
    ) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines or 0)]
        if lines is not None:
            writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
    return [line.split(maxsplit=1) for line in said if line.strip() and line.endswith("\n")]


def check_acknowledged(store: ChainStore, said: list[list[str]]) -> None:
    for what, text in said:
        block = bytes.fromhex(text)
        header = store.header(block)
        assert header is not None
        assert store.hash_at(header.number) == block
        if what == "finalized":
            assert header.number <= store.finalized_number
            assert store.justification(block) == b"final" + block


def test_no_acknowledged_block_is_lost_to_kill_9(tmp_path: Path) -> None:
    rng, said = random.Random(0), []
    for _ in range(KILLS):
        said += run_writer(tmp_path, rng.randrange(1, 24))
        store = ChainStore.open(tmp_path, GENESIS)
        check_acknowledged(store, said)
        check_store(store)
        store.close()
    assert len(said) >= KILLS


def test_a_torn_log_opens_at_an_earlier_whole_batch(tmp_path: Path) -> None:
    rng = random.Random(1)
    said = run_writer(tmp_path / "killed", 30)
    best = []
    for trial in range(8):
        copy = tmp_path / str(trial)
        shutil.copytree(tmp_path / "killed", copy)
        log = max(copy.glob("*.log"), key=lambda path: int(path.stem))
        kept = log.read_bytes()[: rng.randrange(log.stat().st_size)]
        log.write_bytes(kept + (rng.randbytes(300) if trial % 2 else b""))
        store = ChainStore.open(copy, GENESIS)
        check_store(store)
        best.append(store.best_number)
        extend(store)
        store.close()
    imported = [text for what, text in said if what == "imported"]
    assert max(best) <= len(imported) + 1
    assert len(set(best)) > 3


def test_a_full_disk_stops_the_writer_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    said = run_writer(tmp_path, None, file_limit=250_000)
    acknowledged = [line for line in said if line[0] in ("imported", "finalized")]
    assert said[-1][0].startswith("chain.common.errors.StorageError")
    assert said[-1][1].startswith("the database cannot be written: ")
    assert len(acknowledged) > 4
    store = ChainStore.open(tmp_path, GENESIS)
    check_acknowledged(store, acknowledged)
    check_store(store)
    extend(store)
    store.close()


def test_a_lock_of_another_process_is_one_clear_line(tmp_path: Path) -> None:
    store = ChainStore.open(tmp_path, GENESIS)
    said = run_writer(tmp_path, None)
    assert " ".join(said[-1]) == (
        f"chain.common.errors.StorageError: the database at {tmp_path} is in use by another node: "
        "stop that one, or choose another base path\n"
    )
    store.close()


def test_a_restoration_goes_on_after_every_kill_9(tmp_path: Path) -> None:
    rng, state, kills = random.Random(4), RESTORED["STATE"], 0
    while True:
        said = run_writer(tmp_path, rng.randrange(1, 7), script=RESTORER)
        store = ChainStore.open(tmp_path, RESTORED["GENESIS"])
        if store.restoration is None and said:
            break
        kills += 1
        if store.restoration is not None:
            gaps = [(span.start, span.end) for span in store.restoration.missing]
            for start, until in (line[1].split() for line in said if line[0] == "put"):
                first, last = (b"" if each == "-" else bytes.fromhex(each) for each in (start, until))
                assert not any(low <= first and (high is None or first < high) for low, high in gaps)
                assert not any(first < low and (not last or low < last) for low, _ in gaps)
        assert store.best == store.genesis_hash
        assert store.state_at(store.best).get(b"genesis") == b"state"
        store.close()
    target = RESTORED["TARGET"]
    assert kills > 1
    assert (store.best, store.best_number, store.gap.missing) == (target.hash(), 77, (1, 77))
    found = store.state_at(store.best)
    assert {key: found.get(key) for key in found.keys(b"")} == state
    assert found.root({}) == target.state_root
    store.close()
