"""One process of a miner that several make: trains twice, the second time for as long as it is let."""

import asyncio
import os
import sys
from pathlib import Path

import numpy as np

from miners.crew import CrewLost, crew
from miners.layout import ModelConfig
from miners.parameters import MUON, TrainingParameters
from miners.process import run_until_stopped
from miners.weights import initial

SMALL = TrainingParameters(
    model=ModelConfig(
        hidden=32, layers=2, heads=2, kv_heads=1, feed_forward=48, sequence=32, tie_embeddings=1
    ),
    inner_steps=6,
    batch_size=3,  # no multiple of two processes
    warmup_steps=1,
    inner_optimizer=MUON,
    chunk=512,
    top_k=64,
)
MODEL = initial(SMALL.model, b"crew")
FOR_EVER = 100_000
"""steps"""


def batches(count: int) -> list[np.ndarray]:
    """Return text-like batches, int64 [3, 33]."""
    dice = np.random.default_rng(1)
    text = np.frombuffer(b"def main() -> None:\n    return [line for line in lines]\n" * 9, np.uint8)
    starts = dice.integers(0, len(text) - 33, (count, 3))
    return [np.stack([text[at : at + 33] for at in row]).astype(np.int64) for row in starts]


async def main(out: Path) -> None:
    with crew("cpu") as team:
        assert team is not None, "the test says how many there are"
        if team.rank:
            await asyncio.to_thread(team.help, "cpu", "fp32")
            return
        for number, steps in enumerate((SMALL.inner_steps, FOR_EVER)):
            work = batches(SMALL.inner_steps) * (steps // SMALL.inner_steps)
            trained = await asyncio.to_thread(team.train, MODEL, work, SMALL, "cpu", "fp32")
            np.save(out / f"{number}.part.npy", trained.delta)
            os.replace(out / f"{number}.part.npy", out / f"{number}.npy")


if __name__ == "__main__":
    sys.exit(run_until_stopped("miner", main(Path(sys.argv[1])), (CrewLost,)))
