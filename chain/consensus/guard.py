"""No key signs two things where the protocol allows one: across crashes, restores, copies and purges.

    higher than the record   recorded and synced, then signed
    equal, the same bytes    the stored signature
    equal, other bytes       refused, and so is what is lower, has no record, listens or is stale

The file lies outside the chain database, so that purging or restoring that one cannot touch it. Whoever reads
what others sign tells the guard: a signature of its own keys that goes beyond its records shows that the file
is an old copy, or that another node has the same keys. Then nothing is signed until the operator decides.
Source: the high-watermark rule of cometbft/cometbft privval/file.go; sigp/lighthouse's doppelganger check.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from chain.consensus.guard_records import (
    CORRUPT_FILE,
    GUARD_FILE,
    NO_SIGNATURE,
    GuardCorrupt,
    GuardError,
    Records,
    Silence,
    SlotRecord,
    VoteRecord,
    load,
    store,
)
from chain.env import Disk, Lock, Locked
from chain.keys.pair import Keypair
from runtime.primitives.grandpa import Message, Precommit, Prevote, PrimaryPropose, localized_payload
from runtime.primitives.types import Hash

log = logging.getLogger("guard")

LOCK_FILE = "guard.lock"
WRITE_EVERY = 16
"""slots of silence between two notes of it; at most so many are listened through again after a crash"""

_PHASES: dict[type, int] = {PrimaryPropose: 1, Prevote: 2, Precommit: 3}
"""The order in which a voter speaks in a round."""


class KeySilent(GuardError):
    """The key listens for others that sign with it and will speak by itself once it has heard nobody."""


class Guard:
    """The one place where session keys sign."""

    def __init__(self, disk: Disk, lock: Lock, records: Records, *, lenient: bool) -> None:
        self._disk = disk
        self._lock = lock
        self._records = records
        self._lenient = lenient
        self.is_anew = False
        self._at_work: set[bytes] = set()
        self._slot: int | None = None  # the last one listened to
        self._began: int | None = None  # the first one of this process
        self._told: dict[bytes, int] = {}  # the slot in which the operator last heard of another node

    @classmethod
    def open(cls, disk: Disk, *, lenient: bool = False, anew: bool = False) -> "Guard":
        """Read the records and keep every other process away from them.

        `lenient` is for test chains: what a key signed before this process only raises its record. `anew`
        sets a corrupt file aside and begins without records.
        Raises: GuardCorrupt, GuardError when the file is in use.
        """
        try:
            lock = disk.lock(LOCK_FILE)
        except Locked as problem:
            raise GuardError(
                f"{problem}: is another node running with the same keys? stop it first"
            ) from problem
        try:
            return cls(disk, lock, load(disk), lenient=lenient)
        except GuardCorrupt:
            if not anew:
                lock.release()
                raise
        disk.replace(CORRUPT_FILE, disk.read(GUARD_FILE) or b"")
        guard = cls(disk, lock, Records({}, {}, {}), lenient=lenient)
        guard.is_anew = True
        return guard

    def close(self) -> None:
        """Let another process sign."""
        self._lock.release()

    # Records.

    def admit_author(self, public: bytes) -> None:
        """Create the record of a new BABE key; a key that has one keeps it."""
        if public not in self._records.slots:
            self._write(replace(self._records, slots={**self._records.slots, public: SlotRecord()}))

    def admit_voter(self, public: bytes) -> None:
        """Create the record of a new GRANDPA key; a key that has one keeps it."""
        if public not in self._records.votes:
            self._write(replace(self._records, votes={**self._records.votes, public: VoteRecord()}))

    def begin_silence(self, authors: Iterable[bytes], voters: Iterable[bytes], slots: int) -> None:
        """Give keys the records they lack, and have them listen for so many slots before they sign.

        Where the file is stale every key in it listens.
        """
        listeners = {*authors, *voters}
        if self._records.stale:
            listeners |= {*self._records.slots, *self._records.votes}
        self._write(
            Records(
                {**dict.fromkeys(authors, SlotRecord()), **self._records.slots},
                {**dict.fromkeys(voters, VoteRecord()), **self._records.votes},
                {**self._records.silences, **dict.fromkeys(sorted(listeners), Silence(slots, slots))},
            )
        )

    @property
    def stale(self) -> bool:
        """Whether the keys have signed more than the records say."""
        return self._records.stale

    def silence(self, public: bytes) -> Silence | None:
        """Return how a key listens, None when it does not."""
        return self._records.silences.get(public)

    def last_slot(self, public: bytes) -> SlotRecord | None:
        """Return the last header a BABE key sealed."""
        return self._records.slots.get(public)

    def last_vote(self, public: bytes) -> VoteRecord | None:
        """Return the last vote a GRANDPA key cast."""
        return self._records.votes.get(public)

    # Signing.

    def check_author(self, public: bytes) -> None:
        """Refuse a BABE key that may not sign anything.

        Raises: GuardError.
        """
        self._check("BABE", public, known=public in self._records.slots)

    def sign_seal(self, keypair: Keypair, slot: int, pre_hash: Hash) -> bytes:
        """Return the signature over a header of a slot; the same header again gets the same signature.

        Raises: GuardError.
        """
        self.check_author(keypair.public)
        last = self._records.slots[keypair.public]
        if (slot, pre_hash) == (last.slot, last.pre_hash) and last.signature != NO_SIGNATURE:
            return last.signature
        if slot <= last.slot:
            detail = f"it has sealed another header of slot {last.slot}"
            raise GuardError(f"key 0x{keypair.public.hex()} must not author slot {slot}: {detail}")
        seal = SlotRecord(slot, pre_hash, keypair.sign(pre_hash))
        self._write(replace(self._records, slots={**self._records.slots, keypair.public: seal}))
        return seal.signature

    def sign_vote(self, keypair: Keypair, message: Message, round_: int, set_id: int) -> bytes:
        """Return the signature of a vote; the same vote again gets the same signature.

        Raises: GuardError.
        """
        self._check("GRANDPA", keypair.public, known=keypair.public in self._records.votes)
        last = self._records.votes[keypair.public]
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

    def _check(self, kind: str, public: bytes, *, known: bool) -> None:
        if self._records.stale:
            raise GuardError(
                f"{GUARD_FILE} is older than what its keys have signed: stop every other node with these "
                "keys, then this one, and run `assay init-guard`"
            )
        if not known:
            raise GuardError(
                f"{GUARD_FILE} has no record of {kind} key 0x{public.hex()}: what it signed before is "
                "unknown; restore that file, use new session keys, or run `assay init-guard`"
            )
        if public in self._records.silences:
            raise KeySilent(f"key 0x{public.hex()} still listens whether another node signs with it")

    # Listening.

    def put_to_work(self, public: bytes) -> None:
        """Listen for what others sign with a key, since this node signs with it."""
        self._at_work.add(public)

    def listens_for(self, public: bytes) -> bool:
        """Say whether this node signs with a key, so that what others sign with it matters."""
        return public in self._at_work

    def listened(self, slot: int, *, heard: bool = True) -> None:
        """Note that a slot has begun; a key that has listened long enough and heard nobody may sign again.

        A slot in which this node would have `heard` of nothing does not count.
        """
        self._slot = slot
        self._began = slot if self._began is None else self._began
        before = self._records.silences
        if not before or not heard:
            return
        silences = {
            public: replace(silence, left=silence.left - 1, since=silence.since or slot)
            for public, silence in before.items()
        }
        for public in [public for public, silence in silences.items() if not silence.left]:
            log.info("🔔 Key 0x%s wakes: it has listened for %d slots and heard nobody sign with it",
                     public.hex(), silences.pop(public).length)  # fmt: skip
        noted = any(not silence.since for silence in before.values()) or len(silences) < len(before)
        records = replace(self._records, silences=silences)
        if noted or any(silence.left % WRITE_EVERY == 0 for silence in silences.values()):
            self._write(records)
        self._records = records

    def heard_seal(self, public: bytes, slot: int, pre_hash: Hash) -> None:
        """Note a header that a key has sealed, whose seal is good; those of other keys change nothing."""
        last = self._records.slots.get(public)
        if last is None or public not in self._at_work:
            return
        if slot < last.slot or (slot, pre_hash) == (last.slot, last.pre_hash):
            return
        self._heard(public, slot, f"the block of slot {slot}")
        if slot > last.slot:
            slots = {**self._records.slots, public: SlotRecord(slot, pre_hash)}
            self._records = replace(self._records, slots=slots)  # written with whatever is next

    def heard_vote(
        self, public: bytes, message: Message, round_: int, set_id: int, slot: int | None = None
    ) -> None:
        """Note a vote that a key has cast, whose signature is good; `slot` is that of its block, if known."""
        last = self._records.votes.get(public)
        if last is None or public not in self._at_work:
            return
        heard = VoteRecord(set_id, round_, _PHASES[type(message)])
        is_own = not last.payload or localized_payload(message, round_, set_id) == last.payload
        if heard.position() < last.position() or (heard.position() == last.position() and is_own):
            return
        self._heard(public, slot, f"a vote in round {round_} of set {set_id}")
        if heard.position() > last.position():
            self._records = replace(self._records, votes={**self._records.votes, public: heard})

    def _heard(self, public: bytes, slot: int | None, what: str) -> None:
        """Act on a signature that no record explains; it cannot have been made before `slot`."""
        silence = self._records.silences.get(public)
        if silence is not None:
            if slot is not None and silence.since and slot >= silence.since:
                self._heard_twin(public, silence, what)
            return
        is_old = slot is None or self._began is None or slot < self._began
        if self._records.stale or (self._lenient and is_old):
            return
        log.error(
            "💔 Key 0x%s has signed %s, of which %s knows nothing: this file is an old copy, or another node "
            "has the same keys. Nothing is signed any more: stop the other node, then this one, and run "
            "`assay init-guard`", public.hex(), what, GUARD_FILE,
        )  # fmt: skip
        self._write(replace(self._records, stale=True))

    def _heard_twin(self, public: bytes, silence: Silence, what: str) -> None:
        """Begin the silence anew; the operator is told once in each half of it."""
        now = self._slot or silence.since
        if now >= self._told.get(public, 0) + silence.length // 2:
            self._told[public] = now
            log.error(
                "👥 Another node signs with key 0x%s, %s just now: stop that node, or take the key out of "
                "this node's keystore. It stays silent here for another %d slots",
                public.hex(), what, silence.length,
            )  # fmt: skip
        anew = Silence(silence.length, silence.length, silence.since)
        self._write(replace(self._records, silences={**self._records.silences, public: anew}))

    def _write(self, records: Records) -> None:
        store(self._disk, records)
        self._records = records
