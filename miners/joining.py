"""What every worker does first: find the subnet, register if it may, announce where its blobs are."""

import logging
from dataclasses import dataclass

from chain.client import Chain, Refused
from miners.parameters import TrainingParameters

log = logging.getLogger("joining")

PLANCK = 10**12
"""planck per ASY"""


class CannotJoin(Exception):
    """This worker cannot take part; one line says why and what to do."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A worker's place in a subnet."""

    uid: int
    parameters: TrainingParameters


async def subnet_parameters(chain: Chain, netuid: int) -> TrainingParameters:
    """Return what everybody in the subnet trains with.

    Raises: CannotJoin.
    """
    numbers = await chain.parameters(netuid)
    if not numbers:
        raise CannotJoin(f"subnet {netuid} does not exist on this chain; choose another with --netuid")
    try:
        return TrainingParameters.from_integers(numbers)
    except (ValueError, KeyError) as problem:
        raise CannotJoin(f"subnet {netuid} cannot be trained by this version: {problem}") from problem


async def register(chain: Chain, netuid: int, max_price: int) -> int:
    """Return this hotkey's uid, registering it for at most `max_price` planck if need be.

    Raises: CannotJoin.
    """
    uid = await chain.uid(netuid)
    if uid is not None:
        return uid
    try:
        await chain.submit(
            "Neurons.burned_register", netuid=netuid, hotkey=chain.address, max_price=max_price
        )
    except Refused as refused:
        raise CannotJoin(
            f"{chain.address} could not be registered in subnet {netuid}: {refused}"
        ) from refused
    uid = await chain.uid(netuid)
    assert uid is not None, "a finalised registration has a uid"
    log.info("registered %s in subnet %d as uid %d", chain.address, netuid, uid)
    return uid


async def announce(chain: Chain, netuid: int, url: str) -> None:
    """Say on chain where this worker's blobs are served, unless it says so already.

    Raises: CannotJoin.
    """
    if await chain.axon(netuid, chain.hotkey) == url:
        return
    try:
        await chain.submit("Neurons.serve_axon", netuid=netuid, url=url, protocol=1)
    except Refused as refused:
        raise CannotJoin(f"the address {url} could not be announced: {refused}") from refused
