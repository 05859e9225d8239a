"""`assay init-guard`: keys whose record is lost get a new one and keep silent; nobody else is touched."""

import json
from pathlib import Path

import pytest

from chain.cli import main
from chain.consensus.guard import Guard
from chain.consensus.guard_records import CORRUPT_FILE, GUARD_FILE, GuardError, Silence
from chain.env_real import RealDisk
from chain.keys.keystore import BABE_KEY, GRANDPA_KEY
from chain.keys.pair import Keypair
from runtime.primitives.types import Hash
from tests.chain.chains import SLOT_MS, Chain, TurnedClock, spec_with_slots

ALICE, BOB = (Keypair.from_suri(f"//{name}", "ed25519") for name in ("Alice", "Bob"))
A, B = Hash(b"a" * 32), Hash(b"b" * 32)
PAST = 850_000_000
"""a slot in the past of any real clock"""
SLOTS = 60
"""two sessions of the dev chain"""


class Home:
    """A base path, and what the commands say about it."""

    def __init__(self, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self.guard = base / "chains" / "dev" / "guard"
        self.chain = "dev"
        self._capsys = capsys

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command and return what it prints, or its complaint."""
        assert main([*arguments, "--chain", self.chain, "--base-path", str(self.base)]) == code
        printed = self._capsys.readouterr()
        return (printed.err if code else printed.out).strip()

    def insert(self, key_type: bytes, pair: Keypair) -> None:
        """Put a key into the keystore."""
        name = "Alice" if pair is ALICE else "Bob"
        self.run("key", "insert", "--key-type", key_type.decode(), "--suri", f"//{name}")

    def opened(self) -> Guard:
        """Open the guard."""
        return Guard.open(RealDisk(self.guard))


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Home:
    """A node with two keys, //Alice's, that have signed something."""
    made = Home(tmp_path, capsys)
    made.insert(BABE_KEY, ALICE)
    made.insert(GRANDPA_KEY, ALICE)
    guard = made.opened()
    guard.sign_seal(ALICE, 10, A)
    guard.close()
    return made


def test_the_keys_of_a_lost_guard_listen(home: Home) -> None:
    (home.guard / GUARD_FILE).unlink()
    assert home.run("init-guard").splitlines() == [
        f"BABE key 0x{ALICE.public.hex()} has a new record.",
        f"GRANDPA key 0x{ALICE.public.hex()} has a new record.",
        "Each listens for 60 slots (2 minutes) while the node runs with --validator, then signs by itself.",
    ]
    guard = home.opened()
    assert guard.silence(ALICE.public) == Silence(SLOTS, SLOTS)
    with pytest.raises(GuardError, match="still listens"):
        guard.sign_seal(ALICE, 11, A)
    guard.close()


def test_a_corrupt_guard_is_kept_beside_the_new_one(home: Home) -> None:
    (home.guard / GUARD_FILE).write_bytes(b"torn")
    told = json.loads(home.run("init-guard", "--json"))
    assert told == {
        "babe": [f"0x{ALICE.public.hex()}"],
        "gran": [f"0x{ALICE.public.hex()}"],
        "silentSlots": SLOTS,
        "slotDuration": 2_000,
        "corrupt": str(home.guard / CORRUPT_FILE),
    }
    assert (home.guard / CORRUPT_FILE).read_bytes() == b"torn"


def test_only_keys_without_record_are_touched(home: Home) -> None:
    guard_file = home.guard / GUARD_FILE
    before = guard_file.read_bytes()
    home.insert(BABE_KEY, BOB)
    guard_file.write_bytes(before)  # as if Bob's key had been copied into the keystore by hand
    assert home.run("init-guard", "--json", "--key", f"0x{BOB.public.hex()}").startswith('{"babe": ["0x')
    guard = home.opened()
    assert guard.silence(BOB.public) == Silence(SLOTS, SLOTS)
    assert guard.silence(ALICE.public) is None
    assert guard.sign_seal(ALICE, 11, A)
    guard.close()


def test_an_old_copy_makes_every_key_listen(home: Home) -> None:
    guard = home.opened()
    guard.put_to_work(ALICE.public)
    guard.heard_seal(ALICE.public, 99, B)
    guard.close()
    assert home.run("init-guard", "--key", f"0x{ALICE.public.hex()}", code=1) == (
        "assay: the whole guard is out of date: leave --key out, so that every key keeps silent"
    )
    home.run("init-guard")
    guard = home.opened()
    assert (guard.stale, guard.silence(ALICE.public)) == (False, Silence(SLOTS, SLOTS))
    guard.close()


def test_refusals_say_what_is_wrong(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    all_known = "every key of the keystore has its record already: there is nothing to do"
    alice, bob = (f"0x{pair.public.hex()}" for pair in (ALICE, BOB))
    assert home.run("init-guard", code=1) == f"assay: {all_known}"
    known = f"assay: key {alice} has its record already: there is nothing to do"
    assert home.run("init-guard", "--key", alice, code=1) == known
    assert home.run("init-guard", "--key", bob, code=1) == f"assay: the keystore has no key {bob}"
    running = home.opened()
    assert "guard.lock is held by another process" in home.run("init-guard", code=1)
    running.close()
    empty = Home(tmp_path / "empty", capsys)
    missing = f"there are no session keys at {empty.base / 'chains' / 'dev' / 'keystore'}"
    assert empty.run("init-guard", code=1) == f"assay: {missing}: is --base-path right, and --chain?"
    assert not empty.base.exists()
    with pytest.raises(SystemExit):
        home.run("init-guard", "--key", "0x1234")
    assert "'0x1234' is no public key: 0x and 64 hex digits" in capsys.readouterr().err


def test_a_raw_specification_says_as_well_how_long_sessions_are(home: Home, tmp_path: Path) -> None:
    (home.guard / GUARD_FILE).unlink()
    spec = tmp_path / "raw.json"
    spec.write_text(json.dumps(spec_with_slots().raw()))
    assert main(["init-guard", "--chain", str(spec), "--base-path", str(home.base)]) == 0
    guard = home.opened()
    assert guard.silence(ALICE.public) == Silence(SLOTS, SLOTS)
    guard.close()


def test_no_other_command_touches_the_guard(home: Home, tmp_path: Path) -> None:
    """Nor the keystore: they lie outside of the database."""
    spec, blocks = tmp_path / "spec.json", tmp_path / "blocks.json"
    spec.write_text(json.dumps(spec_with_slots().source))
    home.chain = str(spec)
    database = home.guard.parent / "db"
    chain = Chain(database, TurnedClock(PAST * SLOT_MS))
    for slot in range(PAST, PAST + 3):
        chain.grow(slot)  # sealed with //Alice's key, far beyond what the guard knows
    chain.store.close()
    before = {path: path.read_bytes() for path in home.guard.iterdir()}
    assert json.loads(home.run("export-blocks", str(blocks), "--json"))["blocks"] == 3
    assert json.loads(home.run("revert", "2", "--json"))["reverted"] == 2
    assert json.loads(home.run("import-blocks", str(blocks), "--json"))["imported"] == 2
    home.run("purge-chain", "-y")
    assert {path: path.read_bytes() for path in home.guard.iterdir()} == before
    assert not database.exists()
