"""The chainHead_v1 group over a WebSocket: events, pins, operations, limits, errors."""

import asyncio

import pytest

import chain.rpc.v1.storage_query as storage_query
from chain.rpc.v1.follow import MAX_FOLLOWS, MAX_OPERATIONS
from runtime.primitives.hashing import blake2_64, blake2_256

RUNTIME = {
    "type": "valid",
    "spec": {
        "specName": "assay",
        "implName": "assay-node",
        "specVersion": 7,
        "implVersion": 2,
        "transactionVersion": 3,
        "apis": {"0x" + blake2_64(b"Core").hex(): 5},
    },
}
UNKNOWN = "0x" + "ee" * 32


def hexed(raw):
    return "0x" + raw.hex()


def new_block(block, parent):
    names = {"blockHash": hexed(block), "parentBlockHash": hexed(parent)}
    return {"event": "newBlock", "newRuntime": None} | names


async def follow(client, with_runtime=True):
    """Follow, and skip what every follower of an unfinalised chain is told first."""
    subscription = await client.call("chainHead_v1_follow", with_runtime)
    events = [await client.update(subscription)]
    while events[-1]["event"] != "bestBlockChanged":
        events.append(await client.update(subscription))
    return subscription, events


async def events_of(client, subscription, reply, last):
    """Return the events of an operation up to the last one, without the id they all carry."""
    events = []
    while not events or events[-1]["event"] != last:
        event = await client.update(subscription)
        assert event.pop("operationId") == reply["operationId"]
        events.append(event)
    return events


async def error(client, method, *params):
    problem = (await client.request(method, *params))["error"]
    return problem["code"]


async def test_a_follower_hears_of_every_block_once_and_in_order(served):
    node = served.node
    genesis = node.genesis_hash
    first = node.grow()
    fork = node.announce(node.build(genesis, {b"side": b"1"}), is_best=False)
    async with served.connect() as client:
        subscription, events = await follow(client)
        start = {"finalizedBlockHashes": [hexed(genesis)], "finalizedBlockRuntime": RUNTIME}
        assert events == [
            {"event": "initialized"} | start,
            new_block(first, genesis),
            new_block(fork, genesis),
            {"event": "bestBlockChanged", "bestBlockHash": hexed(first)},
        ]
        second = node.grow()
        node.finalize(first)
        ends = {"finalizedBlockHashes": [hexed(first)], "prunedBlockHashes": [hexed(fork)]}
        assert [await client.update(subscription) for _ in range(3)] == [
            new_block(second, first),
            {"event": "bestBlockChanged", "bestBlockHash": hexed(second)},
            {"event": "finalized"} | ends,
        ]


async def test_without_the_runtime_no_event_speaks_of_it(served):
    node = served.node
    async with served.connect() as client:
        subscription, events = await follow(client, with_runtime=False)
        block = node.grow({b":code": b"\x09"})
        events.append(await client.update(subscription))
        genesis = hexed(node.genesis_hash)
        assert events == [
            {"event": "initialized", "finalizedBlockHashes": [genesis]},
            {"event": "bestBlockChanged", "bestBlockHash": genesis},
            {"event": "newBlock", "blockHash": hexed(block), "parentBlockHash": genesis},
        ]
        assert await error(client, "chainHead_v1_call", subscription, genesis, "Test_echo", "0x") == -32802


async def test_a_new_runtime_comes_with_its_block(served):
    async with served.connect() as client:
        subscription, _ = await follow(client)
        served.node.grow({b":code": b"\x09"})
        event = await client.update(subscription)
        spec = RUNTIME["spec"] | {"specVersion": 9}
        assert event["newRuntime"] == {"type": "valid", "spec": spec}


async def test_a_runtime_this_node_lacks_is_invalid(served):
    lacks = "this chain needs version 10"
    async with served.connect() as client:
        subscription, _ = await follow(client)
        block = served.node.grow({b":code": b"\x0a"})
        event = await client.update(subscription)
        assert event["newRuntime"] == {"type": "invalid", "error": lacks}
        reply = await client.call("chainHead_v1_call", subscription, hexed(block), "Test_number", "0x")
        assert await client.update(subscription) == {
            "event": "bestBlockChanged",
            "bestBlockHash": hexed(block),
        }
        assert await events_of(client, subscription, reply, "operationError") == [
            {"event": "operationError", "error": lacks}
        ]
        served.node.finalize(block)
    async with served.connect() as client:
        _, events = await follow(client)
        assert events[0]["finalizedBlockRuntime"] == {"type": "invalid", "error": lacks}


async def test_headers_bodies_and_calls_of_pinned_blocks(served):
    node = served.node
    block = node.grow({}, (b"\x01\x02", b"\x03"))
    async with served.connect() as client:
        subscription, _ = await follow(client)
        header = await client.call("chainHead_v1_header", subscription, hexed(block))
        assert "0x" + blake2_256(bytes.fromhex(header[2:])).hex() == hexed(block)
        reply = await client.call("chainHead_v1_body", subscription, hexed(block))
        assert reply == {"result": "started", "operationId": reply["operationId"]}
        assert await events_of(client, subscription, reply, "operationBodyDone") == [
            {"event": "operationBodyDone", "value": ["0x0102", "0x03"]}
        ]
        reply = await client.call("chainHead_v1_call", subscription, hexed(block), "Test_number", "0x")
        assert await events_of(client, subscription, reply, "operationCallDone") == [
            {"event": "operationCallDone", "output": "0x01000000"}
        ]
        reply = await client.call("chainHead_v1_call", subscription, hexed(block), "Test_none", "0x")
        missing = "Client error: Execution failed: Other: Exported method Test_none is not found"
        assert await events_of(client, subscription, reply, "operationError") == [
            {"event": "operationError", "error": missing}
        ]


async def test_a_bug_ends_the_operation_and_nothing_else(served):
    async with served.connect() as client:
        subscription, _ = await follow(client)
        genesis = hexed(served.node.genesis_hash)
        reply = await client.call("chainHead_v1_call", subscription, genesis, "Test_bug", "0x")
        assert await events_of(client, subscription, reply, "operationError") == [
            {"event": "operationError", "error": "Internal error"}
        ]
        assert await client.call("system_chain") == "Assay Test"


async def test_every_kind_of_storage_item(served):
    block = served.node.grow({b"a": b"1", b"ab": b"2", b"b": b"3"})
    async with served.connect() as client:
        subscription, _ = await follow(client)
        kinds = ["value", "hash", "closestDescendantMerkleValue", "descendantsValues", "descendantsHashes"]
        items = [{"key": hexed(b"a"), "type": kind} for kind in kinds]
        items += [{"key": hexed(b"none"), "type": kind} for kind in kinds]
        reply = await client.call("chainHead_v1_storage", subscription, hexed(block), items, None)
        assert reply == {"result": "started", "operationId": reply["operationId"], "discardedItems": 0}
        merkle = served.node.states[block].closest_merkle_value(b"a")
        assert await events_of(client, subscription, reply, "operationStorageDone") == [
            {
                "event": "operationStorageItems",
                "items": [
                    {"key": hexed(b"a"), "value": hexed(b"1")},
                    {"key": hexed(b"a"), "hash": hexed(blake2_256(b"1"))},
                    {"key": hexed(b"a"), "closestDescendantMerkleValue": hexed(merkle)},
                    {"key": hexed(b"a"), "value": hexed(b"1")},
                    {"key": hexed(b"ab"), "value": hexed(b"2")},
                    {"key": hexed(b"a"), "hash": hexed(blake2_256(b"1"))},
                    {"key": hexed(b"ab"), "hash": hexed(blake2_256(b"2"))},
                ],
            },
            {"event": "operationStorageDone"},
        ]
        child = [{"key": hexed(b"a"), "type": "value"}]
        reply = await client.call("chainHead_v1_storage", subscription, hexed(block), child, "0x01")
        assert await events_of(client, subscription, reply, "operationStorageDone") == [
            {"event": "operationStorageDone"}
        ]


async def test_long_answers_wait_for_the_client(served, monkeypatch):
    monkeypatch.setattr(storage_query, "PAGE_ITEMS", 2)
    keys = [b"k" + bytes([number]) for number in range(5)]
    block = served.node.grow({key: b"v" for key in keys})
    async with served.connect() as client:
        subscription, _ = await follow(client)
        items = [{"key": hexed(b"k"), "type": "descendantsValues"}]
        reply = await client.call("chainHead_v1_storage", subscription, hexed(block), items)
        found, operation = [], reply["operationId"]
        for expected in (2, 2):
            page, waiting = await events_of(client, subscription, reply, "operationWaitingForContinue")
            assert len(page["items"]) == expected
            assert waiting == {"event": "operationWaitingForContinue"}
            found += page["items"]
            assert await client.call("chainHead_v1_unpin", "nobody", hexed(block)) is None
            assert await client.call("chainHead_v1_continue", subscription, operation) is None
        page, done = await events_of(client, subscription, reply, "operationStorageDone")
        assert [each["key"] for each in found + page["items"]] == [hexed(key) for key in keys]
        assert done == {"event": "operationStorageDone"}
        assert await client.call("chainHead_v1_continue", subscription, operation) is None


async def test_an_operation_goes_on_after_unpin_and_ends_when_stopped(served, monkeypatch):
    monkeypatch.setattr(storage_query, "PAGE_ITEMS", 1)
    block = served.node.grow({b"k1": b"v", b"k2": b"v", b"k3": b"v"})
    async with served.connect() as client:
        subscription, _ = await follow(client)
        items = [{"key": hexed(b"k"), "type": "descendantsHashes"}]
        reply = await client.call("chainHead_v1_storage", subscription, hexed(block), items)
        operation = reply["operationId"]
        await events_of(client, subscription, reply, "operationWaitingForContinue")
        assert await client.call("chainHead_v1_unpin", subscription, [hexed(block)]) is None
        await client.call("chainHead_v1_continue", subscription, operation)
        await events_of(client, subscription, reply, "operationWaitingForContinue")
        assert await client.call("chainHead_v1_stopOperation", subscription, operation) is None
        assert await client.call("chainHead_v1_stopOperation", subscription, operation) is None
        assert await client.call("chainHead_v1_continue", subscription, operation) is None
        served.node.grow()
        assert (await client.update(subscription))["event"] == "newBlock"


async def test_operations_are_limited_and_each_item_counts(served, monkeypatch):
    monkeypatch.setattr(storage_query, "PAGE_ITEMS", 1)
    block = served.node.grow({b"k1": b"v", b"k2": b"v"})
    async with served.connect() as client:
        subscription, _ = await follow(client)
        item = {"key": hexed(b"k"), "type": "descendantsValues"}
        reply = await client.call(
            "chainHead_v1_storage", subscription, hexed(block), [item] * (MAX_OPERATIONS + 3)
        )
        assert (reply["result"], reply["discardedItems"]) == ("started", 3)
        await events_of(client, subscription, reply, "operationWaitingForContinue")
        full = {"result": "limitReached"}
        for method, *rest in [("body",), ("call", "Test_echo", "0x"), ("storage", [item])]:
            assert await client.call(f"chainHead_v1_{method}", subscription, hexed(block), *rest) == full
        await client.call("chainHead_v1_stopOperation", subscription, reply["operationId"])
        assert (await client.call("chainHead_v1_body", subscription, hexed(block)))["result"] == "started"


async def test_continue_is_refused_where_nothing_waits(served):
    gate = asyncio.Event()
    state = served.node.states[served.node.genesis_hash]
    loop = asyncio.get_running_loop()
    state.closest_merkle_value = lambda key: (
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result() and None
    )
    async with served.connect() as client:
        subscription, _ = await follow(client)
        items = [{"key": "0x", "type": "closestDescendantMerkleValue"}]
        genesis = hexed(served.node.genesis_hash)
        reply = await client.call("chainHead_v1_storage", subscription, genesis, items)
        assert await error(client, "chainHead_v1_continue", subscription, reply["operationId"]) == -32803
        gate.set()
        assert await events_of(client, subscription, reply, "operationStorageDone") == [
            {"event": "operationStorageDone"}
        ]


async def test_only_pinned_blocks_answer(served):
    node = served.node
    block = node.grow()
    async with served.connect() as client:
        subscription, _ = await follow(client)
        item = [{"key": "0x", "type": "value"}]
        asked = [("header",), ("body",), ("call", "Test_echo", "0x"), ("storage", item), ("unpin",)]
        for method, *rest in asked:
            assert await error(client, f"chainHead_v1_{method}", subscription, UNKNOWN, *rest) == -32801
        assert await error(client, "chainHead_v1_unpin", subscription, [hexed(block), UNKNOWN]) == -32801
        assert await error(client, "chainHead_v1_unpin", subscription, [hexed(block)] * 2) == -32804
        assert await client.call("chainHead_v1_header", subscription, hexed(block))
        both = [hexed(block), hexed(node.genesis_hash)]
        assert await client.call("chainHead_v1_unpin", subscription, both) is None
        for each in both:
            assert await error(client, "chainHead_v1_header", subscription, each) == -32801


async def test_pins_outlive_their_fork(served):
    node = served.node
    lost, kept = node.grow({b"a": b"lost"}, (b"\x07",)), node.build(node.genesis_hash, {b"a": b"kept"})
    async with served.connect() as client:
        subscription, _ = await follow(client)
        node.announce(kept, retracted=(lost,))
        node.finalize(kept)
        events = [await client.update(subscription) for _ in range(3)]
        assert events[-1]["prunedBlockHashes"] == [hexed(lost)]
        node.forget(lost)
        for block, value, body in [(lost, b"lost", ["0x07"]), (kept, b"kept", [])]:
            assert await client.call("chainHead_v1_header", subscription, hexed(block))
            reply = await client.call("chainHead_v1_body", subscription, hexed(block))
            (event,) = await events_of(client, subscription, reply, "operationBodyDone")
            assert event["value"] == body
            item = [{"key": hexed(b"a"), "type": "value"}]
            reply = await client.call("chainHead_v1_storage", subscription, hexed(block), item)
            items, _ = await events_of(client, subscription, reply, "operationStorageDone")
            assert items["items"] == [{"key": hexed(b"a"), "value": hexed(value)}]


async def test_a_discarded_state_is_an_error_of_the_operation(served):
    node = served.node
    node.discarded.add(node.genesis_hash)
    node.finalize(node.grow())
    async with served.connect() as client:
        subscription, _ = await follow(client)
        genesis, item = hexed(node.genesis_hash), [{"key": "0x", "type": "value"}]
        reply = await client.call("chainHead_v1_storage", subscription, genesis, item)
        assert await events_of(client, subscription, reply, "operationError") == [
            {"event": "operationError", "error": f"State already discarded for {genesis}"}
        ]


async def test_follows_are_limited_and_freed(served):
    async with served.connect() as client:
        subscriptions = [(await follow(client))[0] for _ in range(MAX_FOLLOWS)]
        assert await error(client, "chainHead_v1_follow", True) == -32800
        assert await client.call("chainHead_v1_unfollow", subscriptions[0]) is None
        assert await client.call("chainHead_v1_unfollow", subscriptions[0]) is None
        await follow(client)
        async with served.connect() as other:
            await follow(other)


async def test_an_ended_follow_answers_nothing(served):
    async with served.connect() as client:
        subscription, _ = await follow(client)
        genesis, item = hexed(served.node.genesis_hash), [{"key": "0x", "type": "value"}]
        await client.call("chainHead_v1_unfollow", subscription)
        full = {"result": "limitReached"}
        assert await client.call("chainHead_v1_header", subscription, genesis) is None
        assert await client.call("chainHead_v1_body", subscription, genesis) == full
        assert await client.call("chainHead_v1_call", subscription, genesis, "Test_echo", "0x") == full
        assert await client.call("chainHead_v1_storage", subscription, genesis, item) == full
        assert await client.call("chainHead_v1_unpin", subscription, genesis) is None
        assert await client.call("chainHead_v1_continue", subscription, "any") is None
        assert await client.call("chainHead_v1_stopOperation", subscription, "any") is None
        heads = await client.call("chain_subscribeNewHeads")
        await client.update(heads)
        served.node.grow()
        assert (await client.notification())["params"]["subscription"] == heads


async def test_missed_notifications_stop_the_follow(served):
    node = served.node
    async with served.connect() as client:
        subscription, _ = await follow(client)
        for _ in range(300):  # more than the feed holds
            node.grow()
        assert await client.update(subscription) == {"event": "stop"}
        again, events = await follow(client)
        assert again != subscription
        assert events[-1]["bestBlockHash"] == hexed(node.best)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("follow", []),
        ("follow", ["yes"]),
        ("header", []),
        ("header", ["id", "0x12"]),
        ("body", ["id"]),
        ("call", ["id", UNKNOWN, 3, "0x"]),
        ("storage", ["id", UNKNOWN, "all"]),
        ("storage", ["id", UNKNOWN, [{"key": "0x"}]]),
        ("storage", ["id", UNKNOWN, [{"key": "0x", "type": "everything"}]]),
        ("storage", ["id", UNKNOWN, [{"key": 1, "type": "value"}]]),
        ("storage", ["id", UNKNOWN, [{"key": "0x", "type": "value"}] * 1025]),
        ("storage", ["id", UNKNOWN, [{"key": "0x", "type": ["value"]}]]),
        ("unpin", ["id", ["0x12"]]),
        ("unpin", ["id", None]),
        ("continue", ["id"]),
        ("stopOperation", []),
        ("unfollow", []),
    ],
)
async def test_malformed_parameters_are_refused(served, method, params):
    async with served.connect() as client:
        assert await error(client, f"chainHead_v1_{method}", *params) == -32602


async def test_a_batch_may_follow_ask_and_unfollow(served):
    async with served.connect() as client:
        subscription, _ = await follow(client)
        genesis = hexed(served.node.genesis_hash)
        calls = [
            ("chainHead_v1_body", subscription, genesis),
            ("chainHead_v1_unfollow", subscription),
            ("chainHead_v1_follow", False),
        ]
        batch = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, *params) in enumerate(calls)
        ]
        await client.socket.send_json(batch)
        answers = await client.receive()
        assert [answers[0]["result"]["result"], answers[1]["result"]] == ["started", None]
        assert (await client.update(answers[2]["result"]))["event"] == "initialized"
