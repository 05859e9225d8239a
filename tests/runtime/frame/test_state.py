"""The overlay against a naive model: any nesting of transactions, iteration with deletions."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.frame.state import Held, Overlay
from runtime.frame.testing import MemoryState
from runtime.primitives.trie import trie_root

keys = st.lists(st.sampled_from(b"abc"), min_size=1, max_size=3).map(bytes)
values = st.binary(max_size=2)
START = {b"a": b"1", b"ab": b"2", b"b": b"3", b"cab": b"4"}


class Layers(RuleBasedStateMachine):
    """Every transaction of the model is a whole copy."""

    def __init__(self) -> None:
        super().__init__()
        self.overlay = Overlay(MemoryState(START))
        self.model: list[tuple[dict[bytes, bytes], list[bytes]]] = [(dict(START), [])]
        self.began: list[dict[bytes, bytes | None]] = []

    @rule(key=keys, value=values)
    def put(self, key: bytes, value: bytes) -> None:
        self.overlay.put(key, value)
        self.model[-1][0][key] = value

    @rule(key=keys, value=values)
    def hold(self, key: bytes, value: bytes) -> None:
        self.overlay.hold(key, Held(value.hex(), bytes.fromhex))
        self.model[-1][0][key] = value
        assert self.overlay.held(key) == Held(value.hex(), bytes.fromhex)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.overlay.put(key, None)
        self.model[-1][0].pop(key, None)

    @rule(event=values)
    def deposit(self, event: bytes) -> None:
        self.overlay.events.append(event)
        self.model[-1][1].append(event)

    @rule()
    def begin(self) -> None:
        self.overlay.begin()
        self.began.append(dict(self.overlay.changes))
        entries, events = self.model[-1]
        self.model.append((dict(entries), list(events)))

    @precondition(lambda self: len(self.model) > 1)
    @rule()
    def commit(self) -> None:
        self.overlay.commit()
        self.began.pop()
        self.model[-2:] = [self.model[-1]]

    @precondition(lambda self: len(self.model) > 1)
    @rule()
    def rollback(self) -> None:
        self.overlay.rollback()
        self.model.pop()
        assert self.overlay.changes == self.began.pop()

    @invariant()
    def agrees(self) -> None:
        entries, events = self.model[-1]
        assert self.overlay.events == events
        for prefix in (b"", b"a", b"ab", b"c", b"x"):
            for after in (b"", b"ab", b"b"):
                wanted = sorted(key for key in entries if key.startswith(prefix) and key > after)
                assert list(self.overlay.keys(prefix, after)) == wanted
        assert {key: self.overlay.get(key) for key in entries} == entries
        assert self.overlay.get(b"absent") is None
        assert self.overlay.root() == trie_root(entries)


Layers.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
test_nested_transactions: Any = Layers.TestCase


@settings(max_examples=60)
@given(st.lists(keys, max_size=6), st.lists(keys, max_size=6))
def test_what_is_deleted_on_the_way_is_not_met_again(put: list[bytes], deleted: list[bytes]) -> None:
    overlay = Overlay(MemoryState(START))
    for key in put:
        overlay.put(key, b"new")
    present = [*overlay.keys(b"")]
    met = []
    for key in list(overlay.keys(b"")):
        if overlay.get(key) is not None:
            met.append(key)
        for gone in deleted:
            overlay.put(gone, None)
    assert met == [key for key in present if key not in deleted or key == present[0]]
    assert list(overlay.keys(b"")) == [key for key in present if key not in deleted]
