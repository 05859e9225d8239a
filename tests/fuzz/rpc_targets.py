"""The JSON-RPC door of a whole node: raw bytes, and parameters of every wrong shape for every method.

The node is the real one with its store, pool and runtime; only its socket and its clock are left out.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from chain.node import NodeConfig, Service
from chain.rpc import errors
from chain.rpc.outbox import Outbox
from chain.rpc.server import RpcConfig, all_methods
from chain.rpc.subscriptions import Session
from chain.spec import ChainSpec
from runtime.frame.storage import item_prefix
from tests.fuzz.chain import ALICE, remark
from tests.fuzz.engine import Target
from tests.fuzz.node_targets import JSON_WORDS

log = logging.getLogger("rpc")

MESSAGES = 300
"""messages of one client before it leaves; its subscriptions and operations end with it"""
EXPECTED = frozenset(
    value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)
) - {errors.INTERNAL_ERROR}
"""Every error a client may be told; an internal one is a bug of the node"""
SUBMIT_ERRORS = range(1000, 1100)
ADDRESS = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


class Peer:
    """A node, and one client of it after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._opened = contextlib.AsyncExitStack()
        config = NodeConfig(
            ChainSpec.load("dev"), rpc=RpcConfig(port=0, methods="unsafe"), prometheus_port=None
        )
        opening = self._opened.enter_async_context(Service.open(config))
        self.service: Service = self._loop.run_until_complete(opening)
        self.best = "0x" + self.service.node.store.best.hex()
        self.subscription = ""
        self._bugs: list[logging.LogRecord] = []
        self._listener = logging.Handler(logging.ERROR)
        self._listener.emit = self._bugs.append  # type: ignore[method-assign]
        self._count = 0
        self._session: Session | None = None

    def send(self, message: bytes) -> str | None:
        """Return the answer to a message, which must be one that a client may be given."""
        if self._count % MESSAGES == 0:
            self._greet()
        self._count += 1
        log.addHandler(self._listener)
        try:
            text = self._loop.run_until_complete(self._answer(message))
        finally:
            log.removeHandler(self._listener)
        assert not self._bugs, self._bugs.pop().getMessage()
        if text is not None:
            found = json.loads(text)
            for each in found if isinstance(found, list) else [found]:
                self._check(each)
        return text

    def _greet(self) -> None:
        if self._session is not None:
            self._session.close()
        outbox = Outbox(lambda: None)
        server = self.service.rpc
        self._session = Session(server._hub, server._node, outbox, self._loop, 1024)  # type: ignore[arg-type]

    async def _answer(self, message: bytes) -> str | None:
        answer = await self.service.rpc._dispatcher.answer(message, self._session)
        for start in answer.starts:
            start()
        await asyncio.sleep(0)
        return answer.text

    def _check(self, answer: dict[str, Any]) -> None:
        assert answer.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}), answer
        assert isinstance(answer["id"], str | int | None), answer
        if "error" in answer:
            code = answer["error"]["code"]
            assert code in EXPECTED or code in SUBMIT_ERRORS, answer
        elif isinstance(answer["result"], str) and len(answer["result"]) == 16:
            self.subscription = answer["result"]

    def close(self) -> None:
        """Stop the node."""
        if self._session is not None:
            self._session.close()
        self._loop.run_until_complete(self._opened.aclose())
        self._loop.close()


@cache
def peer() -> Peer:
    """Return the node of this process."""
    return Peer()


def leave() -> None:
    """Stop the node of this process, if there is one."""
    if peer.cache_info().currsize:
        peer().close()
        peer.cache_clear()


def targets() -> list[Target]:
    """Return the targets of this module."""
    return [_messages(), _parameters()]


def _request(method: str, *params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def _messages() -> Target:
    """Bytes as they come: JSON, nearly JSON, batches of it."""
    key = "0x" + item_prefix("System", "Account").hex()
    seeds = (
        _request("system_health"),
        _request("chain_getBlockHash", [0, 1, "0x0"]),
        _request("state_getStorage", key),
        _request("state_getKeysPaged", key, 3, None),
        _request("state_call", "AccountNonceApi_account_nonce", "0x" + "00" * 32),
        _request("author_submitExtrinsic", "0x" + remark(0, b"fuzz").hex()),
        _request("payment_queryInfo", "0x" + remark(0, b"fuzz").hex()),
        _request("system_accountNextIndex", ADDRESS),
        b"[" + _request("system_chain") + b"," + _request("system_name") + b"]",
        b'{"jsonrpc":"2.0","method":"system_health"}',
    )

    return Target(
        "rpc.message", lambda data: peer().send(data), (), seeds, words=JSON_WORDS, quick=800, long=300_000,
        why_loose="the value is an answer",
        kind=_kind,
    )  # fmt: skip


def _kind(text: str | None) -> object:
    """Tell answers apart by their error, or by the form of their result."""
    found = json.loads(text or "null")
    if not isinstance(found, dict):
        return type(found)
    problem = found.get("error")
    if problem is None:
        return type(found["result"])
    return problem["code"], _NUMBERS.sub("", str(problem.get("data")))[:40]


_NUMBERS = re.compile(r"0x[0-9a-f]*|\d+|'.*")


def _values() -> list[Callable[[Peer], Any]]:
    """Everything a parameter might be: right for some method, wrong for the others, or for all."""
    key = "0x" + item_prefix("System", "Account").hex()
    extrinsic = "0x" + remark(0, b"fuzz").hex()
    plain: list[Any] = [
        None, True, False, 0, 1, -1, 2**31, 2**32, 2**64, 2**70, -(2**70), 0.5, 1e308, "", "0x", "0x0",
        "0x1", "0xz", "0x123", "0x" + "00" * 31, "0x" + "00" * 32, "0x" + "ff" * 33, "0x" + "ab" * 4_000,
        key, key[:34], extrinsic, extrinsic[:40], "0xff", "é", "\ud800", "\0", "x" * 300, ADDRESS,
        ADDRESS[:-1], "0x" + ALICE.public.hex(), "Core_version", "Metadata_metadata_versions",
        "AccountNonceApi_account_nonce", "BabeApi_current_epoch", "TransactionPaymentApi_query_info",
        "Nothing_here", "babe", "gran", "finalized", [], {}, [[]], [None], [{}], [0, 1], ["0x0", -1], [key],
        [key, key], [key, 5], ["0x"] * 40, [[key]], {"key": key}, [{"key": key}],
        [{"key": key, "type": "value"}], [{"key": key, "type": "descendantsValues"}],
        [{"key": key, "type": "descendantsHashes", "paginationStartKey": key}],
        [{"key": "0x", "type": "closestDescendantMerkleValue"}], [{"key": 5, "type": "value"}],
        [{"key": key, "type": "other"}], [{"key": key, "returnType": "value"}], [{"returnType": "hash"}],
        [{"key": key, "returnType": "hash", "childTrieKey": "0x00"}], {"a": {"b": [1, {"c": None}]}},
    ]  # fmt: skip
    deep: Any = "deep"
    for _ in range(60):
        deep = [deep]
    fixed: list[Callable[[Peer], Any]] = [lambda _, value=value: value for value in [*plain, deep]]
    best: list[Callable[[Peer], Any]] = [
        lambda it: it.best,
        lambda it: [it.best],
        lambda it: [it.best, it.best],
        lambda it: it.subscription,
        lambda it: [it.subscription],
    ]
    return [*fixed, *best * 6]  # a known block and a live subscription lead further than anything else


def _parameters() -> Target:
    """The first byte chooses the method, each other one a parameter."""
    methods = all_methods(unsafe=True)
    names = sorted([*methods.handlers, *methods.subscribe, *methods.unsubscribe, *methods.bound])
    values = _values()
    seeds = tuple(bytes([at, *(at * 7 + more * 31 & 0xFF for more in range(4))]) for at in range(len(names)))

    def read(data: bytes) -> str | None:
        client = peer()
        method = names[(data[0] if data else 0) % len(names)]
        params = [values[each % len(values)](client) for each in data[1:7]]
        return client.send(_request(method, *params))

    return Target(
        "rpc.params", read, (), seeds, words=(bytes([len(values) - 1]), bytes([len(values) - 2])),
        quick=3_000, long=300_000, why_loose="the value is an answer", kind=_kind,
    )  # fmt: skip
