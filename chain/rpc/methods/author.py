"""The author_ namespace: transactions on their way into a block."""

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json
from chain.rpc.params import Params
from chain.rpc.shapes import to_hex


async def submit_extrinsic(node: Backend, params: Params) -> Json:
    """Hand a transaction to the pool and return its hash."""
    return to_hex(node.pool.submit(params.hex(0, "extrinsic")))


async def pending_extrinsics(node: Backend, params: Params) -> Json:
    """Return the transactions that could enter the next block."""
    return [to_hex(extrinsic) for extrinsic in node.pool.ready()]


METHODS: dict[str, Handler] = {
    "author_submitExtrinsic": submit_extrinsic,
    "author_pendingExtrinsics": pending_extrinsics,
}
