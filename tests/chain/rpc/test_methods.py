"""Every method: its result, to the letter clients expect, and its refusals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.rpc.backend import Health, PeerInfo
from chain.rpc.errors import RpcError
from chain.rpc.params import Params
from runtime.primitives.hashing import blake2_64, blake2_256
from runtime.primitives.types import Hash

UNKNOWN = "0x" + "77" * 32
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
ALICE_KEY = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"


def hexed(raw):
    return "0x" + raw.hex()


async def error(served, method, *params):
    answer = await served.request(method, *params)
    return answer["error"]


V1 = {
    f"{group}_v1_{name}"
    for group, methods in {
        "archive": "body call finalizedHeight genesisHash hashByHeight header stopStorage stopStorageDiff "
        "storage storageDiff",
        "chainHead": "body call continue follow header stopOperation storage unfollow unpin",
        "chainSpec": "chainName genesisHash properties",
        "transaction": "broadcast stop",
        "transactionWatch": "submitAndWatch unwatch",
    }.items()
    for name in methods.split()
}


async def test_rpc_methods_lists_everything_and_whole_v1_groups(served):
    names = (await served.call("rpc_methods"))["methods"]
    assert names == sorted(set(names))
    wanted = {
        "account_nextIndex", "author_submitAndWatchExtrinsic", "author_unwatchExtrinsic", "chain_getHead",
        "chain_getRuntimeVersion", "chain_subscribeFinalisedHeads", "chain_subscribeNewHead",
        "chain_subscribeNewHeads", "chain_unsubscribeAllHeads", "chain_unsubscribeNewHead", "rpc_methods",
        "state_callAt", "state_getKeysPagedAt", "state_getStorageAt", "state_getStorageHashAt",
        "state_getStorageSizeAt", "state_subscribeRuntimeVersion", "state_unsubscribeStorage",
    }  # fmt: skip
    assert wanted <= set(names)
    assert {name for name in names if "_v1_" in name} == V1
    assert not [name for name in names if "_unstable_" in name]


async def test_every_listed_method_exists(served):
    async with served.connect() as client:
        for name in (await served.call("rpc_methods"))["methods"]:
            answer = await client.request(name)
            assert answer.get("error", {}).get("code") != -32601, name


async def test_the_node_says_what_it_is(served):
    assert await served.call("system_chain") == "Assay Test"
    assert await served.call("system_name") == "Assay Node"
    assert await served.call("system_version") == "0.1.0"
    assert await served.call("system_chainType") == "Development"
    assert await served.call("system_nodeRoles") == ["Authority"]
    assert await served.call("system_localListenAddresses") == []
    assert await served.call("system_properties") == {
        "ss58Format": 42,
        "tokenDecimals": 12,
        "tokenSymbol": "ASY",
    }


async def test_peers_are_shown_as_they_say_they_are(served):
    assert await served.call("system_peers") == []
    served.node.peers = [PeerInfo("12D3KooWpeer", "AUTHORITY", Hash(bytes([7]) * 32), 9)]
    shown = {"peerId": "12D3KooWpeer", "roles": "AUTHORITY", "bestHash": "0x" + "07" * 32, "bestNumber": 9}
    assert await served.call("system_peers") == [shown]


async def test_health_and_readiness_follow_the_node(served):
    served.node.grow()
    for now, status in (
        (Health(0, False, False), 200),
        (Health(0, False, True), 500),
        (Health(2, True, True), 500),
        (Health(2, False, True), 200),
    ):
        served.node.now = now
        wanted = {"peers": now.peers, "isSyncing": now.is_syncing, "shouldHavePeers": now.should_have_peers}
        assert await served.call("system_health") == wanted
        async with served.http.get(served.url + "/health") as response:
            assert (response.status, await response.json()) == (200, wanted)
        async with served.http.get(served.url + "/health/readiness") as response:
            assert response.status == status
    for path in ("/health", "/health/readiness"):
        async with served.http.post(served.url + path) as response:
            assert response.status == 405


async def test_sync_state(served):
    served.node.grow()
    assert await served.call("system_syncState") == {"startingBlock": 0, "currentBlock": 1, "highestBlock": 1}
    served.node.now = Health(1, True, True, starting_block=1, highest_block=9)
    assert await served.call("system_syncState") == {"startingBlock": 1, "currentBlock": 1, "highestBlock": 9}


@pytest.mark.parametrize("method", ["chain_getBlockHash", "chain_getHead"])
async def test_block_hashes(served, method):
    node = served.node
    first, second = node.grow(), node.grow()
    assert await served.call(method) == await served.call(method, None) == hexed(second)
    assert await served.call(method, 0) == hexed(node.genesis_hash)
    assert await served.call(method, "0x1") == await served.call(method, "0x01") == hexed(first)
    assert await served.call(method, 3) is None
    assert await served.call(method, [2, "0x0", 9]) == [hexed(second), hexed(node.genesis_hash), None]


@pytest.mark.parametrize(
    "wrong", [-1, 2**32, True, 1.0, "1", "0x", "0x1_0", "0x" + "f" * 20, {}, [[1]], list(range(1025))]
)
async def test_wrong_block_numbers_are_refused(served, wrong):
    assert (await error(served, "chain_getBlockHash", wrong))["code"] == -32602


async def test_headers(served):
    node = served.node
    block = node.grow({b"key": b"value"})
    header = node.headers[block]
    wanted = {
        "parentHash": hexed(node.genesis_hash),
        "number": "0x1",
        "stateRoot": hexed(header.state_root),
        "extrinsicsRoot": hexed(header.extrinsics_root),
        "digest": {"logs": ["0x000401"]},
    }
    assert await served.call("chain_getHeader") == await served.call("chain_getHeader", None) == wanted
    assert (
        await served.call("chain_getHeader", hexed(block))
        == await served.call("chain_getHeader", block.hex())
        == wanted
    )
    assert (await served.call("chain_getHeader", hexed(node.genesis_hash)))["number"] == "0x0"
    assert await served.call("chain_getHeader", UNKNOWN) is None


async def test_blocks_and_justifications(served):
    node = served.node
    block = node.grow(body=(b"\x04\x01", b"\x08\x02\x03"))
    wanted = {
        "block": {"header": await served.call("chain_getHeader"), "extrinsics": ["0x0401", "0x080203"]},
        "justifications": None,
    }
    assert await served.call("chain_getBlock") == await served.call("chain_getBlock", hexed(block)) == wanted
    node.justifications[block] = b"\1\2\xff"
    assert (await served.call("chain_getBlock"))["justifications"] == [[[70, 82, 78, 75], [1, 2, 255]]]
    assert await served.call("chain_getBlock", UNKNOWN) is None


async def test_the_finalized_head(served):
    block = served.node.grow()
    assert await served.call("chain_getFinalizedHead") == hexed(served.node.genesis_hash)
    served.node.finalize(block)
    assert (
        await served.call("chain_getFinalizedHead")
        == await served.call("chain_getFinalisedHead")
        == hexed(block)
    )


@pytest.mark.parametrize("wrong", ["0x12", "0x" + "0" * 63, "zz" * 32, 5, "0x" + "é" * 64, " " + "00" * 32])
async def test_wrong_hashes_are_refused(served, wrong):
    assert (await error(served, "chain_getHeader", wrong))["code"] == -32602


async def test_a_refusal_says_which_parameter_and_why(served):
    assert await error(served, "chain_getHeader", "0x1234") == {
        "code": -32602,
        "message": "Invalid params",
        "data": "parameter 1 (hash) must have 32 bytes, not 2; it is '0x1234'",
    }
    assert await error(served, "state_getStorage") == {
        "code": -32602,
        "message": "Invalid params",
        "data": "parameter 1 (key) must be a hex string; it is missing",
    }


@pytest.mark.parametrize("method", ["state_getRuntimeVersion", "chain_getRuntimeVersion"])
async def test_the_runtime_version(served, method):
    old = served.node.best
    served.node.grow({b":code": b"\x08"})
    wanted = {
        "specName": "assay",
        "implName": "assay-node",
        "authoringVersion": 1,
        "specVersion": 8,
        "implVersion": 2,
        "apis": [[hexed(blake2_64(b"Core")), 5]],
        "transactionVersion": 3,
        "systemVersion": 1,
        "stateVersion": 1,
    }
    assert await served.call(method) == wanted
    assert await served.call(method, hexed(old)) == wanted | {"specVersion": 7}


async def test_metadata_has_no_length_in_front(served):
    body = {"jsonrpc": "2.0", "id": 1, "method": "state_getMetadata", "params": None}
    assert (await served.post(body))[1]["result"] == hexed(b"meta\x0e\x07")


@pytest.mark.parametrize("method", ["state_call", "state_callAt"])
@pytest.mark.parametrize(
    ("data", "output"), [("0x", "0x"), ("", "0x"), ("0x0a0B", "0x0a0b"), ("0a0b", "0x0a0b")]
)
async def test_runtime_calls_take_hex_in_every_form(served, method, data, output):
    assert await served.call(method, "Test_echo", data) == output
    assert await served.call(method, "Test_echo", data, None) == output
    assert await served.call(method, "Test_echo", data, hexed(served.node.genesis_hash), None) == output


async def test_runtime_calls_see_the_block_they_ask_for(served):
    served.node.grow()
    assert await served.call("state_call", "Test_number", "0x") == "0x01000000"
    assert (
        await served.call("state_call", "Test_number", "0x", hexed(served.node.genesis_hash)) == "0x00000000"
    )


async def test_an_unknown_runtime_call_has_the_wording_clients_parse(served):
    name = "Metadata_metadata_at_version"
    assert await error(served, "state_call", name, "0x0f000000") == {
        "code": 4003,
        "message": f"Client error: Execution failed: Other: Exported method {name} is not found",
    }


async def test_a_pruned_or_unknown_block_has_the_wording_clients_parse(served):
    old = served.node.best
    served.node.grow()
    served.node.discarded.add(old)
    start = "Client error: Api called for an unknown Block: "
    pruned = {"code": 4003, "message": f"{start}State already discarded for {hexed(old)}"}
    unknown = {"code": 4003, "message": f"{start}Header was not found in the database: {UNKNOWN}"}
    for method, params in (
        ("state_call", ["Test_echo", "0x"]),
        ("state_getMetadata", []),
        ("state_getRuntimeVersion", []),
        ("state_getStorage", ["0x00"]),
        ("state_queryStorageAt", [["0x00"]]),
        ("state_getKeysPaged", ["0x", 1, None]),
        ("state_getReadProof", [["0x00"]]),
        ("payment_queryInfo", ["0x00"]),
    ):
        assert await error(served, method, *params, hexed(old)) == pruned
        assert await error(served, method, *params, UNKNOWN) == unknown


async def test_storage_values_hashes_and_sizes(served):
    old = served.node.best
    served.node.grow({b"key": b"value", b"empty": b""})
    key, empty, absent = hexed(b"key"), hexed(b"empty"), hexed(b"absent")
    for suffix in ("", "At"):
        value, digest, size = (f"state_getStorage{kind}{suffix}" for kind in ("", "Hash", "Size"))
        assert [await served.call(value, each) for each in (key, empty, absent)] == [
            hexed(b"value"),
            "0x",
            None,
        ]
        assert await served.call(digest, key, None) == hexed(blake2_256(b"value"))
        assert [await served.call(size, each) for each in (key, empty, absent)] == [5, 0, None]
        for method in (value, digest, size):
            assert await served.call(method, key, hexed(old)) is None


@pytest.mark.parametrize("method", ["state_getKeysPaged", "state_getKeysPagedAt"])
async def test_keys_come_in_pages(served, method):
    served.node.grow({bytes([7, i]): b"x" for i in range(5)} | {b"\7": b"prefix itself", b"\x08": b"other"})
    keys = ["0x07", "0x0700", "0x0701", "0x0702", "0x0703", "0x0704"]
    assert await served.call(method, "0x07", 1000) == keys
    assert await served.call(method, "0x07", 1000, None, None) == keys
    assert await served.call(method, "0x07", 3, "0x07") == keys[1:4]
    assert await served.call(method, "07", 2, "0x0703", hexed(served.node.best)) == keys[5:]
    assert await served.call(method, "0x07", 0) == []
    assert await served.call(method, "0x07", 9, "0x09") == []
    assert await served.call(method, None, 1) == ["0x07"]
    assert await error(served, method, "0x07", 1001) == {
        "code": 4002,
        "message": "count exceeds maximum value. value: 1001, max: 1000",
    }
    assert (await error(served, method, "0x07", -1))["code"] == -32602


async def test_all_keys(served):
    served.node.grow({i.to_bytes(2, "big"): b"" for i in range(600)})
    assert await served.call("state_getKeys", "0x01") == [f"0x01{i:02x}" for i in range(256)]
    assert len(await served.call("state_getKeys", "")) == 601


async def test_what_does_not_fit_is_not_gathered(serve):
    served = await serve(max_response=5000)
    served.node.grow({i.to_bytes(2, "big"): b"" for i in range(600)})
    genesis = hexed(served.node.genesis_hash)
    for request in (
        ("state_getKeys", "0x"),
        ("state_getPairs", "0x"),
        ("state_queryStorageAt", ["0x0000"] * 1000),
        ("state_queryStorage", [f"0x{i:04x}" for i in range(1000)], genesis),
    ):
        assert (await error(served, *request))["code"] == -32008


async def test_several_values_keep_the_order_of_their_keys(served):
    block = served.node.grow({b"\2": b"two", b"\1": b"one"})
    assert await served.call("state_queryStorageAt", ["0x02", "0x09", "0x01"]) == [
        {"block": hexed(block), "changes": [["0x02", hexed(b"two")], ["0x09", None], ["0x01", hexed(b"one")]]}
    ]
    assert (await error(served, "state_queryStorageAt", ["0x"] * 16_385))["code"] == -32602
    assert (await error(served, "state_queryStorageAt", "0x02"))["code"] == -32602


async def test_read_proofs(served):
    block = served.node.grow({b"\2": b"two"})
    assert await served.call("state_getReadProof", ["0x02", "0x03"]) == {
        "at": hexed(block),
        "proof": [hexed(b"\2two"), "0x03"],
    }
    assert (await error(served, "state_getReadProof", ["0x"] * 1001))["code"] == 4002


async def test_submitting_returns_the_hash_or_the_pools_words(served):
    assert await served.call("author_submitExtrinsic", "0x0401") == hexed(blake2_256(b"\4\1"))
    assert await served.call("author_pendingExtrinsics") == ["0x0401"]
    assert await error(served, "author_submitExtrinsic", "0401") == {
        "code": 1013,
        "message": "Transaction Already Imported",
        "data": hexed(blake2_256(b"\4\1")),
    }
    assert await error(served, "author_submitExtrinsic", "0x04ff") == {
        "code": 1010,
        "message": "Invalid Transaction",
        "data": "Transaction has a bad signature",
    }
    assert await error(served, "author_submitExtrinsic", "0x05") == {
        "code": 1001,
        "message": "Extrinsic has invalid format: needs 2 bytes at offset 0, 1 are left",
    }
    assert await error(served, "author_submitExtrinsic", "0x0405ff") == {
        "code": 1001,
        "message": "Extrinsic has invalid format: the length prefix says 1 bytes, 2 follow",
    }
    assert await error(served, "author_submitExtrinsic", "0x04fe") == {
        "code": 1012,
        "message": "Transaction is temporarily banned",
    }


@pytest.mark.parametrize("method", ["system_accountNextIndex", "account_nextIndex"])
async def test_the_next_nonce_of_an_address(served, method):
    assert await served.call(method, ALICE) == await served.call(method, ALICE_KEY) == 0xD4
    await served.call("author_submitExtrinsic", "0x0401")
    assert await served.call(method, ALICE) == 0xD5
    for wrong in (ALICE[:-1] + "Z", "", "0x00", 7):
        assert (await error(served, method, wrong))["code"] == -32602


async def test_what_a_transaction_costs(served):
    assert await served.call("payment_queryInfo", "0x040102") == {
        "weight": {"ref_time": 1000, "proof_size": 20},
        "class": "normal",
        "partialFee": "1000000000000000003",
    }
    assert await served.call("payment_queryFeeDetails", "0x040102", None) == {
        "inclusionFee": {
            "baseFee": hex(10**18 + 3),
            "lenFee": "0x400000000000000000",
            "adjustedWeightFee": "0x0",
        }
    }
    assert await served.call("payment_queryFeeDetails", "0xfe") == {"inclusionFee": None}
    assert await error(served, "payment_queryInfo", "0xff") == {
        "code": 4003,
        "message": "Client error: Execution failed: Execution aborted due to trap: Bad input data provided "
        "to TransactionPaymentApi_query_info: needs 1 bytes at offset 1, 0 are left",
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def outcome(read):
    try:
        return read(0, "it")
    except RpcError as problem:
        return problem


@given(st.lists(json_values, max_size=2))
def test_any_json_is_a_value_or_a_short_refusal(values):
    params = Params(json.loads(json.dumps(values)))
    readers = (params.text, params.count, params.hex, params.optional_hex, params.optional_hash, params.keys)
    refusals = [each for each in map(outcome, (*readers, params.account)) if isinstance(each, RpcError)]
    assert all(each.code == -32602 and len(str(each.data)) < 400 for each in refusals)


@pytest.mark.parametrize(
    "method", ["state_call", "system_accountNextIndex", "author_hasKey", "author_insertKey"]
)
async def test_text_that_is_no_unicode_is_refused(served, method):
    refusal = await error(served, method, "0x00" if method == "author_hasKey" else "\ud800", "\ud800", "0x")
    assert refusal["code"] == -32602
    assert "lone surrogates" in refusal["data"]
