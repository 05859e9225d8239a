"""The state_ namespace: storage, proofs, metadata and runtime calls at any block whose state is kept."""

import asyncio
from functools import partial
from itertools import islice

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import BAD_RANGE, COUNT_TOO_BIG, RESPONSE_TOO_BIG, Json, RpcError, over_limit
from chain.rpc.params import Params
from chain.rpc.shapes import changes_json, optional_hex, to_hex, version_json
from chain.rpc.turns import about_a_trie
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.types import Hash

MAX_PAGE = 1000
"""keys in one page"""
MAX_RANGE = 4096
"""blocks of one state_queryStorage"""
SLICE = 256
"""keys read before other requests get their turn"""


async def call(node: Backend, params: Params) -> Json:
    """Call the runtime."""
    name, argument = params.text(0, "method"), params.hex(1, "data")
    return to_hex(node.call(params.optional_hash(2, "at"), name, argument))


async def get_metadata(node: Backend, params: Params) -> Json:
    """Return the metadata, without a length in front."""
    return to_hex(node.runtime.metadata(node.state(params.optional_hash(0, "at"))))


async def get_runtime_version(node: Backend, params: Params) -> Json:
    """Return the version of the runtime."""
    return version_json(node.runtime.version(node.state(params.optional_hash(0, "at"))))


async def get_storage(node: Backend, params: Params) -> Json:
    """Return the value under a key, or null."""
    return optional_hex(_value(node, params))


async def get_storage_hash(node: Backend, params: Params) -> Json:
    """Return the blake2-256 hash of the value under a key, or null."""
    value = _value(node, params)
    return None if value is None else to_hex(blake2_256(value))


async def get_storage_size(node: Backend, params: Params) -> Json:
    """Return the size in bytes of the value under a key, or null."""
    value = _value(node, params)
    return None if value is None else len(value)


async def get_keys_paged(node: Backend, params: Params) -> Json:
    """Return the keys with a prefix that follow on a start key, which is not among them."""
    prefix, count = params.optional_hex(0, "prefix") or b"", params.count(1, "count")
    if count > MAX_PAGE:
        raise RpcError(COUNT_TOO_BIG, f"count exceeds maximum value. value: {count}, max: {MAX_PAGE}")
    start = params.optional_hex(2, "startKey") or b""
    state = node.state(params.optional_hash(3, "at"))
    return [to_hex(key) for key in islice(state.keys(prefix, start), count)]


async def get_keys(node: Backend, params: Params) -> Json:
    """Return all keys with a prefix, as long as they fit into one response."""
    prefix = params.optional_hex(0, "prefix") or b""
    found: list[str] = []
    size = 0
    for key in node.state(params.optional_hash(1, "at")).keys(prefix):
        found.append(to_hex(key))
        size += len(found[-1]) + 3
        await _take_turn(len(found), size, params.room)
    return found


async def query_storage_at(node: Backend, params: Params) -> Json:
    """Return the values under several keys, in the same order."""
    keys = params.keys(0, "keys")
    block = params.optional_hash(1, "at") or node.blocks.best
    state = node.state(block)
    values: list[tuple[bytes, bytes | None]] = []
    size = 0
    for key in keys:
        value = state.get(key)
        values.append((key, value))
        size += 2 * (len(key) + len(value or b"")) + 12
        await _take_turn(len(values), size, params.room)
    return [changes_json(block, values)]


async def get_read_proof(node: Backend, params: Params) -> Json:
    """Return the trie nodes that prove the values under several keys."""
    keys = params.keys(0, "keys")
    if len(keys) > MAX_PAGE:
        raise RpcError(COUNT_TOO_BIG, f"count exceeds maximum value. value: {len(keys)}, max: {MAX_PAGE}")
    block = params.optional_hash(1, "at") or node.blocks.best
    proof = await about_a_trie(partial(node.state(block).prove, keys))
    return {"at": to_hex(block), "proof": [to_hex(entry) for entry in proof]}


async def get_pairs(node: Backend, params: Params) -> Json:
    """Return all keys with a prefix and their values, as long as they fit into one response."""
    prefix = params.optional_hex(0, "prefix") or b""
    state = node.state(params.optional_hash(1, "at"))
    found: list[tuple[str, str]] = []
    size = 0
    for key in state.keys(prefix):
        found.append((to_hex(key), to_hex(state.get(key) or b"")))
        size += len(found[-1][0]) + len(found[-1][1]) + 7
        await _take_turn(len(found), size, params.room)
    return found


async def query_storage(node: Backend, params: Params) -> Json:
    """Return the values under several keys at a block, and what later blocks of its chain have changed."""
    keys = list(dict.fromkeys(params.keys(0, "keys")))
    first, last = params.hash(1, "fromBlock"), params.optional_hash(2, "toBlock") or node.blocks.best
    known: dict[bytes, bytes | None] = {}
    found: list[Json] = []
    size = looked = 0
    for block in await _range(node, first, last):
        state = node.state(block)
        changes: list[tuple[bytes, bytes | None]] = []
        for key in keys:
            value, looked = state.get(key), looked + 1
            if key not in known or value != known[key]:
                known[key] = value
                changes.append((key, value))
                size += 2 * (len(key) + len(value or b"")) + 12
            await _take_turn(looked, size, params.room)
        await asyncio.sleep(0)
        if changes:
            found.append(changes_json(block, changes))
    return found


async def _range(node: Backend, first: Hash, last: Hash) -> list[Hash]:
    """Return the blocks from one to its descendant.

    Raises: RpcError, UnknownBlock.
    """
    bottom, header = node.header(first), node.header(last)
    if not 0 <= header.number - bottom.number < MAX_RANGE:
        raise _bad_range(bottom, header, f"a range has 1 to {MAX_RANGE} blocks")
    found = [last]
    while header.number > bottom.number:
        found.append(header.parent_hash)
        header = node.header(header.parent_hash)
        if len(found) % SLICE == 0:
            await asyncio.sleep(0)
    if found[-1] != first:
        raise _bad_range(bottom, node.header(last), "the second block does not descend from the first")
    return found[::-1]


def _bad_range(first: Header, last: Header, why: str) -> RpcError:
    ends = f"from: {first.number} ({to_hex(first.hash())}), to: {last.number} ({to_hex(last.hash())})"
    return RpcError(BAD_RANGE, f"Cannot resolve a block range ['{ends}']: {why}")


def _value(node: Backend, params: Params) -> bytes | None:
    key, block = params.hex(0, "key"), params.optional_hash(1, "at")
    return node.state(block).get(key)


async def _take_turn(count: int, size: int, room: int) -> None:
    if size > room:
        raise over_limit(RESPONSE_TOO_BIG, "Response is too big", room)
    if count % SLICE == 0:
        await asyncio.sleep(0)


METHODS: dict[str, Handler] = {
    "state_call": call,
    "state_callAt": call,
    "state_getMetadata": get_metadata,
    "state_getRuntimeVersion": get_runtime_version,
    "chain_getRuntimeVersion": get_runtime_version,
    "state_getStorage": get_storage,
    "state_getStorageAt": get_storage,
    "state_getStorageHash": get_storage_hash,
    "state_getStorageHashAt": get_storage_hash,
    "state_getStorageSize": get_storage_size,
    "state_getStorageSizeAt": get_storage_size,
    "state_getKeysPaged": get_keys_paged,
    "state_getKeysPagedAt": get_keys_paged,
    "state_getKeys": get_keys,
    "state_queryStorageAt": query_storage_at,
    "state_queryStorage": query_storage,
    "state_getPairs": get_pairs,
    "state_getReadProof": get_read_proof,
}
