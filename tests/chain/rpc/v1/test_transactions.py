"""The transaction_v1 and transactionWatch_v1 groups over a WebSocket."""

import asyncio

import pytest

from chain.rpc.v1.transactions import MAX_BROADCASTS
from tests.chain.rpc.conftest import WAIT


def hexed(raw):
    return "0x" + raw.hex()


async def until(served, predicate):
    """Ask the server things until something is so."""
    async with asyncio.timeout(WAIT):
        while not predicate():
            await served.call("system_chain")


def watched(served, extrinsic):
    return served.node.pool.watched[extrinsic]


async def test_a_broadcast_goes_on_until_it_is_stopped(served):
    pool = served.node.pool
    async with served.connect() as client:
        operation = await client.call("transaction_v1_broadcast", "0x01")
        await until(served, lambda: b"\x01" in pool.watched)
        first = watched(served, b"\x01")
        pool.extrinsics.clear()
        await first.queue.put("dropped")
        await first.queue.put(None)
        await until(served, lambda: first.closed)
        served.node.grow()
        await until(served, lambda: pool.watched[b"\x01"] is not first)
        assert await client.call("transaction_v1_stop", operation) is None
        await until(served, lambda: watched(served, b"\x01").closed)
        refused = await client.request("transaction_v1_stop", operation)
        assert refused["error"]["code"] == -32602


async def test_what_is_invalid_now_is_offered_again_at_every_block(served):
    pool, tries = served.node.pool, []
    watch = pool.watch

    def counted(extrinsic):
        tries.append(extrinsic)
        return watch(extrinsic if len(tries) > 2 else b"\xff")

    pool.watch = counted
    async with served.connect() as client:
        await client.call("transaction_v1_broadcast", "0x02")
        for count in (1, 2):
            await until(served, lambda count=count: len(tries) == count)
            served.node.grow()
        await until(served, lambda: b"\x02" in pool.watched)
        assert tries == [b"\x02"] * 3


async def test_a_final_broadcast_rests(served):
    async with served.connect() as client:
        operations = [
            await client.call("transaction_v1_broadcast", hexed(bytes([number])))
            for number in range(MAX_BROADCASTS)
        ]
        await until(served, lambda: len(served.node.pool.watched) == MAX_BROADCASTS)
        assert await client.call("transaction_v1_broadcast", "0x77") is None
        final = watched(served, b"\x00")
        await final.queue.put({"finalized": hexed(served.node.best)})
        await until(served, lambda: final.closed)
        served.node.grow()
        assert isinstance(await client.call("transaction_v1_broadcast", "0x77"), str)
        assert await client.call("transaction_v1_broadcast", "0x78") is None
        assert await client.call("transaction_v1_stop", operations[1]) is None
        assert isinstance(await client.call("transaction_v1_broadcast", "0x78"), str)


async def test_broadcasts_end_with_their_connection(served):
    async with served.connect() as client:
        await client.call("transaction_v1_broadcast", "0x01")
        await until(served, lambda: b"\x01" in served.node.pool.watched)
    await until(served, lambda: watched(served, b"\x01").closed)
    assert served.node.pool.extrinsics == [b"\x01"]


async def test_a_watched_transaction_is_told_until_it_is_final(served):
    node = served.node
    async with served.connect() as client:
        subscription = await client.call("transactionWatch_v1_submitAndWatch", "0x05")
        await until(served, lambda: b"\x05" in node.pool.watched)
        queue = watched(served, b"\x05").queue
        lost = hexed(node.grow({}, (b"\x01", b"\x05")))
        block = hexed(node.grow({}, (b"\x05",)))
        for status in (
            *("future", "ready", {"broadcast": []}, {"inBlock": lost}, {"retracted": lost}),
            *({"inBlock": block}, {"finalized": block}, None),
        ):
            await queue.put(status)
        message = await client.notification()
        assert message["method"] == "transactionWatch_v1_watchEvent"
        events = [message["params"]["result"]] + [await client.update(subscription) for _ in range(4)]
        assert events == [
            {"event": "validated"},
            {"event": "bestChainBlockIncluded", "block": {"hash": lost, "index": 1}},
            {"event": "bestChainBlockIncluded", "block": None},
            {"event": "bestChainBlockIncluded", "block": {"hash": block, "index": 0}},
            {"event": "finalized", "block": {"hash": block, "index": 0}},
        ]
        assert await client.call("transactionWatch_v1_unwatch", subscription) is None


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("invalid", {"event": "invalid", "error": "the transaction became invalid"}),
        ("dropped", {"event": "dropped", "error": "the pool is full, and everything in it pays more"}),
        (
            {"usurped": "0x01"},
            {"event": "invalid", "error": "another transaction of the same account took its place"},
        ),
        (
            {"finalityTimeout": "0x01"},
            {"event": "dropped", "error": "its block takes too long to become final"},
        ),
        (
            {"finalized": "0x" + "ee" * 32},
            {"event": "error", "error": f"block 0x{'ee' * 32} is gone"},
        ),
    ],
)
async def test_every_other_end_has_its_event(served, status, event):
    async with served.connect() as client:
        subscription = await client.call("transactionWatch_v1_submitAndWatch", "0x05")
        await until(served, lambda: b"\x05" in served.node.pool.watched)
        await watched(served, b"\x05").queue.put(status)
        assert await client.update(subscription) == event


async def test_what_the_pool_refuses_is_an_event_too(served):
    async with served.connect() as client:
        subscription = await client.call("transactionWatch_v1_submitAndWatch", "0xff")
        assert await client.update(subscription) == {
            "event": "invalid",
            "error": "1010: Invalid Transaction: Transaction has a bad signature",
        }
        await client.call("author_submitExtrinsic", "0x0405")
        subscription = await client.call("transactionWatch_v1_submitAndWatch", "0x0405")
        assert (await client.update(subscription))["event"] == "dropped"
        malformed = await client.request("transactionWatch_v1_submitAndWatch", "0x5")
        assert malformed["error"]["code"] == -32602


async def test_unwatching_stops_the_events(served):
    async with served.connect() as client:
        subscription = await client.call("transactionWatch_v1_submitAndWatch", "0x05")
        await until(served, lambda: b"\x05" in served.node.pool.watched)
        assert await client.call("transactionWatch_v1_unwatch", subscription) is None
        assert watched(served, b"\x05").closed
        assert served.node.pool.extrinsics == [b"\x05"]


async def test_a_bug_of_the_pool_harms_nothing_else(served):
    def broken(extrinsic):
        raise ZeroDivisionError("a secret of this node")

    served.node.pool.watch = broken
    async with served.connect() as client:
        operation = await client.call("transaction_v1_broadcast", "0x01")
        subscription = await client.call("transactionWatch_v1_submitAndWatch", "0x05")
        assert await client.update(subscription) == {"event": "error", "error": "Internal error"}
        assert await client.call("transaction_v1_stop", operation) is None
