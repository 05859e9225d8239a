"""Attacks through the methods: subscriptions never read, floods of transactions, costly questions.

Each goes on until its time is over, checks that it is told the right thing, and returns what it counted.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from chain.keys.pair import Keypair
from runtime.runtime import AssayRuntime
from tests.e2e.field import (
    BANNED,
    BOB,
    CHARLIE,
    CLIENT_ERROR,
    CUT,
    DROPPED,
    FOLLOW_LIMIT,
    IMPORTED,
    INVALID,
    LOW_PRIORITY,
    NOT_PINNED,
    PATIENCE,
    SYSTEM_ACCOUNT,
    TOO_MANY_SUBSCRIPTIONS,
    Field,
    batch,
    deaf,
    expect,
    nested_bytes,
    request,
    sign,
    text_frame,
    together,
)


async def too_many_subscriptions(field: Field) -> dict[str, int]:
    """Clients take all the subscriptions they may, read nothing of them for a while, and ask for more."""
    refused = 0

    async def hold(number: int) -> None:
        nonlocal refused
        async with field.websocket() as socket:
            for each in range(1_030):
                await socket.send_bytes(request("chain_subscribeNewHeads", id=each))
            answered = 0
            while answered < 1_030:
                answer = json.loads((await socket.receive(PATIENCE)).data)
                if "id" not in answer:
                    continue
                answered += 1
                if "error" in answer:
                    expect(answer["error"]["code"], TOO_MANY_SUBSCRIPTIONS)
                    refused += 1
            await field.over()

    clients = min(10, field.crowd)
    await together(clients, hold)
    expect(refused, 6 * clients)
    return {"subscriptions": 1_024 * clients, "refused": refused}


async def deaf_subscribers(field: Field) -> dict[str, int]:
    """Clients that subscribe to everything, ask for large answers, and never read a byte."""
    opened = 0
    calls = [request("state_subscribeStorage", [SYSTEM_ACCOUNT])] + [
        request(method) for method in ("chain_subscribeAllHeads", "chain_subscribeFinalizedHeads")
    ] * 20
    large = batch([request("state_getMetadata")] * 30)

    async def ignore(number: int) -> None:
        nonlocal opened
        while field.goes_on:
            with contextlib.suppress(TimeoutError, *CUT):
                _, writer = await deaf(field.port)
                opened += 1
                writer.write(b"".join(map(text_frame, calls)) + text_frame(large) * 4)
                async with asyncio.timeout(max(0.1, min(20, field.until - time.monotonic()))):
                    await writer.drain()
                    await field.over(writer)
                writer.transport.abort()

    await together(min(90, field.crowd), ignore)
    return {"connections": opened}


async def strangers_ids(field: Field) -> dict[str, int]:
    """Unsubscribe, unfollow and stop what belongs to somebody else."""
    tried = 0
    async with field.websocket() as owner, field.websocket() as stranger:
        heads = await _asked(owner, "chain_subscribeNewHeads")
        follow = await _asked(owner, "chainHead_v1_follow", False)
        while field.goes_on:
            expect(await _asked(stranger, "chain_unsubscribeNewHeads", heads["result"]), _result(False))
            expect(await _asked(stranger, "chainHead_v1_unfollow", follow["result"]), _result(None))
            header = await _asked(stranger, "chainHead_v1_header", follow["result"], "0x" + "00" * 32)
            expect(header, _result(None))
            tried += 3
        expect(await _asked(owner, "chain_unsubscribeNewHeads", heads["result"]), _result(True))
    return {"tried": tried}


def _result(value: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "result": value}


async def _asked(socket: Any, method: str, *params: object) -> dict[str, Any]:
    """Return the answer to one request, whatever notifications come before it."""
    await socket.send_bytes(request(method, *params))
    while "id" not in (answer := json.loads((await socket.receive(PATIENCE)).data)):
        continue
    return answer  # type: ignore[no-any-return]


async def follow_flood(field: Field) -> dict[str, int]:
    """As many follows as there may be, none of whose blocks is ever unpinned, and calls about others."""
    stopped = refused = 0

    async def follow(number: int) -> None:
        nonlocal stopped, refused
        async with field.websocket() as socket:
            ids = [await _asked(socket, "chainHead_v1_follow", True) for _ in range(4)]
            fifth = await _asked(socket, "chainHead_v1_follow", True)
            expect(fifth["error"]["code"], FOLLOW_LIMIT)
            while field.goes_on:
                for each in ids:
                    wrong = await _asked(socket, "chainHead_v1_body", each["result"], "0x" + "11" * 32)
                    code = wrong.get("error", {}).get("code")
                    expect(code, NOT_PINNED, None)  # None: the node has stopped this follow
                    refused += code == NOT_PINNED
                    stopped += code is None
                await asyncio.sleep(0.05)

    await together(min(24, field.crowd), follow)
    return {"follows": 4 * min(24, field.crowd), "refused": refused, "stopped": int(stopped > 0)}


# Transactions.


def _submissions(extrinsics: Iterable[bytes]) -> bytes:
    return batch(request("author_submitExtrinsic", "0x" + each.hex()) for each in extrinsics)


async def pauper_flood(field: Field) -> dict[str, int]:
    """Well-signed transactions of accounts that own nothing."""
    refused = number = 0
    call = AssayRuntime.call("System", "remark", b"")
    while field.goes_on:
        made = []
        for _ in range(100):
            number += 1
            made.append(sign(field, Keypair.from_seed(number.to_bytes(32, "big"), "sr25519"), 0, call))
        for answer in await field.post(_submissions(made)):
            expect(answer["error"]["code"], INVALID)
            refused += 1
    return {"refused": refused}


async def rich_flood(field: Field) -> dict[str, int]:
    """One rich account's transactions, as fast as they sign, with gaps between nonces and without."""
    codes: Counter[str] = Counter()
    call = AssayRuntime.call("System", "remark", b"rich")
    nonce = await field.call("system_accountNextIndex", _address(BOB))
    while field.goes_on:
        gaps = [sign(field, BOB, nonce + 10_000 + 2 * each, call) for each in range(50)]
        rest = [sign(field, BOB, nonce + each, call) for each in range(50)]
        nonce += 50
        for answer in await field.post(_submissions([*gaps, *rest])):
            code = answer.get("error", {}).get("code")
            expect(code, None, DROPPED, INVALID, BANNED, IMPORTED, LOW_PRIORITY)
            codes["taken" if code is None else f"refused_{code}"] += 1
    return dict(codes)


async def tip_ping_pong(field: Field) -> dict[str, int]:
    """The same nonce again and again, with a little more tip, a little less, and the same bytes."""
    codes: Counter[str] = Counter()
    call = AssayRuntime.call("System", "remark", b"ping")
    tip = 0
    while field.goes_on:
        nonce = await field.call("system_accountNextIndex", _address(CHARLIE)) + 3  # behind a gap: it stays
        made = []
        for _ in range(30):
            tip += 10**6
            better = sign(field, CHARLIE, nonce, call, tip)
            made += [better, better, sign(field, CHARLIE, nonce, call, tip - 1)]
        for answer in await field.post(_submissions(made)):
            code = answer.get("error", {}).get("code")
            expect(code, None, IMPORTED, LOW_PRIORITY, BANNED)
            codes["taken" if code is None else f"refused_{code}"] += 1
    return dict(codes)


def _address(pair: Keypair) -> str:
    return "0x" + pair.public.hex()


# Calls that cost more to answer than to ask.


async def costly_calls(field: Field) -> dict[str, int]:
    """The most expensive questions there are, from ten clients at once."""
    counted: Counter[str] = Counter()
    keys = await field.call("state_getKeysPaged", "0x", 1000)
    old = await field.call("chain_getBlockHash", 1)
    nested = "0x" + nested_bytes(10_000).hex()
    questions = (
        (request("state_getReadProof", keys, old), (None, CLIENT_ERROR)),
        (request("state_getReadProof", keys * 1), (None,)),
        (request("state_getReadProof", keys * 2), (4002, None)),
        (request("state_queryStorageAt", (keys * 20)[:16_384], old), (None, CLIENT_ERROR)),
        (request("state_getKeys", "0x"), (None,)),
        (request("state_getMetadata", old), (None, CLIENT_ERROR)),
        (request("state_call", "Metadata_metadata_at_version", "0x0f000000"), (None,)),
        (request("state_call", "Metadata_metadata_at_version", "0x63000000"), (None,)),
        (request("state_call", "BabeApi_configuration", "0x00"), (CLIENT_ERROR,)),
        (request("state_call", "Core_execute_block", "0x" + "00" * 100_000), (CLIENT_ERROR,)),
        (request("payment_queryInfo", nested), (CLIENT_ERROR,)),
        (request("author_pendingExtrinsics"), (None,)),
        (request("chain_getBlockHash", list(range(1024))), (None,)),
        (request("archive_v1_hashByHeight", 2**32 - 1), (None,)),
    )

    async def ask(number: int) -> None:
        while field.goes_on:
            for question, codes in questions:
                answer = await field.post(question)
                expect(answer.get("error", {}).get("code"), *codes)
                counted["calls"] += 1

    await together(min(10, field.crowd), ask)
    return dict(counted)


async def rpc_flood(field: Field) -> dict[str, int]:
    """Cheap requests, as many as fifty connections can send, in batches and one by one."""
    counted: Counter[str] = Counter()
    many = batch([request("chain_getHeader")] * 100)

    async def send(number: int) -> None:
        while field.goes_on:
            answers = await field.post(many if number % 2 else request("system_health"))
            counted["answers"] += len(answers) if isinstance(answers, list) else 1

    await together(min(50, field.crowd), send)
    return dict(counted)
