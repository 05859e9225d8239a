"""What says where peers are: records, their exchange, and the files of addresses and bans."""

from functools import cache

from chain.common.checked_file import write_checked
from chain.common.faults import Fault, PeerFault
from chain.network.discovery.addresses import AddressError, parse_address
from chain.network.discovery.addrman import AddressBook
from chain.network.discovery.book_file import read_book, write_book
from chain.network.discovery.records import DOMAIN, Record, make_record, verify_record
from chain.network.messages import (
    PEER_EXCHANGE,
    PEER_RECORD,
    STATUS,
    Channel,
    PeerExchange,
    PeerRecord,
    SignedRecord,
)
from chain.network.transport.bans import BANS_FILE, Bans
from chain.network.transport.tcp import TcpConfig
from runtime.primitives.scale import DecodeError, codec
from tests.chain.network import neighbours
from tests.chain.network.discovery.test_addrman import book_of, check, filled
from tests.chain.network.hands import EPOCH_MS, Hands
from tests.chain.network.neighbours import GENESIS, key_of, made
from tests.fuzz.engine import Target
from tests.sim.env import Files, Life, SimDisk

PAIR = key_of("peer")
TEXTS = ("/ip4/203.0.113.7/tcp/30333", "/ip6/2a00::1/tcp/1", "/dns/node.example.org/tcp/65535")
SIGNED = codec(SignedRecord)
MINUTE = 60.0
EXCHANGES = 500
"""with one peer before another takes its place"""


def records() -> list[Record]:
    """Return records of a few peers."""
    addresses = [parse_address(text) for text in TEXTS]
    return [make_record(key_of(f"far{number}"), GENESIS, addresses[:number], EPOCH_MS) for number in range(4)]


def exchanges() -> tuple[bytes, ...]:
    """Return what peers say to each other."""
    own, others = make_record(PAIR, GENESIS, [parse_address(TEXTS[0])], EPOCH_MS), records()
    said = (
        PeerExchange(wants=True, records=[]),
        PeerExchange(wants=True, records=[own.signed]),
        PeerExchange(wants=False, records=[each.signed for each in others]),
        PeerExchange(wants=False, records=[own.signed, others[1].signed]),
    )
    return tuple(map(PEER_EXCHANGE.encode, said))


class Listener:
    """A node without a chain, and one peer of it after the other."""

    def __init__(self) -> None:
        self._hands = Hands()
        self._node = made("listener", TcpConfig(port=None), clock=self._hands)
        self._node.transport.ip_of = lambda peer: "9.9.9.9"  # type: ignore[method-assign]
        self._node.transport.send = lambda *_: True  # type: ignore[method-assign]
        self._count = 0

    def say(self, data: bytes) -> str:
        """Say something about peers; return what it costs, as a power of two."""
        network, name = self._node.network, f"p{self._count // EXCHANGES}"
        self._count += 1
        self._hands.seconds += MINUTE
        if name not in network.peers():
            for peer in network.peers():
                network.disconnected(peer)
            network.connected(name)
            network.received(name, Channel.STATUS, STATUS.encode(neighbours.STATUS))
        self._node.discovery.tick()
        before, known = network.cost_of(name), len(self._node.transport.book)
        network.received(name, Channel.PEERS, data)
        cost = network.cost_of(name) - before
        assert round(cost, -4) != round(Fault.BUG.cost, -4), "a message that this node cannot handle"
        check(self._node.transport.book)
        return f"{cost.bit_length()} {len(self._node.transport.book) - known}"


@cache
def listener() -> Listener:
    """Return the node of this process."""
    return Listener()


def _signed(data: bytes) -> Record:
    """Return what a peer signs, whatever it is."""
    return verify_record(
        SignedRecord(PAIR.public, PAIR.sign(DOMAIN + GENESIS + data), data), GENESIS, EPOCH_MS
    )


def _verified(data: bytes) -> Record:
    record: SignedRecord = SIGNED.decode(data)
    return verify_record(record, GENESIS, EPOCH_MS)


def _book(data: bytes) -> AddressBook:
    book = read_book(data, book_of()._rng)
    check(book)
    again = read_book(write_book(book), book_of()._rng)
    assert {entry.address: entry for entry in again.entries()} == {e.address: e for e in book.entries()}
    return book


def _books() -> tuple[bytes, ...]:
    book = book_of()
    for address in filled(book, range(6))[:2]:
        book.good(address, "9.9.0.0/16", EPOCH_MS)
    for record in records():
        book.learn(record, record.addresses, "9.9.0.0/16", EPOCH_MS)
    return write_book(book), write_book(book_of())


def _bans(data: bytes) -> Bans:
    """Read a file of bans that is whole, whoever has written it."""
    files = Files()
    write_checked(SimDisk(files, Life()), BANS_FILE, data)
    bans = Bans(SimDisk(files, Life()), Hands())
    bans.add("somebody", "203.0.113.7")
    assert bans.suspects("203.0.113.7")
    return bans


def _ban_files() -> tuple[bytes, ...]:
    files = Files()
    bans = Bans(SimDisk(files, Life()), Hands())
    for name in ("one", "other"):
        bans.add(name, "203.0.113.7")
    bans.save(at_once=True)
    return files.content[BANS_FILE][32:], b"\0"


def targets() -> list[Target]:
    """Return the targets of this module."""
    plain = [PEER_RECORD.encode(PeerRecord(EPOCH_MS, EPOCH_MS + 1, list(TEXTS[:at]))) for at in range(4)]
    signed = tuple(SIGNED.encode(record.signed) for record in records())
    words = (*(text.encode() for text in TEXTS), b"/p2p/", b"/ip4/", b"/dns/", b"/tcp/")
    spelled = "an address may name its peer or leave it out"
    return [
        Target("peers.exchange", PEER_EXCHANGE.decode, (DecodeError,), exchanges(), PEER_EXCHANGE.encode),
        Target(
            "peers.record", _verified, (DecodeError, PeerFault), signed,
            lambda found: SIGNED.encode(found.signed), kind=lambda found: len(found.addresses), long=300_000,
        ),
        Target(
            "peers.signed", _signed, (PeerFault,), tuple(plain), words=words, why_loose=spelled,
            kind=lambda found: len(found.addresses), long=300_000,
        ),
        Target(
            "peers.discovery", lambda data: listener().say(data), (), exchanges(), kind=str, long=300_000,
            why_loose="a node does not say again what it was told",
        ),
        Target(
            "peers.book", _book, (DecodeError, AddressError, PeerFault), _books(), words=words, quick=1_000,
            long=300_000, kind=len, why_loose="two addresses that a key puts into one slot are one",
        ),
        Target(
            "peers.bans", _bans, (), _ban_files(), kind=lambda bans: len(bans._bans), quick=1_000,
            long=300_000, why_loose="the file is read into a table",
        ),
    ]  # fmt: skip
