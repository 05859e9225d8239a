"""The archive_v1 namespace: blocks and runtime calls at any height.

Source: paritytech/json-rpc-interface-spec, archive.
"""

from chain.common.errors import RuntimeMissing, StateDiscarded, UnknownBlock
from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json, RpcError
from chain.rpc.params import Params, block_number
from chain.rpc.shapes import to_hex


async def body(node: Backend, params: Params) -> Json:
    """Return the extrinsics of a block; null when it is not known."""
    found = node.blocks.body(params.hash(0, "hash"))
    return None if found is None else [to_hex(extrinsic) for extrinsic in found]


async def header(node: Backend, params: Params) -> Json:
    """Return the SCALE header of a block; null when it is not known."""
    found = node.blocks.header(params.hash(0, "hash"))
    return None if found is None else to_hex(found.encode())


async def genesis_hash(node: Backend, params: Params) -> Json:
    """Return the hash of the first block."""
    return to_hex(node.blocks.genesis_hash)


async def finalized_height(node: Backend, params: Params) -> Json:
    """Return the height of the last final block."""
    return node.header(node.blocks.finalized).number


async def hash_by_height(node: Backend, params: Params) -> Json:
    """Return all known blocks at a height: one up to the last final one, those of all forks above."""
    height, top = block_number(params.get(0)), node.header(node.blocks.finalized).number
    if height <= top:
        found = node.blocks.hash_at(height)
        return [] if found is None else [to_hex(found)]
    level = [node.blocks.finalized]
    while level and top < height:
        level, top = [child for block in level for child in node.blocks.children(block)], top + 1
    return [to_hex(block) for block in level]


async def call(node: Backend, params: Params) -> Json:
    """Call the runtime; null when the block is not known."""
    block = params.hash(0, "hash")
    name, argument = params.text(1, "function"), params.hex(2, "callParameters")
    try:
        output = node.call(block, name, argument)
    except UnknownBlock:
        return None
    except (StateDiscarded, RuntimeMissing, RpcError) as problem:
        return {"success": False, "error": str(problem)}
    return {"success": True, "value": to_hex(output)}


METHODS: dict[str, Handler] = {
    "archive_v1_body": body,
    "archive_v1_header": header,
    "archive_v1_genesisHash": genesis_hash,
    "archive_v1_finalizedHeight": finalized_height,
    "archive_v1_hashByHeight": hash_by_height,
    "archive_v1_call": call,
}
