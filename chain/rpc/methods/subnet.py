"""The subnet_ namespace: what SubnetApi answers, as plain JSON; null for a subnet or uid there is not.

Names are camelCase, accounts SS58 addresses, hashes and salts hex, and amounts decimal strings of planck, as
JavaScript's numbers do not hold them. Rows are [[uid, u16], ...].
"""

from typing import Any

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json, invalid_params
from chain.rpc.params import Params
from chain.rpc.shapes import plain_json
from runtime import subnet_api
from runtime.primitives.scale import codec

LAST_U16 = 65_535


def _method(name: str, answer: Any, *names: str) -> Handler:
    """Return the method that asks SubnetApi_<name>, with u16 parameters of these names and a block last."""
    reader, plain = codec(answer), plain_json(answer)

    async def method(node: Backend, params: Params) -> Json:
        asked = b"".join(_u16(params, at, each) for at, each in enumerate(names))
        found = reader.decode(node.call(params.optional_hash(len(names), "at"), f"SubnetApi_{name}", asked))
        return plain(found)

    return method


async def check_call(node: Backend, params: Params) -> Json:
    """Return why a call would fail if this account signed it, {pallet, name, text}; null if it would not."""
    who, call = params.account(0, "who"), params.hex(1, "call")
    found = _REFUSAL.decode(node.call(params.optional_hash(2, "at"), "SubnetApi_check_call", who + call))
    if found is None:
        return None
    return {"pallet": found.pallet, "name": found.name, "text": found.text}


def _u16(params: Params, index: int, name: str) -> bytes:
    number = params.count(index, name)
    if number > LAST_U16:
        raise invalid_params(f"parameter {index + 1} ({name}) must be 0 to {LAST_U16}; it is {number}")
    return number.to_bytes(2, "little")


_REFUSAL = codec(subnet_api.Refusal | None)

METHODS: dict[str, Handler] = {
    "subnet_networks": _method("networks", list[subnet_api.NetworkInfo]),
    "subnet_metagraph": _method("metagraph", subnet_api.Metagraph | None, "netuid"),
    "subnet_neuron": _method("neuron", subnet_api.NeuronDetail | None, "netuid", "uid"),
    "subnet_weights": _method("weights", subnet_api.WeightRows | None, "netuid"),
    "subnet_registrationPrice": _method("registration_price", subnet_api.RegistrationPrice | None, "netuid"),
    "subnet_pruneOrder": _method("prune_order", subnet_api.PruneOrder | None, "netuid"),
    "subnet_pendingCommits": _method("pending_commits", subnet_api.PendingCommits | None, "netuid"),
    "subnet_emissionPreview": _method("emission_preview", subnet_api.EmissionPreview | None, "netuid"),
    "subnet_checkCall": check_call,
}
