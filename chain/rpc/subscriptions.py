"""Subscriptions of one WebSocket connection: the names, the limits, and the life from id to unsubscribe."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from chain.rpc.backend import Backend, Statuses
from chain.rpc.dispatch import Start, encode
from chain.rpc.errors import TOO_MANY_SUBSCRIPTIONS, Json, over_limit
from chain.rpc.hub import Hub, Sink, Topic
from chain.rpc.outbox import Outbox
from chain.rpc.params import MAX_KEYS, Params
from chain.rpc.v1.archive import Event, difference_events, forward, storage_events
from chain.rpc.v1.follow import FOLLOW_METHODS, Follows
from chain.rpc.v1.transactions import BROADCAST, STOP, Broadcasts, WatchEvents

MAX_WATCHED_KEYS = 131_072
"""storage keys watched by all connections together"""
MAX_ARCHIVE_QUERIES = 16
"""archive_v1 subscriptions that run at a time on one connection"""
ID_BYTES = 12

SUBSCRIBE = {
    "chain_subscribeNewHeads": Topic.NEW_HEADS,
    "chain_subscribeNewHead": Topic.NEW_HEADS,
    "subscribe_newHead": Topic.NEW_HEADS,
    "chain_subscribeAllHeads": Topic.ALL_HEADS,
    "chain_subscribeFinalizedHeads": Topic.FINALIZED_HEADS,
    "chain_subscribeFinalisedHeads": Topic.FINALIZED_HEADS,
    "grandpa_subscribeJustifications": Topic.JUSTIFICATIONS,
    "state_subscribeRuntimeVersion": Topic.RUNTIME_VERSION,
    "chain_subscribeRuntimeVersion": Topic.RUNTIME_VERSION,
    "state_subscribeStorage": Topic.STORAGE,
    "author_submitAndWatchExtrinsic": Topic.EXTRINSIC,
    "chainHead_v1_follow": Topic.FOLLOW,
    "archive_v1_storage": Topic.ARCHIVE_STORAGE,
    "archive_v1_storageDiff": Topic.ARCHIVE_DIFFERENCE,
    "transactionWatch_v1_submitAndWatch": Topic.TRANSACTION_WATCH,
}

UNSUBSCRIBE = frozenset(
    {
        "chain_unsubscribeNewHeads",
        "chain_unsubscribeNewHead",
        "unsubscribe_newHead",
        "chain_unsubscribeAllHeads",
        "chain_unsubscribeFinalizedHeads",
        "chain_unsubscribeFinalisedHeads",
        "grandpa_unsubscribeJustifications",
        "state_unsubscribeRuntimeVersion",
        "chain_unsubscribeRuntimeVersion",
        "state_unsubscribeStorage",
        "author_unwatchExtrinsic",
    }
)

END = frozenset(
    {
        "chainHead_v1_unfollow",
        "archive_v1_stopStorage",
        "archive_v1_stopStorageDiff",
        "transactionWatch_v1_unwatch",
    }
)
"""Unsubscribe as UNSUBSCRIBE does, but answer null."""
BOUND = END | FOLLOW_METHODS | {BROADCAST, STOP}


class Session:
    """One connection's subscriptions and operations; those that take time run in its task group."""

    def __init__(self, hub: Hub, node: Backend, outbox: Outbox, tasks: asyncio.TaskGroup, limit: int) -> None:
        self._hub = hub
        self._node = node
        self._outbox = outbox
        self._tasks = tasks
        self._limit = limit
        self._ends: dict[str, Callable[[], object]] = {}
        self._keys: dict[str, int] = {}
        self._archive_queries = 0
        self._follows = Follows(node, hub.head, hub.turns, tasks)
        self._broadcasts = Broadcasts(node, hub.next_best, tasks)

    def subscribe(self, method: str, params: Params) -> tuple[str, Start]:
        """Prepare a subscription; nothing is sent before its start is called.

        Raises: RpcError, SubmitError.
        """
        if len(self._ends) >= self._limit:
            raise over_limit(TOO_MANY_SUBSCRIPTIONS, "Too many subscriptions on the connection", self._limit)
        sink = Sink(secrets.token_urlsafe(ID_BYTES), SUBSCRIBE[method], self._outbox)
        match sink.topic:
            case Topic.STORAGE:
                start = self._storage(sink, params)
            case Topic.EXTRINSIC:
                start = self._extrinsic(sink, params)
            case Topic.FOLLOW:
                start = self._follow(sink, params)
            case Topic.ARCHIVE_STORAGE:
                start = self._query(sink, storage_events(self._node, params, self._hub.turns), "storageError")
            case Topic.ARCHIVE_DIFFERENCE:
                start = self._query(
                    sink, difference_events(self._node, params, self._hub.turns), "storageDiffError"
                )
            case Topic.TRANSACTION_WATCH:
                events = WatchEvents(self._node, sink, params.hex(0, "transaction"))
                start = self._run(sink, events.run, events.close)
            case _:
                self._ends[sink.id] = lambda: self._hub.remove(sink)
                start = self._unless_ended(sink, lambda: self._hub.add(sink))
        return sink.id, start

    def unsubscribe(self, subscription: Json) -> bool:
        """End a subscription; False when there is none of that id, or no longer."""
        if not isinstance(subscription, str) or subscription not in self._ends:
            return False
        self._keys.pop(subscription, None)
        self._ends.pop(subscription)()
        return True

    def perform(self, method: str, params: Params) -> tuple[Json, Start | None]:
        """Answer a method that speaks of something this connection began.

        Raises: RpcError.
        """
        if method in END:
            self.unsubscribe(params.text(0, "subscription"))
            return None, None
        if method in FOLLOW_METHODS:
            return self._follows.perform(method, params)
        return self._broadcasts.perform(method, params)

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in list(self._ends):
            self.unsubscribe(subscription)
        self._broadcasts.close()

    def _unless_ended(self, sink: Sink, start: Start) -> Start:
        """Return a start that does nothing if the same batch has unsubscribed already."""

        def checked() -> None:
            if sink.id in self._ends:
                start()

        return checked

    def _storage(self, sink: Sink, params: Params) -> Start:
        keys = params.keys(0, "keys")
        if len(keys) + sum(self._keys.values()) > MAX_KEYS:
            raise over_limit(TOO_MANY_SUBSCRIPTIONS, "Too many storage keys on the connection", MAX_KEYS)
        if len(keys) + self._hub.watched_keys > MAX_WATCHED_KEYS:
            raise over_limit(TOO_MANY_SUBSCRIPTIONS, "Too many storage keys on the node", MAX_WATCHED_KEYS)
        self._keys[sink.id] = len(keys)
        self._ends[sink.id] = lambda: self._hub.remove(sink)
        return self._unless_ended(sink, lambda: self._hub.watch(sink, keys))

    def _extrinsic(self, sink: Sink, params: Params) -> Start:
        _, statuses = self._node.pool.watch(params.extrinsic(0))
        return self._run(sink, partial(_forward, sink, statuses), statuses.close)

    def _follow(self, sink: Sink, params: Params) -> Start:
        def stopped() -> None:
            del self._ends[sink.id]

        start = self._follows.open(sink, params, stopped)
        self._ends[sink.id] = lambda: self._follows.close(sink.id)
        return self._unless_ended(sink, start)

    def _query(self, sink: Sink, events: AsyncIterator[Event], error: str) -> Start:
        if self._archive_queries >= MAX_ARCHIVE_QUERIES:
            too_many = "Too many archive queries on the connection"
            raise over_limit(TOO_MANY_SUBSCRIPTIONS, too_many, MAX_ARCHIVE_QUERIES)
        self._archive_queries += 1

        def done() -> None:
            self._archive_queries -= 1

        return self._run(sink, partial(forward, sink, events, error), done)

    def _run(self, sink: Sink, work: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> Start:
        """Prepare work that begins once the client knows the subscription's id; `ended` is called once."""
        told = asyncio.Event()
        task = self._tasks.create_task(self._after(told, sink, work, ended))

        def end() -> None:
            ended()
            task.cancel()

        self._ends[sink.id] = end
        return told.set

    async def _after(
        self, told: asyncio.Event, sink: Sink, work: Callable[[], Awaitable[None]], ended: Callable[[], None]
    ) -> None:
        await told.wait()
        await work()
        if self._ends.pop(sink.id, None) is not None:
            ended()


async def _forward(sink: Sink, statuses: Statuses) -> None:
    async for status in statuses:
        sink.send(encode(status))
