"""What a cheating miner hears of others, over real HTTP servers."""

from dataclasses import dataclass, field

import numpy as np

from chain.client import Update
from miners.miner import overhear
from miners.payload import compress, encode, shape_of
from miners.replica import genesis_weights
from tests.miners.test_replica import GONE, MINER, SMALL, Ledger, Scene, scene

__all__ = ["scene"]

SILENT = b"\x03" * 32
SHAPE = shape_of(SMALL, genesis_weights(1, SMALL.model).root())


@dataclass
class Revealing(Ledger):
    """A chain on which some have revealed in round 6."""

    revealed: list[Update] = field(default_factory=list)

    async def updates(self, netuid: int, number: int) -> list[Update]:
        return self.revealed if (netuid, number) == (1, 6) else []


async def test_a_payload_that_cannot_be_had_is_not_heard_and_others_are(scene: Scene) -> None:
    ledger = Revealing(urls={MINER: GONE}, judges=scene.ledger.judges)
    blob = encode(compress(np.ones(SHAPE.parameters, dtype=np.float32), SHAPE))
    heard, own, junk = (scene.mirror.put(each) for each in (blob, b"own", b"junk"))
    of = ((SILENT, b"\x11" * 32), (MINER, b"\x22" * 32), (ledger.hotkey, own), (MINER, junk), (MINER, heard))
    ledger.revealed = [
        Update(at, miner, digest, 5, commit_height=1, commit_index=at)
        for at, (miner, digest) in enumerate(of)
    ]
    scene.ledger = ledger
    assert await overhear(ledger, scene.replica(), 1, 7, SHAPE) == [blob]  # type: ignore[arg-type]
