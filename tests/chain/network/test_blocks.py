"""What a node gives away of its blocks, and what it keeps of its peers."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from chain.common.block_data import BLOCKS, HEADERS, MAX_BLOCKS, PROOFS, BlockData
from chain.common.seen import Seen
from chain.env import PeerHandler
from chain.network.blocks import ALL_GIVEN, GIVEN, PER_SECOND, BlockExchange, answer
from chain.network.messages import (
    BLOCK_REQUEST,
    LIMITS,
    MAX_ANSWER,
    PROTOCOL_VERSION,
    STATUS,
    BlockRequest,
    Channel,
    FromHash,
    FromNumber,
    Status,
)
from chain.network.peers import BANNED, Bucket, Reputation, Reputations
from chain.network.service import MAX_UNREAD, Network
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import ZERO_HASH, Hash


@dataclass
class Shelf:
    """Blocks 0 to `length` - 1 of a best chain, and a fork of one block on block 2."""

    length: int
    size: int = 10  # bytes of every body
    pruned: frozenset[int] = frozenset()  # heights without a body
    headers: dict[Hash, Header] = field(default_factory=dict)
    best: list[Hash] = field(default_factory=list)

    def __post_init__(self) -> None:
        parent = ZERO_HASH
        for number in range(self.length):
            parent = self.add(parent, number, 0)
            self.best.append(parent)
        self.fork = self.add(self.best[2], 3, 1)

    def add(self, parent: Hash, number: int, salt: int) -> Hash:
        header = Header(parent, number, Hash(bytes([salt]) * 32), ZERO_HASH, Digest([]))
        self.headers[header.hash()] = header
        return header.hash()

    def header(self, block: Hash) -> Header | None:
        return self.headers.get(block)

    def body(self, block: Hash) -> list[bytes] | None:
        header = self.headers.get(block)
        return None if header is None or header.number in self.pruned else [bytes(self.size)]

    def justification(self, block: Hash) -> bytes | None:
        return b"proof" if block == self.best[4] else None

    def hash_at(self, number: int) -> Hash | None:
        return self.best[number] if number < self.length else None


def numbers(blocks: list[BlockData]) -> list[int]:
    return [each.header.number for each in blocks]


def test_blocks_upwards_and_downwards() -> None:
    shelf = Shelf(10)
    upwards = answer(shelf, BlockRequest(1, FromNumber(3), False, 3, BLOCKS))
    assert upwards == [
        BlockData(shelf.headers[shelf.best[number]], [bytes(10)], b"proof" if number == 4 else None)
        for number in (3, 4, 5)
    ]
    assert numbers(answer(shelf, BlockRequest(1, FromNumber(8), False, 128, HEADERS))) == [8, 9]
    downwards = answer(shelf, BlockRequest(1, FromHash(shelf.fork), True, 128, PROOFS))
    assert [each.header.hash() for each in downwards] == [shelf.fork, *shelf.best[2::-1]]
    assert {each.body for each in downwards} == {None}
    assert numbers(answer(shelf, BlockRequest(1, FromHash(shelf.fork), False, 9, HEADERS))) == [3]


def test_what_is_not_there_ends_an_answer() -> None:
    shelf = Shelf(10, pruned=frozenset({6}))
    assert answer(shelf, BlockRequest(1, FromNumber(10), False, 1, HEADERS)) == []
    assert answer(shelf, BlockRequest(1, FromHash(Hash(b"\x09" * 32)), True, 1, HEADERS)) == []
    assert numbers(answer(shelf, BlockRequest(1, FromNumber(4), False, 9, BLOCKS))) == [4, 5]
    assert numbers(answer(shelf, BlockRequest(1, FromNumber(4), False, 9, HEADERS))) == [4, 5, 6, 7, 8, 9]
    assert answer(shelf, BlockRequest(1, FromNumber(4), False, 0, BLOCKS)) == []


@given(st.integers(0, 255), st.integers(1, 40_000))
def test_an_answer_is_bounded_in_number_and_bytes(count: int, size: int) -> None:
    shelf = Shelf(200, size)
    blocks = answer(shelf, BlockRequest(1, FromNumber(0), False, count, 255))
    assert len(blocks) <= min(count, MAX_BLOCKS)
    total = sum(len(each.body[0]) + len(each.header.encode()) for each in blocks if each.body)
    assert total <= MAX_ANSWER + 40
    if len(blocks) < min(count, MAX_BLOCKS):
        assert total + size + 200 > MAX_ANSWER


def test_a_block_beyond_the_limit_is_given_alone() -> None:
    shelf = Shelf(10, MAX_ANSWER + 1)
    assert numbers(answer(shelf, BlockRequest(1, FromNumber(3), False, 9, BLOCKS))) == [3]


class Gifts:
    """A clock and a way to peers, which counts what they are given."""

    def __init__(self) -> None:
        self.now = 0.0
        self.unread = 0
        self.given: dict[str, int] = {}

    def wall_ms(self) -> int:
        return round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")

    async def run(self, peers: PeerHandler) -> None:
        raise AssertionError("the test says what comes")

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        if channel == Channel.ANSWERS:
            self.given[peer] = self.given.get(peer, 0) + len(message)
        return True

    def drop(self, peer: str, reason: str) -> None:
        raise AssertionError(f"{peer}: {reason}")

    def thank(self, peer: str) -> None:
        """Do nothing: nobody has to make room."""

    def waiting(self, peer: str) -> int:
        return self.unread

    def addresses(self) -> list[str]:
        return []


class Idle:
    """Block sync that wants nothing."""

    def joined(self, peer: str, best: tuple[Hash, int], final: int, first: int) -> None: ...
    def left(self, peer: str) -> None: ...
    def announced(self, peer: str, header: Header, is_best: bool, body: list[bytes] | None) -> None: ...
    def answered(self, peer: str, request: int, blocks: list[BlockData]) -> None: ...
    def tick(self) -> None: ...


def test_who_asks_for_ever_is_given_a_share() -> None:
    """Forty bytes ask for two megabytes, which take a tenth of a second to make."""
    gifts, shelf = Gifts(), Shelf(20, size=1 << 20)
    status = Status(PROTOCOL_VERSION, 1, shelf.best[0], shelf.best[0], 0, shelf.best[0], 0)
    network = Network(gifts, gifts, lambda: status)
    BlockExchange(network, shelf, gifts).serve(Idle())
    greedy, answer_size = [f"p{number}" for number in range(8)], 2 << 20
    request = BLOCK_REQUEST.encode(BlockRequest(1, FromNumber(1), False, MAX_BLOCKS, BLOCKS))
    for peer in greedy:
        network.connected(peer)
        network.received(peer, Channel.STATUS, STATUS.encode(status))
    for _ in range(50):
        network.received(greedy[0], Channel.REQUESTS, request)
    assert GIVEN.burst <= gifts.given[greedy[0]] < GIVEN.burst + answer_size
    for peer in greedy * 20:
        network.received(peer, Channel.REQUESTS, request)
    assert ALL_GIVEN.burst <= sum(gifts.given.values()) < ALL_GIVEN.burst + answer_size
    gifts.given.clear()
    gifts.now = 60.0
    network.received(greedy[0], Channel.REQUESTS, request)
    assert gifts.given[greedy[0]] > 1 << 20


def served(gifts: Gifts, shelf: Shelf) -> tuple[Network, bytes]:
    """Return a network that serves a shelf to peer "p", and a question for all of it."""
    status = Status(PROTOCOL_VERSION, 1, shelf.best[0], shelf.best[0], 0, shelf.best[0], 0)
    network = Network(gifts, gifts, lambda: status)
    BlockExchange(network, shelf, gifts).serve(Idle())
    network.connected("p")
    network.received("p", Channel.STATUS, STATUS.encode(status))
    return network, BLOCK_REQUEST.encode(BlockRequest(1, FromNumber(1), False, MAX_BLOCKS, BLOCKS))


def test_for_who_does_not_read_no_answer_is_made() -> None:
    gifts = Gifts()
    network, request = served(gifts, Shelf(20, size=1 << 10))
    gifts.unread = MAX_UNREAD + 1
    network.received("p", Channel.REQUESTS, request)
    assert gifts.given == {}
    gifts.unread = MAX_UNREAD
    network.received("p", Channel.REQUESTS, request)
    assert gifts.given["p"] > 19 << 10


def test_small_blocks_that_take_long_to_find_cost_what_they_take() -> None:
    """A second of this node's time is worth twenty megabytes, however few bytes come of it."""

    class Slow(Shelf):
        def body(self, block: Hash) -> list[bytes] | None:
            gifts.now += 0.001
            return super().body(block)

    gifts = Gifts()
    network, request = served(gifts, Slow(129))
    for _ in range(50):
        network.received("p", Channel.REQUESTS, request)
    assert GIVEN.burst / PER_SECOND < gifts.now < GIVEN.burst / PER_SECOND + 0.2


def test_the_oldest_is_forgotten_first() -> None:
    seen: Seen[int] = Seen(3)
    assert [seen.add(each) for each in (1, 2, 3, 1, 4)] == [True, True, True, False, True]
    assert (2 in seen, 1 in seen, len(seen)) == (False, True, 3)


def test_a_share_fills_up_again() -> None:
    limits = LIMITS[Channel.REQUESTS]
    bucket = Bucket(limits.rate, limits.burst, 0.0)
    assert sum(bucket.take(0.0) for _ in range(2 * limits.burst)) == limits.burst
    assert sum(bucket.take(0.5) for _ in range(limits.burst)) == limits.rate / 2
    assert sum(bucket.take(1e6) for _ in range(2 * limits.burst)) == limits.burst


@given(st.lists(st.tuples(st.integers(0, 1 << 31), st.floats(0, 1e4)), max_size=20))
def test_half_of_what_is_lost_comes_back_every_139_seconds(losses: list[tuple[int, float]]) -> None:
    reputation, now, expected = Reputation(), 0.0, 0.0
    for cost, wait in losses:
        reputation.lose(cost, now)
        expected = (expected + cost) / 2 ** (wait / 139)
        now += wait
        assert abs(reputation.lost(now) - expected) <= 1 + expected / 10**6


def test_a_ban_ends_by_itself_and_few_peers_are_remembered() -> None:
    moment = [0.0]
    reputations = Reputations(lambda: moment[0], 3)
    assert not reputations.lose("a", BANNED - 10)
    assert reputations.lose("a", 20)
    assert reputations.is_banned("a")
    moment[0] = 1.0
    assert not reputations.is_banned("a")
    for peer in "bcde":
        reputations.lose(peer, 5)
    assert [reputations.of(peer) for peer in "abcde"] == [0, 0, 5, 5, 5]
