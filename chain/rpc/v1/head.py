"""The head of the chain as its followers are told it: every block once, parents first, until it is final.

    feed -> Head.imported, Head.finalized -> announced, best_changed, settled of every follower

The head has its own view of the blocks above the last final one, the ones it has told of: a new follower
starts from there, so whatever is told later builds on what it knows.
Source: paritytech/json-rpc-interface-spec, chainHead_v1_follow; limits of Substrate.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

from chain.common.errors import RuntimeMissing, StateDiscarded, UnknownBlock
from chain.common.notifications import FinalityNotification, ImportNotification
from chain.rpc.backend import Backend, ProvableState
from chain.rpc.errors import Json
from chain.rpc.shapes import specification_json
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

log = logging.getLogger("rpc")

CODE_KEY = b":code"
MAX_PINNED = 512
"""blocks pinned by all followers together"""
PIN_AGE = 60.0
"""seconds a block may stay pinned once there are too many"""
FINAL_BLOCKS = 16
"""final blocks a new follower begins with, so that one who comes back soon finds what it missed"""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Pin:
    """A block that answers as long as somebody holds it.

    Body and state are kept here until the block is final: the database forgets the blocks of a lost fork.
    """

    block: Hash
    header: Header
    _node: Backend
    _body: list[bytes] | None = None
    _state: ProvableState | None = None

    def hold(self) -> None:
        """Keep what the database may forget."""
        self._body = self._node.blocks.body(self.block)
        try:
            self._state = self._node.state(self.block)
        except (UnknownBlock, StateDiscarded) as problem:
            log.warning("Block %d is gone before it was told of: %s", self.header.number, problem)

    def release(self) -> None:
        """Rely on the database: the block is final."""
        self._body = self._state = None

    def body(self) -> list[bytes]:
        """Return the extrinsics.

        Raises: UnknownBlock.
        """
        body = self._node.blocks.body(self.block) if self._body is None else self._body
        if body is None:
            raise UnknownBlock(self.block)
        return body

    def state(self) -> ProvableState:
        """Return the state after the block.

        Raises: UnknownBlock, StateDiscarded.
        """
        return self._node.state(self.block) if self._state is None else self._state


class Follower(Protocol):
    """Who is told of the head; keeps the pins it is handed."""

    @property
    def oldest_pin(self) -> float:
        """When the oldest pin was taken, seconds of the head's clock."""
        ...

    def initialized(self, pins: list[Pin], runtime: Json) -> None: ...
    def announced(self, pin: Pin, runtime: Json) -> None: ...
    def best_changed(self, block: Hash) -> None: ...
    def settled(self, final: list[Hash], lost: list[Hash]) -> None: ...
    def stop(self) -> None: ...


class Head:
    """The blocks that are not final and all who follow them. `open` before anything else."""

    def __init__(self, node: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._node = node
        self._followers: dict[Follower, None] = {}
        self._pins: WeakValueDictionary[Hash, Pin] = WeakValueDictionary()

    def open(self) -> None:
        """Take a new view of the chain; who follows the old one must have been stopped."""
        blocks = self._node.blocks
        self._root = blocks.finalized
        self._root_number = self._node.header(self._root).number
        self._tree: dict[Hash, Header] = {}  # parents first
        waiting = blocks.children(self._root)
        for block in waiting:
            header = blocks.header(block)
            if header is not None:
                self._tree[block] = header
                waiting.extend(blocks.children(block))
        self._best = blocks.best if blocks.best in self._tree else self._root

    def restart(self) -> None:
        """Stop everybody and take a new view: notifications were lost."""
        self.close()
        self.open()

    def close(self) -> None:
        """Stop everybody."""
        for follower in list(self._followers):
            self._stop(follower)

    def add(self, follower: Follower) -> None:
        """Tell a follower of the present, then of every change.

        Raises: UnknownBlock, StateDiscarded.
        """
        state = self._root_state()
        final = list(self._last_final())[::-1]
        if len(self._tree) + len(final) > MAX_PINNED:
            follower.stop()
            return
        self._followers[follower] = None
        runtime = self._specification(state)
        follower.initialized([self._pin(block, header) for block, header in final], runtime)
        for block, header in self._tree.items():
            follower.announced(self._pin(block, header), self._new_runtime(block, header))
        follower.best_changed(self._best)
        self._make_room()

    def _root_state(self) -> ProvableState:
        """Return the state of the last final block; a restored chain may have taken its place unheard."""
        try:
            return self._node.state(self._root)
        except StateDiscarded:
            self.restart()
            return self._node.state(self._root)

    def remove(self, follower: Follower) -> None:
        """Tell a follower no more; one that has been stopped is fine."""
        self._followers.pop(follower, None)

    def imported(self, notification: ImportNotification) -> bool:
        """Tell of a block unless that has been done; one beside the final chain is left out.

        Returns whether everybody was stopped, because the chain goes on from a block that was restored.
        """
        block, header = notification.hash, notification.header
        is_reached = self._reach(block, header)
        is_above = header.number > self._root_number and self._node.blocks.hash_at(header.number) == block
        if is_above and not is_reached:
            self.restart()
            return True
        is_best = notification.is_new_best and notification.hash in self._tree
        self._set_best(self._tree, notification.hash if is_best else self._best)
        return False

    def finalized(self, notification: FinalityNotification) -> None:
        """Tell which blocks are final and which can never be."""
        if not self._reach(notification.hash, notification.header):
            return
        final = self._chain(notification.hash)
        if not final:
            return
        kept, lost = self._split(notification.hash, frozenset(final))
        self._set_best(kept, self._best if self._best in kept else notification.hash)
        self._root, self._root_number, self._tree = notification.hash, notification.header.number, kept
        for block in final:
            if pin := self._pins.get(block):
                pin.release()
        for follower in list(self._followers):
            follower.settled(final, lost)

    def _last_final(self) -> Iterator[tuple[Hash, Header]]:
        """Yield the last final blocks, newest first."""
        block = self._root
        for _ in range(FINAL_BLOCKS):
            header = self._node.blocks.header(block)
            if header is None:
                return
            yield block, header
            block = header.parent_hash

    def _reach(self, block: Hash, header: Header) -> bool:
        """Tell of a block and of those between it and what is known; False where none of that is above."""
        missing: list[tuple[Hash, Header]] = []
        while block not in self._tree and block != self._root:
            missing.append((block, header))
            found = self._node.blocks.header(header.parent_hash)
            if header.number <= self._root_number or found is None:
                return False
            block, header = header.parent_hash, found
        for each, its_header in reversed(missing):
            self._announce(each, its_header)
        return True

    def _announce(self, block: Hash, header: Header) -> None:
        self._tree[block] = header
        if not self._followers:
            return
        pin, runtime = self._pin(block, header), self._new_runtime(block, header)
        for follower in list(self._followers):
            follower.announced(pin, runtime)
        self._make_room()

    def _set_best(self, told: Mapping[Hash, Header], otherwise: Hash) -> None:
        """Tell of the node's best block as soon as that is among those told of, until then of another one."""
        best = self._node.blocks.best
        if best not in told:
            best = otherwise
        if best != self._best:
            self._best = best
            for follower in list(self._followers):
                follower.best_changed(best)

    def _chain(self, block: Hash) -> list[Hash]:
        """Return the blocks above the root up to this one, oldest first."""
        found: list[Hash] = []
        while block != self._root:
            found.append(block)
            block = self._tree[block].parent_hash
        return found[::-1]

    def _split(self, top: Hash, final: frozenset[Hash]) -> tuple[dict[Hash, Header], list[Hash]]:
        """Return what descends from a block that became final, and what can never become final."""
        kept: dict[Hash, Header] = {}
        lost: list[Hash] = []
        for block, header in self._tree.items():
            if header.parent_hash == top or header.parent_hash in kept:
                kept[block] = header
            elif block not in final:
                lost.append(block)
        return kept, lost

    def _pin(self, block: Hash, header: Header) -> Pin:
        pin = self._pins.get(block)
        if pin is None:
            pin = self._pins[block] = Pin(block, header, self._node)
            if block in self._tree:
                pin.hold()
        return pin

    def _new_runtime(self, block: Hash, header: Header) -> Json:
        """Return the runtime that a block brought, None when it is its parent's."""
        try:
            state, before = self._node.state(block), self._node.state(header.parent_hash)
        except (UnknownBlock, StateDiscarded):
            return None
        if state.get(CODE_KEY) == before.get(CODE_KEY):
            return None
        return self._specification(state)

    def _specification(self, state: ProvableState) -> Json:
        """Return the runtime of a state, or why this node cannot execute it."""
        try:
            return specification_json(self._node.runtime.version(state))
        except RuntimeMissing as problem:
            return {"type": "invalid", "error": str(problem)}

    def _make_room(self) -> None:
        """Stop those who keep blocks for too long when there are too many, then whoever keeps the oldest."""
        if len(self._pins) <= MAX_PINNED:
            return
        oldest_allowed = self.clock() - PIN_AGE
        for follower in [each for each in self._followers if each.oldest_pin < oldest_allowed]:
            self._stop(follower)
        while len(self._pins) > MAX_PINNED and self._followers:
            self._stop(min(self._followers, key=lambda each: each.oldest_pin))

    def _stop(self, follower: Follower) -> None:
        del self._followers[follower]
        follower.stop()
