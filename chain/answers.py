"""What a node's answers say: bytes, accounts, events, and where a transaction is."""

from collections.abc import Mapping, Sequence
from typing import Any

from substrateinterface import SubstrateInterface

from runtime.primitives import ss58
from runtime.primitives.hashing import blake2_256

PAGE = 256
"""keys asked for at a time"""
HASH_BYTES = {"Blake2_128Concat": 16, "Twox64Concat": 8, "Identity": 0}
"""What stands before a key in the place of its value, by how the key is hashed."""


def unhex(text: str) -> bytes:
    """Return the bytes of 0x-prefixed hex."""
    return bytes.fromhex(text.removeprefix("0x"))


def account(text: str) -> bytes:
    """Return the public key of an address."""
    return unhex(text) if text.startswith("0x") else bytes(ss58.decode(text)[1])


def entries(
    node: SubstrateInterface, pallet: str, name: str, keys: Sequence[Any], block: str
) -> list[tuple[Any, Any]]:
    """Return the entries of a map under leading keys; what is left of a key is one value, or a tuple of them.

    The library's own `query_map` loses all keys of a map of three under one of them.
    """
    node.init_runtime(block_hash=block)
    stored = node.metadata.get_metadata_pallet(pallet).get_storage_function(name)
    prefix = node.create_storage_key(pallet, name, list(keys)).to_hex()
    rest = zip(
        stored.get_param_hashers()[len(keys) :], stored.get_params_type_string()[len(keys) :], strict=True
    )
    shape = "({})".format(", ".join(f"[u8; {HASH_BYTES[hasher]}], {kind}" for hasher, kind in rest))
    found, last = list[tuple[Any, Any]](), prefix
    while True:
        page = node.rpc_request("state_getKeysPaged", [prefix, PAGE, last, block])["result"]
        for change in _values(node, page, block):
            key = node.decode_scale(shape, "0x" + change[0][len(prefix) :], block_hash=block)[1::2]
            value = node.decode_scale(stored.get_value_type_string(), change[1], block_hash=block)
            found.append((key[0] if len(key) == 1 else tuple(key), value))
        if len(page) < PAGE:
            return found
        last = page[-1]


def _values(node: SubstrateInterface, page: Sequence[str], block: str) -> list[Any]:
    if not page:
        return []
    groups = node.rpc_request("state_queryStorageAt", [list(page), block])["result"]
    return [change for group in groups for change in group["changes"]]


def read_event(record: Mapping[str, Any]) -> tuple[str, Any]:
    """Return a record of an event as (Pallet.Event, attributes)."""
    event = record["event"]
    return f"{event['module_id']}.{event['event_id']}", event["attributes"]


def spec_version(node: SubstrateInterface) -> int:
    """Return the version of the runtime at the best block."""
    return int(node.rpc_request("state_getRuntimeVersion", [])["result"]["specVersion"])


def best_number(node: SubstrateInterface) -> int:
    """Return the height of the best block, final or not."""
    return int(node.rpc_request("chain_getHeader", [])["result"]["number"], 16)


def find(node: SubstrateInterface, number: int, extrinsic: bytes) -> tuple[str, list[tuple[str, Any]]] | None:
    """Return the hash of a block and the events of a transaction in it; None when the block has it not."""
    block = node.get_block_hash(number)
    body = node.rpc_request("chain_getBlock", [block])["result"]["block"]["extrinsics"]
    hashes = [blake2_256(unhex(each)) for each in body]
    if extrinsic not in hashes:
        return None
    index = hashes.index(extrinsic)
    records = [record.value for record in node.get_events(block)]
    return block, [read_event(record) for record in records if record["extrinsic_idx"] == index]
