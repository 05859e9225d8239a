"""Storage items: keys clients compute themselves, defaults, iteration, clearing."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from runtime.frame.base import Runtime
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import KEPT, DoubleMap, Map, NMap, Value, item_prefix, storage
from runtime.frame.testing import Externalities
from runtime.pallets.system import System
from runtime.primitives.hashing import blake2_128_concat, identity, twox_64_concat
from runtime.primitives.shapes import Fixed, struct, u8, u16, u32
from runtime.primitives.types import AccountId, Hash
from tests.runtime.bench import Chain


@struct("tests::Spot")
class Spot:
    """A place on the shelf."""

    x: u32
    name: Annotated[bytes, Fixed(2)]


@dataclass
class LooseSpot:
    """What encodes like a spot."""

    x: int
    name: bytearray


class Shelf(Pallet[None, NoError]):
    """One item of every kind."""

    count: Value[u32] = storage(default=7)
    required: Value[u32] = storage()
    tally: Value[u32] = storage(default=0, tally=True)
    names: Value[list[str]] = storage(default=[])
    ages: Map[u16, u8] = storage(default=1)
    owners: Map[Hash, AccountId] = storage(hasher=identity)
    places: DoubleMap[u16, str, u32] = storage(hashers=(twox_64_concat, blake2_128_concat))
    votes: NMap[tuple[u16, u32, u8], bytes] = storage()
    lists: Map[u8, list[u8]] = storage(default=[])
    spots: Map[u32, Spot] = storage(hasher=identity)


class Small(Runtime):
    """A system and a shelf."""

    system = System.at(0)
    shelf = Shelf.at(1)


@pytest.fixture
def shelf() -> Any:
    return Externalities(Small).runtime.shelf


def test_a_tally_is_a_value_whose_bytes_are_made_when_they_are_read(shelf: Any) -> None:
    overlay, tally = shelf.host.overlay, shelf.tally
    assert (tally.get(), tally.find(), tally.exists()) == (0, None, False)
    tally.put(1)
    overlay.begin()
    tally.put(2)
    assert overlay.held(tally.key).value == tally.get() == 2
    assert overlay.get(tally.key) == b"\x02\x00\x00\x00"
    assert (overlay.held(tally.key), tally.get(), tally.find(), tally.exists()) == (None, 2, 2, True)
    tally.put(3)
    overlay.rollback()
    assert (tally.get(), overlay.changes[tally.key]) == (1, b"\x01\x00\x00\x00")
    tally.kill()
    assert (tally.get(), overlay.changes[tally.key]) == (0, None)


def test_values_have_defaults_and_can_be_absent(shelf: Any) -> None:
    assert (shelf.count.get(), shelf.count.find(), shelf.count.exists()) == (7, None, False)
    shelf.count.put(0)
    assert (shelf.count.get(), shelf.count.find(), shelf.count.exists()) == (0, 0, True)
    shelf.count.kill()
    assert shelf.count.get() == 7
    assert shelf.required.find() is None
    with pytest.raises(AssertionError):
        shelf.required.get()


def test_a_default_that_is_changed_stays_the_default(shelf: Any) -> None:
    shelf.names.get().append("x")
    shelf.lists[3].append(5)
    assert (shelf.names.get(), shelf.lists[3]) == ([], [])


def test_what_is_read_may_be_changed_without_changing_what_is_stored(shelf: Any) -> None:
    names = ["a"]
    shelf.names.put(names)
    names.append("b")
    shelf.names.get().append("c")
    assert shelf.names.get() == ["a"]
    shelf.lists[1] = [1]
    shelf.lists[1].append(2)
    assert (shelf.lists[1], shelf.lists.get(1)) == ([1], [1])


def test_what_is_read_is_what_decoding_makes_whatever_was_written(shelf: Any) -> None:
    shelf.count.put(True)
    assert type(shelf.count.get()) is int
    owner = bytearray(32)
    shelf.owners[Hash(bytes(32))] = owner
    owner[0] = 1
    assert shelf.owners[Hash(bytes(32))] == bytes(32)
    assert type(shelf.owners[Hash(bytes(32))]) is bytes
    shelf.spots[1] = LooseSpot(True, bytearray(b"ab"))
    assert shelf.spots[1] == Spot(1, b"ab")
    assert [type(part) for part in (shelf.spots[1].x, shelf.spots[1].name)] == [int, bytes]


def test_more_is_stored_than_is_remembered(shelf: Any) -> None:
    for key in range(KEPT + 100):
        shelf.spots[key] = Spot(key, b"ab")
    assert [shelf.spots[key].x for key in range(KEPT + 100)] == list(range(KEPT + 100))


def test_a_rollback_takes_back_what_was_read_since(shelf: Any) -> None:
    shelf.spots[1] = Spot(1, b"ab")
    shelf.host.overlay.begin()
    shelf.spots[1] = Spot(2, b"cd")
    assert shelf.spots[1] == Spot(2, b"cd")
    shelf.host.overlay.rollback()
    assert shelf.spots[1] == Spot(1, b"ab")


def test_keys_are_prefix_then_hashed_keys(shelf: Any) -> None:
    places, votes = item_prefix("Shelf", "Places"), item_prefix("Shelf", "Votes")
    assert shelf.count.key == item_prefix("Shelf", "Count")
    assert shelf.ages.raw_key(3) == item_prefix("Shelf", "Ages") + blake2_128_concat(b"\x03\x00")
    assert shelf.owners.raw_key(bytes(32)) == item_prefix("Shelf", "Owners") + bytes(32)
    assert shelf.places.raw_key(3, "a") == places + twox_64_concat(b"\x03\x00") + blake2_128_concat(b"\x04a")
    parts = (b"\x01\x00", b"\x02\x00\x00\x00", b"\x03")
    assert shelf.votes.raw_key((1, 2, 3)) == votes + b"".join(blake2_128_concat(part) for part in parts)


def test_the_chain_keeps_accounts_where_clients_look() -> None:
    alice = AccountId(bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"))
    system = Chain().runtime.system
    assert system.account.raw_key(alice).hex() == (
        "26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9de1e86a9a8c739864cf3cc5ec2bea59f"
        "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
    )
    assert system.block_hash.raw_key(1).hex() == (
        "26aa394eea5630e07c48ae0c9558cef7a44704b568d21667356a5a050c1187465153cb1f00942ff401000000"
    )
    assert system.account.get(alice) is not None


def test_maps_read_write_and_iterate_in_order_of_keys(shelf: Any) -> None:
    for key in range(9):
        shelf.ages[key] = key + 100
    assert (shelf.ages[4], shelf.ages[40], shelf.ages.get(40)) == (104, 1, None)
    in_order = sorted(range(9), key=shelf.ages.raw_key)
    assert list(shelf.ages.keys()) == in_order
    assert list(shelf.ages.items()) == [(key, key + 100) for key in in_order]
    assert list(shelf.ages.values()) == [key + 100 for key in in_order]
    assert (shelf.ages.take(4), shelf.ages.take(4), 4 in shelf.ages, 5 in shelf.ages) == (
        104,
        None,
        False,
        True,
    )
    for key in shelf.ages.keys():  # noqa: SIM118
        del shelf.ages[key]
    assert list(shelf.ages.items()) == []


def test_a_map_may_shrink_while_it_is_read(shelf: Any) -> None:
    for key in range(9):
        shelf.ages[key] = key
    met = []
    for key, _ in shelf.ages.items():
        met.append(key)
        for other in range(9):
            del shelf.ages[other]
    assert met == [min(range(9), key=shelf.ages.raw_key)]


def test_what_is_required_and_absent_is_a_key_error(shelf: Any) -> None:
    with pytest.raises(KeyError):
        shelf.owners[Hash(bytes(32))]
    assert shelf.owners.get(Hash(bytes(32))) is None


def test_double_maps_keep_a_first_key_together(shelf: Any) -> None:
    for first in (1, 2, 256):
        for second in ("", "a", "b" * 70):
            shelf.places[first, second] = first + len(second)
    assert dict(shelf.places.under(2)) == {"": 2, "a": 3, "b" * 70: 72}
    assert dict(shelf.places.under(3)) == {}
    assert len(list(shelf.places.items())) == 9
    shelf.places.clear(2)
    assert sorted(pair for pair, _ in shelf.places.items()) == [
        (first, second) for first in (1, 256) for second in ("", "a", "b" * 70)
    ]
    assert shelf.places.take(1, "a") == 2
    assert (1, "a") not in shelf.places
    assert shelf.places.get(1, "a") is None


def test_n_maps_are_read_and_cleared_by_leading_keys(shelf: Any) -> None:
    for place in [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]:
        shelf.votes[place] = bytes(place)
    assert sorted(shelf.votes.under(1, 1)) == [((1,), b"\1\1\1"), ((2,), b"\1\1\2")]
    assert sorted(key for key, _ in shelf.votes.under(1)) == [(1, 1), (1, 2), (2, 1)]
    assert sorted(key for key, _ in shelf.votes.under()) == [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]
    shelf.votes.clear(1, 1)
    assert sorted(key for key, _ in shelf.votes.under()) == [(1, 2, 1), (2, 1, 1)]
    assert ((1, 2, 1) in shelf.votes, (1, 1, 1) in shelf.votes) == (True, False)


def test_entries_are_cleared_a_few_at_a_time(shelf: Any) -> None:
    for number in range(5):
        shelf.places[1, str(number)] = number
        shelf.votes[1, number, 0] = b""
    shelf.places[2, "other"] = 1
    for clear in (shelf.places.clear, shelf.votes.clear):
        assert [clear(1, limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert list(shelf.places.items()) == [((2, "other"), 1)]
    assert (shelf.places.clear(2, limit=0), shelf.places.clear(2), shelf.places.clear(2)) == (0, 1, 0)


def test_a_map_is_read_in_pages_behind_any_key(shelf: Any) -> None:
    for key in range(0, 40, 2):
        shelf.ages[key] = key
    whole = shelf.ages.after(None, 100)
    assert [(key, value) for _, key, value in whole] == list(shelf.ages.items())
    assert [raw for raw, _, _ in whole] == sorted(raw for raw, _, _ in whole)
    assert shelf.ages.after(whole[4][1], 3) == whole[5:8]
    assert shelf.ages.after(whole[-1][1], 3) == []
    order = [raw for raw, _, _ in whole]
    absent = shelf.ages.raw_key(7)[len(shelf.ages.prefix) :]
    assert shelf.ages.after(7, 100) == whole[sum(raw < absent for raw in order) :]
