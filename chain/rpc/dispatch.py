"""One JSON-RPC message in, one out: parsing, batches, the method table, errors. Source: JSON-RPC 2.0."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from chain.common.errors import RuntimeMissing, StateDiscarded, SubmitError, UnknownBlock
from chain.rpc import errors
from chain.rpc.backend import Backend, Observer
from chain.rpc.errors import Json, RpcError, known_error, over_limit
from chain.rpc.params import Params, shorten
from chain.rpc.turns import Pace

log = logging.getLogger("rpc")

MAX_VALUES = 262_144
"""values in one message; a list of nothing takes two bytes to send and a hundred to keep"""
_SEPARATORS = (b",", b"[", b"{")
"""A message has at most one value more than it has of these."""

Handler = Callable[[Backend, Params], Awaitable[Json]]
Start = Callable[[], None]
"""Begins a subscription or an operation; called once the client has been told its id."""


class Subscriber(Protocol):
    """A connection that can be notified."""

    def subscribe(self, method: str, params: Params) -> tuple[str, Start]: ...
    def unsubscribe(self, subscription: Json) -> bool: ...
    def perform(self, method: str, params: Params) -> tuple[Json, Start | None]: ...


@dataclass(frozen=True, slots=True)
class Methods:
    """All names the server answers to."""

    handlers: Mapping[str, Handler]
    subscribe: frozenset[str]
    unsubscribe: frozenset[str]
    bound: frozenset[str]
    """names that mean something on one connection only"""

    def __contains__(self, name: object) -> bool:
        return (
            name in self.handlers or name in self.subscribe or name in self.unsubscribe or name in self.bound
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client, nothing for notifications, and what begins after it was sent."""

    text: str | None
    starts: tuple[Start, ...] = ()


class Dispatcher:
    """Answers messages; holds no state of any connection."""

    def __init__(
        self, node: Backend, methods: Methods, max_batch: int, max_response: int, observer: Observer
    ) -> None:
        self._node = node
        self._methods = methods
        self._max_batch = max_batch
        self._max_response = max_response
        self._observer = observer
        self._pace = Pace()

    async def answer(self, message: bytes, subscriber: Subscriber | None) -> Answer:
        """Answer one message; `subscriber` is None where nothing can be pushed, that is over HTTP."""
        await self._pace.wait()
        if len(message) > MAX_VALUES and sum(map(message.count, _SEPARATORS)) > MAX_VALUES:
            return Answer(
                _failure(None, over_limit(errors.REQUEST_TOO_BIG, "Request is too big", MAX_VALUES))
            )
        began = time.perf_counter()
        try:
            request = _DECODER.decode(message.decode())
        except (ValueError, RecursionError):
            return Answer(_failure(None, RpcError(errors.PARSE_ERROR, "Parse error")))
        finally:
            self._pace.spend(time.perf_counter() - began)
        starts: list[Start] = []
        if isinstance(request, list):
            text = await self._batch(request, subscriber, starts)
        else:
            text = await self._single(request, subscriber, starts, self._max_response)
        return Answer(text, tuple(starts))

    async def _batch(
        self, batch: list[Json], subscriber: Subscriber | None, starts: list[Start]
    ) -> str | None:
        if not batch:
            return _failure(None, RpcError(errors.INVALID_REQUEST, "Invalid request", "the batch is empty"))
        if not self._max_batch:
            unsupported = "Batched requests are not supported by this server"
            return _failure(None, RpcError(errors.BATCHES_NOT_SUPPORTED, unsupported))
        if len(batch) > self._max_batch:
            too_long = "The batch request was too large"
            return _failure(None, over_limit(errors.BATCH_TOO_BIG, too_long, self._max_batch))
        texts: list[str] = []
        size = 0
        for request in batch:
            text = await self._single(request, subscriber, starts, self._max_response - size)
            if text is not None:
                texts.append(text)
                size += len(text)
        return f"[{','.join(texts)}]" if texts else None

    async def _single(
        self, request: Json, subscriber: Subscriber | None, starts: list[Start], room: int
    ) -> str | None:
        """Answer one request while there is room; None for a notification, which is not executed."""
        identifier = request.get("id") if isinstance(request, dict) else None
        if isinstance(identifier, bool) or not isinstance(identifier, str | int | None):
            identifier, request = None, None
        try:
            method, params = _read(request, room)
            if isinstance(request, dict) and "id" not in request:
                return None
            if room <= 0:
                message = "The batch response was too large"
                raise over_limit(errors.BATCH_RESPONSE_TOO_BIG, message, self._max_response)
            found = await self._observed(method, params, subscriber, starts)
            if len(found) > self._max_response:
                raise over_limit(errors.RESPONSE_TOO_BIG, "Response is too big", self._max_response)
        except RpcError as problem:
            return _failure(identifier, problem)
        return f'{{"jsonrpc":"2.0","id":{encode(identifier)},"result":{found}}}'

    async def _observed(
        self, method: str, params: Params, subscriber: Subscriber | None, starts: list[Start]
    ) -> str:
        if method not in self._methods:
            raise RpcError(errors.METHOD_NOT_FOUND, "Method not found", shorten(method))
        protocol = "http" if subscriber is None else "ws"
        await self._pace.wait()
        self._observer.call_started(protocol, method)
        began, is_error = time.perf_counter(), True
        try:
            found = await self._call(method, params, subscriber, starts)
            is_error = False
            return found
        finally:
            seconds = time.perf_counter() - began
            self._pace.spend(seconds)
            self._observer.call_finished(protocol, method, seconds, is_error)

    async def _call(
        self, method: str, params: Params, subscriber: Subscriber | None, starts: list[Start]
    ) -> str:
        """Return the JSON text of a result. This is the door behind which no exception may be a surprise."""
        try:
            return encode(await self._run(method, params, subscriber, starts))
        except RpcError:
            raise
        except (UnknownBlock, StateDiscarded, SubmitError, RuntimeMissing) as problem:
            raise known_error(problem) from problem
        except Exception as problem:
            log.exception("%s failed; this is a bug of the node", method)
            raise RpcError(errors.INTERNAL_ERROR, "Internal error") from problem

    async def _run(
        self, method: str, params: Params, subscriber: Subscriber | None, starts: list[Start]
    ) -> Json:
        if method in self._methods.handlers:
            return await self._methods.handlers[method](self._node, params)
        if subscriber is None:
            hint = f"{method} needs a WebSocket connection to this port"
            raise RpcError(errors.METHOD_NOT_FOUND, "Method not found", hint)
        if method in self._methods.unsubscribe:
            return subscriber.unsubscribe(params.get(0))
        if method in self._methods.bound:
            found, begin = subscriber.perform(method, params)
            if begin is not None:
                starts.append(begin)
            return found
        subscription, start = subscriber.subscribe(method, params)
        starts.append(start)
        return subscription


async def is_done(name: str, work: Awaitable[None]) -> bool:
    """Do what goes on after an answer, behind the same door; False when it ended in a surprise."""
    try:
        await work
    except Exception:
        log.exception("%s failed; this is a bug of the node", name)
        return False
    return True


def encode(value: Json) -> str:
    """Return compact JSON."""
    return _ENCODER.encode(value)


def _read(request: Json, room: int) -> tuple[str, Params]:
    if not isinstance(request, dict):
        raise _invalid("a request is an object with jsonrpc, id (a string or an integer), method, params")
    if request.get("jsonrpc") != "2.0":
        raise _invalid('jsonrpc must be "2.0"')
    method, params = request.get("method"), request.get("params")
    if not isinstance(method, str):
        raise _invalid("method must be a string")
    if params is None:
        return method, Params([], room)
    if not isinstance(params, list):
        raise errors.invalid_params("params must be an array")
    return method, Params(params, room)


def _invalid(reason: str) -> RpcError:
    return RpcError(errors.INVALID_REQUEST, "Invalid request", reason)


def _failure(identifier: str | int | None, problem: RpcError) -> str:
    return encode({"jsonrpc": "2.0", "id": identifier, "error": problem.to_json()})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""made once: what json.loads would make for every message"""
