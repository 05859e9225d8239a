"""GRANDPA among peers: who is told what, and what is worth a look at its signatures.

    vote        to peers in its set whose round is at most one away; passed on once, if it counts
    commit      to peers in its set that have less final; passed on once, if it proves something
    neighbour   where we stand, to everybody; where a peer stands decides what it is told
    catch-up    between two peers

What was met before is dropped by its hash, and what is of another set or a far round by its first bytes, both
before any signature is checked; a peer has a share of signatures that are checked for it, and who sends false
ones has next to none. The votes of the last rounds are kept, so that a peer that arrives in a round is told
what it has missed. Source: paritytech/polkadot-sdk
substrate/client/consensus/grandpa/src/communication/gossip.rs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Protocol

from chain.common.faults import Fault, PeerFault
from chain.common.seen import Seen
from chain.consensus.grandpa.commits import Pointless
from chain.consensus.grandpa.messages import GOSSIP_MESSAGE, Forged, Neighbor, NeighborPacket, Unasked
from runtime.primitives.grandpa import Block
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError

MET = 16_384
"""messages that are remembered by hash: of those that counted, and as many of all"""
KNOWN = 8192
"""messages of which this node remembers that a peer has them; not fewer than are kept"""
KEPT = 8192
"""votes kept for peers to come; those of three rounds of a thousand voters"""
PER_SIGNATURE = 132
"""bytes of a message for each signature in it, roughly: a vote is shorter, a commit has that many"""
FINE = 100
"""signatures that a false one counts for, beside itself"""
VOTE, COMMIT, NEIGHBOR, CATCH_UP_REQUEST, CATCH_UP = range(5)
"""the first byte of a message"""

_PLACE = Struct("<BQQ")
"""how votes and commits begin: what it is, round, set id"""
_TARGET_NUMBER = slice(_PLACE.size + 32, _PLACE.size + 36)
"""in a commit, after the hash"""


class Peers(Protocol):
    """The way to peers."""

    def send(self, peer: str, message: bytes) -> bool:
        """Send a message; False when the peer is gone or takes no more now."""

    def may_check(self, peer: str) -> bool:
        """Say whether there is something left of a peer's share of signatures."""

    def spend(self, peer: str, signatures: int) -> None:
        """Take so many from a peer's share, more than is left if need be."""

    def thank(self, peer: str) -> None:
        """Note that a peer was the first to tell what counts."""


class Receiver(Protocol):
    """The voter."""

    def receive(self, peer: str, data: bytes) -> bool:
        """Handle a message; return whether it is worth passing on.

        Raises: DecodeError, Forged, Pointless, Unasked.
        """

    def standing(self) -> NeighborPacket | None:
        """Return where this node stands; None where it follows no set."""


@dataclass(slots=True)
class _View:
    """Where a peer stands, as it has said, and what it has."""

    packet: NeighborPacket | None = None
    known: Seen[bytes] = field(default_factory=lambda: Seen(KNOWN))

    def takes_vote(self, round_: int, set_id: int) -> bool:
        """Say whether a vote is of use there."""
        packet = self.packet
        return packet is not None and packet.set_id == set_id and abs(packet.round - round_) <= 1

    def takes_commit(self, set_id: int, number: int) -> bool:
        """Say whether a commit is of use there."""
        packet = self.packet
        return packet is not None and packet.set_id == set_id and packet.commit_finalized_height < number


class GrandpaGossip:
    """Carries votes between the voter of this node and its peers. Satisfies the driver's Gossip."""

    def __init__(
        self, peers: Peers, fetch: Callable[[Block], None], is_final: Callable[[str, int], None]
    ) -> None:
        self._peers = peers
        self.fetch = fetch
        self._is_final = is_final
        self._receiver: Receiver | None = None
        self._views: dict[str, _View] = {}
        self._met: Seen[bytes] = Seen(MET)
        self._tried: Seen[bytes] = Seen(MET)  # whatever came of it, so that no crowd pushes out what counted
        self._votes: dict[tuple[int, int], dict[bytes, bytes]] = {}  # by set and round: by hash
        self._kept = 0

    def serve(self, receiver: Receiver) -> None:
        """Begin, and hand what comes to the voter."""
        self._receiver = receiver

    # From the voter.

    def send(self, message: bytes, peer: str | None) -> None:
        """Send a message to a peer, or to all to whom it is of use."""
        if peer is not None:
            self._peers.send(peer, message)
        elif message[0] in (VOTE, COMMIT):
            is_reminder = not self._met.add(blake2_256(message))
            self._spread(message, even_known=is_reminder)
        else:
            for each in list(self._views):
                self._peers.send(each, message)
            self._forget_old()

    # From peers.

    def joined(self, peer: str) -> None:
        """Tell a new peer where we stand."""
        self._views[peer] = _View()
        standing = None if self._receiver is None else self._receiver.standing()
        if standing is not None:
            self._peers.send(peer, GOSSIP_MESSAGE.encode(Neighbor(standing)))

    def left(self, peer: str) -> None:
        """Forget a peer."""
        self._views.pop(peer, None)

    def received(self, peer: str, message: bytes) -> None:
        """Handle a message of a peer.

        Raises: PeerFault, DecodeError.
        """
        kind = message[0] if message else CATCH_UP + 1
        if kind in (VOTE, COMMIT):
            self._gossiped(peer, message)
        elif kind == NEIGHBOR:
            self._moved(peer, message)
        elif kind in (CATCH_UP_REQUEST, CATCH_UP):
            self._hand_in(peer, message)
        else:
            raise DecodeError("no GRANDPA message begins so")

    def _gossiped(self, peer: str, message: bytes) -> None:
        """Have a vote or commit counted that was not met before, and pass it on."""
        digest, known = blake2_256(message), self._views[peer].known
        if digest in self._met or digest in self._tried:
            known.add(digest)
            return
        if len(message) < _PLACE.size:
            raise DecodeError("a vote is longer")
        kind, round_, set_id = _PLACE.unpack_from(message)
        standing = None if self._receiver is None else self._receiver.standing()
        if standing is None:
            return
        is_late = kind == COMMIT and set_id == standing.set_id - 1  # the end of the set before, told again
        if set_id != standing.set_id and not is_late:
            raise PeerFault(Fault.OUT_OF_DATE if set_id < standing.set_id else Fault.OUT_OF_TURN)
        if kind == VOTE and abs(round_ - standing.round) > 1:
            raise PeerFault(Fault.OUT_OF_DATE if round_ < standing.round else Fault.OUT_OF_TURN)
        if not self._peers.may_check(peer):
            raise PeerFault(Fault.TOO_MANY, "votes to check")
        self._tried.add(digest)
        known.add(digest)
        if self._hand_in(peer, message):
            self._met.add(digest)
            self._peers.thank(peer)
            if not is_late:
                self._spread(message)

    def _moved(self, peer: str, message: bytes) -> None:
        """Note where a peer stands, and tell it what it has missed of its round."""
        found = GOSSIP_MESSAGE.decode(message)
        assert isinstance(found, Neighbor), "its first byte says so"
        packet: NeighborPacket = found._0
        view = self._views[peer]
        before, view.packet = view.packet, packet
        self._is_final(peer, packet.commit_finalized_height)
        if before is not None and (packet.set_id, packet.round) < (before.set_id, before.round):
            raise PeerFault(Fault.BACKWARDS)
        self._hand_in(peer, message)
        for round_ in (packet.round - 1, packet.round, packet.round + 1):
            for digest, vote in list(self._votes.get((packet.set_id, round_), {}).items()):
                if digest not in view.known and self._peers.send(peer, vote):
                    view.known.add(digest)

    def _hand_in(self, peer: str, message: bytes) -> bool:
        """Have the voter look at a message; what its signatures cost is the peer's to pay."""
        if self._receiver is None:
            return False
        if message[0] in (VOTE, COMMIT, CATCH_UP):
            self._peers.spend(peer, max(1, len(message) // PER_SIGNATURE))
        try:
            return self._receiver.receive(peer, message)
        except Unasked as unasked:
            raise PeerFault(Fault.NOT_ASKED, "votes of a round") from unasked
        except Forged as forged:
            self._peers.spend(peer, FINE)
            raise PeerFault(Fault.FORGED, str(forged)) from forged
        except Pointless as pointless:
            self._peers.spend(peer, FINE)
            raise PeerFault(Fault.BAD_COMMIT, str(pointless)) from pointless

    def _spread(self, message: bytes, *, even_known: bool = False) -> None:
        """Send a vote or commit to the peers to whom it is of use and that are not known to have it."""
        digest = blake2_256(message)
        kind, round_, set_id = _PLACE.unpack_from(message)
        if kind == VOTE:
            self._keep(digest, (set_id, round_), message)
        number = int.from_bytes(message[_TARGET_NUMBER], "little")
        for peer, view in list(self._views.items()):
            is_of_use = view.takes_vote(round_, set_id) if kind == VOTE else view.takes_commit(set_id, number)
            is_wanted = is_of_use and (even_known or digest not in view.known)
            if is_wanted and self._peers.send(peer, message):
                view.known.add(digest)

    def _keep(self, digest: bytes, place: tuple[int, int], vote: bytes) -> None:
        """Keep a vote; of too many the first of the oldest round goes."""
        votes = self._votes.setdefault(place, {})
        self._kept += digest not in votes
        votes[digest] = vote
        if self._kept > KEPT:
            oldest = self._votes[min(self._votes)]
            del oldest[next(iter(oldest))]
            self._kept -= 1
            if not oldest:
                del self._votes[min(self._votes)]

    def _forget_old(self) -> None:
        """Drop the votes of rounds that no peer can use any more."""
        standing = None if self._receiver is None else self._receiver.standing()
        if standing is not None:
            self._votes = {
                (set_id, round_): votes
                for (set_id, round_), votes in self._votes.items()
                if set_id == standing.set_id and round_ >= standing.round - 2
            }
            self._kept = sum(map(len, self._votes.values()))
