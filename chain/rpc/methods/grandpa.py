"""The grandpa_ namespace: proofs of finality, and where the vote stands.

Source: paritytech/polkadot-sdk substrate/client/consensus/grandpa (rpc, finality_proof.rs).
"""

import asyncio
from typing import Annotated

from chain.common.block_data import WarpStep
from chain.rpc.backend import Backend, Round, Votes
from chain.rpc.dispatch import Handler
from chain.rpc.errors import GRANDPA_NOT_READY, GRANDPA_UNPROVABLE, Json, RpcError
from chain.rpc.params import Params, block_number
from chain.rpc.shapes import to_hex
from runtime.primitives import ss58
from runtime.primitives.header import Header
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, struct
from runtime.primitives.types import BlockNumber, Hash

MAX_UNKNOWN_HEADERS = 16_384
"""in one proof; Substrate allows 100,000"""
MAX_STEPS = 4_096
"""changes of voters in one answer"""
SPARE = 256
"""bytes of an answer around its steps"""
SLICE = 64
"""headers read before other requests get their turn"""


@struct("sc_consensus_grandpa::FinalityProof")
class FinalityProof:
    """That a block is final because a later one is: its hash, the votes for it, the headers in between."""

    block: Hash
    justification: bytes
    unknown_headers: Annotated[list[Header], Bounded(MAX_UNKNOWN_HEADERS)]


FINALITY_PROOF = codec(FinalityProof)
WARP_STEP = codec(WarpStep)


async def prove_finality(node: Backend, params: Params) -> Json:
    """Return the votes that ended the set of voters a height is of, or their newest; null when none are kept.

    The headers in between are those above the height; of very many the first ones only, as in Substrate.
    """
    number = block_number(params.get(0))
    top = node.header(node.blocks.finalized).number
    if number > top:
        reason = "GRANDPA prove finality rpc failed: Block not yet finalized"
        raise RpcError(GRANDPA_UNPROVABLE, reason)
    proven = node.blocks.set_end(number)
    if proven is None:
        proven = await _newest_proof(node, number, top)
    block = None if proven is None else node.blocks.hash_at(proven)
    justification = None if block is None else node.blocks.justification(block)
    if proven is None or block is None or justification is None:
        return None
    headers: list[Header] = []
    for height in range(number + 1, min(proven, number + MAX_UNKNOWN_HEADERS) + 1):
        found = node.blocks.hash_at(height)
        header = None if found is None else node.blocks.header(found)
        if header is None:
            return None
        headers.append(header)
        await _take_turn(height)
    return to_hex(FINALITY_PROOF.encode(FinalityProof(block, justification, headers)))


async def _newest_proof(node: Backend, number: int, top: int) -> int | None:
    """Return the highest final block with votes, not below a height; normally that is the top."""
    for height in range(top, max(number, top - MAX_UNKNOWN_HEADERS) - 1, -1):
        block = node.blocks.hash_at(height)
        if block is not None and node.blocks.justification(block) is not None:
            return height
        await _take_turn(height)
    return None


async def _take_turn(height: int) -> None:
    if height % SLICE == 0:
        await asyncio.sleep(0)


async def round_state(node: Backend, params: Params) -> Json:
    """Return the votes of the current round, and of older ones that go on."""
    state = node.operator.round_state()
    if state is None:
        raise RpcError(GRANDPA_NOT_READY, "GRANDPA RPC endpoint not ready")
    return {
        "setId": state.set_id,
        "best": _round_json(state.best),
        "background": [_round_json(each) for each in state.background],
    }


def _round_json(round_: Round) -> dict[str, Json]:
    return {
        "round": round_.number,
        "totalWeight": round_.total_weight,
        "thresholdWeight": round_.threshold_weight,
        "prevotes": _votes_json(round_.prevotes),
        "precommits": _votes_json(round_.precommits),
    }


def _votes_json(votes: Votes) -> dict[str, Json]:
    return {
        "currentWeight": votes.current_weight,
        "missing": [ss58.encode(public) for public in votes.missing],
    }


async def checkpoint(node: Backend, params: Params) -> Json:
    """Return the newest final change of voters as a specification lists what is trusted; null without one.

    Substrate has no such method: its specifications carry a whole `lightSyncState`.
    """
    ends = node.blocks.set_ends_above(0)
    block = node.blocks.hash_at(ends[-1]) if ends else None
    if block is None:
        return None
    set_id = node.call(node.blocks.finalized, "GrandpaApi_current_set_id", b"")
    return {"number": ends[-1], "hash": to_hex(block), "setId": int.from_bytes(set_id, "little")}


async def warp_proof(node: Backend, params: Params) -> Json:
    """Return every change of voters above a final block, each with its votes, then the newest proven block.

    What peers get for warp sync: {steps: ["0x…", ...], isFinished}. Where not all fit into an answer,
    isFinished is false: ask again from the last step. Substrate has no such method.
    """
    begin = node.header(params.hash(0, "begin"))
    top = node.header(node.blocks.finalized).number
    if begin.number > top or node.blocks.hash_at(begin.number) != begin.hash():
        raise RpcError(GRANDPA_UNPROVABLE, "the block is not final here: begin at one that is")
    heights = [each for each in node.blocks.set_ends_above(begin.number) if each <= top]
    last = max([begin.number, *heights])
    newest = await _newest_proof(node, last, top)
    if newest is not None and newest > last:
        heights.append(BlockNumber(newest))
    steps: list[Json] = []
    left = params.room - SPARE
    for height in heights:
        step = _step(node, height)
        if step is None:
            raise RpcError(GRANDPA_UNPROVABLE, f"the votes for #{height} are not kept here: ask an archive")
        left -= len(step) + 3
        if left < 0 or len(steps) == MAX_STEPS:
            return {"steps": steps, "isFinished": False}
        steps.append(step)
        await _take_turn(len(steps))
    return {"steps": steps, "isFinished": True}


def _step(node: Backend, height: int) -> str | None:
    block = node.blocks.hash_at(height)
    header = None if block is None else node.blocks.header(block)
    justification = None if block is None else node.blocks.justification(block)
    if header is None or justification is None:
        return None
    return to_hex(WARP_STEP.encode(WarpStep(header, justification)))


METHODS: dict[str, Handler] = {
    "grandpa_checkpoint": checkpoint,
    "grandpa_proveFinality": prove_finality,
    "grandpa_roundState": round_state,
    "grandpa_warpProof": warp_proof,
}
