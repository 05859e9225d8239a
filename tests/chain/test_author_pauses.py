"""When an author leaves out a slot of its own: by rule, by order of the guard, by its clock."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.consensus.author import MAX_PAUSE, UNFINALIZED_SLACK, pause
from chain.consensus.clock_watch import ENOUGH, WHOLE
from chain.consensus.slots import pre_digest_slot
from chain.keys.pair import Keypair
from chain.storage.store import ChainStore
from runtime.pallets.system import System
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import AssayRuntime
from tests.chain.chains import FIRST_SLOT, SLOT_MS, SPENDER, TurnedClock
from tests.chain.validators import Validator, play, spec_of
from tests.sim.database import Tables


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[Validator]:
    """The only validator of a chain without finality."""
    made = Validator("Alice", tmp_path, spec_of({"Alice": 10_000}), TurnedClock())
    yield made
    made.close()


def slots_of(store: ChainStore) -> list[int]:
    """Return the slots of the best chain's blocks, counted from the first."""
    blocks = [store.hash_at(number) for number in range(1, store.best_number + 1)]
    headers = [store.header(block) for block in blocks if block is not None]
    return [pre_digest_slot(header) - FIRST_SLOT for header in headers if header is not None]


def test_the_pause_grows_with_what_is_not_final() -> None:
    grown = [pause(UNFINALIZED_SLACK + beyond) for beyond in (-50, 0, 1, 2, 3, 10, 199, 200, 10_000)]
    assert grown == [0, 0, 0, 1, 1, 5, 99, MAX_PAUSE, MAX_PAUSE]


async def test_authors_slow_down_while_finality_lags_and_recover_with_it(
    alice: Validator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "babe")
    await play([alice], range(FIRST_SLOT, FIRST_SLOT + 80))
    store = alice.chain.store
    expected: list[int] = []
    for slot in range(80):
        if not expected or slot - expected[-1] >= min(100, max(0, len(expected) - 50) // 2):
            expected.append(slot)
    assert slots_of(store) == expected
    assert 50 < len(expected) < 66
    skipped = next(slot for slot in range(80) if slot not in expected)
    lag = expected.index(skipped - 1) + 1
    assert next(message for message in caplog.messages if "Backing off" in message) == (
        f"🐌 Backing off claiming new slot {FIRST_SLOT + skipped} for block authorship: finality is lagging "
        f"by {lag} blocks"
    )
    store.finalize(store.best, None)
    await play([alice], range(FIRST_SLOT + 80, FIRST_SLOT + 90))
    assert slots_of(store)[len(expected) :] == list(range(80, 90))


async def test_the_pause_survives_a_restart(tmp_path: Path) -> None:
    tables = Tables()
    alice = Validator("Alice", tmp_path, spec_of({"Alice": 10_000}), TurnedClock(), tables)
    await play([alice], range(FIRST_SLOT, FIRST_SLOT + 66))
    before, last = alice.chain.store.best_number, alice.guard.last_slot(alice.key.public)
    assert last is not None
    alice.close()
    again = Validator("Alice", tmp_path, spec_of({"Alice": 10_000}), alice.chain.clock, tables)
    again.chain.importer.recover()
    await play([again], range(last.slot + 1, last.slot + pause(before)))
    assert again.chain.store.best_number == before
    await play([again], range(last.slot + pause(before), last.slot + pause(before) + 1))
    assert again.chain.store.best_number == before + 1
    again.close()


async def test_a_key_that_listens_authors_nothing_and_then_wakes(
    alice: Validator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "babe")
    alice.guard.begin_silence([alice.key.public], [], 20)
    await play([alice], range(FIRST_SLOT, FIRST_SLOT + 25))
    assert slots_of(alice.chain.store) == list(range(19, 25))
    quiet = f"key 0x{alice.key.public.hex()} still listens whether another node signs with it"
    assert caplog.messages[0] == f"🤫 Slot {FIRST_SLOT} is not authored: {quiet}"


async def test_a_key_without_record_builds_nothing(
    alice: Validator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alice.guard.heard_seal(alice.key.public, 5, Hash(bytes(32)))  # its file is an old copy
    caplog.clear()
    await play([alice], range(FIRST_SLOT, FIRST_SLOT + 3))
    assert alice.chain.store.best_number == 0
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3
    assert caplog.messages[0].startswith(f"slot {FIRST_SLOT} is not authored: guard.db is older than")


async def test_nothing_is_authored_by_a_wrong_clock(alice: Validator) -> None:
    await play([alice], range(FIRST_SLOT, FIRST_SLOT + 2))
    for slot in range(FIRST_SLOT + 2, FIRST_SLOT + 2 + ENOUGH):
        alice.chain.clock.ms = slot * SLOT_MS  # the others are two slots further
        alice.watch.arrived(b"others", WHOLE * 3 // 4, slot + 2)
    await play([alice], range(FIRST_SLOT + 20, FIRST_SLOT + 30))
    assert alice.chain.store.best_number == 2
    alice.chain.clock.ms += 200 * SLOT_MS
    await play([alice], range(FIRST_SLOT + 300, FIRST_SLOT + 302))
    assert alice.chain.store.best_number == 4


async def test_a_transaction_that_breaks_the_runtime_stops_no_author(
    alice: Validator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is dropped and said so; whatever else waits goes into the block."""
    chain, charlie = alice.chain, Keypair.from_suri("//Charlie", "sr25519")
    pay = AssayRuntime.call("Balances", "transfer_keep_alive", AccountId(SPENDER.public), 10**12)
    hostile, good = chain.remark(0, b"boom"), chain.signed(pay, 0, charlie)

    def remark(self: System, origin: object, text: bytes) -> None:
        raise AssertionError("found by somebody hostile")

    monkeypatch.setattr(System, "remark", remark)
    alice.pool.extrinsics += [hostile, good]
    await play([alice], range(FIRST_SLOT, FIRST_SLOT + 1))
    body = chain.store.body(chain.store.best)
    assert body is not None
    assert body[-1] == good
    assert hostile not in body
    assert alice.pool.reported == [Hash(blake2_256(hostile))]
    dropped = f"0x{blake2_256(hostile).hex()} breaks the runtime and is dropped: please report this"
    assert dropped in caplog.messages
