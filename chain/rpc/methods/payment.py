"""The payment_ namespace: what a transaction would cost, asked of the runtime."""

from chain.rpc.backend import Backend
from chain.rpc.dispatch import Handler
from chain.rpc.errors import Json
from chain.rpc.params import Params
from runtime.primitives.scale import Input, codec
from runtime.primitives.types import Weight

CLASSES = ("normal", "operational", "mandatory")

_WEIGHT = codec(Weight)
_BALANCE_SIZE = 16


async def query_info(node: Backend, params: Params) -> Json:
    """Return weight, class and fee; the fee is a decimal string."""
    answer = Input(_ask(node, params, "TransactionPaymentApi_query_info"))
    weight: Weight = _WEIGHT.read(answer)
    return {
        "weight": {"ref_time": weight.ref_time, "proof_size": weight.proof_size},
        "class": CLASSES[answer.take(1)[0]],
        "partialFee": str(_balance(answer)),
    }


async def query_fee_details(node: Backend, params: Params) -> Json:
    """Return the parts of the fee as hex; null inside for a transaction that pays none."""
    answer = Input(_ask(node, params, "TransactionPaymentApi_query_fee_details"))
    if not answer.take(1)[0]:
        return {"inclusionFee": None}
    parts = {part: hex(_balance(answer)) for part in ("baseFee", "lenFee", "adjustedWeightFee")}
    return {"inclusionFee": parts}


def _ask(node: Backend, params: Params, name: str) -> bytes:
    extrinsic, block = params.hex(0, "extrinsic"), params.optional_hash(1, "at")
    return node.call(block, name, extrinsic + len(extrinsic).to_bytes(4, "little"))


def _balance(source: Input) -> int:
    return int.from_bytes(source.take(_BALANCE_SIZE), "little")


METHODS: dict[str, Handler] = {
    "payment_queryInfo": query_info,
    "payment_queryFeeDetails": query_fee_details,
}
