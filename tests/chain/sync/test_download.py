"""A chain is fetched whole and in order, whoever fails on the way, or it is given up."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.common.block_data import HEADERS, MAX_BLOCKS, BlockData, Fields
from chain.common.faults import Fault
from chain.sync.download import NEAR, WINDOW, Block, Download
from chain.sync.queue import Incoming
from runtime.primitives.header import Digest, Header
from runtime.primitives.trie import ordered_root
from runtime.primitives.types import ZERO_HASH, Hash

BODY = [b"\x04\x00"]
ROOT = ordered_root(BODY)
LENGTH = 3_000


def grow(parent: Header, length: int, salt: int = 0) -> list[Header]:
    """Return a chain on a block, lowest first."""
    found = []
    for _ in range(length):
        parent = Header(parent.hash(), parent.number + 1, Hash(bytes([salt]) * 32), ROOT, Digest([]))
        found.append(parent)
    return found


GENESIS = Header(ZERO_HASH, 0, ZERO_HASH, ZERO_HASH, Digest([]))
CHAIN = [GENESIS, *grow(GENESIS, LENGTH)]
FORK = [*CHAIN[:41], *grow(CHAIN[40], 60, salt=1)]


@dataclass
class Peers:
    """Answers for every peer by its chain, in whatever order the seed says; some fail. Satisfies Work."""

    chains: dict[str, list[Header]]
    rng: random.Random
    failing: float = 0.0  # share of requests that are never answered
    known: dict[Hash, Header] = field(default_factory=lambda: {GENESIS.hash(): GENESIS})
    handed: list[Header] = field(default_factory=list)
    blamed: list[tuple[str, Fault]] = field(default_factory=list)
    asked: list[tuple[str, Fields, int]] = field(default_factory=list)
    finality: int = 0
    pending: deque[Callable[[], None]] = field(default_factory=deque)
    best: dict[str, Block] = field(default_factory=dict)

    def ask(
        self,
        peer: str,
        start: Hash | int,
        count: int,
        fields: Fields,
        answered: Callable[[list[BlockData]], None],
        failed: Callable[[], None],
        *,
        descending: bool,
    ) -> bool:
        assert 0 < count <= MAX_BLOCKS
        self.asked.append((peer, fields, count))
        if self.rng.random() < self.failing:
            self.pending.append(failed)
            return True
        headers = self.serve(peer, start, count, descending)
        wants_body = Fields.BODY in fields
        blocks = [BlockData(header, BODY if wants_body else None, None) for header in headers]
        self.pending.append(lambda: answered(blocks))
        return True

    def serve(self, peer: str, start: Hash | int, count: int, descending: bool) -> list[Header]:
        chain = self.chains[peer]
        if isinstance(start, int):
            return chain[start : start + count]
        found = next((header.number for header in chain[-2 * NEAR :] if header.hash() == start), None)
        if found is None:
            found = next((header.number for header in chain if header.hash() == start), None)
        if found is None:
            return []
        return chain[max(0, found - count + 1) : found + 1][::-1] if descending else chain[found:][:count]

    def candidates(self, number: int) -> list[str]:
        return [name for name, chain in self.chains.items() if chain[-1].number >= number]

    def is_known(self, block: Hash) -> bool:
        return block in self.known

    def is_bad(self, header: Header) -> bool:
        return False

    def is_beside(self, header: Header) -> bool:
        return False

    def final(self) -> Block:
        header = self.handed[self.finality - 1] if self.finality else GENESIS
        return header.hash(), header.number

    def best_number(self) -> int:
        return max(header.number for header in self.known.values())

    def changes_voters(self, header: Header) -> bool:
        return False

    def thank(self, peer: str) -> None:
        """Do nothing."""

    def blame(self, peer: str, reason: Fault, detail: str) -> None:
        self.blamed.append((peer, reason))

    def has_not(self, peer: str, number: int) -> None:
        self.blamed.append((peer, Fault.USELESS))

    def has_only(self, peer: str, best: Block) -> None:
        self.best[peer] = best

    def has_memory(self, download: Download, *, is_first: bool) -> bool:
        return is_first or download.held < len(BODY[0]) * 60

    def has_room(self) -> bool:
        return True

    def hand_on(self, block: Incoming) -> None:
        self.handed.append(block.header)
        self.known[block.block] = block.header

    def finish(self, download: Download) -> None:
        """Let answers come, one at a time, until the download has ended."""
        download.step()
        while not download.ended:
            assert self.pending, "it waits for nobody"
            self.pending.rotate(-self.rng.randrange(len(self.pending)))
            self.pending.popleft()()
            download.step()


def target(chain: list[Header]) -> Block:
    return chain[-1].hash(), chain[-1].number


@pytest.mark.parametrize("length", [1, 2, 128, 129, NEAR, NEAR + 1, LENGTH])
def test_near_and_far_chains_come_whole_and_in_order(length: int) -> None:
    chain = CHAIN[: length + 1]
    peers = Peers({"a": chain, "b": chain}, random.Random(length))
    download = Download(peers, target(chain), ["a"], is_best=True)
    assert download.is_far == (length > NEAR)
    peers.finish(download)
    assert not download.failed
    assert peers.handed == chain[1:]
    assert peers.blamed == []
    if length > 128:
        bodies = [peer for peer, fields, _ in peers.asked if fields != HEADERS]
        assert {"a", "b"} >= set(bodies)


@given(st.integers(1, 200), st.integers(0, 1000), st.sampled_from([0.0, 0.2, 0.6]))
def test_whoever_fails_nothing_comes_twice_or_out_of_order(length: int, seed: int, failing: float) -> None:
    chain = CHAIN[: length + 1]
    peers = Peers({name: chain for name in "abcd"}, random.Random(seed), failing)
    download = Download(peers, target(chain), list("abcd"), is_best=True)
    peers.finish(download)
    assert peers.handed == chain[1 : len(peers.handed) + 1]
    assert download.failed == (len(peers.handed) < length)
    assert failing or not download.failed


def test_a_fork_comes_from_where_it_left() -> None:
    peers = Peers({"a": FORK}, random.Random(1), known={each.hash(): each for each in CHAIN[:101]})
    peers.finish(Download(peers, target(FORK), ["a"], is_best=True))
    assert peers.handed == FORK[41:]


def test_a_far_chain_begins_at_our_best_block_where_the_peer_has_it() -> None:
    peers = Peers({"a": CHAIN}, random.Random(1), known={each.hash(): each for each in CHAIN[:101]})
    peers.finish(Download(peers, target(CHAIN), ["a"], is_best=True))
    assert peers.handed == CHAIN[101:]
    assert peers.asked[0] == ("a", HEADERS, 1)


def test_a_far_chain_that_leaves_ours_begins_above_the_final_block() -> None:
    """All headers are looked at, and only blocks that are missing are fetched."""
    peers = Peers({"a": CHAIN}, random.Random(1), known={each.hash(): each for each in FORK})
    peers.finish(Download(peers, target(CHAIN), ["a"], is_best=True))
    assert peers.handed == CHAIN[41:]


def test_no_more_headers_are_kept_than_a_window() -> None:
    """A peer may invent headers for ever; nothing is asked beyond the window until blocks are imported."""
    peers = Peers({"a": CHAIN}, random.Random(1))
    download = Download(peers, target(CHAIN), ["a"], is_best=True)
    download.step()
    while headers := [each for each in peers.asked if each[1] == HEADERS]:
        asked = len(peers.asked)
        ready = [each for each in peers.pending]
        peers.pending.clear()
        for answer in ready[:1]:
            answer()
        download.step()
        if len(peers.asked) == asked or len(headers) > 40:
            break
    assert sum(count for _, fields, count in peers.asked if fields == HEADERS) <= WINDOW + 8 * 32 + 2 * 128


def test_headers_that_link_nowhere_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen chains of the largest headers would be a gigabyte; the hashes of all of them are right."""
    size = len(CHAIN[1].encode())
    monkeypatch.setattr("chain.sync.download.MAX_WEIGHT", 200 * size)
    peers = Peers({"a": CHAIN}, random.Random(1), known={CHAIN[0].hash(): CHAIN[0]})
    download = Download(peers, target(CHAIN[:1000]), ["a"], is_best=False)
    peers.finish(download)
    assert download.failed
    assert [count for _, _, count in peers.asked] == [128, 128]


def test_who_has_less_than_it_said_is_believed_no_more() -> None:
    peers = Peers({"a": CHAIN[:2001]}, random.Random(1))
    download = Download(peers, (Hash(b"\x01" * 32), 9_999), ["a"], is_best=True)
    peers.finish(download)
    assert peers.best == {"a": target(CHAIN[:2001])}
    assert peers.handed == CHAIN[1:2001]


def test_headers_that_do_not_link_are_blamed_and_the_next_holder_is_asked() -> None:
    chain = CHAIN[:61]

    class Swapping(Peers):
        """Peer a swaps two headers of every answer."""

        def serve(self, peer: str, start: Hash | int, count: int, descending: bool) -> list[Header]:
            found = super().serve(peer, start, count, descending)
            return [*found[:-2], found[-1], found[-2]] if peer == "a" and len(found) > 2 else found

    peers = Swapping({"a": chain, "b": chain}, random.Random(1))
    peers.finish(Download(peers, target(chain), ["a", "b"], is_best=True))
    assert peers.handed == chain[1:]
    assert set(peers.blamed) == {("a", Fault.WRONG_BLOCKS)}


def test_a_block_somebody_voted_for_is_asked_of_everybody_and_nobody_is_blamed_for_lacking_it() -> None:
    peers = Peers({"a": CHAIN[:101], "b": FORK}, random.Random(1), known={h.hash(): h for h in CHAIN[:101]})
    peers.finish(Download(peers, target(FORK), ["a", "b"], is_best=False, is_claimed=False))
    assert peers.handed == FORK[41:]
    assert peers.blamed == []
    nobody = Download(peers, (Hash(b"\x02" * 32), 50), ["a", "b"], is_best=False, is_claimed=False)
    peers.finish(nobody)
    assert (nobody.failed, peers.blamed) == (True, [])


def test_a_chain_without_our_final_block_is_given_up() -> None:
    peers = Peers({"a": FORK}, random.Random(1), known={each.hash(): each for each in CHAIN[:61]})
    peers.handed = list(CHAIN[1:61])
    peers.finality = 60
    peers.known = {header.hash(): header for header in CHAIN[50:61]}
    download = Download(peers, target(FORK), ["a"], is_best=True)
    peers.finish(download)
    assert download.failed
    assert peers.blamed == [("a", Fault.OTHER_FINALITY)]


def test_what_came_with_the_announcement_is_not_asked_for() -> None:
    header = CHAIN[1]
    peers = Peers({"a": CHAIN[:2]}, random.Random(1))
    download = Download.of_header(peers, header, "a")
    download.supply(BODY, "a")
    peers.finish(download)
    assert (peers.handed, peers.asked) == ([header], [])
    spoiled = Download.of_header(peers, CHAIN[2], "a")
    spoiled.supply([b"\x00"], "a")
    spoiled.step()
    assert peers.blamed == [("a", Fault.WRONG_BLOCKS)]
    assert all(low.number < high.number for low, high in pairwise(peers.handed))


class Dripping(Peers):
    """Peer z gives one block at a time."""

    def serve(self, peer: str, start: Hash | int, count: int, descending: bool) -> list[Header]:
        return super().serve(peer, start, 1 if peer == "z" else count, descending)


@pytest.mark.parametrize("length", [300, LENGTH])
def test_who_gives_a_header_at_a_time_does_not_lead_for_long(length: int) -> None:
    """It holds up every long download else: there is but one, and a single header may take seconds."""
    chain = CHAIN[: length + 1]
    peers = Dripping({"z": chain, "a": chain}, random.Random(1))
    download = Download(peers, target(chain), ["z", "a"], is_best=True)
    for _ in range(5):
        download.step()
        while peers.pending and not download.ended:
            peers.pending.popleft()()
    assert [peer for peer, fields, _ in peers.asked if fields == HEADERS].count("z") <= 4
    assert peers.blamed == [("z", Fault.USELESS)]
    assert download.failed == (length > NEAR)  # another one follows it, of who is not blamed


def test_who_gives_a_body_at_a_time_is_asked_once_for_each_chunk() -> None:
    chain = CHAIN[:301]
    peers = Dripping({"z": chain, "a": chain}, random.Random(1))
    peers.finish(Download(peers, target(chain), ["a"], is_best=True))
    assert peers.handed == chain[1:]
    asked = [peer for peer, fields, _ in peers.asked if fields != HEADERS]
    assert asked.count("z") <= 10
