"""A worker that has lost its seat while it works stops, and says why; whether to pay for another is no
program's decision. One that has none at its start registers, as its flags allow (`miners/joining.py`).
"""

import asyncio

from chain.client import Chain
from miners.diary import Diary
from miners.joining import CannotJoin

LOOKS, PAUSE_SECONDS = 10, 0.5
"""How often, and how far apart, it is looked whether the events that say why have been read by now."""
UNKNOWN = "this program was not looking when it was lost; its coldkey's events tell why"


class SeatLost(CannotJoin):
    """This worker had a seat, and has none any more; starting it again would pay for another."""


async def ensure_seated(chain: Chain, netuid: int, diary: Diary, pause: float = PAUSE_SECONDS) -> int:
    """Return this hotkey's uid; one that has none any more takes no further part.

    Raises: SeatLost.
    """
    uid = await chain.uid(netuid)
    if uid is not None:
        return uid
    for _ in range(LOOKS):  # another program of this worker reads the events
        if diary.gone:
            break
        await asyncio.sleep(pause)
    raise SeatLost(
        f"{chain.address} has no seat in subnet {netuid} any more: {diary.gone or UNKNOWN}. Nothing it does "
        "is paid; to go on, register again for price and bond, then start again: "
        f"assay register --netuid {netuid} --key YOUR_COLDKEY --hotkey {chain.address}"
    )
