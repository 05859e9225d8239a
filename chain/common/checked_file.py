"""A small file that shows whether it is whole: blake2-256 of the rest | the rest."""

from chain.env import Disk
from runtime.primitives.hashing import blake2_256

_CHECKSUM_SIZE = 32


class Damaged(Exception):
    """The file is not what was written."""


def write_checked(disk: Disk, name: str, body: bytes) -> None:
    """Write a file; it is on stable storage when this returns."""
    disk.replace(name, blake2_256(body) + body)


def read_checked(disk: Disk, name: str) -> bytes | None:
    """Return what was written, None where there is no file.

    Raises: Damaged.
    """
    content = disk.read(name)
    if content is None:
        return None
    checksum, body = content[:_CHECKSUM_SIZE], content[_CHECKSUM_SIZE:]
    if blake2_256(body) != checksum:
        raise Damaged(name)
    return body
