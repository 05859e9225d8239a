"""What the rest of the node hears of the chain: imported blocks and finality, through bounded queues.

    feed = Notifications()                      the importer calls feed.imported(...) and feed.finalized(...)
    feed.listen(imported, finalized)            the node's own parts hear at once, before anybody else
    async for note in feed.imports(): ...       everybody else listens

A block is readable, state included, before its notification is published.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from runtime.primitives.header import Header
from runtime.primitives.types import Hash

QUEUE_LIMIT = 1024
"""notifications a subscriber may be behind; at one block per second a quarter of an hour"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImportNotification:
    """A block was imported.

    `retracted` and `enacted` are the blocks that left and joined the best chain, oldest first, the block
    itself included in `enacted` when it is the new best; `changed_keys` are the storage keys it wrote.
    """

    hash: Hash
    header: Header
    is_new_best: bool
    retracted: tuple[Hash, ...] = ()
    enacted: tuple[Hash, ...] = ()
    changed_keys: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class FinalityNotification:
    """Blocks became final: `finalized` ends with `hash`, oldest first.

    Where another fork than the best one has won, `retracted` are the blocks that left the best chain, with
    their bodies, since nobody has them any more; `enacted` those that joined it, both oldest first.
    """

    hash: Hash
    header: Header
    finalized: tuple[Hash, ...]
    retracted: tuple[tuple[Hash, list[bytes]], ...] = ()
    enacted: tuple[Hash, ...] = ()


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went through a broadcast, each notification counted once per subscriber."""

    sent: int = 0
    received: int = 0
    dropped: int = 0
    queued: int = 0


class SlowSubscriber(Exception):
    """The subscriber fell too far behind and was cut off; what it has not read is lost."""


class Subscription(AsyncIterator[T], Generic[T]):
    """One listener's queue; `close` it, or iterate until the broadcast closes.

    Raises: SlowSubscriber while iterating, once the queue has overflowed.
    """

    def __init__(self, broadcast: "Broadcast[T]") -> None:
        self._broadcast = broadcast
        self._queue: deque[T] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self._reason: SlowSubscriber | None = None

    def __aiter__(self) -> "Subscription[T]":
        return self

    async def __anext__(self) -> T:
        while not self._queue:
            if self._reason is not None:
                raise self._reason
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        self._broadcast.received += 1
        return self._queue.popleft()

    def __len__(self) -> int:
        return len(self._queue)

    def close(self) -> None:
        """Stop listening; closing twice is fine."""
        self._broadcast.forget(self)
        self.end()

    def put(self, notification: T, limit: int) -> bool:
        """Queue one notification; False when the listener was too slow and is cut off."""
        self._wake.set()
        if len(self._queue) < limit:
            self._queue.append(notification)
            return True
        self._broadcast.dropped += len(self._queue) + 1
        self._queue.clear()
        self._reason = SlowSubscriber(f"more than {limit} notifications behind")
        return False

    def end(self) -> None:
        """Let the listener finish what is queued, then stop."""
        self._ended = True
        self._wake.set()


class Broadcast(Generic[T]):
    """Hands each notification to every subscription; nobody can hold up the publisher."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._subscriptions: list[Subscription[T]] = []
        self.sent = self.received = self.dropped = 0

    def __len__(self) -> int:
        return len(self._subscriptions)

    @property
    def queued(self) -> int:
        """How many notifications wait to be read."""
        return sum(map(len, self._subscriptions))

    def subscribe(self) -> Subscription[T]:
        """Return a subscription that sees everything published from now on."""
        subscription = Subscription(self)
        self._subscriptions.append(subscription)
        return subscription

    def publish(self, notification: T) -> None:
        """Queue a notification for everybody; who has no room left is cut off."""
        self.sent += len(self._subscriptions)
        self._subscriptions = [each for each in self._subscriptions if each.put(notification, self._limit)]

    def forget(self, subscription: Subscription[T]) -> None:
        """Drop a subscription; one that is gone already is fine."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End every subscription after what it has queued."""
        for subscription in self._subscriptions:
            subscription.end()
        self._subscriptions.clear()


class Notifications:
    """The node's two broadcasts."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._imports: Broadcast[ImportNotification] = Broadcast(limit)
        self._finality: Broadcast[FinalityNotification] = Broadcast(limit)
        self._on_import: list[Callable[[ImportNotification], None]] = []
        self._on_finality: list[Callable[[FinalityNotification], None]] = []

    def listen(
        self,
        imported: Callable[[ImportNotification], None],
        finalized: Callable[[FinalityNotification], None],
    ) -> None:
        """Call these with every notification, before it is published."""
        self._on_import.append(imported)
        self._on_finality.append(finalized)

    def imports(self) -> Subscription[ImportNotification]:
        """Listen to imported blocks."""
        return self._imports.subscribe()

    def finality(self) -> Subscription[FinalityNotification]:
        """Listen to finality."""
        return self._finality.subscribe()

    def imported(self, notification: ImportNotification) -> None:
        """Publish an imported block; its header, body and state must be readable already."""
        for listener in self._on_import:
            listener(notification)
        self._imports.publish(notification)

    def finalized(self, notification: FinalityNotification) -> None:
        """Publish finality; the store must know of it already."""
        for listener in self._on_finality:
            listener(notification)
        self._finality.publish(notification)

    def restored(self, block: Hash, header: Header) -> None:
        """Publish that the chain stands at a final block that nothing known before leads to."""
        self._imports.publish(ImportNotification(block, header, True, (), (block,), frozenset()))
        self._finality.publish(FinalityNotification(block, header, (block,), (), ()))

    def traffic(self) -> Mapping[str, Traffic]:
        """Return what went through each broadcast, under Substrate's names of its channels."""
        return {
            "mpsc_import_notification_stream": _traffic(self._imports),
            "mpsc_finality_notification_stream": _traffic(self._finality),
        }

    def close(self) -> None:
        """End every subscription."""
        self._imports.close()
        self._finality.close()


def _traffic(broadcast: Broadcast[T]) -> Traffic:
    return Traffic(broadcast.sent, broadcast.received, broadcast.dropped, broadcast.queued)
