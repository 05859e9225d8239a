"""The modelUpdates_ and training_ namespaces: proofs of updates, rounds and lineages, as plain JSON.

JSON has the forms of the subnet_ namespace; null stands for a leaf or a round there is not.
"""

from typing import Any

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json, invalid_params
from chain.rpc.params import Params
from chain.rpc.shapes import plain_json
from runtime import trail_api
from runtime.primitives.scale import codec
from runtime.primitives.types import Hash

SIZES = {"leaf": 8, "netuid": 2, "round": 4, "from": 4, "to": 4}
"""bytes of each parameter"""


def _method(api: str, answer: Any, *names: str) -> Handler:
    """Return the method that asks a runtime API, with integers of these names and a block last."""
    reader, plain = codec(answer), plain_json(answer)

    async def method(node: Backend, params: Params) -> Json:
        asked = b"".join(_integer(params, at, name) for at, name in enumerate(names))
        return plain(reader.decode(node.call(params.optional_hash(len(names), "at"), api, asked)))

    return method


def _integer(params: Params, index: int, name: str) -> bytes:
    number, most = params.count(index, name), (1 << 8 * SIZES[name]) - 1
    if number > most:
        raise invalid_params(f"parameter {index + 1} ({name}) must be 0 to {most}; it is {number}")
    return number.to_bytes(SIZES[name], "little")


METHODS: dict[str, Handler] = {
    "modelUpdates_generateProof": _method("ModelUpdatesApi_proof", trail_api.UpdateProof | None, "leaf"),
    "modelUpdates_root": _method("ModelUpdatesApi_root", Hash),
    "training_round": _method("TrainingApi_round", trail_api.RoundInfo | None, "netuid", "round"),
    "training_lineage": _method("TrainingApi_lineage", trail_api.Lineage, "netuid", "from", "to"),
}
