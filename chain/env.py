"""The only doors to the outside world: time, randomness, files, the database and peers.

A simulator replaces them; `Environment` is all of them together, and what a node is made of.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from chain.keys.pair import Keypair


class Clock(Protocol):
    """Wall time for slots, monotonic time for timers."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch; may step in either direction."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""

    async def sleep(self, seconds: float) -> None:
        """Wait for at least this many seconds."""


class Rng(Protocol):
    """Unpredictable bytes."""

    def token(self, size: int) -> bytes:
        """Return this many bytes."""


class Locked(Exception):
    """Another process holds the lock."""


class Lock(Protocol):
    """Held until released, or until the process dies."""

    def release(self) -> None:
        """Let others have it."""


class Disk(Protocol):
    """One directory of small private files; a write is on stable storage when it returns."""

    def names(self) -> list[str]:
        """Return the file names, sorted."""

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None when there is no such file."""

    def replace(self, name: str, content: bytes) -> None:
        """Write a whole file; after a crash it holds the old content or the new, nothing else."""

    def lock(self, name: str) -> Lock:
        """Take the lock that this file stands for.

        Raises: Locked.
        """


class Batch(Protocol):
    """Writes that happen together or not at all, in the order they were added."""

    def put(self, column: str, key: bytes, value: bytes) -> None:
        """Add a write."""

    def delete(self, column: str, key: bytes) -> None:
        """Add a deletion; the key need not exist."""

    def clear(self, column: str) -> None:
        """Add the deletion of every key."""


class Snapshot(Protocol):
    """The state's columns as they were at one moment, whatever is written later; threads may share it."""

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""

    def entry(self, column: str, start: bytes) -> tuple[bytes, bytes] | None:
        """Return the first key that is not below `start`, and its value."""

    def keys(self, column: str, start: bytes, count: int) -> list[bytes]:
        """Return up to `count` keys from the first that is not below `start`."""


class Database(Protocol):
    """Ordered keys and values in columns (those of chain.storage.db); every write is one synced batch.

    A failure to read or write is a StorageError, and the node stops.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages to the operator."""

    def get(self, column: str, key: bytes) -> bytes | None:
        """Return the value of a key."""

    def keys(self, column: str, prefix: bytes) -> Iterator[bytes]:
        """Yield the keys with a prefix, in order, as they are when the first is asked for."""

    def snapshot(self) -> Snapshot:
        """Return the state's columns as they are now."""

    def batch(self) -> Batch:
        """Return an empty batch for `write` of this database."""

    def write(self, batch: Batch) -> None:
        """Write a batch and wait until it would survive a power loss; all of it is there, or nothing."""

    def close(self) -> None:
        """Close it; everything read from it is unusable afterwards."""


class PeerHandler(Protocol):
    """What a transport tells of peers, on the loop of the node; no call blocks or waits."""

    def connected(self, peer: str) -> None:
        """Note a peer that can be sent to from now on; its name is its peer id."""

    def disconnected(self, peer: str) -> None:
        """Note that a peer is gone."""

    def received(self, peer: str, channel: int, message: bytes) -> None:
        """Handle a message of a connected peer."""


class Transport(Protocol):
    """The way to peers: messages arrive whole and in order within a channel.

    One that arrives nowhere had a peer that is gone, or gave way to messages of higher priority.
    """

    async def run(self, peers: PeerHandler) -> None:
        """Connect, listen and deliver until cancelled."""

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        """Queue a message; False when the peer is gone or its queue is full."""

    def drop(self, peer: str, reason: str) -> None:
        """Disconnect a peer; `disconnected` follows, now or later."""

    def ban(self, peer: str, reason: str) -> bool:
        """Disconnect a peer and keep it away for a while; False where it may come back at once."""

    def thank(self, peer: str) -> None:
        """Note that a peer was of use: it is not the first to make room for another."""

    def waiting(self, peer: str) -> int:
        """Return how many bytes a peer has yet to take; 0 where it is gone."""

    def addresses(self) -> list[str]:
        """Return where others can reach this node."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything around one node."""

    clock: Clock
    rng: Rng
    disk: Callable[[str], Disk]  # "keystore", "guard", "grandpa" and "network"; made when there is none
    database: Callable[[], Database]  # opens it. Raises: StorageError
    transport: Callable[[Keypair, bytes], Transport]  # for a node key and the hash of a genesis block
