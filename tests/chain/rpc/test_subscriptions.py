"""Subscriptions over WebSocket: what is sent, when, in which order, and how each ends."""

import asyncio
import json

import pytest
import websocket

from chain.common.notifications import FinalityNotification
from runtime.primitives.hashing import blake2_256

HEADS = ["chain_subscribeNewHeads", "chain_subscribeNewHead", "subscribe_newHead"]
UNSUBSCRIBE = [
    "chain_unsubscribeNewHeads", "chain_unsubscribeNewHead", "chain_unsubscribeAllHeads",
    "chain_unsubscribeFinalizedHeads", "chain_unsubscribeFinalisedHeads", "state_unsubscribeRuntimeVersion",
    "chain_unsubscribeRuntimeVersion", "state_unsubscribeStorage", "author_unwatchExtrinsic",
]  # fmt: skip


def hexed(raw):
    return "0x" + raw.hex()


async def header(served, block):
    return await served.call("chain_getHeader", hexed(block))


@pytest.mark.parametrize("method", HEADS)
async def test_new_heads_begin_with_the_best_and_follow_it(served, method):
    async with served.connect() as client:
        subscription = await client.call(method)
        assert await client.notification() == {
            "jsonrpc": "2.0",
            "method": "chain_newHead",
            "params": {"subscription": subscription, "result": await header(served, served.node.best)},
        }
        for _ in range(3):
            block = served.node.grow()
            assert await client.update(subscription) == await header(served, block)


async def test_only_all_heads_hears_of_side_branches(served):
    node = served.node
    async with served.connect() as client:
        best, every = (
            await client.call("chain_subscribeNewHeads"),
            await client.call("chain_subscribeAllHeads"),
        )
        assert await client.update(best) == await client.update(every) == await header(served, node.best)
        side = node.announce(node.build(node.genesis_hash, {b"side": b"1"}), is_best=False)
        assert await client.notification() == {
            "jsonrpc": "2.0",
            "method": "chain_allHead",
            "params": {"subscription": every, "result": await header(served, side)},
        }
        block = node.grow()
        updates = [await client.notification(), await client.notification()]
        assert {each["params"]["subscription"]: each["params"]["result"] for each in updates} == {
            best: await header(served, block),
            every: await header(served, block),
        }


@pytest.mark.parametrize("method", ["chain_subscribeFinalizedHeads", "chain_subscribeFinalisedHeads"])
async def test_finalized_heads_are_told_of_every_height(served, method):
    node = served.node
    async with served.connect() as client:
        subscription = await client.call(method)
        first = await client.notification()
        assert first["method"] == "chain_finalizedHead"
        assert first["params"]["result"] == await header(served, node.genesis_hash)
        blocks = [node.grow() for _ in range(3)]
        node.finalize(*blocks)
        assert [await client.update(subscription) for _ in blocks] == [
            await header(served, each) for each in blocks
        ]


@pytest.mark.parametrize("method", ["state_subscribeRuntimeVersion", "chain_subscribeRuntimeVersion"])
async def test_the_runtime_version_comes_at_once_and_when_it_changes(served, method):
    async with served.connect() as client:
        subscription = await client.call(method)
        message = await client.notification()
        assert message["method"] == "state_runtimeVersion"
        assert message["params"]["result"] == await served.call("state_getRuntimeVersion")
        served.node.grow({b"other": b"1"})
        served.node.grow({b":code": b"\x07"})
        served.node.grow({b":code": b"\x09"})
        assert (await client.update(subscription))["specVersion"] == 9


async def test_a_runtime_this_node_lacks_is_no_news_and_ends_nothing(served):
    async with served.connect() as client:
        subscription = await client.call("state_subscribeRuntimeVersion")
        assert (await client.update(subscription))["specVersion"] == 7
        block = served.node.grow({b":code": b"\x0a"})
        answer = await served.request("state_getRuntimeVersion", "0x" + block.hex())
        message = "Client error: Execution failed: this chain needs version 10"
        assert answer["error"] == {"code": 4003, "message": message}
        served.node.grow({b":code": b"\x09"})
        assert (await client.update(subscription))["specVersion"] == 9


async def test_storage_begins_with_every_key_then_sends_changes_only(served):
    node = served.node
    start = node.grow({b"\1": b"one"})
    async with served.connect() as client:
        subscription = await client.call("state_subscribeStorage", ["0x02", "0x01"])
        assert await client.notification() == {
            "jsonrpc": "2.0",
            "method": "state_storage",
            "params": {
                "subscription": subscription,
                "result": {"block": hexed(start), "changes": [["0x02", None], ["0x01", hexed(b"one")]]},
            },
        }
        node.grow({b"\3": b"not asked for"})
        node.grow({b"\1": b"one"})
        changed = node.grow({b"\1": b"uno", b"\3": b"not asked for"})
        assert await client.update(subscription) == {
            "block": hexed(changed),
            "changes": [["0x01", hexed(b"uno")]],
        }
        gone = node.grow({b"\1": None, b"\2": b"two"})
        assert await client.update(subscription) == {
            "block": hexed(gone),
            "changes": [["0x01", None], ["0x02", hexed(b"two")]],
        }


async def test_storage_is_right_after_a_reorganisation(served):
    node = served.node
    async with served.connect() as client:
        subscription = await client.call("state_subscribeStorage", ["0x01"])
        assert (await client.update(subscription))["changes"] == [["0x01", None]]
        retracted = node.grow({b"\1": b"a"})
        assert (await client.update(subscription))["changes"] == [["0x01", hexed(b"a")]]
        other = node.build(node.genesis_hash, {b"\2": b"b"})
        node.announce(other, {b"\2"}, retracted=(retracted,))
        assert await client.update(subscription) == {"block": hexed(other), "changes": [["0x01", None]]}


async def test_heads_and_storage_are_right_after_finality_of_another_fork(served):
    node = served.node
    root = node.grow({b"\1": b"0"})
    node.grow({b"\1": b"lost"})
    async with served.connect() as client:
        heads = await client.call("chain_subscribeNewHeads")
        values = await client.call("state_subscribeStorage", ["0x01"])
        await client.update(heads)
        assert (await client.update(values))["changes"] == [["0x01", hexed(b"lost")]]
        won = node.build(root, {b"\1": b"won"})
        node.best = node.finalized = won
        node.feed.finalized(FinalityNotification(won, node.headers[won], (root, won), ((won, []),), (won,)))
        assert await client.update(heads) == await header(served, won)
        above = node.grow({b"\2": b"other"})
        assert await client.update(heads) == await header(served, above)
        assert await client.update(values) == {"block": hexed(above), "changes": [["0x01", hexed(b"won")]]}


async def test_storage_is_right_after_notifications_were_lost(served):
    node = served.node
    async with served.connect() as client:
        subscription = await client.call("state_subscribeStorage", ["0x01"])
        await client.update(subscription)
        node.grow({b"\1": b"a"})
        for _ in range(256):  # one more than the feed holds for a listener that gets no turn
            node.grow()
        await served.call("system_chain")
        last = node.grow()
        assert await client.update(subscription) == {"block": hexed(last), "changes": [["0x01", hexed(b"a")]]}


async def test_two_clients_share_a_key_and_leave_separately(served):
    node = served.node
    async with served.connect() as one, served.connect() as two:
        first, second = [await each.call("state_subscribeStorage", ["0x01"]) for each in (one, two)]
        await one.update(first)
        await two.update(second)
        assert await one.call("state_unsubscribeStorage", first) is True
        block = node.grow({b"\1": b"x"})
        wanted = {"block": hexed(block), "changes": [["0x01", hexed(b"x")]]}
        assert await two.update(second) == wanted
        again = await one.call("state_subscribeStorage", ["0x01"])
        assert await one.update(again) == wanted


async def test_storage_needs_keys_and_not_too_many(served):
    async with served.connect() as client:
        assert (await client.request("state_subscribeStorage"))["error"]["code"] == -32602
        assert (await client.request("state_subscribeStorage", None))["error"]["code"] == -32602
        first = await client.call("state_subscribeStorage", ["0x01"] * 16_384)
        assert (await client.update(first))["changes"] == [["0x01", None]]
        assert (await client.request("state_subscribeStorage", ["0x02"]))["error"] == {
            "code": -32006,
            "message": "Too many storage keys on the connection",
            "data": "Exceeded max limit of 16384",
        }
        assert await client.call("state_unsubscribeStorage", first) is True
        await client.call("state_subscribeStorage", ["0x02"])


async def test_a_watched_extrinsic_is_followed_to_its_end(served):
    async with served.connect() as client:
        subscription = await client.call("author_submitAndWatchExtrinsic", "0x0401")
        statuses = served.node.pool.watched[b"\4\1"]
        told = ["future", "ready", {"broadcast": ["a"]}, {"inBlock": "0x01"}, {"finalized": "0x01"}]
        for status in told:
            statuses.queue.put_nowait(status)
        first = await client.notification()
        assert first["method"] == "author_extrinsicUpdate"
        assert first["params"] == {"subscription": subscription, "result": "future"}
        assert [await client.update(subscription) for _ in told[1:]] == told[1:]
        assert await client.call("author_unwatchExtrinsic", subscription) is True
        assert statuses.closed


async def test_unwatching_after_the_end_is_false_not_an_error(served):
    async with served.connect() as client:
        subscription = await client.call("author_submitAndWatchExtrinsic", "0x0401")
        served.node.pool.watched[b"\4\1"].queue.put_nowait("dropped")
        served.node.pool.watched[b"\4\1"].queue.put_nowait(None)
        assert await client.update(subscription) == "dropped"
        await client.call("system_chain")
        assert await client.call("author_unwatchExtrinsic", subscription) is False


async def test_a_refused_extrinsic_opens_no_subscription(served):
    async with served.connect() as client:
        answer = await client.request("author_submitAndWatchExtrinsic", "0x04ff")
        assert answer["error"] == {
            "code": 1010,
            "message": "Invalid Transaction",
            "data": "Transaction has a bad signature",
        }


@pytest.mark.parametrize("method", UNSUBSCRIBE)
async def test_unsubscribing_answers_true_once_and_then_false(served, method):
    async with served.connect() as client:
        subscription = await client.call("chain_subscribeNewHeads")
        await client.update(subscription)
        assert await client.call(method, subscription) is True
        assert await client.call(method, subscription) is False
        for wrong in ("", "nonsense", 7, None, ["x"], {}):
            assert await client.call(method, wrong) is False
        assert await client.call(method) is False
        served.node.grow()
        marker = await client.call("chain_subscribeAllHeads")
        await client.update(marker)


async def test_ids_belong_to_their_connection(served):
    async with served.connect() as one, served.connect() as two:
        subscription = await one.call("chain_subscribeNewHeads")
        await one.update(subscription)
        assert await two.call("chain_unsubscribeNewHeads", subscription) is False
        block = served.node.grow()
        assert await one.update(subscription) == await header(served, block)


async def test_in_a_batch_the_ids_come_before_the_notifications(served):
    methods = [
        "chain_subscribeNewHeads",
        "system_chain",
        "author_submitAndWatchExtrinsic",
        "chain_subscribeAllHeads",
    ]
    batch = [
        {"jsonrpc": "2.0", "id": name, "method": name, "params": ["0x0401"] if "author" in name else []}
        for name in methods
    ]
    async with served.connect() as client:
        await client.socket.send_json(batch)
        answers = await client.receive()
        assert [each["id"] for each in answers] == methods
        ids = {each["id"]: each["result"] for each in answers}
        for name in ("chain_subscribeNewHeads", "chain_subscribeAllHeads"):
            assert await client.update(ids[name]) == await header(served, served.node.best)
        served.node.pool.watched[b"\4\1"].queue.put_nowait("ready")
        assert await client.update(ids["author_submitAndWatchExtrinsic"]) == "ready"


async def test_over_http_a_subscription_is_refused_with_a_hint(served):
    answer = await served.request("chain_subscribeNewHeads")
    assert answer["error"] == {
        "code": -32601,
        "message": "Method not found",
        "data": "chain_subscribeNewHeads needs a WebSocket connection to this port",
    }


async def test_a_connection_has_a_limit_of_subscriptions(serve):
    served = await serve(max_subscriptions=2)
    async with served.connect() as client:
        first = await client.call("chain_subscribeNewHeads")
        await client.call("author_submitAndWatchExtrinsic", "0x0401")
        assert (await client.request("chain_subscribeNewHeads"))["error"] == {
            "code": -32006,
            "message": "Too many subscriptions on the connection",
            "data": "Exceeded max limit of 2",
        }
        assert await client.call("chain_unsubscribeNewHeads", first) is True
        await client.call("chain_subscribeNewHeads")


async def test_leaving_ends_the_subscriptions(served):
    async with served.connect() as client:
        await client.call("author_submitAndWatchExtrinsic", "0x0401")
        await client.call("state_subscribeStorage", ["0x01"])
    async with served.connect() as client:
        for _ in range(100):
            if served.node.pool.watched[b"\4\1"].closed:
                break
            await client.call("system_chain")
        assert served.node.pool.watched[b"\4\1"].closed
        served.node.grow({b"\1": b"x"})
        assert await client.call("system_chain") == "Assay Test"


async def test_after_a_head_its_block_and_state_can_be_read_at_once(served):
    async with served.connect() as client:
        subscription = await client.call("chain_subscribeNewHeads")
        await client.update(subscription)
        for i in range(20):
            block = served.node.grow({b"\1": bytes([i])})
            assert (await client.update(subscription))["number"] == hex(i + 1)
            assert await client.call("state_getStorage", "0x01", hexed(block)) == f"0x{i:02x}"


async def test_extrinsic_hashes_are_blake2_256_of_the_bytes(served):
    async with served.connect() as client:
        assert await client.call("author_submitExtrinsic", "0x0c010203") == hexed(blake2_256(b"\x0c\1\2\3"))


async def test_pipelined_requests_are_answered_in_order(served):
    async with served.connect() as client:
        for identifier in range(500):
            await client.socket.send_json({"jsonrpc": "2.0", "id": str(identifier), "method": "system_chain"})
        answers = [await client.receive() for _ in range(500)]
        assert answers == [{"jsonrpc": "2.0", "id": str(i), "result": "Assay Test"} for i in range(500)]


async def test_malformed_frames_are_answered_and_the_connection_lives(served):
    async with served.connect() as client:
        await client.socket.send_str("{")
        assert (await client.receive())["error"]["code"] == -32700
        await client.socket.send_bytes(b"\xff\xff")
        assert (await client.receive())["error"]["code"] == -32700
        await client.socket.send_bytes(b'{"jsonrpc":"2.0","id":1,"method":"system_chain"}')
        assert await client.receive() == {"jsonrpc": "2.0", "id": 1, "result": "Assay Test"}
        await client.socket.ping()
        assert await client.call("system_chain") == "Assay Test"


async def test_an_oversized_frame_closes_the_connection_with_its_code(serve):
    served = await serve(max_request=1000)
    async with served.connect() as client:
        await client.socket.send_str(" " * 1001)
        async with asyncio.timeout(60):
            await client.socket.receive()
        assert client.socket.close_code == 1009
    assert await served.call("system_chain") == "Assay Test"


async def test_who_does_not_read_is_cut_off_and_nobody_else_notices(serve, caplog):
    caplog.set_level("INFO", "rpc")
    served = await serve(max_queued_bytes=200_000)
    address = served.url.replace("http", "ws")
    slow = await asyncio.to_thread(websocket.create_connection, address, timeout=60)
    request = {"jsonrpc": "2.0", "id": 1, "method": "state_subscribeStorage", "params": [["0x01"]]}
    slow.send(json.dumps(request))
    async with served.connect() as client:
        subscription = await client.call("state_subscribeStorage", ["0x01"])
        await client.update(subscription)
        sent = 0
        while "Disconnected a client" not in caplog.text:
            assert sent < 2000, "the slow client is still connected"
            served.node.grow({b"\1": sent.to_bytes(2, "big") * 40_000})
            assert (await client.update(subscription))["changes"][0][1].startswith(f"0x{sent:04x}")
            sent += 1
        assert await client.call("system_chain") == "Assay Test"
    slow.shutdown()


async def test_stopping_says_goodbye(serve):
    served = await serve()
    async with served.connect() as client:
        await client.call("chain_subscribeNewHeads")
        await client.notification()
        closing = asyncio.create_task(served.server.close())
        async with asyncio.timeout(60):
            await client.socket.receive()
        assert client.socket.close_code == 1001
        await closing
    await served.server.close()


async def test_a_taken_port_is_an_error_at_the_start(serve):
    first = await serve()
    with pytest.raises(OSError, match="address already in use"):
        await serve(port=first.server.port)
