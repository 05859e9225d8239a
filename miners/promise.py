"""What a miner has committed to and not revealed: on disk before the chain knows, so a restart can reveal.

keep -> (commit on chain) -> (reveal on chain) -> fulfil -> (judges have copies) -> settle
                                                  or drop, when the round is lost
"""

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from miners.compressor import Compressor
from miners.files import Damaged, read_whole, write_whole
from miners.parameters import TrainingParameters
from runtime.primitives.commitments import update_commitment
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import ZERO_HASH, AccountId, Hash

PROMISE_FILE = "promise.json"
BLOB_FILE = "promise.blob"
MEMORY_FILE = "error_feedback"
NEXT_MEMORY_FILE = "error_feedback.next"
DUE_FILE = "handover.json"
DUE_BLOB_FILE = "handover.blob"


@dataclass(frozen=True, slots=True)
class Promise:
    """Everything that opens a commitment; bytes as hex."""

    round: int
    hotkey: str
    salt: str
    digest: str
    length: int  # bytes
    ef_digest: str

    def commitment(self, genesis: bytes, netuid: int) -> bytes:
        """Return what goes on chain first."""
        hotkey, salt, digest, memory = (
            bytes.fromhex(text) for text in (self.hotkey, self.salt, self.digest, self.ef_digest)
        )
        return update_commitment(
            Hash(genesis),
            netuid,
            self.round,
            AccountId(hotkey),
            salt,
            Hash(digest),
            self.length,
            Hash(memory),
        )


class Promises:
    """The promise that is open and the one that is due to judges; the error feedback before and after."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()  # what is due changes from both sides

    def keep(self, promise: Promise, blob: bytes, after: Compressor) -> None:
        """Write everything a later life of this miner needs to reveal."""
        after.save(self._home / NEXT_MEMORY_FILE, bytes.fromhex(promise.digest))
        self._write(PROMISE_FILE, BLOB_FILE, promise, blob)

    def open(self) -> tuple[Promise, bytes] | None:
        """Return the promise that is open and its blob; None when there is none, or not whole."""
        return self._read(PROMISE_FILE, BLOB_FILE)

    def due(self) -> tuple[Promise, bytes] | None:
        """Return the promise whose payload is still to be handed over, and the payload."""
        return self._read(DUE_FILE, DUE_BLOB_FILE)

    def fulfil(self) -> None:
        """Take over the error feedback that the revealed payload left; the payload is due to judges now."""
        found = self.open()
        if found is not None:
            with self._lock:
                self._write(DUE_FILE, DUE_BLOB_FILE, *found)
        after = self._home / NEXT_MEMORY_FILE
        if after.exists():
            after.replace(self._home / MEMORY_FILE)
        self.drop()

    def settle(self, promise: Promise) -> None:
        """Note that judges have been given what they take, unless another payload is due by now."""
        with self._lock:
            found = self.due()
            if found is not None and found[0] == promise:
                self._remove(DUE_FILE, DUE_BLOB_FILE)

    def drop(self) -> None:
        """Forget the promise; a lost round leaves the error feedback as it was."""
        self._remove(PROMISE_FILE, BLOB_FILE, NEXT_MEMORY_FILE)

    def memory(self, parameters: TrainingParameters) -> Compressor:
        """Return the error feedback of the rounds before; an empty one before the first.

        Raises: LostMemory when it is damaged.
        """
        path = self._home / MEMORY_FILE
        return Compressor.load(parameters, path) if path.exists() else Compressor(parameters)

    def forget_memory(self) -> None:
        """Start with empty error feedback."""
        (self._home / MEMORY_FILE).unlink(missing_ok=True)

    def _write(self, name: str, blob_name: str, promise: Promise, blob: bytes) -> None:
        write_whole(self._home / blob_name, blob)
        write_whole(self._home / name, json.dumps(asdict(promise)).encode())

    def _read(self, name: str, blob_name: str) -> tuple[Promise, bytes] | None:
        try:
            promise = read_whole(self._home / name, _promise)
            blob = (self._home / blob_name).read_bytes()
        except (FileNotFoundError, Damaged):
            return None
        return (promise, blob) if blake2_256(blob).hex() == promise.digest else None

    def _remove(self, *names: str) -> None:
        for name in names:
            (self._home / name).unlink(missing_ok=True)


def _promise(found: Any) -> Promise:
    promise = Promise(**found)
    promise.commitment(ZERO_HASH, 0)  # whatever cannot be committed to is not whole
    return promise
