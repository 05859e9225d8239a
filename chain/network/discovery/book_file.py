"""The address book on disk: its secret key, its addresses and the records, with a checksum.

peers = blake2-256 of the rest | SCALE of the book
"""

import logging
from typing import Annotated

from chain.common.checked_file import Damaged, read_checked, write_checked
from chain.common.faults import PeerFault
from chain.env import Clock, Disk, Rng
from chain.network.discovery.addresses import MAX_ADDRESS, MAX_HOST, AddressError, parse_address
from chain.network.discovery.addrman import (
    BUCKET_SIZE,
    KEY_SIZE,
    NEW_BUCKETS,
    TRIED_BUCKETS,
    AddressBook,
    Entry,
)
from chain.network.discovery.records import open_record
from chain.network.messages import SignedRecord
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, Fixed, struct, u32, u64

log = logging.getLogger("sub-libp2p")

BOOK_FILE = "peers"
SMALL = 64
"""addresses, up to which a book is soon written: each of them matters"""
SAVE_SMALL = 10.0
SAVE_LARGE = 300.0
"""seconds between two writes"""
MAX_ENTRIES = (NEW_BUCKETS + TRIED_BUCKETS) * BUCKET_SIZE


@struct("assay_network::KnownAddress")
class KnownAddress:
    """An entry of the book."""

    address: Annotated[str, Bounded(MAX_ADDRESS)]
    source: Annotated[str, Bounded(MAX_HOST)]
    seen: u64
    last_try: u64
    last_success: u64
    attempts: u32
    is_tried: bool


@struct("assay_network::AddressBook")
class WrittenBook:
    """The whole book; places follow from the key."""

    key: Annotated[bytes, Fixed(KEY_SIZE)]
    addresses: Annotated[list[KnownAddress], Bounded(MAX_ENTRIES)]
    records: Annotated[list[SignedRecord], Bounded(MAX_ENTRIES)]


BOOK = codec(WrittenBook)
_MAX_U32 = (1 << 32) - 1


class BookKeeper:
    """The book that is on disk, written again when enough has changed."""

    def __init__(self, disk: Disk, rng: Rng, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock
        self.book = _load(disk, rng)
        self._changes = self.book.changes  # those that are written
        self._saved = clock.monotonic()

    def save(self, *, at_once: bool = False) -> None:
        """Write the book, if it has changed; a large one not too often.

        A crash leaves the old one or the new one; a disk that takes nothing is no reason to end a node.
        """
        now = self._clock.monotonic()
        every = SAVE_SMALL if len(self.book) <= SMALL else SAVE_LARGE
        if self._changes == self.book.changes or (now - self._saved < every and not at_once):
            return
        self._saved, self._changes = now, self.book.changes
        try:
            write_checked(self._disk, BOOK_FILE, write_book(self.book))
        except OSError as problem:
            log.warning("⚠️ the address book is not on disk: %s; see to the disk", problem)


def read_book(body: bytes, rng: Rng) -> AddressBook:
    """Return what was written; signatures were verified before.

    Raises: DecodeError, AddressError, PeerFault.
    """
    written: WrittenBook = BOOK.decode(body)
    book = AddressBook(rng, written.key)
    for each in written.addresses:
        entry = Entry(
            parse_address(each.address),
            each.source,
            each.seen,
            each.last_try,
            each.last_success,
            each.attempts,
            each.is_tried,
        )
        book.restore(entry)
    for signed in written.records:
        book.restore_record(open_record(signed))
    return book


def _load(disk: Disk, rng: Rng) -> AddressBook:
    """Return the book on disk; an empty one where there is none or it is damaged, which costs only time."""
    try:
        body = read_checked(disk, BOOK_FILE)
        return AddressBook(rng) if body is None else read_book(body, rng)
    except (Damaged, DecodeError, AddressError, PeerFault) as problem:
        log.warning("📕 the address book is damaged and begun anew: %s; bootnodes know others", problem)
        return AddressBook(rng)


def write_book(book: AddressBook) -> bytes:
    """Return the book as bytes."""
    addresses = [
        KnownAddress(
            str(entry.address),
            entry.source,
            entry.seen,
            entry.last_try,
            entry.last_success,
            min(entry.attempts, _MAX_U32),
            entry.is_tried,
        )
        for entry in book.entries()
    ]
    return BOOK.encode(WrittenBook(book.key, addresses, [record.signed for record in book.records()]))
