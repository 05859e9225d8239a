"""The cheap checks on every payload: is it there, are these the bytes, is it a payload at all."""

import logging
from dataclasses import dataclass

from chain.client import Chain, Update
from miners.aggregate import aggregate
from miners.blobs import BlobError
from miners.parameters import TrainingParameters
from miners.payload import MalformedPayload, Payload, decode, shape_of
from miners.replica import Replica
from miners.weights import MasterWeights

log = logging.getLogger("validator")

WHOLE = 65_535
"""The weight of the only payload of an aggregate."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An update this judge looked at; without a payload it is malformed and scores nothing."""

    uid: int
    blob: bytes
    payload: Payload | None

    def applied_to(self, base: MasterWeights, parameters: TrainingParameters) -> MasterWeights:
        """Return the model as if this payload alone entered."""
        return base if self.payload is None else aggregate(base, [(self.payload, WHOLE)], parameters)


async def inspect(
    chain: Chain,
    replica: Replica,
    netuid: int,
    number: int,
    parameters: TrainingParameters,
    base: MasterWeights,
) -> list[Candidate]:
    """Return what can be judged of a round; an update that is not served is left out: no score, not zero."""
    me = await chain.uid(netuid)
    found = []
    for update in await chain.updates(netuid, number):
        if update.uid is None or update.uid == me:
            continue
        candidate = await _inspect_one(replica, number, update, update.uid, parameters, base)
        if candidate is not None:
            found.append(candidate)
    return found


async def _inspect_one(
    replica: Replica,
    number: int,
    update: Update,
    uid: int,
    parameters: TrainingParameters,
    base: MasterWeights,
) -> Candidate | None:
    try:
        blob = await replica.blob(update.miner, update.digest)
    except BlobError as problem:
        log.warning("round %05d | uid %d | no score: %s", number, uid, problem)
        return None
    if len(blob) != update.length:
        log.warning(
            "round %05d | uid %d | rejected: %d bytes, %d revealed", number, uid, len(blob), update.length
        )
        return Candidate(uid, blob, None)
    try:
        return Candidate(uid, blob, decode(blob, shape_of(parameters, base.root())))
    except MalformedPayload as problem:
        log.warning("round %05d | uid %d | rejected: %s", number, uid, problem)
        return Candidate(uid, blob, None)
