"""What the guard remembers, and the file that holds it.

guard.db = blake2-256 of the rest | version | SCALE of the records
"""

from typing import Annotated

from chain.common.checked_file import Damaged, read_checked, write_checked
from chain.env import Disk
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, struct, u8, u64
from runtime.primitives.types import ZERO_HASH, Ed25519Public, Hash, Signature64

GUARD_FILE = "guard.db"
CORRUPT_FILE = "guard.db.corrupt"
"""where `assay init-guard` keeps a file that it replaces"""
VERSION = b"\x02"
"""of the layout; no file of the one before, which had no such byte, begins like this"""
NO_SIGNATURE = bytes(64)


class GuardError(Exception):
    """The guard will not let this key sign; says what the operator can do."""


class GuardCorrupt(GuardError):
    """The file cannot be read; what its keys have signed is unknown."""


@struct("guard::SlotRecord")
class SlotRecord:
    """The last header a key sealed; without signature where the chain told of it."""

    slot: u64 = 0
    pre_hash: Hash = ZERO_HASH
    signature: Signature64 = NO_SIGNATURE


@struct("guard::VoteRecord")
class VoteRecord:
    """The last vote a key cast; without payload where others told of it."""

    set_id: u64 = 0
    round: u64 = 0
    phase: u8 = 0
    payload: Annotated[bytes, Bounded(64)] = b""
    signature: Signature64 = NO_SIGNATURE

    def position(self) -> tuple[int, int, int]:
        """Return what only ever grows."""
        return self.set_id, self.round, self.phase


@struct("guard::Silence")
class Silence:
    """A key that listens whether another node signs with it; all in slots that this node was up."""

    length: u64
    left: u64
    since: u64 = 0  # the first slot listened to; 0: none yet


@struct("guard::Records")
class Records:
    """Everything the guard remembers, by public key; `stale`: the keys have signed more than stands here."""

    slots: dict[Ed25519Public, SlotRecord]
    votes: dict[Ed25519Public, VoteRecord]
    silences: dict[Ed25519Public, Silence]
    stale: bool = False


_RECORDS = codec(Records)


def store(disk: Disk, records: Records) -> None:
    """Write the records; they are on stable storage when this returns."""
    write_checked(disk, GUARD_FILE, VERSION + _RECORDS.encode(records))


def load(disk: Disk) -> Records:
    """Return the records, none at all where there is no file.

    Raises: GuardCorrupt.
    """
    try:
        body = read_checked(disk, GUARD_FILE)
    except Damaged as problem:
        raise GuardCorrupt(f"{GUARD_FILE} is corrupt: wrong checksum; {_WAY_OUT}") from problem
    if body is None:
        return Records({}, {}, {})
    if body[:1] != VERSION:
        raise GuardCorrupt(f"{GUARD_FILE} is of another version of this program; {_WAY_OUT}")
    try:
        records: Records = _RECORDS.decode(body[1:])
    except DecodeError as problem:
        raise GuardCorrupt(f"{GUARD_FILE} is of another version: {problem}; {_WAY_OUT}") from problem
    return records


_WAY_OUT = "what the keys have signed is unknown: stop the node, then run `assay init-guard`"
