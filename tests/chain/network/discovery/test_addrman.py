import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.env_real import RealClock
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, group_of
from chain.network.discovery.addrman import (
    BUCKET_SIZE,
    HORIZON_MS,
    LOST_MS,
    MAX_CONTESTED,
    NEW_ATTEMPTS,
    NEW_BUCKETS,
    NEW_BUCKETS_OF_SOURCE,
    PROVEN_MS,
    TRIED_ATTEMPTS,
    TRIED_BUCKETS_OF_GROUP,
    AddressBook,
    Entry,
    Table,
)
from chain.network.discovery.book_file import BOOK_FILE, SAVE_SMALL, BookKeeper, read_book, write_book
from chain.network.discovery.records import LIFETIME_MS, Record, make_record
from chain.network.messages import MAX_RECORDS
from tests.chain.network.hands import EPOCH_MS, Hands
from tests.sim.env import Files, Life, SimDisk, SimRng

NOW = EPOCH_MS
MINUTE = 60_000
PAIRS = [Keypair.from_seed(bytes([number]) * 32, "ed25519") for number in range(8)]
GENESIS = bytes(32)
HONEST_SOURCES = [f"{number}.9.0.0/16" for number in range(20, 40)]


def book_of(seed: int = 1) -> AddressBook:
    return AddressBook(SimRng(random.Random(seed)))


def peer_of(number: int) -> str:
    return peer_id(number.to_bytes(32, "little"))


def address_of(number: int, groups: int = 40_000) -> Address:
    """Return the address of a number: each in a group of its own, as far as there are that many."""
    group = number % groups
    ip = f"{50 + group // 256}.{group % 256}.{number // groups % 256}.{1 + number // groups // 256}"
    return Address("ip4", ip, 30_333, peer_of(number))


def filled(book: AddressBook, numbers: Iterable[int], sources: list[str] = HONEST_SOURCES) -> list[Address]:
    """Have sources tell of addresses; return those that found a place."""
    found = []
    for number in numbers:
        if book.add(address_of(number), sources[number % len(sources)], NOW, NOW):
            found.append(address_of(number))
    return found


def places(table: Table) -> dict[tuple[int, int], Entry]:
    return {(at, slot): entry for at, bucket in enumerate(table.buckets) for slot, entry in bucket.items()}


def check(book: AddressBook) -> None:
    """Fail unless every entry is in the slot its key gives, and everything is counted and bounded."""
    new, tried = places(book.new), places(book.tried)
    entries = list(book.entries())
    assert (len(new), len(tried)) == (book.new.count, book.tried.count)
    assert len(book) == len(entries) == len(new) + len(tried)
    for entry in entries:
        table, place = book._home(entry)
        assert table.at(place) is entry
    peers = {entry.address.peer for entry in entries}
    assert set(book._of_peer) == peers
    assert {record.peer for record in book.records()} <= peers
    assert len(book.contested) <= MAX_CONTESTED
    for challenger, holder in book.contested.items():
        known, there = book.entry(challenger), book.entry(holder)
        assert known is not None
        assert there is not None
        assert not known.is_tried
        assert there.is_tried


# What it is made of.


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["learn", "add", "attempted", "good", "failed", "bad", "pick", "later"]),
            st.integers(0, 399),
            st.integers(0, 5),
        ),
        max_size=80,
    )
)
@settings(max_examples=60)
def test_whatever_is_done_to_it_the_book_stays_one_and_reads_back(steps: list[tuple[str, int, int]]) -> None:
    book, now = book_of(), NOW
    for step, number, source in steps:
        address = address_of(number, groups=3)
        teller = HONEST_SOURCES[source]
        if step == "learn":
            pair = PAIRS[number % 8]
            record = make_record(pair, GENESIS, [address, address_of(number + 1, groups=3)], now)
            book.learn(record, record.addresses, teller, now)
        elif step == "add":
            book.add(address, teller, now - number * 3_600_000, now)
        elif step == "attempted":
            book.attempted(address, now)
        elif step == "good":
            book.good(address, teller, now)
        elif step == "failed":
            book.failed(address)
        elif step == "bad":
            book.bad(address)
        elif step == "pick":
            entry = book.pick(lambda _: True, now, only_new=number % 2 == 0)
            assert entry is None or book.entry(entry.address) is entry
        else:
            now += number * source * MINUTE
        check(book)
    again = read_book(write_book(book), SimRng(random.Random(0)))
    check(again)
    assert {entry.address: entry for entry in again.entries()} == {e.address: e for e in book.entries()}
    assert {record.peer: record for record in again.records()} == {r.peer: r for r in book.records()}
    assert places(again.new) == places(book.new)
    assert places(again.tried) == places(book.tried)


def test_a_success_moves_an_address_to_the_tried_ones() -> None:
    book = book_of()
    (address,) = filled(book, [1])
    assert (book.new.count, book.tried.count) == (1, 0)
    book.good(address, "1.2.0.0/16", NOW + 5)
    assert (book.new.count, book.tried.count) == (0, 1)
    assert book.entry(address) == Entry(address, HONEST_SOURCES[1], NOW + 5, NOW + 5, NOW + 5, 0, True)


def test_the_places_are_secret() -> None:
    one, other = book_of(1), book_of(2)
    filled(one, range(200))
    filled(other, range(200))
    assert one.key != other.key
    assert set(places(one.new)) != set(places(other.new))


# Whom an attacker can keep out.


def test_one_source_group_fills_its_share_of_the_new_table_and_pushes_nobody_out() -> None:
    book = book_of()
    honest = filled(book, range(1_500))
    hostile = len(filled(book, range(10_000, 16_000), ["6.6.0.0/16"]))
    share = NEW_BUCKETS_OF_SOURCE * BUCKET_SIZE
    assert hostile <= share
    assert hostile >= share * 0.8  # it does get its share: the limit is what holds it
    assert all(book.entry(address) is not None for address in honest)
    check(book)


def test_one_source_group_is_dialled_no_more_often_than_its_share() -> None:
    book = book_of()
    honest = set(filled(book, range(1_500)))
    filled(book, range(10_000, 16_000), ["6.6.0.0/16"])
    picked = [book.pick(lambda _: True, NOW) for _ in range(2_000)]
    hostile = sum(entry is not None and entry.address not in honest for entry in picked)
    assert all(picked)
    share = NEW_BUCKETS_OF_SOURCE / NEW_BUCKETS
    assert hostile / len(picked) <= 1.3 * share  # 6,000 lies against 1,500 truths, and 6 % of the choices


def test_many_source_groups_get_many_shares_and_still_push_nobody_out() -> None:
    book = book_of()
    honest = filled(book, range(1_500))
    filled(book, range(10_000, 16_000), [f"6.{number}.0.0/16" for number in range(64)])
    assert all(book.entry(address) is not None for address in honest)
    check(book)


def test_an_attacker_of_one_group_that_answers_takes_no_tried_place() -> None:
    book = book_of()
    honest = filled(book, range(600))
    for address in honest:
        book.good(address, group_of(address.host), NOW)
    tried = [entry.address for entry in book.entries() if entry.is_tried]
    later = NOW + PROVEN_MS + MINUTE
    for number in range(1_000):
        ip = f"66.66.{number // 250}.{number % 250 + 1}"
        hostile = Address("ip4", ip, 30_333, peer_of(90_000 + number))
        book.good(hostile, f"{number % 200}.66.0.0/16", later)  # many tell of them
    taken = [entry for entry in book.entries() if entry.is_tried and entry.address.host.startswith("66.66.")]
    assert 0 < len(taken) <= TRIED_BUCKETS_OF_GROUP * BUCKET_SIZE
    assert all(book.entry(address) is not None and book.entry(address).is_tried for address in tried)  # type: ignore[union-attr]
    check(book)


def rivals(book: AddressBook, apart: int = PROVEN_MS + MINUTE) -> tuple[Address, Address]:
    """Return an address in the tried table and one that would have its place, good so many ms later."""
    holder = address_of(0)
    book.good(holder, "1.1.0.0/16", NOW)
    for number in range(1, 100_000):
        if book._tried_place(address_of(number)) == book._tried_place(holder):
            book.good(address_of(number), "1.1.0.0/16", NOW + apart)
            return holder, address_of(number)
    raise AssertionError("somebody has the same place")


def is_tried(book: AddressBook, address: Address) -> bool:
    entry = book.entry(address)
    return entry is not None and entry.is_tried


def test_a_tried_address_keeps_its_place_if_it_answers_when_it_is_tested() -> None:
    book = book_of()
    holder, challenger = rivals(book)
    assert book.rival() == holder
    book.good(holder, "1.1.0.0/16", NOW + 2 * PROVEN_MS)
    assert book.rival() is None
    assert is_tried(book, holder)
    assert not is_tried(book, challenger)


def test_a_tried_address_that_has_answered_lately_need_not_be_tested() -> None:
    book = book_of()
    holder, challenger = rivals(book, PROVEN_MS - 1)
    assert book.rival() is None
    assert is_tried(book, holder)
    assert not is_tried(book, challenger)


def test_a_tried_address_that_does_not_answer_makes_room() -> None:
    book = book_of()
    holder, challenger = rivals(book)
    book.failed(holder)
    assert is_tried(book, challenger)
    assert book.entry(holder) is not None
    assert not is_tried(book, holder)
    check(book)


# What an address is worth.


@pytest.mark.parametrize(
    ("entry", "is_terrible"),
    [
        (Entry(address_of(1), "", NOW), False),
        (Entry(address_of(1), "", NOW - HORIZON_MS - 1), True),
        (Entry(address_of(1), "", NOW + HORIZON_MS), True),
        (Entry(address_of(1), "", NOW, NOW - MINUTE - 1, 0, NEW_ATTEMPTS), True),
        (Entry(address_of(1), "", NOW, NOW - MINUTE - 1, 0, NEW_ATTEMPTS - 1), False),
        (Entry(address_of(1), "", NOW, NOW, 0, NEW_ATTEMPTS), False),  # it was dialled a moment ago
        (Entry(address_of(1), "", NOW, NOW - 2 * MINUTE, NOW - LOST_MS - 1, TRIED_ATTEMPTS), True),
        (Entry(address_of(1), "", NOW, NOW - 2 * MINUTE, NOW - LOST_MS + 1, TRIED_ATTEMPTS), False),
    ],
)
def test_terrible_is_what_was_long_or_often_in_vain(entry: Entry, is_terrible: bool) -> None:
    assert entry.is_terrible(NOW) is is_terrible


def failing(book: AddressBook, address: Address, times: int, now: int = NOW) -> None:
    """Dial an address in vain, while others answer."""
    for number in range(times):
        book.good(address_of(77_777), "1.1.0.0/16", now + 2 * number)
        book.attempted(address, now + 2 * number + 1)


def test_a_terrible_address_makes_room_for_a_new_one() -> None:
    book = book_of()
    first = address_of(0)
    book.add(first, HONEST_SOURCES[0], NOW, NOW)
    place = book._new_place(Entry(first, HONEST_SOURCES[0], NOW))
    same = next(
        address_of(number)
        for number in range(1, 100_000)
        if book._new_place(Entry(address_of(number), HONEST_SOURCES[0], NOW)) == place
    )
    assert not book.add(same, HONEST_SOURCES[0], NOW, NOW)
    failing(book, first, NEW_ATTEMPTS)
    assert book.add(same, HONEST_SOURCES[0], NOW + 2 * MINUTE, NOW + 2 * MINUTE)
    assert book.entry(first) is None
    check(book)


def test_while_nobody_answers_no_address_is_to_blame() -> None:
    book = book_of()
    (address,) = filled(book, [1])
    for number in range(20):
        book.attempted(address, NOW + number * MINUTE)
    entry = book.entry(address)
    assert entry is not None
    assert entry.attempts == 1


def test_failures_make_another_attempt_less_likely() -> None:
    book = book_of()
    good, worse = filled(book, [1, 2])
    failing(book, worse, 2)
    picked = Counter(
        entry.address
        for entry in (book.pick(lambda e: e.address in (good, worse), NOW + 3_600_000) for _ in range(1_000))
        if entry is not None
    )
    assert set(picked) == {good, worse}
    assert picked[worse] < 0.75 * picked[good]


def test_a_choice_obeys_what_is_wanted() -> None:
    book = book_of()
    found = filled(book, range(50))
    assert book.pick(lambda _: False, NOW) is None
    assert book_of().pick(lambda _: True, NOW) is None
    entries = [book.pick(lambda entry: entry.address == found[7], NOW) for _ in range(50)]
    assert {entry.address for entry in entries if entry is not None} == {found[7]}
    for address in found:
        book.good(address, group_of(address.host), NOW)
    assert book.pick(lambda e: e.is_tried, NOW, only_new=True) is None


# Records.


def learnt(book: AddressBook, pair: Keypair, addresses: list[Address], now: int) -> Record:
    record = make_record(pair, GENESIS, addresses, now)
    book.learn(record, record.addresses, HONEST_SOURCES[0], now)
    return record


def test_the_latest_record_of_a_peer_counts_whenever_it_comes() -> None:
    book, pair = book_of(), PAIRS[0]
    peer = peer_id(pair.public)
    old, new = (Address("ip4", ip, 1, peer) for ip in ("50.1.1.1", "51.1.1.1"))
    earlier = make_record(pair, GENESIS, [old], NOW - 1)
    record = learnt(book, pair, [new], NOW)
    assert book.learn(earlier, earlier.addresses, HONEST_SOURCES[0], NOW) == 0
    assert (book.record(peer), book.entry(old)) == (record, None)
    assert book.is_news(peer, NOW + 1)
    assert not book.is_news(peer, NOW)
    learnt(book, pair, [old], NOW + 1)
    assert book.entry(new) is None
    assert book.entry(old) is not None


def test_where_a_peer_was_found_is_not_forgotten_at_its_word() -> None:
    book, pair = book_of(), PAIRS[0]
    found = Address("ip4", "50.1.1.1", 1, peer_id(pair.public))
    learnt(book, pair, [found], NOW)
    book.good(found, group_of(found.host), NOW)
    learnt(book, pair, [], NOW + 1)
    assert is_tried(book, found)


def test_only_fresh_records_are_passed_on_each_once() -> None:
    book = book_of()
    for at, pair in enumerate(PAIRS):
        learnt(book, pair, [address_of(at).of(peer_id(pair.public))], NOW)
    records = book.records()
    assert len(records) >= 6
    assert sorted(map(_peer, book.sample(MAX_RECORDS, NOW))) == sorted(map(_peer, records))
    assert len({_peer(record) for record in book.sample(3, NOW)}) == 3
    assert book.sample(MAX_RECORDS, NOW + LIFETIME_MS) == []


_peer: Callable[[Record], str] = lambda record: record.peer  # noqa: E731  a key for sorting


# On disk.


def test_the_book_is_written_when_it_has_changed_and_not_all_the_time() -> None:
    files, hands = Files(), Hands()
    keeper = BookKeeper(SimDisk(files, Life()), SimRng(random.Random(1)), hands)
    filled(keeper.book, range(5))
    keeper.save()
    assert files.content == {}
    hands.seconds = SAVE_SMALL
    keeper.save()
    written = files.content[BOOK_FILE]
    filled(keeper.book, range(5, 9))
    keeper.save()
    assert files.content[BOOK_FILE] == written
    keeper.save(at_once=True)
    again = BookKeeper(SimDisk(files, Life()), SimRng(random.Random(2)), hands).book
    assert [entry.address for entry in again.entries()] == [address_of(number) for number in range(9)]
    assert again.key == keeper.book.key


@pytest.mark.parametrize("at", [0, 31, 32, 64, 80, -1])
def test_a_damaged_file_is_begun_anew_with_one_line(at: int, caplog: pytest.LogCaptureFixture) -> None:
    files = Files()
    keeper = BookKeeper(SimDisk(files, Life()), SimRng(random.Random(1)), RealClock())
    filled(keeper.book, range(5))
    keeper.save(at_once=True)
    content = bytearray(files.content[BOOK_FILE])
    content[at] ^= 1
    files.content[BOOK_FILE] = bytes(content)
    again = BookKeeper(SimDisk(files, Life()), SimRng(random.Random(2)), RealClock()).book
    assert len(again) == 0
    assert [record.getMessage() for record in caplog.records] == [
        "📕 the address book is damaged and begun anew: peers; bootnodes know others"
    ]


def test_a_full_disk_costs_the_book_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    files = Files(broken="full")
    keeper = BookKeeper(SimDisk(files, Life()), SimRng(random.Random(1)), RealClock())
    filled(keeper.book, range(5))
    keeper.save(at_once=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
