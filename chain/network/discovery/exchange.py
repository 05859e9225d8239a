"""Peer exchange: each tells its peers where it listens, and passes on what others have signed.

joined      own record, and a question
asked       up to 100 fresh records, at most once a minute to each peer
fruitless   a peer that was dialled and has given nothing for minutes is left for another
later       one peer is asked after another: every minute while there are free places, else every ten; the
            own record goes out anew when it says something new, and every eight hours

Nothing unasked for but a peer's own record: whoever sends others is charged.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from chain.common.faults import Fault, PeerFault
from chain.env import Clock, Rng
from chain.keys.node import peer_id
from chain.keys.pair import Keypair
from chain.network.discovery.addresses import Address, group_of
from chain.network.discovery.addrman import AddressBook
from chain.network.discovery.records import (
    RENEWED_MS,
    Record,
    believable,
    make_record,
    open_record,
    verify_record,
)
from chain.network.messages import (
    MAX_RECORDS,
    PEER_EXCHANGE,
    Channel,
    PeerExchange,
    SignedRecord,
    Status,
)

log = logging.getLogger("sub-libp2p")

ANSWER_EVERY = 60.0
ASK_EVERY = 60.0
"""seconds between two answers to one peer, and between two questions to it"""
ASK_CALMLY = 600.0
"""seconds between two questions to anybody, where there are enough peers"""
REPLACE_EVERY = 30.0
"""seconds between two peers that are left for others: who has only such peers loses no two at a time"""
ANNOUNCE_EVERY = 15.0
"""seconds between two of the own records to everybody, however often the addresses change"""


class Places(Protocol):
    """What the transport knows of where peers are."""

    @property
    def book(self) -> AddressBook:
        """The addresses that may be dialled."""
        ...

    def ip_of(self, peer: str) -> str:
        """Return the IP address of a connected peer, empty where it is gone."""
        ...

    def announced(self) -> list[Address]:
        """Return where others are told to find this node."""
        ...


class Appetite(Protocol):
    """Who dials."""

    def is_hungry(self) -> bool:
        """Say whether there are places and nobody to dial."""
        ...

    def welcomed(self, peer: str) -> None:
        """Note that a connected peer is one of this chain."""
        ...

    def replace(self, peer: str) -> bool:
        """Leave a peer that this node has dialled, for another one; False where it stays."""
        ...


class Sender(Protocol):
    """The way to peers that have said where they stand."""

    def send(self, peer: str, channel: Channel, message: bytes) -> bool:
        """Send a message; False when the peer is gone or takes no more now."""
        ...


@dataclass(slots=True)
class _Talk:
    """What was exchanged with a peer, in seconds of the clock that never runs backwards."""

    asked: float | None = None  # when this node has asked last
    answered: float | None = None  # when it has answered last
    awaits: bool = False


class Discovery:
    """Whom this node hears of. Satisfies chain.network.service.Part."""

    def __init__(
        self,
        network: Sender,
        places: Places,
        dialler: Appetite,
        node_key: Keypair,
        genesis: bytes,
        clock: Clock,
        rng: Rng,
        *,
        allow_private: bool,
        is_open: bool = True,
        fruitless: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """Know of whom nothing good comes by `fruitless`: others are dialled in their place."""
        self._network = network
        self._places = places
        self._book = places.book
        self._dialler = dialler
        self._key = node_key
        self._own_id = peer_id(node_key.public)
        self._genesis = genesis
        self._clock = clock
        self._rng = rng
        self._allow_private = allow_private
        self._is_open = is_open  # False: reserved peers only, of whom nobody is told
        self._fruitless = fruitless
        self._talks: dict[str, _Talk] = {}
        self._own: Record | None = None
        self._told: Record | None = None  # the own record that every peer has
        self._own_addresses: list[Address] = []
        self._announced = self._asked = self._replaced = -ASK_CALMLY

    # What the network says.

    def joined(self, peer: str, status: Status) -> None:
        """Tell a new peer where this node is, and ask for others."""
        self._dialler.welcomed(peer)
        if self._is_open:
            self._talks[peer] = _Talk()
            self._renew()
            self._ask(peer)

    def left(self, peer: str) -> None:
        """Forget what was said to a peer."""
        self._talks.pop(peer, None)

    def tick(self) -> None:
        """Renew the own record when it is due, and ask for others."""
        if not self._is_open or not self._talks:
            return
        now = self._clock.monotonic()
        if now - self._replaced >= REPLACE_EVERY and any(map(self._dialler.replace, self._fruitless())):
            self._replaced = now
        self._renew()
        if self._own is not self._told and now - self._announced >= ANNOUNCE_EVERY:
            self._announced, self._told = now, self._own
            records = self._own_records()
            for peer in self._talks if records else ():
                self._say(peer, PeerExchange(wants=False, records=records))
        waits = ASK_EVERY / max(1, len(self._talks)) if self._dialler.is_hungry() else ASK_CALMLY
        if now - self._asked >= waits:
            self._ask_somebody(now)

    def received(self, peer: str, message: bytes) -> None:
        """Take in what a peer says of others, and answer its question.

        Raises: PeerFault, DecodeError.
        """
        exchange: PeerExchange = PEER_EXCHANGE.decode(message)
        talk = self._talks.get(peer)
        if talk is None:
            return
        others = [each for each in exchange.records if peer_id(each.public) != peer]
        if others and not talk.awaits:
            raise PeerFault(Fault.NOT_ASKED, f"{len(others)} peer records")
        talk.awaits = talk.awaits and not others
        self._learn(peer, exchange.records)
        if exchange.wants:
            self._answer(peer, talk)

    # Records.

    def _learn(self, peer: str, records: list[SignedRecord]) -> None:
        """Put what is new and signed into the book; the first false record ends it.

        Raises: PeerFault.
        """
        now, told_by = self._clock.wall_ms(), self._places.ip_of(peer)
        source, stale, learnt = group_of(told_by) if told_by else "", "", 0
        for signed in records:
            if signed.public == self._key.public or not self._is_news(signed):
                continue
            try:
                record = verify_record(signed, self._genesis, now)
            except PeerFault as fault:
                if fault.reason is not Fault.STALE_RECORD:
                    raise
                stale = str(fault)
                continue
            addresses = [each for each in record.addresses if self._is_believable(each, told_by)]
            learnt += self._book.learn(record, addresses, source, now)
        if learnt:
            log.debug("🔎 Heard of %d addresses from %s; %d are known", learnt, peer, len(self._book))
        if stale:
            raise PeerFault(Fault.STALE_RECORD, stale)

    def _is_news(self, signed: SignedRecord) -> bool:
        """Say whether a record is worth a signature check.

        Raises: PeerFault.
        """
        record = open_record(signed)
        return self._book.is_news(record.peer, record.seq)

    def _is_believable(self, address: Address, told_by: str) -> bool:
        return believable(address, allow_private=self._allow_private, told_by=told_by)

    def _renew(self) -> None:
        """Sign where this node is, if that is news."""
        now, addresses = self._clock.wall_ms(), self._places.announced()
        known = self._own
        if known is not None and addresses == self._own_addresses and now - known.seq < RENEWED_MS:
            return
        self._own_addresses = addresses
        self._own = make_record(self._key, self._genesis, addresses, now)

    def _own_records(self) -> list[SignedRecord]:
        return [self._own.signed] if self._own is not None and self._own_addresses else []

    # Questions and answers.

    def _ask_somebody(self, now: float) -> None:
        """Ask one of those that were not asked for a while."""
        ready = [
            peer for peer, talk in self._talks.items() if talk.asked is None or now - talk.asked >= ASK_EVERY
        ]
        if ready:
            self._ask(ready[int.from_bytes(self._rng.token(4), "little") % len(ready)])

    def _ask(self, peer: str) -> None:
        talk = self._talks[peer]
        if self._say(peer, PeerExchange(wants=True, records=self._own_records())):
            talk.asked = self._asked = self._clock.monotonic()
            talk.awaits = True

    def _answer(self, peer: str, talk: _Talk) -> None:
        """Say who else there is; who asks again too soon goes without.

        Raises: PeerFault.
        """
        now = self._clock.monotonic()
        if talk.answered is not None and now - talk.answered < ANSWER_EVERY:
            if now - talk.answered < ANSWER_EVERY / 2:
                raise PeerFault(Fault.TOO_MANY, "questions for peers")
            return
        talk.answered = now
        known = self._book.sample(MAX_RECORDS, self._clock.wall_ms())
        others = [record.signed for record in known if record.peer != peer]
        self._say(peer, PeerExchange(wants=False, records=others))

    def _say(self, peer: str, exchange: PeerExchange) -> bool:
        return self._network.send(peer, Channel.PEERS, PEER_EXCHANGE.encode(exchange))
