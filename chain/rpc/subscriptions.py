"""Subscriptions of one WebSocket connection: the names, the limits, and the life from id to unsubscribe."""

import asyncio
import secrets
from collections.abc import Callable

from chain.rpc.backend import Pool, Statuses
from chain.rpc.dispatch import Start, encode
from chain.rpc.errors import TOO_MANY_SUBSCRIPTIONS, Json, over_limit
from chain.rpc.hub import Hub, Sink, Topic
from chain.rpc.outbox import Outbox
from chain.rpc.params import MAX_KEYS, Params

MAX_WATCHED_KEYS = 131_072
"""storage keys watched by all connections together"""
ID_BYTES = 12

SUBSCRIBE = {
    "chain_subscribeNewHeads": Topic.NEW_HEADS,
    "chain_subscribeNewHead": Topic.NEW_HEADS,
    "subscribe_newHead": Topic.NEW_HEADS,
    "chain_subscribeAllHeads": Topic.ALL_HEADS,
    "chain_subscribeFinalizedHeads": Topic.FINALIZED_HEADS,
    "chain_subscribeFinalisedHeads": Topic.FINALIZED_HEADS,
    "state_subscribeRuntimeVersion": Topic.RUNTIME_VERSION,
    "chain_subscribeRuntimeVersion": Topic.RUNTIME_VERSION,
    "state_subscribeStorage": Topic.STORAGE,
    "author_submitAndWatchExtrinsic": Topic.EXTRINSIC,
}

UNSUBSCRIBE = frozenset(
    {
        "chain_unsubscribeNewHeads",
        "chain_unsubscribeNewHead",
        "unsubscribe_newHead",
        "chain_unsubscribeAllHeads",
        "chain_unsubscribeFinalizedHeads",
        "chain_unsubscribeFinalisedHeads",
        "state_unsubscribeRuntimeVersion",
        "chain_unsubscribeRuntimeVersion",
        "state_unsubscribeStorage",
        "author_unwatchExtrinsic",
    }
)


class Session:
    """One connection's subscriptions; watched extrinsics run in the connection's task group."""

    def __init__(self, hub: Hub, pool: Pool, outbox: Outbox, tasks: asyncio.TaskGroup, limit: int) -> None:
        self._hub = hub
        self._pool = pool
        self._outbox = outbox
        self._tasks = tasks
        self._limit = limit
        self._ends: dict[str, Callable[[], object]] = {}
        self._keys: dict[str, int] = {}

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

    def close(self) -> None:
        """End all subscriptions."""
        for subscription in list(self._ends):
            self.unsubscribe(subscription)

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
        _, statuses = self._pool.watch(params.hex(0, "extrinsic"))
        began = asyncio.Event()
        task = self._tasks.create_task(self._forward(sink, statuses, began))

        def end() -> None:
            statuses.close()
            task.cancel()

        self._ends[sink.id] = end
        return began.set

    async def _forward(self, sink: Sink, statuses: Statuses, began: asyncio.Event) -> None:
        await began.wait()
        async for status in statuses:
            sink.send(encode(status))
        self._ends.pop(sink.id, None)
