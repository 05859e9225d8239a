"""Hash functions and storage keys against published vectors."""

import json
from pathlib import Path

from runtime.frame.storage import item_prefix
from runtime.primitives.hashing import (
    blake2_64,
    blake2_128,
    blake2_128_concat,
    blake2_256,
    identity,
    twox_64,
    twox_64_concat,
    twox_128,
)

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "primitives.json").read_text())["storage_keys"]
VECTORS = {case["what"]: bytes.fromhex(case["bytes"][2:]) for case in CASES}
ALICE = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
BOB = bytes.fromhex("8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48")


def test_hashes_are_the_published_ones() -> None:
    assert twox_128(b"System") == VECTORS['twox128("System")']
    assert twox_128(b"Account") == VECTORS['twox128("Account")']
    assert twox_128(b"Events") == VECTORS['twox128("Events")']
    assert twox_64(b"") == VECTORS['twox64("")']
    assert blake2_128(ALICE) == VECTORS["blake2_128(Alice)"]
    assert blake2_256(b"abc") == VECTORS['blake2_256("abc")']


def test_a_runtime_api_is_named_by_blake2_64() -> None:
    assert blake2_64(b"Core").hex() == "df6acb689907609b"
    assert blake2_64(b"Metadata").hex() == "37e397fc7c91f5e4"


def test_storage_keys_are_prefix_and_hashed_map_keys() -> None:
    assert item_prefix("System", "Number") == VECTORS["System.Number"]
    assert item_prefix("Timestamp", "Now") == VECTORS["Timestamp.Now"]
    assert item_prefix("Session", "Validators") == VECTORS["Session.Validators"]
    account = item_prefix("System", "Account") + blake2_128_concat(ALICE)
    assert account == VECTORS["System.Account(Alice) blake2_128_concat"]
    block_hash = item_prefix("System", "BlockHash") + twox_64_concat(bytes([1, 0, 0, 0]))
    assert block_hash == VECTORS["System.BlockHash(1) twox64_concat(u32 le)"]
    multisig = item_prefix("Multisig", "Multisigs") + twox_64_concat(BOB) + blake2_128_concat(b"\x11" * 32)
    assert multisig == VECTORS["Multisig.Multisigs(Bob twox64_concat, 0x11*32 blake2_128_concat)"]
    assert identity(b"as it is") == b"as it is"
