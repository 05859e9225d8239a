"""The doors of env.py on a real machine."""

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from chain.env import Clock, Environment, Locked, PeerHandler, Transport
from chain.keys.pair import Keypair
from chain.storage.db import RocksDatabase

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
_HALF_WRITTEN = ".tmp"


class RealClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for at least this many seconds."""
        await asyncio.sleep(seconds)


class RealRng:
    """The operating system's randomness."""

    def token(self, size: int) -> bytes:
        """Return this many bytes."""
        return secrets.token_bytes(size)


class FileLock:
    """An flock; the kernel lets go of it when the process dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RealDisk:
    """A directory that only its owner may read, and that a power cut leaves in its place."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        new = [each for each in (directory, *directory.parents) if not each.exists()]
        directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        for each in new:
            _sync(each.parent)

    def names(self) -> list[str]:
        """Return the file names, sorted, without what a crash left half written."""
        return sorted(each.name for each in self.directory.iterdir() if each.suffix != _HALF_WRITTEN)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None when there is no such file."""
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None

    def replace(self, name: str, content: bytes) -> None:
        """Write a whole file: temporary file, fsync, rename, fsync of the directory."""
        half_written = self.directory / (name + _HALF_WRITTEN)
        descriptor = os.open(half_written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half_written.replace(self.directory / name)
        _sync(self.directory)

    def lock(self, name: str) -> FileLock:
        """Take the flock of a file.

        Raises: Locked.
        """
        path = self.directory / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(descriptor)
            raise Locked(f"{path} is held by another process") from problem
        return FileLock(descriptor)


class NoTransport:
    """No way to any peer."""

    async def run(self, peers: PeerHandler) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    def send(self, peer: str, channel: int, message: bytes) -> bool:
        """Say that the peer is not there."""
        return False

    def drop(self, peer: str, reason: str) -> None:
        """Do nothing: nobody is connected."""

    def ban(self, peer: str, reason: str) -> bool:
        """Keep everybody away, as always."""
        return True

    def thank(self, peer: str) -> None:
        """Do nothing: there is nobody."""

    def waiting(self, peer: str) -> int:
        """Say that nothing waits: nothing is sent."""
        return 0

    def addresses(self) -> list[str]:
        """Say that nobody can reach this node."""
        return []


def no_peers(node_key: Keypair, genesis: bytes) -> Transport:
    """Return a transport that leads nowhere."""
    return NoTransport()


def real_environment(
    home: Path,
    keystore: Path | None = None,
    clock: Clock | None = None,
    transport: Callable[[Keypair, bytes], Transport] = no_peers,
) -> Environment:
    """Return this machine around a node with its files in a directory; the keystore may be apart."""

    def disk(name: str) -> RealDisk:
        return RealDisk(keystore if keystore is not None and name == "keystore" else home / name)

    def database() -> RocksDatabase:
        return RocksDatabase.open(home / "db")

    return Environment(clock or RealClock(), RealRng(), disk, database, transport)
