"""Crashes between deciding, recording, signing and sending: the same bytes go out again, or nothing.

A run is a life with crashes, restarts, old copies put back and files lost; what has gone out is all that the
world knows. The campaign must fail for disks that lie, or it would show nothing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from chain.consensus.guard import Guard
from chain.consensus.guard_records import GUARD_FILE, GuardCorrupt, GuardError
from chain.keys.pair import Keypair
from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.grandpa import Message, Precommit, Prevote, PrimaryPropose, localized_payload
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import Hash

PAIR = Keypair.from_suri("//Alice", "ed25519")
RUNS = 2_000
STEPS = 8
SILENCE = 3
"""slots"""


class Crash(Exception):
    """The process dies here."""


@dataclass
class CrashDisk:
    """Files that survive the process; it may die before or after any of them is replaced."""

    files: dict[str, bytes] = field(default_factory=dict)
    dies_in: int = -1  # moments from now; negative: never

    def moment(self) -> None:
        """Die, if it is time."""
        self.dies_in -= 1
        if self.dies_in == -1:
            raise Crash

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def names(self) -> list[str]:
        return sorted(self.files)

    def replace(self, name: str, content: bytes) -> None:
        self.moment()
        self.files[name] = content
        self.moment()

    def lock(self, name: str) -> "CrashDisk":
        return self

    def release(self) -> None:
        """Nobody else is there."""


class LyingDisk(CrashDisk):
    """Says that it has written, and mostly has not: as a disk whose cache is lost with the power."""

    written = 0

    def replace(self, name: str, content: bytes) -> None:
        self.written += 1
        if self.written <= 2:  # so much that the key has its records
            super().replace(name, content)


class World:
    """What has gone out: by what may be signed once only, the bytes and their signature."""

    def __init__(self) -> None:
        self.seals: dict[int, tuple[Hash, bytes]] = {}
        self.votes: dict[tuple[int, int, type], tuple[Message, bytes]] = {}

    def sealed(self, slot: int, pre_hash: Hash, signature: bytes) -> None:
        """Take in a header; a second one of its slot would be an offence."""
        assert self.seals.setdefault(slot, (pre_hash, signature)) == (pre_hash, signature), "two blocks"
        assert verify_ed25519(signature, pre_hash, PAIR.public)

    def voted(self, set_id: int, round_: int, vote: Message, signature: bytes) -> None:
        """Take in a vote; a second one of its round would be an offence."""
        key = set_id, round_, type(vote)
        assert self.votes.setdefault(key, (vote, signature)) == (vote, signature), "two votes"
        assert verify_ed25519(signature, localized_payload(vote, round_, set_id), PAIR.public)

    def tell(self, guard: Guard) -> None:
        """Have a guard hear everything, as from a chain that is synced and votes that are gossiped."""
        for slot, (pre_hash, _) in self.seals.items():
            guard.heard_seal(PAIR.public, slot, pre_hash)
        for (set_id, round_, _), (vote, _) in self.votes.items():
            guard.heard_vote(PAIR.public, vote, round_, set_id)


class Life:
    """A validator that is killed again and again."""

    def __init__(self, seed: int, disk: CrashDisk, *, in_order: bool = False) -> None:
        self.rng = random.Random(seed)
        self.disk = disk
        self.world = World()
        self.slot, self.round = 1, 1
        self.in_order = in_order
        self.guard = Guard.open(disk)
        self.guard.admit_author(PAIR.public)
        self.guard.admit_voter(PAIR.public)
        self.guard.put_to_work(PAIR.public)

    def restart(self) -> None:
        """Start again with what is on disk."""
        self.disk.dies_in = -1
        self.guard = Guard.open(self.disk)
        self.guard.put_to_work(PAIR.public)

    def step(self) -> None:
        """Sign something and send it, or die on the way, or be refused."""
        self.disk.dies_in = self.rng.randrange(6)
        target = Hash(bytes([self.rng.randrange(2)]) * 32)
        try:
            if self.rng.random() < 0.5:
                self.slot += self.rng.choice([0, 0, 1]) if not self.in_order else 1
                slot = self.slot - (self.rng.random() < 0.1)
                self.disk.moment()  # between decision and record
                signature = self.guard.sign_seal(PAIR, slot, target)
                self.disk.moment()  # between signature and sending
                self.world.sealed(slot, target, signature)
            else:
                self.round += self.rng.choice([0, 0, 1])
                kind = self.rng.choice([PrimaryPropose, Prevote, Precommit])
                self.disk.moment()
                vote = kind(target, 1)
                signature = self.guard.sign_vote(PAIR, vote, self.round, 1)
                self.disk.moment()
                self.world.voted(1, self.round, vote, signature)
        except Crash:
            self.restart()
        except GuardError:
            pass


def campaign(disk: Callable[[], CrashDisk], runs: int) -> tuple[int, int]:
    """Live so many lives; return how many seals and votes went out."""
    seals = votes = 0
    for seed in range(runs):
        life = Life(seed, disk())
        for _ in range(STEPS):
            life.step()
        seals, votes = seals + len(life.world.seals), votes + len(life.world.votes)
    return seals, votes


def test_no_crash_makes_a_key_sign_twice() -> None:
    seals, votes = campaign(CrashDisk, RUNS)
    assert seals > RUNS / 2, "a guard that refuses everything would pass"
    assert votes > RUNS / 2


def test_the_campaign_finds_a_disk_that_lies() -> None:
    with pytest.raises(AssertionError, match=r"two (blocks|votes)"):
        campaign(LyingDisk, 50)


def test_the_same_bytes_get_the_same_signature_after_any_crash() -> None:
    for dies_in in range(3):
        life = Life(0, CrashDisk())
        life.disk.dies_in = dies_in
        pre_hash = Hash(b"h" * 32)
        try:
            first = life.guard.sign_seal(PAIR, 9, pre_hash)
        except Crash:
            first = PAIR.sign(pre_hash)
        life.restart()
        assert life.guard.sign_seal(PAIR, 9, pre_hash) == first
        with pytest.raises(GuardError, match="must not author slot 9"):
            life.guard.sign_seal(PAIR, 9, Hash(b"i" * 32))


def test_an_old_copy_that_hears_the_world_signs_nothing_twice() -> None:
    """A backup of the guard is put back; the chain and the votes of others say more than it."""
    found_out = 0
    for seed in range(300):
        life = Life(seed, CrashDisk(), in_order=True)
        copies = []
        for _ in range(STEPS):
            copies.append(dict(life.disk.files))
            life.step()
        life.disk.files = life.rng.choice(copies)
        life.restart()
        life.world.tell(life.guard)
        found_out += life.guard.stale
        life.slot, life.round = 1, 1
        for _ in range(STEPS):
            life.step()
    assert 150 < found_out < 300  # the newest copies are no older than the world


def test_a_lost_guard_signs_nothing_until_it_has_listened() -> None:
    for seed in range(100):
        life = Life(seed, CrashDisk())
        for _ in range(STEPS):
            life.step()
        sent = dict(life.world.seals), dict(life.world.votes)
        del life.disk.files[GUARD_FILE]
        life.restart()
        for _ in range(STEPS):
            life.step()
        assert (life.world.seals, life.world.votes) == sent, "nothing is signed without a record"
        life.disk.dies_in = -1
        life.guard.begin_silence([PAIR.public], [PAIR.public], SILENCE)
        life.guard.listened(1_000)
        life.world.tell(life.guard)
        for slot in range(1_001, 1_000 + SILENCE):
            life.guard.listened(slot)
        assert life.guard.silence(PAIR.public) is None
        life.slot, life.round = 1, 1
        for _ in range(STEPS):
            life.step()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 34, 60])
def test_a_torn_file_is_no_file_to_sign_by(size: int) -> None:
    life = Life(1, CrashDisk())
    life.disk.files[GUARD_FILE] = life.disk.files[GUARD_FILE][:size]
    with pytest.raises(GuardCorrupt, match="run `assay init-guard`"):
        Guard.open(life.disk)


def test_a_file_of_the_first_layout_is_refused_by_name() -> None:
    key, slot = PAIR.public, (7).to_bytes(8, "little")
    body = b"\x04" + key + slot + b"h" * 32 + b"\x00"  # one seal without signature, no votes, no version
    disk = CrashDisk({GUARD_FILE: blake2_256(body) + body})
    with pytest.raises(GuardCorrupt, match="is of another version of this program"):
        Guard.open(disk)
