"""Methods for the operator alone: who may call them, and what they do."""

import json
from ipaddress import ip_address
from typing import Any

import pytest

from chain.rpc.backend import Round, RoundState, Slots, Votes
from chain.rpc.methods.grandpa import FINALITY_PROOF, FinalityProof
from chain.rpc.policy import UNSAFE, RpcMethods, serves_unsafe
from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_256
from tests.chain.rpc.conftest import Serve, Served

ALICE = bytes.fromhex("88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee")
NOT_FOUND = {"code": -32601, "message": "RPC call is unsafe to be called externally"}
FAILED = {"code": 4003, "message": "RPC call is unsafe to be called externally"}


@pytest.mark.parametrize("method", sorted(UNSAFE))
async def test_what_is_unsafe_is_refused_and_still_listed(serve: Serve, method: str) -> None:
    served = await serve(methods="safe")
    refusal = FAILED if method.startswith("state_") else NOT_FOUND
    assert (await served.request(method))["error"] == refusal
    assert method in (await served.call("rpc_methods"))["methods"]


@pytest.mark.parametrize(
    ("methods", "host", "served"),
    [
        ("auto", "127.0.0.1", True),
        ("auto", "::1", True),
        ("auto", "0.0.0.0", False),
        ("auto", "192.0.2.1", False),
        ("safe", "127.0.0.1", False),
        ("unsafe", "0.0.0.0", True),
    ],
)
def test_auto_serves_unsafe_methods_where_only_this_machine_connects(
    methods: RpcMethods, host: str, served: bool
) -> None:
    assert serves_unsafe(methods, host) is served, ip_address(host)


async def test_keys_are_inserted_and_found(served: Served) -> None:
    assert await served.call("author_hasKey", "0x" + ALICE.hex(), "babe") is False
    assert await served.call("author_insertKey", "babe", f"//{ALICE.hex()}", "0x" + ALICE.hex()) is None
    assert await served.call("author_hasKey", "0x" + ALICE.hex(), "babe") is True
    assert await served.call("author_hasKey", "0x" + ALICE.hex(), "gran") is False


async def test_a_secret_of_another_key_is_refused_with_the_reason(served: Served) -> None:
    answer = await served.request("author_insertKey", "babe", "//other", "0x" + ALICE.hex())
    reason = "the secret belongs to another key"
    assert answer["error"] == {"code": 1040, "message": "The key store is unavailable", "data": reason}


@pytest.mark.parametrize("key_type", ["", "bab", "babe1", "bäbe"])
async def test_a_key_type_has_four_bytes(served: Served, key_type: str) -> None:
    answer = await served.request("author_hasKey", "0x" + ALICE.hex(), key_type)
    message = "Invalid key type ID format (should be of length four)"
    assert answer["error"] == {"code": 1040, "message": message}


async def test_rotated_keys_are_there_as_a_set(served: Served) -> None:
    keys = await served.call("author_rotateKeys")
    assert await served.call("author_hasSessionKeys", keys) is True
    other = await served.call("author_rotateKeys")
    assert other != keys
    assert await served.call("author_hasSessionKeys", other) is True
    assert await served.call("author_hasSessionKeys", keys[:66] + "00" * 32) is False
    answer = await served.request("author_hasSessionKeys", "0x0102")
    assert answer["error"] == {"code": 1040, "message": "Session keys are not encoded correctly"}


async def test_keys_are_made_for_an_owner(served: Served) -> None:
    made = await served.call("author_rotateKeysWithOwner", "0x" + ALICE.hex())
    assert await served.call("author_hasSessionKeys", made["keys"]) is True
    assert made["proof"] == made["keys"] + ALICE.hex()
    answer = await served.request("author_rotateKeysWithOwner", "0x" + bytes(33).hex())
    assert answer["error"]["code"] == -32602
    assert "parameter 1 (owner) must be an account of 32 bytes" in json.dumps(answer["error"])


async def test_transactions_are_removed_by_hash_or_bytes(served: Served) -> None:
    first, _, third = [await served.call("author_submitExtrinsic", f"0x040{number}") for number in (1, 2, 3)]
    absent = "0x" + blake2_256(b"\x09").hex()
    named: list[Any] = [{"hash": first}, {"extrinsic": "0x0403"}, {"hash": absent}]
    assert await served.call("author_removeExtrinsic", named) == [first, third]
    assert await served.call("author_pendingExtrinsics") == ["0x0402"]
    for wrong in (None, "0x02", [{}], [{"hash": "0x02"}], [{"nonce": 1}], ["0x02"]):
        assert (await served.request("author_removeExtrinsic", wrong))["error"]["code"] == -32602


async def test_a_runtime_call_that_cannot_be_answered_from_state_traps(served: Served) -> None:
    answer = await served.request("state_call", "Test_trap", "0x00")
    reason = "Client error: Execution failed: Execution aborted due to trap: no keystore here"
    assert answer["error"] == {"code": 4003, "message": reason}


async def test_the_round_is_shown_as_substrate_shows_it(served: Served) -> None:
    not_ready = {"code": 1, "message": "GRANDPA RPC endpoint not ready"}
    assert (await served.request("grandpa_roundState"))["error"] == not_ready
    heard, silent = Votes(2, (ALICE,)), Votes(0, (ALICE, bytes(32)))
    served.node.operator.round = RoundState(3, Round(7, 4, 3, heard, silent), (Round(6, 4, 3, heard, heard),))
    alice, zero = ss58.encode(ALICE), ss58.encode(bytes(32))
    shown = {"currentWeight": 2, "missing": [alice]}
    assert await served.call("grandpa_roundState") == {
        "setId": 3,
        "best": {
            "round": 7,
            "totalWeight": 4,
            "thresholdWeight": 3,
            "prevotes": shown,
            "precommits": {"currentWeight": 0, "missing": [alice, zero]},
        },
        "background": [
            {"round": 6, "totalWeight": 4, "thresholdWeight": 3, "prevotes": shown, "precommits": shown}
        ],
    }


async def test_slots_of_an_epoch_are_named_by_key(served: Served) -> None:
    assert await served.call("babe_epochAuthorship") == {}
    served.node.operator.slots = {ALICE: Slots(primary=(1, 5), secondary_vrf=(2,))}
    shown = {"primary": [1, 5], "secondary": [], "secondary_vrf": [2]}
    assert await served.call("babe_epochAuthorship") == {ss58.encode(ALICE): shown}


async def test_the_peer_id_and_that_nothing_is_listened_on(served: Served) -> None:
    assert await served.call("system_localPeerId") == served.node.operator.peer_id
    for method in ("system_localListenAddresses", "system_reservedPeers"):
        assert await served.call(method) == []


async def test_reserved_peers_are_added_by_address_and_removed_by_peer_id(served: Served) -> None:
    peer = served.node.operator.peer_id
    address = f"/ip4/192.0.2.1/tcp/30333/p2p/{peer}"
    assert await served.call("system_addReservedPeer", address) is None
    assert await served.call("system_reservedPeers") == [peer]
    assert await served.call("system_removeReservedPeer", peer) is None
    assert await served.call("system_reservedPeers") == []
    malformed = {"code": 2002, "message": "'nowhere' has to end in /p2p/ and a peer id"}
    assert (await served.request("system_addReservedPeer", "nowhere"))["error"] == malformed
    unknown = {"code": 2002, "message": "'nobody' is no peer id"}
    assert (await served.request("system_removeReservedPeer", "nobody"))["error"] == unknown


async def test_a_dry_run_is_at_the_best_block_or_the_one_named(served: Served) -> None:
    genesis = "0x" + served.node.genesis_hash.hex()
    served.node.grow()
    assert await served.call("system_dryRun", "0x0a") == "0x010a"
    assert await served.call("system_dryRunAt", "0x0a", genesis) == "0x000a"


async def test_pairs_are_keys_with_values(served: Served) -> None:
    block = served.node.grow({b"a1": b"one", b"a2": b"", b"b": b"x"})
    served.node.grow({b"a1": None})
    pairs = [["0x6131", "0x6f6e65"], ["0x6132", "0x"]]
    assert await served.call("state_getPairs", "0x61", "0x" + block.hex()) == pairs
    assert await served.call("state_getPairs", "0x61") == pairs[1:]


async def test_a_query_over_blocks_tells_the_first_values_and_every_change(served: Served) -> None:
    first = served.node.grow({b"a": b"1"})
    served.node.grow({b"b": b"2"})
    third = served.node.grow({b"a": b"3", b"b": None})
    a, b = "0x61", "0x62"
    everything = [
        {"block": "0x" + first.hex(), "changes": [[a, "0x31"], [b, None]]},
        {"block": "0x" + served.node.hash_at(2).hex(), "changes": [[b, "0x32"]]},
        {"block": "0x" + third.hex(), "changes": [[a, "0x33"], [b, None]]},
    ]
    assert await served.call("state_queryStorage", [a, b, a], "0x" + first.hex()) == everything
    until = ["0x" + first.hex(), "0x" + served.node.hash_at(2).hex()]
    assert await served.call("state_queryStorage", [a, b], *until) == everything[:2]


async def test_a_range_must_lead_from_a_block_to_its_descendant(served: Served) -> None:
    first = served.node.grow()
    fork = served.node.announce(served.node.build(served.node.genesis_hash, {b"z": b""}), is_best=False)
    second = served.node.grow()
    for ends in ((second, first), (fork, second)):
        answer = await served.request("state_queryStorage", [], *("0x" + each.hex() for each in ends))
        assert answer["error"]["code"] == 4001
        assert answer["error"]["message"].startswith("Cannot resolve a block range")


async def test_there_are_no_child_tries(served: Served) -> None:
    child = "0x" + b":child_storage:default:x".hex()
    assert await served.call("childstate_getKeys", child, "0x") == []
    assert await served.call("childstate_getKeysPaged", child, "0x", 10) == []
    assert await served.call("childstate_getStorage", child, "0x01") is None
    assert await served.call("childstate_getStorageHash", child, "0x01") is None
    assert await served.call("childstate_getStorageSize", child, "0x01") is None
    assert await served.call("childstate_getStorageEntries", child, ["0x01", "0x02"]) == [None, None]
    answer = await served.request("childstate_getStorage", "0x01", "0x01")
    assert answer["error"] == {"code": 4003, "message": "Client error: Invalid child storage key"}
    answer = await served.request("childstate_getStorage", child, "0x01", "0x" + "11" * 32)
    assert "unknown Block" in answer["error"]["message"]


async def proof_of(served: Served, number: int) -> FinalityProof | None:
    """Return the proof of a height."""
    found = await served.call("grandpa_proveFinality", number)
    proof: FinalityProof | None = None if found is None else FINALITY_PROOF.decode(bytes.fromhex(found[2:]))
    return proof


async def test_a_height_is_proven_by_the_end_of_its_set_or_the_newest_votes(served: Served) -> None:
    node = served.node
    one, two, three, four, five = (node.grow() for _ in range(5))
    node.finalize(one, two, three, four)
    assert await proof_of(served, 1) is None
    node.justifications |= {block: block[:5] for block in (two, three, four)}
    headers = [node.headers[block] for block in (two, three, four)]
    assert await proof_of(served, 1) == FinalityProof(four, four[:5], headers)
    node.set_ends.append(2)
    assert await proof_of(served, 1) == FinalityProof(two, two[:5], headers[:1])
    assert await proof_of(served, 2) == FinalityProof(two, two[:5], [])
    assert await proof_of(served, 3) == FinalityProof(four, four[:5], headers[2:])
    del node.justifications[four]
    assert await proof_of(served, 3) == FinalityProof(three, three[:5], [])
    assert await proof_of(served, 4) is None
    del node.justifications[two]
    assert await proof_of(served, 1) is None
    assert (await served.request("grandpa_proveFinality", 5))["error"]["code"] == 4
    assert node.header(five) is not None
