"""A proof of who votes, on its way to another node or in a file about an update; what is kept of it."""

from dataclasses import replace

from chain.checkpoints import Checkpoint, CheckpointError, Checkpoints
from chain.common.block_data import WarpStep
from chain.sync.ascent import STANDING, Standing
from chain.sync.warp import WarpError, verify_step
from chain.update_proof import PROOF, ProofRefused, StandingProof, Trusted, verify
from runtime.pallets.model_updates.types import Update, leaf_hash
from runtime.primitives import mmr
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import u64
from runtime.primitives.trie import prove, trie_root
from runtime.primitives.types import AccountId, Hash
from runtime.trail_api import LEAF_COUNT_KEY, PEAKS_KEY, UpdateProof
from tests.chain.sync.histories import GENESIS, History, child, votes
from tests.fuzz.engine import Target
from tests.fuzz.node_targets import JSON_WORDS

HISTORY = History(((0, 1, 2, 3), (2, 3, 4, 5), (4, 5, 6)))
STEP = codec(WarpStep)


def proven(data: bytes) -> WarpStep:
    """Read a step from genesis, which leads to a block of the chain or nowhere."""
    step: WarpStep = STEP.decode(data)
    point = verify_step(HISTORY.genesis, step)
    assert point.block == HISTORY.hash_at(point.number), "a false step was proven"
    return step


def standing_proof(history: History, leaves: int = 11, at: int = 6) -> StandingProof:
    """Return a proof of one of many updates, in the state of a block on a known chain."""
    zero = Hash(bytes(32))
    names = [Hash(leaf.to_bytes(32, "little")) for leaf in range(leaves)]
    updates = [Update(AccountId(each), zero, each, 1, zero, 1, 0, leaf) for leaf, each in enumerate(names)]
    nodes: list[Hash] = []
    peaks: list[Hash] = []
    for update in updates:
        peaks, made = mmr.append(peaks, update.leaf, leaf_hash(1, 2, update))
        nodes += made
    path = [nodes[place] for place in mmr.path_places(at, leaves)]
    state = {PEAKS_KEY: codec(mmr.Hashes).encode(peaks), LEAF_COUNT_KEY: codec(u64).encode(leaves)}
    top = replace(child(history.headers[-1]), state_root=trie_root(state))
    last = len(history.sets) - 1
    steps = [*history.steps[:last], WarpStep(top, votes(top, last, history.sets[last]))]
    shown = prove(state, (PEAKS_KEY, LEAF_COUNT_KEY))
    return StandingProof(
        history.genesis.block, UpdateProof(1, 2, updates[at], at, leaves, path, peaks), shown, steps
    )


STANDING_PROOF = standing_proof(HISTORY)
TRUSTED = Trusted("fuzz", HISTORY.genesis, Checkpoints(()))


def update_proof(data: bytes) -> UpdateProof:
    """Check a file about an update: it proves the one that is in the trail, or nothing."""
    found = verify(StandingProof.from_json(data.decode(errors="replace")), TRUSTED).update
    assert PROOF.encode(found) == PROOF.encode(STANDING_PROOF.update), "a false update was proven"
    return found


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
            "audit.proof", update_proof, (ProofRefused,), (STANDING_PROOF.to_json().encode(),),
            words=JSON_WORDS, why_loose="JSON has many spellings", quick=400, long=100_000,
        ),
        Target(
            "checkpoint", checkpoint, (CheckpointError,), tuple(str(each).encode() for each in checkpoints),
            None, "numbers may begin with zeros and hashes have capitals",
        ),
    ]  # fmt: skip
