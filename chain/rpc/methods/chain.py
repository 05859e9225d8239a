"""The chain_ namespace: headers, blocks and their hashes."""

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json, invalid_params
from chain.rpc.params import Params, block_number
from chain.rpc.shapes import block_json, header_json, optional_hex, to_hex

MAX_NUMBERS = 1024
"""block numbers in one chain_getBlockHash"""


async def get_block_hash(node: Backend, params: Params) -> Json:
    """Return the best hash, the hash at a number, or the hashes at several numbers."""
    wanted = params.get(0)
    if wanted is None:
        return to_hex(node.blocks.best)
    if not isinstance(wanted, list):
        return optional_hex(node.blocks.hash_at(block_number(wanted)))
    if len(wanted) > MAX_NUMBERS:
        raise invalid_params(f"{len(wanted)} block numbers, at most {MAX_NUMBERS} are allowed")
    return [optional_hex(node.blocks.hash_at(block_number(each))) for each in wanted]


async def get_header(node: Backend, params: Params) -> Json:
    """Return a header, of the best block by default; null when the block is not known."""
    header = node.blocks.header(params.optional_hash(0, "hash") or node.blocks.best)
    return None if header is None else header_json(header)


async def get_block(node: Backend, params: Params) -> Json:
    """Return a block with its justification, the best one by default; null when it is not known."""
    block = params.optional_hash(0, "hash") or node.blocks.best
    header, body = node.blocks.header(block), node.blocks.body(block)
    if header is None or body is None:
        return None
    return block_json(header, body, node.blocks.justification(block))


async def get_finalized_head(node: Backend, params: Params) -> Json:
    """Return the hash of the last finalized block."""
    return to_hex(node.blocks.finalized)


METHODS: dict[str, Handler] = {
    "chain_getBlockHash": get_block_hash,
    "chain_getHead": get_block_hash,
    "chain_getHeader": get_header,
    "chain_getBlock": get_block,
    "chain_getFinalizedHead": get_finalized_head,
    "chain_getFinalisedHead": get_finalized_head,
}
