"""The babe_ namespace: when this node may author."""

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json
from chain.rpc.params import Params
from runtime.primitives import ss58


async def epoch_authorship(node: Backend, params: Params) -> Json:
    """Return the slots of the current epoch by key of this node."""
    found = await node.operator.epoch_authorship()
    return {
        ss58.encode(public): {
            "primary": list(slots.primary),
            "secondary": list(slots.secondary),
            "secondary_vrf": list(slots.secondary_vrf),
        }
        for public, slots in found.items()
    }


METHODS: dict[str, Handler] = {"babe_epochAuthorship": epoch_authorship}
