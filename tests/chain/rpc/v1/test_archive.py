"""The archive_v1 and chainSpec_v1 groups."""

import asyncio

import pytest

import chain.rpc.subscriptions as subscriptions_module
import chain.rpc.v1.storage_query as storage_query
from runtime.primitives.hashing import blake2_256

UNKNOWN = "0x" + "ee" * 32


def hexed(raw):
    return "0x" + raw.hex()


async def all_events(client, method, *params):
    """Return every event of an archive subscription."""
    subscription = await client.call(method, *params)
    events = []
    while not events or not events[-1]["event"].endswith(("Done", "Error")):
        events.append(await client.update(subscription))
    return events


async def test_the_chain_spec(served):
    assert await served.call("chainSpec_v1_chainName") == "Assay Test"
    assert await served.call("chainSpec_v1_genesisHash") == hexed(served.node.genesis_hash)
    properties = {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "ASY"}
    assert await served.call("chainSpec_v1_properties") == properties


async def test_blocks_by_hash_and_height(served):
    node = served.node
    first = node.grow({}, (b"\x01\x02", b"\x03"))
    second = node.grow()
    node.finalize(first, second)
    third = node.grow()
    fork = node.announce(node.build(second, {b"side": b"1"}), is_best=False)
    child = node.announce(node.build(fork, {}), is_best=False)
    assert await served.call("archive_v1_genesisHash") == hexed(node.genesis_hash)
    assert await served.call("archive_v1_finalizedHeight") == 2
    heights = [await served.call("archive_v1_hashByHeight", height) for height in range(6)]
    expected = [[node.genesis_hash], [first], [second], [third, fork], [child], []]
    assert heights == [[hexed(block) for block in level] for level in expected]
    assert await served.call("archive_v1_body", hexed(first)) == ["0x0102", "0x03"]
    header = await served.call("archive_v1_header", hexed(first))
    assert "0x" + blake2_256(bytes.fromhex(header[2:])).hex() == hexed(first)
    assert await served.call("archive_v1_body", UNKNOWN) is None
    assert await served.call("archive_v1_header", UNKNOWN) is None


async def test_calls_succeed_fail_or_find_no_block(served):
    node = served.node
    block, lost = hexed(node.grow()), node.grow()
    node.discarded.add(lost)

    async def call(*params):
        return await served.call("archive_v1_call", *params)

    assert await call(block, "Test_number", "0x") == {"success": True, "value": "0x01000000"}
    missing = "Client error: Execution failed: Other: Exported method Test_none is not found"
    assert await call(block, "Test_none", "0x") == {"success": False, "error": missing}
    discarded = f"State already discarded for {hexed(lost)}"
    assert await call(hexed(lost), "Test_number", "0x") == {"success": False, "error": discarded}
    assert await call(UNKNOWN, "Test_number", "0x") is None


async def test_storage_of_every_kind(served, monkeypatch):
    monkeypatch.setattr(storage_query, "PAGE_ITEMS", 2)
    block = served.node.grow({b"a": b"1", b"ab": b"2", b"b": b"3"})
    served.node.grow({b"a": b"later"})
    merkle = served.node.states[block].closest_merkle_value(b"a")
    items = [
        {"key": hexed(b"a"), "type": "value"},
        {"key": hexed(b"b"), "type": "hash"},
        {"key": hexed(b"a"), "type": "closestDescendantMerkleValue"},
        {"key": hexed(b"a"), "type": "descendantsValues", "paginationStartKey": hexed(b"a")},
        {"key": hexed(b"a"), "type": "descendantsHashes", "paginationStartKey": None},
        {"key": hexed(b"c"), "type": "value"},
    ]
    async with served.connect() as client:
        assert await all_events(client, "archive_v1_storage", hexed(block), items, None) == [
            {"event": "storage", "key": hexed(b"a"), "value": hexed(b"1")},
            {"event": "storage", "key": hexed(b"b"), "hash": hexed(blake2_256(b"3"))},
            {"event": "storage", "key": hexed(b"a"), "closestDescendantMerkleValue": hexed(merkle)},
            {"event": "storage", "key": hexed(b"ab"), "value": hexed(b"2")},
            {"event": "storage", "key": hexed(b"a"), "hash": hexed(blake2_256(b"1"))},
            {"event": "storage", "key": hexed(b"ab"), "hash": hexed(blake2_256(b"2"))},
            {"event": "storageDone"},
        ]
        assert await all_events(client, "archive_v1_storage", hexed(block), items, "0x01") == [
            {"event": "storageDone"}
        ]


async def test_differences_to_the_parent_or_an_ancestor(served):
    node = served.node
    first = node.grow({b"a": b"1", b"ab": b"2", b"b": b"3"})
    second = node.grow({b"a": b"one", b"ab": None, b"c": b"4"})
    third = node.grow({b"a": b"1", b"b": b"three"})

    def difference(key, kind, **told):
        return {"event": "storageDiff", "key": hexed(key), "type": kind, **told}

    done = {"event": "storageDiffDone"}
    async with served.connect() as client:
        assert await all_events(client, "archive_v1_storageDiff", hexed(second)) == [
            difference(b"a", "modified", value=hexed(b"one")),
            difference(b"ab", "deleted", value=hexed(b"2")),
            difference(b"c", "added", value=hexed(b"4")),
            done,
        ]
        regions = [{"key": hexed(b"a"), "returnType": "hash"}, {"key": hexed(b"b"), "returnType": "value"}]
        assert await all_events(client, "archive_v1_storageDiff", hexed(third), regions, hexed(first)) == [
            difference(b"ab", "deleted", hash=hexed(blake2_256(b"2"))),
            difference(b"b", "modified", value=hexed(b"three")),
            done,
        ]
        child = [{"returnType": "value", "childTrieKey": "0x01"}]
        assert await all_events(client, "archive_v1_storageDiff", hexed(third), child) == [done]
        genesis = hexed(node.genesis_hash)
        assert await all_events(client, "archive_v1_storageDiff", genesis) == [
            difference(b":code", "added", value="0x07"),
            done,
        ]


@pytest.mark.parametrize("method", ["archive_v1_storage", "archive_v1_storageDiff"])
async def test_what_cannot_be_read_ends_in_an_error_event(served, method):
    name = "storageError" if method == "archive_v1_storage" else "storageDiffError"
    block = served.node.grow()
    served.node.discarded.add(block)
    items = [{"key": "0x", "type": "value", "returnType": "value"}]
    async with served.connect() as client:
        (event,) = await all_events(client, method, UNKNOWN, items)
        assert event == {"event": name, "error": f"Header was not found in the database: {UNKNOWN}"}
        (event,) = await all_events(client, method, hexed(block), items)
        assert event == {"event": name, "error": f"State already discarded for {hexed(block)}"}
        served.node.states[block].get = None
        served.node.discarded.clear()
        (event,) = await all_events(client, method, hexed(block), items)
        assert event == {"event": name, "error": "Internal error"}


async def test_queries_are_limited_and_can_be_stopped(served, monkeypatch):
    monkeypatch.setattr(subscriptions_module, "MAX_ARCHIVE_QUERIES", 1)
    gate = asyncio.Event()
    state, loop = served.node.states[served.node.genesis_hash], asyncio.get_running_loop()
    state.closest_merkle_value = lambda key: (
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result() and None
    )
    genesis, items = hexed(served.node.genesis_hash), [{"key": "0x", "type": "closestDescendantMerkleValue"}]
    async with served.connect() as client:
        subscription = await client.call("archive_v1_storage", genesis, items)
        refused = await client.request("archive_v1_storageDiff", genesis)
        assert refused["error"]["code"] == -32006
        assert await client.call("archive_v1_stopStorage", subscription) is None
        assert await client.call("archive_v1_stopStorageDiff", subscription) is None
        gate.set()
        assert [each["event"] for each in await all_events(client, "archive_v1_storage", genesis, items)] == [
            "storageDone"
        ]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("body", []),
        ("header", ["0x12"]),
        ("hashByHeight", []),
        ("hashByHeight", [-1]),
        ("call", [UNKNOWN, "Test_echo"]),
        ("call", [UNKNOWN]),
        ("storage", [UNKNOWN]),
        ("storage", [UNKNOWN, [{}]]),
        ("storage", [UNKNOWN, ["key"]]),
        ("storageDiff", []),
        ("storageDiff", [UNKNOWN, {}]),
        ("storageDiff", [UNKNOWN, [{"key": "0x"}]]),
        ("storageDiff", [UNKNOWN, [{"returnType": "value", "key": 1}]]),
        ("storageDiff", [UNKNOWN, [{"returnType": "value"}] * 1025]),
        ("stopStorage", [1]),
    ],
)
async def test_malformed_parameters_are_refused(served, method, params):
    async with served.connect() as client:
        answer = await client.request(f"archive_v1_{method}", *params)
        assert answer["error"]["code"] == -32602
