"""A guard that listens: old copies, twins, and keys that earn their voice back by silence."""

import logging
from pathlib import Path

import pytest

from chain.consensus.guard import WRITE_EVERY, Guard, KeySilent
from chain.consensus.guard_records import (
    CORRUPT_FILE,
    GUARD_FILE,
    GuardCorrupt,
    GuardError,
    Silence,
    SlotRecord,
    VoteRecord,
)
from chain.env_real import RealDisk
from chain.keys.pair import Keypair
from runtime.primitives.grandpa import Message, Precommit, Prevote
from runtime.primitives.types import Hash

PAIR = Keypair.from_suri("//Alice", "ed25519")
BOB = Keypair.from_suri("//Bob", "ed25519")
KEY = PAIR.public
A, B = Hash(b"a" * 32), Hash(b"b" * 32)
LENGTH = 60
NOW = 1_000


def opened(directory: Path, *, lenient: bool = False) -> Guard:
    """Open the guard of a node that signs with //Alice's keys."""
    guard = Guard.open(RealDisk(directory), lenient=lenient)
    guard.put_to_work(KEY)
    return guard


def signing(directory: Path, *, lenient: bool = False) -> Guard:
    """Open the guard of a node that has sealed slot 10 and voted in round 5 of set 2."""
    guard = opened(directory, lenient=lenient)
    guard.admit_author(KEY)
    guard.admit_voter(KEY)
    guard.sign_seal(PAIR, 10, A)
    guard.sign_vote(PAIR, Precommit(A, 1), 5, 2)
    guard.listened(NOW)
    return guard


def listening(directory: Path) -> Guard:
    """Open the guard of a node that began to listen just now."""
    guard = opened(directory)
    guard.begin_silence([KEY], [KEY], LENGTH)
    guard.listened(NOW)
    return guard


def signs(guard: Guard, slot: int = NOW + 500, round_: int = 50) -> tuple[bool, bool]:
    """Say whether a guard seals and votes."""
    done = []
    for sign in (
        lambda: guard.sign_seal(PAIR, slot, A),
        lambda: guard.sign_vote(PAIR, Prevote(A, 1), round_, 2),
    ):
        try:
            sign()
            done.append(True)
        except GuardError:
            done.append(False)
    return done[0], done[1]


# A key that has a record.


@pytest.mark.parametrize(("slot", "pre_hash"), [(9, B), (10, A)], ids=["older", "its own"])
def test_own_seals_that_come_back_change_nothing(tmp_path: Path, slot: int, pre_hash: Hash) -> None:
    guard = signing(tmp_path)
    guard.heard_seal(KEY, slot, pre_hash)
    assert not guard.stale
    assert signs(guard) == (True, True)


@pytest.mark.parametrize(
    ("vote", "round_", "set_id"),
    [(Precommit(A, 1), 5, 2), (Prevote(B, 9), 5, 2), (Precommit(B, 9), 4, 2), (Precommit(B, 9), 99, 1)],
    ids=["its own", "an earlier phase", "an earlier round", "an earlier set"],
)
def test_own_votes_that_come_back_change_nothing(
    tmp_path: Path, vote: Message, round_: int, set_id: int
) -> None:
    guard = signing(tmp_path)
    guard.heard_vote(KEY, vote, round_, set_id, NOW)
    assert signs(guard) == (True, True)


@pytest.mark.parametrize(("slot", "pre_hash"), [(11, A), (10, B)], ids=["later", "the same slot"])
def test_a_seal_that_no_record_explains_stops_every_key(
    tmp_path: Path, slot: int, pre_hash: Hash, caplog: pytest.LogCaptureFixture
) -> None:
    guard = signing(tmp_path)
    guard.admit_author(BOB.public)
    guard.heard_seal(KEY, slot, pre_hash)
    assert caplog.messages == [
        f"💔 Key 0x{KEY.hex()} has signed the block of slot {slot}, of which guard.db knows nothing: this "
        "file is an old copy, or another node has the same keys. Nothing is signed any more: stop the other "
        "node, then this one, and run `assay init-guard`"
    ]
    assert caplog.records[0].levelno == logging.ERROR
    assert signs(guard) == (False, False)
    guard = reopened(guard, tmp_path)
    assert signs(guard) == (False, False)
    with pytest.raises(GuardError, match="is older than what its keys have signed"):
        guard.sign_seal(BOB, 5, A)


@pytest.mark.parametrize(
    ("vote", "round_", "set_id"),
    [(Prevote(A, 1), 6, 2), (Prevote(A, 1), 1, 3), (Precommit(B, 1), 5, 2)],
    ids=["a later round", "a later set", "the same round"],
)
def test_a_vote_that_no_record_explains_stops_every_key(
    tmp_path: Path, vote: Message, round_: int, set_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    guard = signing(tmp_path)
    guard.heard_vote(KEY, vote, round_, set_id)
    assert f"has signed a vote in round {round_} of set {set_id}" in caplog.messages[0]
    guard.heard_vote(KEY, vote, round_ + 1, set_id)
    assert len(caplog.messages) == 1  # said once
    assert signs(reopened(guard, tmp_path)) == (False, False)


def test_others_may_sign_with_keys_that_this_node_has_given_away(tmp_path: Path) -> None:
    guard = signing(tmp_path)
    guard.admit_author(BOB.public)  # its record stays, its key is not at work here
    guard.heard_seal(BOB.public, NOW, A)
    guard.heard_seal(Keypair.from_suri("//Eve", "ed25519").public, NOW, A)
    assert not guard.stale


def test_an_old_copy_of_the_file_is_found_out_by_what_the_chain_says(tmp_path: Path) -> None:
    guard = signing(tmp_path)
    old = (tmp_path / GUARD_FILE).read_bytes()
    guard.sign_seal(PAIR, 20, B)
    guard.close()
    (tmp_path / GUARD_FILE).write_bytes(old)
    guard = opened(tmp_path)
    guard.heard_seal(KEY, 20, B)  # imported again, or found in the database at start
    assert signs(guard) == (False, False)


def test_on_test_chains_the_past_only_raises_the_record(tmp_path: Path) -> None:
    guard = signing(tmp_path, lenient=True)
    guard.heard_seal(KEY, NOW - 1, A)
    guard.heard_vote(KEY, Precommit(B, 1), 9, 2)
    assert not guard.stale
    assert guard.last_slot(KEY) == SlotRecord(NOW - 1, A)
    assert guard.last_vote(KEY) == VoteRecord(2, 9, 3)
    with pytest.raises(GuardError, match=f"must not author slot {NOW - 1}"):
        guard.sign_seal(PAIR, NOW - 1, A)  # others have its signature, this node has not
    with pytest.raises(GuardError, match="must not vote in set 2, round 9, phase 3"):
        guard.sign_vote(PAIR, Precommit(B, 1), 9, 2)
    guard.heard_seal(KEY, NOW, A)  # somebody is signing now
    assert guard.stale


# A key that listens.


def test_a_key_wakes_by_itself_once_it_has_listened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    guard = listening(tmp_path)
    for slot in range(NOW + 1, NOW + LENGTH - 1):
        guard.listened(slot)
        assert signs(guard) == (False, False)
    with pytest.raises(KeySilent, match="still listens whether another node signs with it"):
        guard.check_author(KEY)
    assert guard.silence(KEY) == Silence(LENGTH, 1, NOW)
    guard.listened(NOW + LENGTH)
    assert caplog.messages == [
        f"🔔 Key 0x{KEY.hex()} wakes: it has listened for {LENGTH} slots and heard nobody sign with it"
    ]
    assert signs(reopened(guard, tmp_path)) == (True, True)


def test_silence_counts_slots_that_were_listened_to(tmp_path: Path) -> None:
    guard = listening(tmp_path)
    for slot in range(NOW + 1, NOW + 40):
        guard.listened(slot)
    guard = reopened(guard, tmp_path)
    silence = guard.silence(KEY)
    assert silence is not None
    assert 20 <= silence.left < 20 + WRITE_EVERY
    guard.listened(NOW + 100_000)  # the node was down all that time
    assert guard.silence(KEY) == Silence(LENGTH, silence.left - 1, NOW)
    assert signs(guard) == (False, False)


def test_slots_without_company_do_not_count(tmp_path: Path) -> None:
    guard = opened(tmp_path)
    guard.begin_silence([KEY], [KEY], LENGTH)
    for slot in range(NOW, NOW + 2 * LENGTH):
        guard.listened(slot, heard=False)
    assert guard.silence(KEY) == Silence(LENGTH, LENGTH)
    guard.listened(NOW + 2 * LENGTH)
    assert guard.silence(KEY) == Silence(LENGTH, LENGTH - 1, NOW + 2 * LENGTH)


def test_what_was_signed_before_the_silence_raises_the_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = listening(tmp_path)
    guard.heard_seal(KEY, NOW - 1, A)
    guard.heard_vote(KEY, Prevote(A, 3), 7, 1, NOW - 1)
    guard.heard_vote(KEY, Prevote(B, 4), 8, 1)  # of a block that is not known here
    assert caplog.messages == []
    assert guard.silence(KEY) == Silence(LENGTH, LENGTH - 1, NOW)
    assert (guard.last_slot(KEY), guard.last_vote(KEY)) == (SlotRecord(NOW - 1, A), VoteRecord(1, 8, 2))
    for slot in range(NOW + 1, NOW + LENGTH):
        guard.listened(slot)
    guard = reopened(guard, tmp_path)
    with pytest.raises(GuardError, match="must not vote in set 1, round 8, phase 2"):
        guard.sign_vote(PAIR, Prevote(A, 3), 8, 1)
    assert guard.sign_vote(PAIR, Precommit(A, 3), 8, 1)


def test_hearing_itself_begins_the_silence_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    guard = listening(tmp_path)
    for slot in range(NOW + 1, NOW + LENGTH - 1):
        guard.listened(slot)
    guard.heard_seal(KEY, NOW + LENGTH - 2, A)
    assert guard.silence(KEY) == Silence(LENGTH, LENGTH, NOW)
    what = f"the block of slot {NOW + LENGTH - 2}"
    assert caplog.messages == [
        f"👥 Another node signs with key 0x{KEY.hex()}, {what} just now: stop that node, or take the key out "
        f"of this node's keystore. It stays silent here for another {LENGTH} slots"
    ]
    guard = reopened(guard, tmp_path)
    guard.listened(NOW + LENGTH)
    guard.heard_vote(KEY, Prevote(A, 9), 9, 1, NOW + LENGTH)
    assert guard.silence(KEY) == Silence(LENGTH, LENGTH, NOW)
    assert not guard.stale


def test_a_twin_is_told_of_now_and_then(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    guard = listening(tmp_path)
    for slot in range(NOW + 1, NOW + 3 * LENGTH):
        guard.listened(slot)
        guard.heard_seal(KEY, slot, A)
    assert len(caplog.messages) == 6
    assert signs(guard) == (False, False)


# A new beginning.


def test_a_stale_file_is_trusted_again_after_every_key_was_silent(tmp_path: Path) -> None:
    guard = signing(tmp_path)
    guard.admit_voter(BOB.public)
    guard.heard_seal(KEY, 500, B)
    guard.begin_silence([KEY], [], LENGTH)
    assert not guard.stale
    assert guard.silence(BOB.public) == Silence(LENGTH, LENGTH)  # not asked for, but in the same old file
    for slot in range(NOW, NOW + LENGTH):
        guard.listened(slot)
    with pytest.raises(GuardError, match="must not author slot 500"):
        guard.sign_seal(PAIR, 500, A)
    assert guard.sign_seal(PAIR, 501, A)


def test_a_corrupt_file_is_set_aside_on_demand_only(tmp_path: Path) -> None:
    signing(tmp_path).close()
    (tmp_path / GUARD_FILE).write_bytes(b"nonsense")
    with pytest.raises(GuardCorrupt, match="is corrupt: wrong checksum; what the keys have signed is"):
        opened(tmp_path)
    guard = Guard.open(RealDisk(tmp_path), anew=True)
    assert guard.is_anew
    assert (tmp_path / CORRUPT_FILE).read_bytes() == b"nonsense"
    assert guard.last_slot(KEY) is None
    guard.begin_silence([KEY], [KEY], LENGTH)
    assert signs(reopened(guard, tmp_path)) == (False, False)


def reopened(guard: Guard, directory: Path) -> Guard:
    """Return the guard after a restart."""
    guard.close()
    return opened(directory)
