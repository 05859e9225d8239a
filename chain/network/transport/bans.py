"""Who may not come in for a while: by identity, and by IP address.

bans = blake2-256 of the rest | SCALE of the bans

The first ban of somebody takes ten minutes, each further one twice as long, up to a day; a good day after the
last one makes it the first again. Loopback addresses are never banned: everybody on this machine has them.
"""

import logging
from typing import Annotated

from chain.checked_file import Damaged, read_checked, write_checked
from chain.env import Clock, Disk
from chain.network.discovery.addresses import MAX_HOST, is_loopback, network_of
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, struct, u8, u64

log = logging.getLogger("sub-libp2p")

BANS_FILE = "bans"
FIRST_BAN = 600
LAST_BAN = 86_400
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
    """One who is kept away, or was a while ago."""

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
        """Keep a peer and its IP address (empty: unknown) away; return for how many seconds."""
        self.total += 1
        seconds = self._extend(peer)
        if ip and not is_loopback(ip):
            self._extend(network_of(ip, IP6_PREFIX))
        self._forget()
        self._is_saved = False
        self.save()
        return seconds

    def has_peer(self, peer: str) -> bool:
        """Say whether an identity is kept away now."""
        return self._is_kept_away(peer)

    def has_ip(self, ip: str) -> bool:
        """Say whether an IP address is kept away now."""
        return self._is_kept_away(network_of(ip, IP6_PREFIX))

    def pardon(self, peer: str) -> None:
        """Let an identity in again; its operator knows it."""
        if self._bans.pop(peer.encode(), None) is not None:
            self._is_saved = False
            self.save()

    def current(self) -> int:
        """Return how many identities and addresses are kept away now."""
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

    def _is_kept_away(self, who: str) -> bool:
        ban = self._bans.get(who.encode())
        return ban is not None and self._clock.wall_ms() < ban.ends

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
