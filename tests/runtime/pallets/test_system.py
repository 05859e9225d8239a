"""System: block numbers and hashes, reference counts, the event log and what root may write."""

from typing import Any

import pytest

from runtime.frame.base import ApplyExtrinsic, Finalization, Initialization, Runtime, RuntimeCall
from runtime.frame.declare import DispatchClass, Root
from runtime.frame.errors import BadOrigin, ConsumerRemaining, DispatchError, NoProviders
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.system import KilledAccount, NewAccount, Remarked, System
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError
from runtime.primitives.trie import MAX_KEY
from runtime.primitives.types import ZERO_HASH, AccountId, Weight
from tests.runtime.bench import Chain

ALICE = AccountId(b"\x01" * 32)


class Bare(Runtime):
    """A system that remembers three blocks."""

    system = System.at(0, block_hash_count=3)


@pytest.fixture
def ext() -> Externalities:
    return Externalities(Bare)


def test_hashes_are_kept_for_their_time_and_genesis_forever(ext: Externalities) -> None:
    ext.run_to_block(9)
    kept = sorted(number for number, _ in ext.runtime.system.block_hash.items())
    assert kept == [0, 6, 7, 8]
    assert ext.runtime.system.genesis_hash() == ZERO_HASH
    assert ext.runtime.system.number.get() == 9


def test_the_chain_links_to_its_parent() -> None:
    chain = Chain()
    for _ in range(3):
        chain.build()
    system = chain.runtime.system
    assert [system.block_hash[number] for number in range(3)] == chain.hashes[:3]
    assert system.parent_hash.get() == chain.hashes[2]
    assert (system.event_count.get(), len(system.events.get())) == (len(system.events.get()),) * 2
    assert system.extrinsic_count.find() is None


def test_a_remark_is_free_of_state(ext: Externalities) -> None:
    before = ext.state_root()
    assert_ok(ext, ALICE, "System", "remark", b"anything")
    assert ext.state_root() == before
    assert_ok(ext, ALICE, "System", "remark_with_event", b"anything")
    assert ext.new_events() == [Remarked(ALICE, blake2_256(b"anything"))]


def test_root_alone_writes_raw_storage(ext: Externalities) -> None:
    assert_noop(ext, ALICE, "System", "set_storage", [(b"key", b"value")], error=BadOrigin())
    assert_ok(ext, Root(), "System", "set_storage", [(b"key", b"value"), (b"other", b"")])
    assert (ext.overlay.get(b"key"), ext.overlay.get(b"other")) == (b"value", b"")
    assert_noop(ext, ALICE, "System", "kill_storage", [b"key"], error=BadOrigin())
    assert_ok(ext, Root(), "System", "kill_storage", [b"key", b"absent"])
    assert ext.overlay.get(b"key") is None


def test_no_key_is_longer_than_nodes_can_give_each_other(ext: Externalities) -> None:
    calls = ext.runtime.codecs.of(RuntimeCall)
    longest = ext.runtime.call("System", "set_storage", [(bytes(MAX_KEY), b"value")])
    encoded = calls.encode(longest)
    assert calls.decode(encoded) == longest
    fits, other = ((size << 2 | 1).to_bytes(2, "little") + bytes(size) for size in (MAX_KEY, MAX_KEY + 1))
    assert encoded.count(fits) == 1
    longer = encoded.replace(fits, other)
    with pytest.raises(DecodeError, match="256 elements, at most 255 are allowed"):
        calls.decode(longer)


def test_providers_keep_an_account_and_consumers_keep_the_last_provider(ext: Externalities) -> None:
    system = ext.runtime.system
    with pytest.raises(DispatchError) as refused:
        system.add_consumer(ALICE)
    assert refused.value.reason == NoProviders()
    system.add_provider(ALICE)
    system.add_provider(ALICE)
    system.add_consumer(ALICE)
    system.remove_provider(ALICE)
    with pytest.raises(DispatchError) as refused:
        system.remove_provider(ALICE)
    assert refused.value.reason == ConsumerRemaining()
    system.remove_consumer(ALICE)
    system.remove_provider(ALICE)
    assert system.account.get(ALICE) is None
    assert ext.new_events() == [NewAccount(ALICE), KilledAccount(ALICE)]


def test_counts_below_zero_are_refused(ext: Externalities) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ext.runtime.system.remove_consumer(ALICE)


def test_weight_is_counted_by_class_and_forgotten_by_the_next_block(ext: Externalities) -> None:
    system: Any = ext.runtime.system
    base = system.block_weights.base_block
    assert system.block_weight.get().mandatory == base
    system.note_weight(Weight(5, 6), DispatchClass.Normal)
    system.note_weight(Weight(2**64 - 1, 0), DispatchClass.Normal)
    assert system.block_weight.get().normal == Weight(2**64 - 1, 6)
    ext.run_to_block(2)
    assert ext.runtime.system.block_weight.get().normal == Weight()


def test_events_say_when_they_happened() -> None:
    chain = Chain()
    chain.build()
    block = chain.build(slot=chain.slot + 40)
    order = [Initialization, ApplyExtrinsic, Finalization]
    phases = [order.index(type(record.phase)) for record in block.events]
    assert phases == sorted(phases)
    assert phases[0] == 0
    assert [record.phase for record in block.events if record.phase == ApplyExtrinsic(0)]
