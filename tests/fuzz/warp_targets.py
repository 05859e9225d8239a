"""A proof of who votes on its way to another node: its steps against a known chain; what is kept of it."""

from chain.checkpoints import Checkpoint, CheckpointError
from chain.common.block_data import WarpStep
from chain.sync.ascent import STANDING, Standing
from chain.sync.warp import WarpError, verify_step
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.types import Hash
from tests.chain.sync.histories import GENESIS, History
from tests.fuzz.engine import Target

HISTORY = History(((0, 1, 2, 3), (2, 3, 4, 5), (4, 5, 6)))
STEP = codec(WarpStep)


def proven(data: bytes) -> WarpStep:
    """Read a step from genesis, which leads to a block of the chain or nowhere."""
    step: WarpStep = STEP.decode(data)
    point = verify_step(HISTORY.genesis, step)
    assert point.block == HISTORY.hash_at(point.number), "a false step was proven"
    return step


def checkpoint(data: bytes) -> Checkpoint:
    """Read a checkpoint as the flag takes it."""
    return Checkpoint.parse(data.decode(errors="replace"))


def targets() -> list[Target]:
    """Return the targets of this module."""
    standings = [
        Standing(GENESIS.hash(), HISTORY.genesis, GENESIS, None),
        Standing(GENESIS.hash(), HISTORY.genesis, GENESIS, HISTORY.steps[0].justification),
    ]
    checkpoints = [Checkpoint(5, GENESIS.hash(), 1), Checkpoint(2**32 - 1, Hash(bytes(32)), 2**64 - 1)]
    return [
        Target(
            "warp.standing", STANDING.decode, (DecodeError,),
            tuple(map(STANDING.encode, standings)), STANDING.encode,
        ),
        Target("warp.step", proven, (DecodeError, WarpError), (STEP.encode(HISTORY.steps[0]),), STEP.encode),
        Target(
            "checkpoint", checkpoint, (CheckpointError,), tuple(str(each).encode() for each in checkpoints),
            None, "numbers may begin with zeros and hashes have capitals",
        ),
    ]  # fmt: skip
