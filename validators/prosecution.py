"""A judge tells the chain what miners have signed against themselves; whoever is first has told it for all.

Each judge waits for those with lower uids, and asks whether the evidence is still news before it pays a fee.
"""

import asyncio
import logging

from chain.client import Chain, Refused
from miners.casebook import Case, Casebook

log = logging.getLogger("evidence")

CALL = "ModelUpdates.submit_evidence"
TURN_SLOTS = 3
"""between two judges: a block to get in, two to be final"""


async def prosecute(chain: Chain, netuid: int, casebook: Casebook, slot_seconds: float) -> None:
    """Submit every case, for ever."""
    while True:
        cases = await casebook.cases()
        await asyncio.sleep(await _turn(chain, netuid) * TURN_SLOTS * slot_seconds)
        for case in cases:
            await submit(chain, netuid, casebook, case)


async def _turn(chain: Chain, netuid: int) -> int:
    """Return how many judges come before this one."""
    own = await chain.uid(netuid)
    permits = await chain.query_map("Incentive.ValidatorPermit", netuid)
    return sum(1 for uid, permitted in permits if permitted and own is not None and uid < own)


async def submit(chain: Chain, netuid: int, casebook: Casebook, case: Case) -> None:
    """Tell the chain, and close the case unless only this judge's money is missing."""
    name = "0x" + case.miner.hex()[:8]
    about = {"netuid": netuid, "round": case.round, "miner": chain.address_of(case.miner)}
    try:
        await chain.check(CALL, **about, evidence=case.evidence())
        await chain.submit(CALL, **about, evidence=case.evidence())
    except Refused as refused:
        log.info("round %05d | evidence against %s… is not taken: %s", case.round, name, refused)
        if refused.code:  # the pool's word: this judge cannot pay the fee, say; its next start tries again
            return
    else:
        log.info("round %05d | evidence against %s… accepted: its bond is burnt", case.round, name)
    casebook.close(case)
