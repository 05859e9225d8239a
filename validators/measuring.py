"""What payloads are measured on, and the losses without and with each; jurors measure by the same rules.

    hidden    text from the whole corpus that nobody was assigned in the round, the same for all payloads
    own       some of what a miner was assigned: who has trained on it has learnt more of it than of the rest

Both are drawn by the round's second beacon, which nobody knew when the payloads were committed.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import shake_256

from chain.client import Round, Update
from miners.blobs.errors import BlobError
from miners.data import Manifest, UnusableCorpus, Window, assignment, evaluation
from miners.model import Tokens, losses
from miners.parameters import TrainingParameters
from miners.shards import ShardClient
from miners.weights import MasterWeights
from runtime.primitives.commitments import Score
from validators.alignment import alignments
from validators.inspection import Candidate
from validators.scoring import Measured

log = logging.getLogger("validator")

OWN_SEQUENCES = 16
"""of a miner's own text; enough for a sign that is averaged over rounds"""
MOST_OWN = 1_024
"""sequences of own text in a round, of all miners together: each may lie in a shard of its own"""
LEAST_OWN = 4

Assigned = Mapping[bytes, tuple[Window, ...]]
"""The text of a round by miner."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a round's payloads are measured on."""

    hidden: Tokens  # int64 [sequences, sequence + 1]
    own: Mapping[bytes, Tokens]  # by miner; without those whose text was not to be had


def assigned_in(drawn: Round, manifest: Manifest, updates: Sequence[Update]) -> Assigned:
    """Return what those were assigned who revealed in a round."""
    parameters = TrainingParameters.of(drawn)
    return {update.miner: assignment(drawn.beacon0, update.miner, manifest, parameters) for update in updates}


async def hidden_text(shards: ShardClient, drawn: Round, manifest: Manifest, assigned: Assigned) -> Tokens:
    """Return the hidden batch of a round whose second beacon is drawn, int64 [sequences, sequence + 1].

    Raises: BlobError, UnusableCorpus.
    """
    assert drawn.beacon1 is not None, "waited for"
    parameters = TrainingParameters.of(drawn)
    taken = [window for windows in assigned.values() for window in windows]
    windows = evaluation(drawn.beacon1, manifest, parameters, taken)
    (tokens,) = await shards.batches(windows, len(windows), parameters.model.sequence + 1)
    return tokens


async def texts_of(
    shards: ShardClient, drawn: Round, manifest: Manifest, assigned: Assigned, seconds: float = math.inf
) -> Texts:
    """Return everything that a round's payloads are measured on; own text as far as it is here in time.

    Raises: BlobError, UnusableCorpus where the hidden text is not to be had.
    """
    hidden, span = (
        await hidden_text(shards, drawn, manifest, assigned),
        TrainingParameters.of(drawn).model.sequence + 1,
    )
    count = min(OWN_SEQUENCES, max(LEAST_OWN, MOST_OWN // max(1, len(assigned))))
    own, until = dict[bytes, Tokens](), asyncio.get_running_loop().time() + seconds
    for miner, windows in assigned.items():
        chosen = own_windows(drawn, miner, windows, count)
        try:
            async with asyncio.timeout_at(until):
                (own[miner],) = await shards.batches(chosen, len(chosen), span)
        except TimeoutError:
            log.warning("round %05d | own text of some miners not measured: it comes too late", drawn.number)
            break
        except (BlobError, UnusableCorpus) as problem:
            log.warning(
                "round %05d | own text of 0x%s… not measured: %s", drawn.number, miner.hex()[:8], problem
            )
    return Texts(hidden, own)


def own_windows(drawn: Round, miner: bytes, windows: Sequence[Window], count: int) -> tuple[Window, ...]:
    """Return so many of a miner's windows, drawn without repetition."""
    assert drawn.beacon1 is not None, "waited for"
    stream = shake_256(b"assay/own/1" + drawn.beacon1 + miner).digest(8 * len(windows))
    lots = sorted((stream[8 * at : 8 * at + 8], at) for at in range(len(windows)))
    return tuple(windows[at] for _, at in sorted(lots[:count], key=lambda lot: lot[1]))


async def measure(
    drawn: Round,
    base: MasterWeights,
    candidates: Sequence[Candidate],
    texts: Texts,
    device: str,
    until: float,
) -> list[Measured]:
    """Return the losses without and with each payload, by uid; whoever's turn comes after `until` has none.

    Those without a payload have equal losses. An adapter's base holds the model below it.
    """
    able = [each for each in candidates if each.payload is not None]
    asked = [texts.hidden, *(texts.own[each.miner] for each in able if each.miner in texts.own)]
    before, *own = await asyncio.to_thread(losses, base, asked, device)
    own_before = dict(zip((each.miner for each in able if each.miner in texts.own), own, strict=True))
    measured = [Measured(each.uid, before, before) for each in candidates if each.payload is None]
    for candidate in _in_turn(drawn.beacon1 or b"", able):
        if time.monotonic() > until:
            log.warning("round %05d | uid %d | no score: no time left", drawn.number, candidate.uid)
            continue
        own_text = [texts.own[candidate.miner]] if candidate.miner in own_before else []
        alone = await asyncio.to_thread(candidate.applied_to, base, TrainingParameters.of(drawn))
        after, *own_after = await asyncio.to_thread(losses, alone, [texts.hidden, *own_text], device)
        pair = (own_before[candidate.miner], own_after[0]) if own_after else (0.0, 0.0)
        measured.append(Measured(candidate.uid, before, after, *pair))
    return sorted(measured, key=lambda one: one.uid)


def row_of(measured: Sequence[Measured], candidates: Sequence[Candidate], norm_clip_ppm: int) -> list[Score]:
    """Return everything that is published but the scores."""
    row, sent = [each.entry() for each in measured], {each.uid: each.payload for each in candidates}
    payloads = {each.uid: payload for each in row if (payload := sent[each.uid]) is not None}
    aligned = alignments(row, payloads, norm_clip_ppm)
    return [replace(each, alignment=aligned.get(each.uid, 0)) for each in row]


def _in_turn(beacon: bytes, candidates: list[Candidate]) -> list[Candidate]:
    """Return the candidates by uid, beginning where the beacon says: nobody is always the last."""
    start = int.from_bytes(beacon, "little") % max(1, len(candidates))
    return candidates[start:] + candidates[:start]
