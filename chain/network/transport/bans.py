"""Who may not come in for a while, by identity, and from which IP addresses nobody takes another's place.

bans = blake2-256 of the rest | SCALE of the bans

The first ban of somebody takes ten minutes, each further one twice as long, up to a day; a good day after the
last one makes it the first again. An address may be that of many, so it is refused for a minute after a ban
of somebody there, and suspected for nine more; loopback ones are neither. See docs/adr/0025.
"""

import logging
from typing import Annotated

from chain.common.checked_file import Damaged, read_checked, write_checked
from chain.env import Clock, Disk
from chain.network.discovery.addresses import MAX_HOST, is_loopback, network_of
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, struct, u8, u64

log = logging.getLogger("sub-libp2p")

BANS_FILE = "bans"
FIRST_BAN = 600
LAST_BAN = 86_400
REFUSED = 60
"""seconds for which nobody is let in from the address of somebody who was banned"""
SUSPECTED = 600
"""seconds for which whoever comes from there goes before others"""
FORGIVEN_AFTER = 86_400
"""seconds without a new ban, after the end of the last one"""
MAX_BANS = 4_096
"""identities and addresses in all; beyond, those go that end first"""
IP6_PREFIX = 64
"""bits of an IPv6 address that one household has to itself"""
SAVE_EVERY = 5.0
"""seconds between two writes"""
_MAX_DOUBLINGS = 8


@struct("assay_network::Ban")
class Ban:
    """One who is kept away or suspected, or was a while ago."""

    who: Annotated[bytes, Bounded(MAX_HOST)]  # a peer id, or "IP/BITS"
    ends: u64  # ms since the Unix epoch
    count: u8


@struct("assay_network::Bans")
class _Bans:
    """All of them, those that end first before the others."""

    bans: Annotated[list[Ban], Bounded(MAX_BANS)]


_BANS = codec(_Bans)


class Bans:
    """Everybody who is kept away, on disk."""

    def __init__(self, disk: Disk, clock: Clock) -> None:
        self.total = 0  # since the start
        self._disk = disk
        self._clock = clock
        self._bans = {ban.who: ban for ban in _load(disk)}
        self._saved = -SAVE_EVERY
        self._is_saved = True

    def add(self, peer: str, ip: str) -> float:
        """Ban a peer and suspect its IP address (empty: unknown); return the seconds of the ban."""
        self.total += 1
        seconds = self._extend(peer)
        if ip and not is_loopback(ip):
            address = network_of(ip, IP6_PREFIX).encode()
            self._bans[address] = Ban(address, self._clock.wall_ms() + SUSPECTED * 1000, 1)
        self._forget()
        self._is_saved = False
        self.save()
        return seconds

    def has_peer(self, peer: str) -> bool:
        """Say whether an identity is kept away now."""
        return self._left_ms(peer) > 0

    def refuses(self, ip: str) -> bool:
        """Say whether nobody is let in from an IP address now."""
        return self._left_ms(network_of(ip, IP6_PREFIX)) > (SUSPECTED - REFUSED) * 1000

    def suspects(self, ip: str) -> bool:
        """Say whether whoever comes from an IP address now takes nobody's place."""
        return self._left_ms(network_of(ip, IP6_PREFIX)) > 0

    def pardon(self, peer: str) -> None:
        """Let an identity in again; its operator knows it."""
        if self._bans.pop(peer.encode(), None) is not None:
            self._is_saved = False
            self.save()

    def current(self) -> int:
        """Return how many identities are banned and addresses suspected now."""
        now = self._clock.wall_ms()
        return sum(now < ban.ends for ban in self._bans.values())

    def save(self, *, at_once: bool = False) -> None:
        """Write what has changed, unless something was written a moment ago: later, then."""
        now = self._clock.monotonic()
        if self._is_saved or (now - self._saved < SAVE_EVERY and not at_once):
            return
        self._saved, self._is_saved = now, True
        bans = sorted(self._bans.values(), key=lambda ban: ban.ends)
        try:
            write_checked(self._disk, BANS_FILE, _BANS.encode(_Bans(bans)))
        except OSError as problem:
            log.warning("⚠️ bans are not on disk and end with this run: %s; see to the disk", problem)

    def _left_ms(self, who: str) -> int:
        ban = self._bans.get(who.encode())
        return 0 if ban is None else ban.ends - self._clock.wall_ms()

    def _extend(self, who: str) -> float:
        """Begin a ban, or a longer one; return its seconds."""
        now, name = self._clock.wall_ms(), who.encode()
        known = self._bans.get(name)
        is_first = known is None or now >= known.ends + FORGIVEN_AFTER * 1000
        count = 1 if known is None or is_first else min(known.count + 1, _MAX_DOUBLINGS + 1)
        seconds = min(FIRST_BAN << (count - 1), LAST_BAN)
        self._bans[name] = Ban(name, now + seconds * 1000, count)
        return seconds

    def _forget(self) -> None:
        """Make room: first of whoever has been good, then of those that end first."""
        if len(self._bans) <= MAX_BANS:
            return
        oldest = self._clock.wall_ms() - FORGIVEN_AFTER * 1000
        kept = sorted((ban for ban in self._bans.values() if ban.ends > oldest), key=lambda ban: ban.ends)
        self._bans = {ban.who: ban for ban in kept[-MAX_BANS * 7 // 8 :]}


def _load(disk: Disk) -> list[Ban]:
    """Return the bans in the file; none where it is missing or damaged."""
    try:
        body = read_checked(disk, BANS_FILE)
        found: _Bans = _Bans([]) if body is None else _BANS.decode(body)
    except (Damaged, DecodeError):
        log.warning("⚠️ the file of banned peers is damaged: nobody is banned any more")
        return []
    return list(found.bans)
