"""Fans the node's notifications out to subscriptions; the work per block grows with what changed.

The hub has its own view of the best and the finalized block, the last ones it told subscribers about: a new
subscription starts from there, so it neither misses a block nor hears of one twice.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from chain.common.errors import RuntimeMissing, StateDiscarded, UnknownBlock
from chain.common.notifications import FinalityNotification, ImportNotification, SlowSubscriber
from chain.rpc.backend import Backend, ProvableState
from chain.rpc.dispatch import encode
from chain.rpc.errors import Json
from chain.rpc.outbox import Outbox
from chain.rpc.shapes import changes_json, header_json, to_hex, version_json
from chain.rpc.turns import Turns
from chain.rpc.v1.head import CODE_KEY, Head

log = logging.getLogger("rpc")

SLICE = 256
"""keys compared before other tasks get their turn"""
MAX_FINALIZED_AT_ONCE = 64
"""headers sent for one finality notification; clients fill longer gaps themselves"""


class Topic(Enum):
    """What one can subscribe to, and the method name of its notifications."""

    NEW_HEADS = "chain_newHead"
    ALL_HEADS = "chain_allHead"
    FINALIZED_HEADS = "chain_finalizedHead"
    JUSTIFICATIONS = "grandpa_justifications"
    RUNTIME_VERSION = "state_runtimeVersion"
    STORAGE = "state_storage"
    EXTRINSIC = "author_extrinsicUpdate"
    FOLLOW = "chainHead_v1_followEvent"
    ARCHIVE_STORAGE = "archive_v1_storageEvent"
    ARCHIVE_DIFFERENCE = "archive_v1_storageDiffEvent"
    TRANSACTION_WATCH = "transactionWatch_v1_watchEvent"


@dataclass(frozen=True, eq=False, slots=True)
class Sink:
    """One subscription's way to its client."""

    id: str
    topic: Topic
    outbox: Outbox

    def send(self, result: str) -> None:
        """Notify the client; `result` is JSON text."""
        self.outbox.notify(self._message(result))

    async def deliver(self, result: str) -> None:
        """Notify the client, at the pace at which it reads."""
        await self.outbox.reply(self._message(result))

    def _message(self, result: str) -> str:
        head = f'{{"jsonrpc":"2.0","method":"{self.topic.value}"'
        return f'{head},"params":{{"subscription":"{self.id}","result":{result}}}}}'


@dataclass(slots=True)
class _Watched:
    """A storage key somebody subscribed to: its value at the hub's best block, and who cares."""

    value: bytes | None
    sinks: dict[Sink, None] = field(default_factory=dict)


class Hub:
    """All subscriptions to the chain. `open` before `run`."""

    def __init__(self, node: Backend) -> None:
        self._node = node
        self._sinks: dict[Topic, dict[Sink, None]] = {topic: {} for topic in Topic}
        self._watched: dict[bytes, _Watched] = {}
        self._keys: dict[Sink, list[bytes]] = {}
        self._recheck = False
        self._grown = asyncio.Event()
        self.head = Head(node)
        self.turns = Turns()

    @property
    def watched_keys(self) -> int:
        """How many storage keys are watched."""
        return len(self._watched)

    def open(self) -> None:
        """Start listening and take the first view of the chain."""
        self._imports = self._node.feed.imports()
        self._finality = self._node.feed.finality()
        self._best = self._node.blocks.best
        self._best_header = self._node.header(self._best)
        self._finalized_header = self._node.header(self._node.blocks.finalized)
        self._version = self._read_version()
        self.head.open()

    def close(self) -> None:
        """Stop listening."""
        self.head.close()
        self._imports.close()
        self._finality.close()

    async def run(self) -> None:
        """Forward notifications until the feed ends."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_imports())
            tasks.create_task(self._follow_finality())

    async def next_best(self) -> None:
        """Wait until there is a new best block."""
        await self._grown.wait()

    def add(self, sink: Sink) -> None:
        """Begin a subscription: send the present, then every change."""
        self._sinks[sink.topic][sink] = None
        match sink.topic:
            case Topic.NEW_HEADS | Topic.ALL_HEADS:
                sink.send(encode(header_json(self._best_header)))
            case Topic.FINALIZED_HEADS:
                sink.send(encode(header_json(self._finalized_header)))
            case Topic.RUNTIME_VERSION:
                sink.send(self._version)

    def watch(self, sink: Sink, keys: Iterable[bytes]) -> None:
        """Begin a storage subscription: send the value of every key, then those that change."""
        state = self._best_state()
        mine = self._keys[sink] = list(dict.fromkeys(keys))
        for key in mine:
            watched = self._watched.get(key)
            if watched is None:
                watched = self._watched[key] = _Watched(state.get(key))
            watched.sinks[sink] = None
        changes = [(key, self._watched[key].value) for key in mine]
        sink.send(encode(changes_json(self._best, changes)))

    def remove(self, sink: Sink) -> None:
        """End a subscription; one that has ended already is fine."""
        self._sinks[sink.topic].pop(sink, None)
        for key in self._keys.pop(sink, []):
            watched = self._watched[key]
            del watched.sinks[sink]
            if not watched.sinks:
                del self._watched[key]

    def _best_state(self) -> ProvableState:
        """Return the state of the best block; a restored chain may have taken its place unheard.

        Raises: UnknownBlock, StateDiscarded.
        """
        try:
            return self._node.state(self._best)
        except StateDiscarded:
            self._best, self._recheck = self._node.blocks.best, True
            self._best_header = self._node.header(self._best)
            return self._node.state(self._best)

    async def _follow_imports(self) -> None:
        while True:
            try:
                async for notification in self._imports:
                    await self._imported(notification)
                return
            except SlowSubscriber as problem:
                log.warning("Subscriptions missed blocks: %s; is the machine overloaded?", problem)
            self._imports, self._recheck = self._node.feed.imports(), True
            self.head.restart()

    async def _follow_finality(self) -> None:
        while True:
            try:
                async for notification in self._finality:
                    self._finalized(notification)
                return
            except SlowSubscriber as problem:
                log.warning("Subscriptions missed finality: %s; is the machine overloaded?", problem)
            self._finality = self._node.feed.finality()
            self.head.restart()

    async def _imported(self, block: ImportNotification) -> None:
        self._recheck |= self.head.imported(block)
        text = encode(header_json(block.header))
        self._send_all(Topic.ALL_HEADS, text)
        if not block.is_new_best:
            return
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        self._best, self._best_header = block.hash, block.header
        self._send_all(Topic.NEW_HEADS, text)
        everything = self._recheck or bool(block.retracted) or len(block.enacted) > 1
        try:
            await self._compare(block, everything)
            self._recheck = False
        except (UnknownBlock, StateDiscarded) as problem:
            log.warning("Subscriptions skip block %d: %s", block.header.number, problem)
            self._recheck = True

    def _finalized(self, notification: FinalityNotification) -> None:
        self.head.finalized(notification)
        self._finalized_header = notification.header
        if notification.enacted:  # another fork than the best one has won
            self._best = self._node.blocks.best
            self._best_header = self._node.header(self._best)
            self._send_all(Topic.NEW_HEADS, encode(header_json(self._best_header)))
            self._recheck = True
        for block in notification.finalized[-MAX_FINALIZED_AT_ONCE:-1]:
            header = self._node.blocks.header(block)
            if header is not None:
                self._send_all(Topic.FINALIZED_HEADS, encode(header_json(header)))
        self._send_all(Topic.FINALIZED_HEADS, encode(header_json(notification.header)))
        justification = self._node.blocks.justification(notification.hash)
        if justification is not None:
            self._send_all(Topic.JUSTIFICATIONS, encode(to_hex(justification)))

    async def _compare(self, block: ImportNotification, everything: bool) -> None:
        """Tell storage and version subscribers what is different at a new best block."""
        if everything or CODE_KEY in block.changed_keys:
            self._compare_version()
        candidates = self._watched.keys() if everything else self._watched.keys() & block.changed_keys
        if not candidates:
            return
        state = self._node.state(block.hash)
        changes: dict[Sink, list[tuple[bytes, bytes | None]]] = {}
        for position, key in enumerate(sorted(candidates), start=1):
            watched = self._watched.get(key)
            if watched is not None and (value := state.get(key)) != watched.value:
                watched.value = value
                for sink in watched.sinks:
                    changes.setdefault(sink, []).append((key, value))
            if position % SLICE == 0:
                await asyncio.sleep(0)
        for sink, changed in changes.items():
            if sink in self._keys:
                sink.send(encode(changes_json(block.hash, changed)))

    def _compare_version(self) -> None:
        try:
            version = self._read_version()
        except RuntimeMissing as problem:
            log.warning("Subscribers are not told of the next runtime: %s", problem)
            return
        if version != self._version:
            self._version = version
            self._send_all(Topic.RUNTIME_VERSION, version)

    def _read_version(self) -> str:
        version: Json = version_json(self._node.runtime.version(self._node.state(self._best)))
        return encode(version)

    def _send_all(self, topic: Topic, text: str) -> None:
        for sink in self._sinks[topic]:
            sink.send(text)
