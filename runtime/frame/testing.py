"""A pallet author's bench: a runtime over a dict, blocks on demand, assert_ok and assert_noop.

ext = Externalities(MyRuntime, genesis={...})
assert_ok(ext, alice, "Balances", "transfer_keep_alive", bob, 5)
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from typing import Any

from runtime.frame.base import EventRecord, Runtime
from runtime.frame.declare import DispatchClass, Origin, SignedOrigin
from runtime.frame.errors import DispatchError
from runtime.frame.state import Changes, Overlay
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, DigestItem
from runtime.primitives.scale import Input
from runtime.primitives.trie import trie_root
from runtime.primitives.types import ZERO_HASH, AccountId, Hash


class MemoryState:
    """A State over a dict, which finds keys in order without looking at all of them, as a database does."""

    def __init__(self, entries: Mapping[bytes, bytes] | None = None) -> None:
        self.entries = dict(entries or {})
        self._order = sorted(self.entries)

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key."""
        return self.entries.get(key)

    def keys(self, prefix: bytes, after: bytes = b"") -> Iterator[bytes]:
        """Yield the keys with a prefix in ascending order."""
        at = bisect_left(self._order, prefix) if after < prefix else bisect_right(self._order, after)
        while at < len(self._order) and self._order[at].startswith(prefix):
            yield self._order[at]
            at += 1

    def root(self, changes: Mapping[bytes, bytes | None]) -> Hash:
        """Return the state root after changes."""
        merged = {**self.entries, **changes}
        return trie_root({key: value for key, value in merged.items() if value is not None})

    def apply(self, changes: Changes) -> None:
        """Make changes permanent."""
        for key, value in changes.items():
            if value is not None:
                if key not in self.entries:
                    insort(self._order, key)
                self.entries[key] = value
            elif key in self.entries:
                del self._order[bisect_left(self._order, key)]
                del self.entries[key]


class Externalities:
    """A runtime bound to a growing chain of empty blocks; `runtime` is bound to the open one."""

    def __init__(self, runtime: type[Runtime], genesis: Mapping[str, Any] | None = None) -> None:
        self._runtime = runtime
        self.state = MemoryState()
        overlay = Overlay(self.state)
        runtime.build_genesis(overlay, genesis or {})
        self.state.apply(overlay.changes)
        self.number = 0
        self._parent = ZERO_HASH
        self.runtime: Any = None
        self.events: list[EventRecord] = []
        self.open_block()

    def open_block(self, logs: tuple[DigestItem, ...] = ()) -> None:
        """Begin the next block, with digest items such as a pre-digest."""
        self.number += 1
        self.overlay = Overlay(self.state)
        self.runtime = self._runtime(self.overlay)
        migrated = self.runtime.upgrade()
        self.runtime.system.initialize(self.number, self._parent, Digest(list(logs)))
        self.runtime.system.note_weight(migrated, DispatchClass.Mandatory)
        for pallet in self.runtime.pallets:
            self.runtime.system.note_weight(pallet.on_initialize(self.number), DispatchClass.Mandatory)
        self.runtime.extrinsic_index = 0

    def close_block(self) -> None:
        """Finish the open block."""
        self.runtime.extrinsic_index = None
        self.runtime.finalizing = True
        for pallet in self.runtime.pallets:
            pallet.on_finalize(self.number)
        self.runtime.system.finish(self.overlay.events)
        self.events = self.runtime.system.events.get()
        self.state.apply(self.overlay.changes)
        self._parent = Hash(blake2_256(self._parent + self.number.to_bytes(4, "little")))

    def run_to_block(self, number: int, logs: tuple[DigestItem, ...] = ()) -> None:
        """Close blocks until block `number` is open."""
        while self.number < number:
            self.close_block()
            self.open_block(logs)

    def dispatch(self, origin: Origin | bytes, pallet: str, name: str, *arguments: Any) -> None:
        """Dispatch a call in the open block; bytes are a signing account.

        Raises: DispatchError.
        """
        who = SignedOrigin(AccountId(origin)) if isinstance(origin, bytes) else origin
        self.runtime.dispatch(self.runtime.call(pallet, name, *arguments), who)

    def new_events(self) -> list[Any]:
        """Return the events of the open block so far, without phase and topics."""
        return [record.event for record in self.read_events()]

    def read_events(self) -> list[EventRecord]:
        """Return the event records of the open block so far."""
        return [self.runtime.read_record(Input(raw)) for raw in self.overlay.events]

    def state_root(self) -> Hash:
        """Return the state root with the open block's changes."""
        return self.overlay.root()


def assert_ok(ext: Externalities, origin: Origin | bytes, pallet: str, name: str, *arguments: Any) -> None:
    """Dispatch a call that must succeed, and check every pallet's invariants after it."""
    ext.dispatch(origin, pallet, name, *arguments)
    ext.runtime.try_state()


def assert_noop(
    ext: Externalities, origin: Origin | bytes, pallet: str, name: str, *arguments: Any, error: Any
) -> None:
    """Dispatch a call that must fail with exactly this error and change nothing."""
    root, events = ext.state_root(), list(ext.overlay.events)
    reason = None
    try:
        ext.dispatch(origin, pallet, name, *arguments)
    except DispatchError as refused:
        reason = refused.reason
    assert reason is not None, f"{pallet}.{name} succeeded, expected {error}"
    assert reason == error, f"refused with {reason}, expected {error}"
    assert ext.state_root() == root, "a failed call changed the state"
    assert ext.overlay.events == events, "a failed call left events"
