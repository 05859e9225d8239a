"""Session keys that arrive while a node runs: stored, recorded by the guard, and at work."""

from pathlib import Path

import pytest

from chain.consensus.guard import Guard
from chain.consensus.guard_records import GuardError
from chain.env_real import RealDisk, RealRng
from chain.keys import session
from chain.keys.keystore import BABE_KEY, GRANDPA_KEY, Keystore, KeystoreError
from chain.keys.pair import Keypair
from chain.keys.session import SessionKeys
from runtime.primitives import session as session_keys
from runtime.primitives.grandpa import Precommit
from runtime.primitives.scale import codec
from runtime.primitives.types import AccountId, Hash

ALICE = Keypair.from_suri("//Alice", "ed25519")
BLOCK = Hash(bytes(32))


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(RealDisk(tmp_path / "keystore"))


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard.open(RealDisk(tmp_path / "guard"))


@pytest.fixture
def keys(keystore: Keystore, guard: Guard) -> SessionKeys:
    return SessionKeys(keystore, guard, RealRng())


def test_a_validator_signs_at_once_with_what_is_inserted(keys: SessionKeys, guard: Guard) -> None:
    keys.load()
    authors, voters = keys.authors, keys.voters
    assert (authors, voters) == ([], [])
    assert keys.insert(BABE_KEY, "//Alice", ALICE.public) == ALICE.public
    assert keys.insert(BABE_KEY, "//Alice") == ALICE.public
    assert keys.insert(GRANDPA_KEY, "//Alice") == ALICE.public
    assert (authors, voters) == ([ALICE], [ALICE])
    assert guard.sign_seal(ALICE, 7, BLOCK)
    assert guard.sign_vote(ALICE, Precommit(BLOCK, 1), 1, 0)


def test_a_node_that_does_not_author_keeps_keys_for_later(
    keys: SessionKeys, keystore: Keystore, guard: Guard
) -> None:
    keys.insert(BABE_KEY, "//Alice")
    assert keys.authors == []
    later = SessionKeys(keystore, guard, RealRng())
    later.load()
    assert later.authors == [ALICE]
    assert guard.sign_seal(ALICE, 7, BLOCK)


def test_inserting_again_gives_no_second_record(keys: SessionKeys, guard: Guard) -> None:
    keys.insert(BABE_KEY, "//Alice")
    guard.sign_seal(ALICE, 7, BLOCK)
    keys.insert(BABE_KEY, "//Alice")
    with pytest.raises(GuardError, match="must not author slot 7"):
        guard.sign_seal(ALICE, 7, Hash(bytes([1]) * 32))


def test_a_key_whose_record_is_lost_does_not_get_one_by_being_inserted_again(
    keys: SessionKeys, keystore: Keystore, tmp_path: Path
) -> None:
    keys.insert(BABE_KEY, "//Alice")
    with_nothing = Guard.open(RealDisk(tmp_path / "other"))
    again = SessionKeys(keystore, with_nothing, RealRng())
    again.insert(BABE_KEY, "//Alice")
    with pytest.raises(GuardError, match="has no record of BABE key"):
        with_nothing.sign_seal(ALICE, 7, BLOCK)


def test_rotated_keys_are_new_ones_in_the_order_of_the_runtime(
    keys: SessionKeys, keystore: Keystore, guard: Guard
) -> None:
    keys.load()
    first, second = keys.rotate(), keys.rotate()
    assert len({first[:32], first[32:], second[:32], second[32:]}) == 4
    assert [pair.public for pair in keys.authors] == [first[:32], second[:32]]
    assert [pair.public for pair in keys.voters] == [first[32:], second[32:]]
    assert keystore.public_keys(BABE_KEY) == sorted([first[:32], second[:32]])
    assert keys.has(GRANDPA_KEY, first[32:])
    assert not keys.has(BABE_KEY, first[32:])
    for pair in keys.authors:
        assert guard.sign_seal(pair, 7, BLOCK)


def test_rotated_keys_prove_that_they_are_their_owner_s(keys: SessionKeys) -> None:
    made, owner, other = keys.rotate(), AccountId(bytes([7] * 32)), AccountId(bytes([8] * 32))
    held = codec(session_keys.SessionKeys).decode(made)
    assert held.proven(owner, keys.prove(made, owner))
    assert not held.proven(other, keys.prove(made, owner))
    with pytest.raises(KeystoreError):
        keys.prove(bytes(64), owner)


def test_rotated_keys_open_with_the_keystore_s_password(tmp_path: Path, guard: Guard) -> None:
    disk = RealDisk(tmp_path / "locked")
    made = SessionKeys(Keystore(disk, "pw"), guard, RealRng()).rotate()
    assert Keystore(disk, "pw").keypair(BABE_KEY, made[:32]).public == made[:32]
    with pytest.raises(KeystoreError):
        Keystore(disk).keypair(BABE_KEY, made[:32])


def test_a_refused_key_leaves_nothing_behind(keys: SessionKeys, keystore: Keystore, guard: Guard) -> None:
    keys.load()
    with pytest.raises(KeystoreError, match="the secret belongs to"):
        keys.insert(BABE_KEY, "//Bob", ALICE.public)
    with pytest.raises(KeystoreError, match="is no key type of this chain"):
        keys.insert(b"aura", "//Alice")
    assert keys.authors == []
    assert keystore.public_keys(BABE_KEY) == []
    assert guard.last_slot(ALICE.public) is None


def test_keys_of_a_live_chain_want_a_password(tmp_path: Path, guard: Guard) -> None:
    disk = RealDisk(tmp_path / "live")
    bare = SessionKeys(Keystore(disk), guard, RealRng(), wants_password=True)
    for add in (bare.rotate, lambda: bare.insert(BABE_KEY, "//Alice")):
        with pytest.raises(KeystoreError, match="keys of a live chain want a password: start the node with"):
            add()
    assert disk.names() == []
    made = SessionKeys(Keystore(disk, "pw"), guard, RealRng(), wants_password=True).rotate()
    assert disk.names() == sorted([f"62616265{made[:32].hex()}", f"6772616e{made[32:].hex()}"])


def test_keys_have_a_limit(keys: SessionKeys, keystore: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MAX_KEYS", 2)
    keys.rotate()
    keys.rotate()
    with pytest.raises(KeystoreError, match="has 2 babe keys, at most 2 are allowed"):
        keys.rotate()
    assert len(keystore.public_keys(GRANDPA_KEY)) == 2
