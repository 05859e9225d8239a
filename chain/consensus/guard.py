"""No key signs two things where the protocol allows one, across crashes, restores and restarts.

    guard.db = blake2-256 of the rest | SCALE of the records

The file lies outside the chain database, so that purging or restoring that one cannot touch it. A record is
written and synced before the signature it allows leaves this module. Source: the high-watermark rule of
cometbft/cometbft privval/file.go.
"""

from dataclasses import replace
from typing import Annotated

from chain.env import Disk, Lock, Locked
from chain.keys.pair import Keypair
from runtime.primitives.grandpa import Message, Precommit, Prevote, PrimaryPropose, localized_payload
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, struct, u8, u64
from runtime.primitives.types import ZERO_HASH, Ed25519Public, Hash, Signature64

GUARD_FILE = "guard.db"
LOCK_FILE = "guard.lock"

_CHECKSUM_SIZE = 32
_PHASES: dict[type, int] = {PrimaryPropose: 1, Prevote: 2, Precommit: 3}
"""The order in which a voter speaks in a round."""


class GuardError(Exception):
    """The guard will not let this key sign; says what the operator can do."""


@struct("guard::SlotRecord")
class SlotRecord:
    """The last header a key sealed."""

    slot: u64 = 0
    pre_hash: Hash = ZERO_HASH


@struct("guard::VoteRecord")
class VoteRecord:
    """The last vote a key cast."""

    set_id: u64 = 0
    round: u64 = 0
    phase: u8 = 0
    payload: Annotated[bytes, Bounded(64)] = b""
    signature: Signature64 = bytes(64)

    def position(self) -> tuple[int, int, int]:
        """Return what only ever grows."""
        return self.set_id, self.round, self.phase


@struct("guard::Records")
class Records:
    """Everything the guard remembers, by public key."""

    slots: dict[Ed25519Public, SlotRecord]
    votes: dict[Ed25519Public, VoteRecord]


_RECORDS = codec(Records)


class Guard:
    """The one place where session keys sign."""

    def __init__(self, disk: Disk, lock: Lock, records: Records) -> None:
        self._disk = disk
        self._lock = lock
        self._records = records

    @classmethod
    def open(cls, disk: Disk) -> "Guard":
        """Read the records and keep every other process away from them.

        Raises: GuardError when the file is corrupt or in use.
        """
        try:
            lock = disk.lock(LOCK_FILE)
        except Locked as problem:
            raise GuardError(
                f"{problem}: is another node running with the same keys? stop it first"
            ) from problem
        try:
            return cls(disk, lock, _load(disk.read(GUARD_FILE)))
        except GuardError:
            lock.release()
            raise

    def close(self) -> None:
        """Let another process sign."""
        self._lock.release()

    def admit_author(self, public: bytes) -> None:
        """Create the record of a new BABE key; a key that has one keeps it."""
        if public not in self._records.slots:
            self._write(replace(self._records, slots={**self._records.slots, public: SlotRecord()}))

    def admit_voter(self, public: bytes) -> None:
        """Create the record of a new GRANDPA key; a key that has one keeps it."""
        if public not in self._records.votes:
            self._write(replace(self._records, votes={**self._records.votes, public: VoteRecord()}))

    def last_slot(self, public: bytes) -> SlotRecord | None:
        """Return the last header a BABE key sealed."""
        return self._records.slots.get(public)

    def last_vote(self, public: bytes) -> VoteRecord | None:
        """Return the last vote a GRANDPA key cast."""
        return self._records.votes.get(public)

    def sign_seal(self, keypair: Keypair, slot: int, pre_hash: Hash) -> bytes:
        """Return the signature over a header of a slot.

        Raises: GuardError.
        """
        last = self._records.slots.get(keypair.public)
        if last is None:
            raise _unknown("BABE", keypair.public)
        if slot < last.slot or (slot == last.slot and pre_hash != last.pre_hash):
            detail = f"it has sealed another header of slot {last.slot}"
            raise GuardError(f"key 0x{keypair.public.hex()} must not author slot {slot}: {detail}")
        if slot > last.slot:
            slots = {**self._records.slots, keypair.public: SlotRecord(slot, pre_hash)}
            self._write(replace(self._records, slots=slots))
        return keypair.sign(pre_hash)

    def sign_vote(self, keypair: Keypair, message: Message, round_: int, set_id: int) -> bytes:
        """Return the signature of a vote; the same vote again gets the same signature.

        Raises: GuardError.
        """
        last = self._records.votes.get(keypair.public)
        if last is None:
            raise _unknown("GRANDPA", keypair.public)
        payload = localized_payload(message, round_, set_id)
        if payload == last.payload:
            return last.signature
        vote = VoteRecord(set_id, round_, _PHASES[type(message)], payload)
        if vote.position() <= last.position():
            where = "set {}, round {}, phase {}"
            raise GuardError(
                f"key 0x{keypair.public.hex()} must not vote in {where.format(*vote.position())}: "
                f"it has voted otherwise in {where.format(*last.position())}"
            )
        vote = replace(vote, signature=keypair.sign(payload))
        self._write(replace(self._records, votes={**self._records.votes, keypair.public: vote}))
        return vote.signature

    def _write(self, records: Records) -> None:
        content = _RECORDS.encode(records)
        self._disk.replace(GUARD_FILE, blake2_256(content) + content)
        self._records = records


def _load(content: bytes | None) -> Records:
    if content is None:
        return Records({}, {})
    checksum, body = content[:_CHECKSUM_SIZE], content[_CHECKSUM_SIZE:]
    if blake2_256(body) != checksum:
        raise GuardError(f"{GUARD_FILE} is corrupt: wrong checksum; restore it, or use new session keys")
    try:
        records: Records = _RECORDS.decode(body)
    except DecodeError as problem:
        raise GuardError(f"{GUARD_FILE} is of another version: {problem}; restore the right one") from problem
    return records


def _unknown(kind: str, public: bytes) -> GuardError:
    return GuardError(
        f"{GUARD_FILE} has no record of {kind} key 0x{public.hex()}: what it signed before is unknown; "
        "restore that file, or use new session keys"
    )
