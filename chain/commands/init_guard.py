"""Give session keys a new guard record where theirs is lost, corrupt or out of date; the node must not run.

assay init-guard --chain live.json --base-path ./data

What such a key has signed is unknown, so it keeps silent for two sessions while the node runs and listens
whether another node signs with it. When it has heard nobody it signs again by itself. Stop every other node
that has these keys before.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from chain.commands import database
from chain.commands.failure import USAGE, Failure
from chain.common.errors import RuntimeMissing
from chain.consensus.guard import Guard
from chain.consensus.guard_records import CORRUPT_FILE, GUARD_FILE, GuardError
from chain.env_real import RealDisk
from chain.executor import Executor
from chain.keys.keystore import BABE_KEY, GRANDPA_KEY, Keystore
from chain.spec import ChainSpec, SpecError
from chain.storage.state import Overlay, Roots, StateAt, View
from runtime.primitives.types import ZERO_HASH

SESSIONS = 2
"""of silence"""
KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class Silence:
    """How long keys listen; a slot in ms."""

    slots: int
    slot_ms: int

    def __str__(self) -> str:
        return f"{self.slots} slots ({self.slots * self.slot_ms / 60_000:.0f} minutes)"


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--keystore-path", type=Path, metavar="PATH", help="[keystore in the data directory]")
    parser.add_argument(
        "--key", type=_public, metavar="0x...", help="this key only [every key that needs it]"
    )
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Make the records and say what follows."""
    spec = database.spec_of(parsed)
    home = spec.home(parsed.base_path)
    silence = _silence(spec)
    path = parsed.keystore_path or home / "keystore"
    keystore = Keystore(RealDisk(path)) if path.is_dir() else None
    keys = {kind: keystore.public_keys(kind) if keystore else [] for kind in (BABE_KEY, GRANDPA_KEY)}
    if not any(keys.values()):
        raise Failure(f"there are no session keys at {path}: is --base-path right, and --chain?")
    disk = RealDisk(home / "guard")
    try:
        guard = Guard.open(disk, anew=True)
    except GuardError as problem:
        raise Failure(str(problem)) from problem
    try:
        authors, voters = _chosen(guard, keys, parsed.key)
        guard.begin_silence(authors, voters, silence.slots)
    except OSError as problem:
        raise Failure(f"{disk.directory / GUARD_FILE} cannot be written: {problem}") from problem
    finally:
        guard.close()
    _tell(parsed, authors, voters, silence, disk.directory / CORRUPT_FILE if guard.is_anew else None)
    return 0


def _chosen(
    guard: Guard, keys: dict[bytes, list[bytes]], wanted: bytes | None
) -> tuple[list[bytes], list[bytes]]:
    """Return the BABE and the GRANDPA keys that need a new record.

    Raises: Failure when none does.
    """
    authors, voters = keys[BABE_KEY], keys[GRANDPA_KEY]
    if guard.stale:
        if wanted is not None:
            raise Failure("the whole guard is out of date: leave --key out, so that every key keeps silent")
        return authors, voters
    if wanted is not None and wanted not in authors + voters:
        raise Failure(f"the keystore has no key 0x{wanted.hex()}")
    authors = [key for key in authors if wanted in (None, key) and guard.last_slot(key) is None]
    voters = [key for key in voters if wanted in (None, key) and guard.last_vote(key) is None]
    if not authors and not voters:
        which = "every key of the keystore" if wanted is None else f"key 0x{wanted.hex()}"
        raise Failure(f"{which} has its record already: there is nothing to do")
    return authors, voters


def _tell(
    parsed: argparse.Namespace, authors: list[bytes], voters: list[bytes], silence: Silence, kept: Path | None
) -> None:
    if parsed.json:
        told = {"babe": authors, "gran": voters}
        print(
            json.dumps({
                **{kind: [f"0x{key.hex()}" for key in each] for kind, each in told.items()},
                "silentSlots": silence.slots,
                "slotDuration": silence.slot_ms,
                "corrupt": None if kept is None else str(kept),
            })
        )  # fmt: skip
        return
    if kept is not None:
        print(f"The corrupt {GUARD_FILE} is kept as {kept}.")
    for kind, each in (("BABE", authors), ("GRANDPA", voters)):
        for key in each:
            print(f"{kind} key 0x{key.hex()} has a new record.")
    print(f"Each listens for {silence} while the node runs with --validator, then signs by itself.")


def _silence(spec: ChainSpec) -> Silence:
    """Return how long two sessions of a chain are.

    Raises: Failure.
    """
    try:
        genesis = StateAt(ZERO_HASH, View((Overlay(spec.state(), {}),), None), Roots())
        _, _, session_slots = Executor().current_epoch(genesis)
        return Silence(SESSIONS * session_slots, Executor().slot_duration(genesis))
    except (SpecError, RuntimeMissing) as problem:
        raise Failure(str(problem), USAGE) from problem


def _public(text: str) -> bytes:
    try:
        public = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        public = b""
    if len(public) != KEY_SIZE:
        raise argparse.ArgumentTypeError(f"{text!r} is no public key: 0x and 64 hex digits")
    return public
