"""The session keystore: Substrate's file format, and a clear line for every broken file."""

from pathlib import Path

import pytest

from chain.env_real import RealDisk, RealRng
from chain.keys.keystore import BABE_KEY, GRANDPA_KEY, Keystore, KeystoreError
from chain.keys.pair import Keypair

ALICE = bytes.fromhex("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee")
ALICE_FILE = "62616265" + ALICE.hex()


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    return Keystore(RealDisk(tmp_path))


def test_file_format(keystore: Keystore, tmp_path: Path) -> None:
    assert keystore.insert(BABE_KEY, "//Alice", ALICE) == ALICE
    assert [each.name for each in tmp_path.iterdir()] == [ALICE_FILE]
    assert (tmp_path / ALICE_FILE).read_bytes() == b'"//Alice"'
    assert (tmp_path / ALICE_FILE).stat().st_mode & 0o777 == 0o600


def test_keys_are_listed_by_type_in_order(keystore: Keystore, tmp_path: Path) -> None:
    publics = [keystore.insert(BABE_KEY, suri) for suri in ("//Alice", "//Bob", "//Charlie")]
    keystore.insert(GRANDPA_KEY, "//Dave")
    (tmp_path / "README").write_text("not a key")
    assert keystore.public_keys(BABE_KEY) == sorted(publics)
    assert keystore.public_keys(GRANDPA_KEY) == [Keypair.from_suri("//Dave", "ed25519").public]


def test_a_stored_key_signs_after_a_restart(keystore: Keystore, tmp_path: Path) -> None:
    keystore.insert(GRANDPA_KEY, "//Alice")
    again = Keystore(RealDisk(tmp_path)).keypair(GRANDPA_KEY, ALICE)
    assert again == Keypair.from_suri("//Alice", "ed25519")


def test_generated_keys_differ_and_can_be_read_back(keystore: Keystore) -> None:
    first, second = (keystore.insert(BABE_KEY, keystore.new_secret(RealRng())) for _ in range(2))
    assert first != second
    assert keystore.keypair(BABE_KEY, first).public == first
    assert keystore.public_keys(BABE_KEY) == sorted([first, second])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'"//Ali', f"key file {ALICE_FILE} is corrupt: not JSON; restore it from your backup"),
        (b"\xff\xfe", f"key file {ALICE_FILE} is corrupt: not JSON; restore it from your backup"),
        (b"[1]", f"key file {ALICE_FILE} is corrupt: not a JSON string; restore it from your backup"),
        (
            b'"0x12"',
            f"key file {ALICE_FILE} is corrupt: a seed is 0x and 64 hexadecimal digits; "
            "restore it from your backup",
        ),
        (
            b'"//Bob"',
            f"without a password key file {ALICE_FILE} opens to another key, "
            "0xd17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69: "
            "give the password that it was made with, or restore the file",
        ),
    ],
)
def test_broken_files(keystore: Keystore, tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / ALICE_FILE).write_bytes(content)
    with pytest.raises(KeystoreError) as refused:
        keystore.keypair(BABE_KEY, ALICE)
    assert str(refused.value) == reason


def test_a_missing_key(keystore: Keystore) -> None:
    with pytest.raises(KeystoreError) as refused:
        keystore.keypair(BABE_KEY, ALICE)
    assert str(refused.value) == f"the keystore has no babe key 0x{ALICE.hex()}"


@pytest.mark.parametrize(
    ("key_type", "suri", "public", "reason"),
    [
        (b"aura", "//Alice", None, "'aura' is no key type of this chain (babe, gran)"),
        (b"\xff\x00ab", "//Alice", None, "'�\\x00ab' is no key type of this chain (babe, gran)"),
        (BABE_KEY, "//Alice", bytes(32), f"the secret belongs to 0x{ALICE.hex()}, not to 0x{'00' * 32}"),
        (
            BABE_KEY,
            "my secret words",
            None,
            "cannot insert a babe key: the phrase is not 12 to 24 English BIP-39 words with a valid checksum",
        ),
    ],
)
def test_refused_insertions_leave_no_file(
    keystore: Keystore, tmp_path: Path, key_type: bytes, suri: str, public: bytes | None, reason: str
) -> None:
    with pytest.raises(KeystoreError) as refused:
        keystore.insert(key_type, suri, public)
    assert str(refused.value) == reason
    assert list(tmp_path.iterdir()) == []


def test_a_password_opens_what_it_locked(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    locked = Keystore(disk, "pass/word")
    public = locked.insert(BABE_KEY, "//Alice")
    name = f"62616265{public.hex()}"
    assert public == Keypair.from_suri("//Alice///pass/word", "ed25519").public != ALICE
    assert (tmp_path / name).read_bytes() == b'"//Alice"'
    assert Keystore(disk, "pass/word").keypair(BABE_KEY, public).public == public
    with pytest.raises(KeystoreError, match=f"the password does not open key file {name}"):
        Keystore(disk, "wrong").keypair(BABE_KEY, public)
    with pytest.raises(KeystoreError, match=f"key file {name} opens to another key"):
        Keystore(disk).keypair(BABE_KEY, public)


def test_a_keystore_with_a_password_makes_phrases_and_takes_no_seed(tmp_path: Path) -> None:
    locked = Keystore(RealDisk(tmp_path), "pw")
    public = locked.insert(BABE_KEY, locked.new_secret(RealRng()))
    (content,) = [each.read_text() for each in tmp_path.iterdir()]
    assert len(content.split(" ")) == 12
    assert locked.keypair(BABE_KEY, public).public == public
    with pytest.raises(KeystoreError, match="a password goes with a phrase, not with a seed"):
        locked.insert(BABE_KEY, "0x" + "07" * 32)
    assert locked.public_keys(BABE_KEY) == [public]


def test_a_seed_stored_before_the_password_still_opens(tmp_path: Path) -> None:
    public = Keystore(RealDisk(tmp_path)).insert(BABE_KEY, "0x" + "07" * 32)
    assert Keystore(RealDisk(tmp_path), "pw").keypair(BABE_KEY, public).public == public
