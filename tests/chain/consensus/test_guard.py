"""The guard: a key never signs two things where one is allowed, whatever crashes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.consensus.guard import Guard
from chain.consensus.guard_records import GUARD_FILE, GuardError, SlotRecord
from chain.env_real import RealDisk
from chain.keys.pair import Keypair
from runtime.primitives.crypto import verify_ed25519
from runtime.primitives.grandpa import Precommit, Prevote, PrimaryPropose, localized_payload
from runtime.primitives.types import Hash

PAIR = Keypair.from_suri("//Alice", "ed25519")
A, B = Hash(b"a" * 32), Hash(b"b" * 32)


def opened(directory: Path) -> Guard:
    guard = Guard.open(RealDisk(directory))
    guard.admit_author(PAIR.public)
    guard.admit_voter(PAIR.public)
    return guard


def reopened(guard: Guard, directory: Path) -> Guard:
    guard.close()
    return Guard.open(RealDisk(directory))


def test_seals_of_one_slot(tmp_path: Path) -> None:
    guard = opened(tmp_path)
    signature = guard.sign_seal(PAIR, 10, A)
    assert verify_ed25519(signature, A, PAIR.public)
    guard = reopened(guard, tmp_path)
    assert guard.sign_seal(PAIR, 10, A) == signature
    with pytest.raises(GuardError) as refused:
        guard.sign_seal(PAIR, 10, B)
    key = f"key 0x{PAIR.public.hex()}"
    assert str(refused.value) == f"{key} must not author slot 10: it has sealed another header of slot 10"
    with pytest.raises(GuardError, match="must not author slot 9"):
        guard.sign_seal(PAIR, 9, A)
    assert verify_ed25519(guard.sign_seal(PAIR, 11, B), B, PAIR.public)
    assert guard.last_slot(PAIR.public) == SlotRecord(11, B, PAIR.sign(B))


def test_votes_of_one_round(tmp_path: Path) -> None:
    guard = opened(tmp_path)
    prevote = guard.sign_vote(PAIR, Prevote(A, 1), 5, 2)
    assert verify_ed25519(prevote, localized_payload(Prevote(A, 1), 5, 2), PAIR.public)
    guard = reopened(guard, tmp_path)
    assert guard.sign_vote(PAIR, Prevote(A, 1), 5, 2) == prevote
    with pytest.raises(GuardError) as refused:
        guard.sign_vote(PAIR, Prevote(B, 1), 5, 2)
    assert str(refused.value) == (
        f"key 0x{PAIR.public.hex()} must not vote in set 2, round 5, phase 2: "
        "it has voted otherwise in set 2, round 5, phase 2"
    )
    guard.sign_vote(PAIR, Precommit(A, 1), 5, 2)
    for message, round_, set_id in [
        (PrimaryPropose(A, 1), 5, 2),  # an earlier phase
        (Prevote(A, 1), 5, 2),  # what was signed before, but no longer remembered
        (Precommit(A, 2), 5, 2),
        (Precommit(A, 1), 4, 2),
        (Precommit(A, 1), 9, 1),
    ]:
        with pytest.raises(GuardError, match="must not vote"):
            guard.sign_vote(PAIR, message, round_, set_id)
    guard.sign_vote(PAIR, PrimaryPropose(B, 9), 6, 2)
    guard.sign_vote(PAIR, Prevote(B, 9), 1, 3)
    last = guard.last_vote(PAIR.public)
    assert last is not None
    assert last.position() == (3, 1, 2)


def test_keys_do_not_disturb_each_other(tmp_path: Path) -> None:
    guard = opened(tmp_path)
    bob = Keypair.from_suri("//Bob", "ed25519")
    guard.admit_author(bob.public)
    guard.sign_seal(PAIR, 10, A)
    assert verify_ed25519(guard.sign_seal(bob, 9, B), B, bob.public)


def test_a_key_without_a_record_does_not_sign(tmp_path: Path) -> None:
    guard = Guard.open(RealDisk(tmp_path))
    with pytest.raises(GuardError) as refused:
        guard.sign_seal(PAIR, 1, A)
    assert str(refused.value) == (
        f"guard.db has no record of BABE key 0x{PAIR.public.hex()}: what it signed before is unknown; "
        "restore that file, use new session keys, or run `assay init-guard`"
    )
    with pytest.raises(GuardError, match="no record of GRANDPA key"):
        guard.sign_vote(PAIR, Prevote(A, 1), 1, 0)


def test_admitting_a_key_again_forgets_nothing(tmp_path: Path) -> None:
    guard = opened(tmp_path)
    guard.sign_seal(PAIR, 10, A)
    guard.sign_vote(PAIR, Prevote(A, 1), 5, 2)
    guard.close()
    guard = opened(tmp_path)
    with pytest.raises(GuardError):
        guard.sign_seal(PAIR, 10, B)
    with pytest.raises(GuardError):
        guard.sign_vote(PAIR, Prevote(B, 1), 5, 2)


def test_two_nodes_cannot_share_it(tmp_path: Path) -> None:
    guard = opened(tmp_path)
    with pytest.raises(GuardError, match="is another node running with the same keys"):
        Guard.open(RealDisk(tmp_path))
    guard.close()
    Guard.open(RealDisk(tmp_path)).close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    guard = opened(tmp_path)
    guard.close()
    whole = (tmp_path / GUARD_FILE).read_bytes()
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for content in (bytes(damaged), whole[: data.draw(st.integers(0, len(whole) - 1))], whole + b"\0"):
        (tmp_path / GUARD_FILE).write_bytes(content)
        with pytest.raises(GuardError, match="corrupt: wrong checksum"):
            Guard.open(RealDisk(tmp_path))
    (tmp_path / GUARD_FILE).write_bytes(whole)


class FailingDisk(RealDisk):
    """A disk that breaks while it writes: before the rename, or just after it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.breaks = ""

    def replace(self, name: str, content: bytes) -> None:
        if self.breaks == "before":
            (self.directory / f"{name}.tmp").write_bytes(content[:40])
            raise OSError("No space left on device")
        super().replace(name, content)
        if self.breaks == "after":
            raise OSError("Input/output error")


@pytest.mark.parametrize("breaks", ["before", "after"])
def test_nothing_is_signed_unless_it_is_on_disk(tmp_path: Path, breaks: str) -> None:
    disk = FailingDisk(tmp_path)
    guard = Guard.open(disk)
    guard.admit_author(PAIR.public)
    guard.sign_seal(PAIR, 10, A)
    disk.breaks = breaks
    with pytest.raises(OSError, match=r"space|error"):
        guard.sign_seal(PAIR, 11, A)
    guard.close()
    survivor = Guard.open(RealDisk(tmp_path))
    slot = 10 if breaks == "before" else 11
    assert survivor.last_slot(PAIR.public) == SlotRecord(slot, A, PAIR.sign(A))
    with pytest.raises(GuardError):
        survivor.sign_seal(PAIR, 10, B)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([PrimaryPropose, Prevote, Precommit]),
            st.sampled_from([A, B]),
            st.integers(1, 3),
            st.integers(0, 2),
            st.booleans(),
        ),
        max_size=25,
    )
)
def test_no_sequence_of_requests_and_restarts_makes_an_equivocation(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[type, Hash, int, int, bool]]
) -> None:
    directory = tmp_path_factory.mktemp("guard")
    guard = opened(directory)
    signed: dict[tuple[type, int, int], set[Hash]] = {}
    for kind, target, round_, set_id, restart in requests:
        try:
            guard.sign_vote(PAIR, kind(target, 1), round_, set_id)
        except GuardError:
            continue
        finally:
            if restart:
                guard = reopened(guard, directory)
        signed.setdefault((kind, round_, set_id), set()).add(target)
    guard.close()
    assert all(len(targets) == 1 for targets in signed.values())


SIGN_UNTIL_KILLED = """
import sys
from pathlib import Path
from chain.consensus.guard import Guard
from chain.env_real import RealDisk
from chain.keys.pair import Keypair

pair = Keypair.from_suri("//Alice", "ed25519")
guard = Guard.open(RealDisk(Path(sys.argv[1])))
guard.admit_author(pair.public)
slot = guard.last_slot(pair.public).slot
while True:
    slot += 1
    guard.sign_seal(pair, slot, slot.to_bytes(32, "little"))
    print(slot, flush=True)
"""


def test_a_signature_that_left_is_remembered_after_kill_9(tmp_path: Path) -> None:
    last_slot = 0
    for lines in (1, 7, 20):
        child = subprocess.Popen(
            [sys.executable, "-c", SIGN_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        seen = [int(child.stdout.readline()) for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        seen += [int(line) for line in child.stdout.read().splitlines()]
        child.wait(timeout=60)
        child.stdout.close()
        assert seen[0] > last_slot
        guard = Guard.open(RealDisk(tmp_path))
        record = guard.last_slot(PAIR.public)
        assert record is not None
        assert record.slot >= seen[-1]
        with pytest.raises(GuardError):
            guard.sign_seal(PAIR, seen[-1], B)
        guard.close()
        last_slot = seen[-1]
