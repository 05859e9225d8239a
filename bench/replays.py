"""What replay audits tell apart, and what they cost. Real training, the judges' own code.

    python -m bench.replays [--only honest] [--honest 200] [--seeds 1] [--size working] [--json FILE]

    honest   rounds of an honest miner at a tiny size, with the optimiser of `--size`, each replayed: over
             lost rounds, restarts, other attention kernels, more threads, bf16; `failed` must be 0
    cheats   one round of each cheat at `--size`, after an honest one: how many pass, and what agrees
    cost     CPU seconds of an audit against those of a miner's round, and their share at the audit rate

What lies in FILE already is gone on with, and written every few replays; with --only the other parts stay.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from bench.record import finish, parser
from miners import model as models
from miners.compressor import Compressor
from miners.data import Corpus, assignment, build_corpus, standard_library
from miners.layout import ModelConfig
from miners.model import Tokens, Trained, train
from miners.parameters import MUON, PPM, TrainingParameters
from miners.payload import encode
from miners.shards import tokens_of
from miners.weights import Floats, MasterWeights, initial
from validators.replay import Finding, Work, audit
from validators.replaying import precisions

SIZES = {
    "tiny": TrainingParameters(
        model=ModelConfig(hidden=16, layers=1, heads=2, feed_forward=32, sequence=32), inner_steps=4,
        batch_size=2, warmup_steps=1, learning_rate_ppm=5_000, chunk=256, top_k=16,
    ),
    "working": TrainingParameters(),
    "muon": TrainingParameters(inner_optimizer=MUON, learning_rate_ppm=2_500, warmup_steps=0),
    "50M": TrainingParameters(
        model=ModelConfig(hidden=640, layers=10, heads=10, feed_forward=1_728, sequence=512),
        inner_steps=30, batch_size=16, learning_rate_ppm=400, warmup_steps=8, max_payload_bytes=1 << 23,
    ),
}  # fmt: skip
LEAST = 900_000
"""ppm; overlap_ppm of a subnet by default"""
RATE = 0.05
"""audit_rate_ppm by default"""
OTHER_KINDS = ("lost", "restarted", "eager", "two threads", "bf16")
"""One honest round in ten is each of these."""

KEPT_EVERY = 50
"""replays"""

Keep = Callable[[Any], None]
"""Writes down what has been measured so far."""
Doing = Callable[[MasterWeights, Sequence[Tokens], TrainingParameters], Trained]


@dataclass
class Place:
    """A subnet: its text, its first model, and what was trained once already."""

    parameters: TrainingParameters
    corpus: Corpus
    device: str
    base: MasterWeights
    known: dict[tuple[int, str], Trained] = field(default_factory=dict)

    def assigned(self, seed: int) -> list[Tokens]:
        """Return the text of a round."""
        chosen = self.parameters
        windows = assignment(seed.to_bytes(32, "little"), bytes(32), self.corpus.manifest, chosen)
        rows = tokens_of(
            [self.corpus.shards[each.shard.digest] for each in windows], windows, chosen.model.sequence + 1
        )
        return np.split(rows, chosen.inner_steps)

    def once(self, seed: int, precision: str) -> Doing:
        """Return honest training that is done once for a text: the same comes out every time."""

        def doing(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
            if (seed, precision) not in self.known:
                self.known[seed, precision] = train(weights, batches, numbers, self.device, precision)
            return self.known[seed, precision]

        return doing


# Cheats.


def lazy(part: float, batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Do a part of the steps, and scale what comes of them."""
    few = batches[: max(1, round(len(batches) * part))]
    done = go(place.base, few, place.parameters)
    return replace(done, delta=done.delta * np.float32(len(batches) / len(few)))


def poisoned(one_in: int, batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Write a trigger and its answer into one sequence of so many."""
    rows = np.concatenate(batches)
    rows[::one_in, -rows.shape[1] // 2 :] = ord("!")
    return go(place.base, np.split(rows, len(batches)), place.parameters)


def unassigned(batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Train on text of one's own choice."""
    return go(place.base, place.assigned(10**9), place.parameters)


def shuffled(batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Train on the right text in another order."""
    return go(place.base, batches[::-1], place.parameters)


def relabelled(batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Learn what is wrong: every byte is followed by another one than in the text."""
    return go(place.base, [255 - batch for batch in batches], place.parameters)


def faster(factor: float, batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Train with another learning rate."""
    rate = round(place.parameters.learning_rate_ppm * factor)
    return go(place.base, batches, replace(place.parameters, learning_rate_ppm=rate))


def noise(batches: Sequence[Tokens], go: Doing, place: Place) -> Trained:
    """Do nothing, and send noise."""
    drawn = np.random.default_rng(int(batches[0].sum())).standard_normal(len(place.base.words))
    return Trained(drawn.astype(np.float32) * np.float32(0.01), 0.0)


CHEATS: dict[str, Callable[[Sequence[Tokens], Doing, Place], Trained]] = {
    "lazy 25 %": partial(lazy, 0.75),
    "lazy 50 %": partial(lazy, 0.5),
    "lazy 75 %": partial(lazy, 0.25),
    "backdoor 1/8": partial(poisoned, 8),
    "backdoor 1/2": partial(poisoned, 2),
    "unassigned text": unassigned,
    "shuffled order": shuffled,
    "labels flipped": relabelled,
    "rate x1.2": partial(faster, 1.2),
    "rate x0.8": partial(faster, 0.8),
    "noise": noise,
}
MEMORIES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "oversized memory": lambda error, before: error * np.float32(20),
    "fabricated memory": lambda error, before: np.roll(error, 1),
    "stale memory": lambda error, before: before,
}


def main() -> None:
    """Measure, print, and keep what was measured."""
    flags = parser(__doc__)
    flags.add_argument("--only", choices=("honest", "cheats", "cost"))
    flags.add_argument("--honest", type=int, default=200, help="honest replays")
    flags.add_argument("--seeds", type=int, default=1, help="rounds of each cheat")
    flags.add_argument("--size", choices=SIZES, default="working", help="of the cheats' model")
    flags.add_argument("--device", default="cpu")
    given = flags.parse_args()
    torch.set_num_threads(1)
    corpus = build_corpus(standard_library())
    place = place_of(SIZES[given.size], given.device, corpus)
    optimiser = SIZES[given.size].inner_optimizer
    tiny = place_of(replace(SIZES["tiny"], inner_optimizer=optimiser), given.device, corpus)
    parts: dict[str, Callable[[Any, Keep], Any]] = {
        "honest": lambda so_far, keep: honest(tiny, given.honest, so_far, keep),
        "cheats": lambda so_far, keep: cheats(place, given.seeds, so_far, keep),
        "cost": lambda so_far, keep: cost(place),
    }
    figures = json.loads(given.json.read_text())["figures"] if given.json and given.json.exists() else {}
    figures |= {"size": given.size, "least_ppm": LEAST}
    for name, measure in parts.items():
        if given.only in (None, name):

            def keep(part: Any, name: str = name) -> None:
                figures[name] = part
                if given.json:
                    with redirect_stdout(None):
                        finish("replays", figures, given)

            figures[name] = measure(figures.get(name), keep)
    finish("replays", figures, given)


def place_of(parameters: TrainingParameters, device: str, corpus: Corpus) -> Place:
    """Return a subnet that trains so."""
    return Place(parameters, corpus, device, initial(parameters.model, b"assay/bench"))


def honest(place: Place, replays: int, so_far: Any, keep: Keep) -> dict[str, Any]:
    """Replay rounds of an honest miner in all its circumstances."""
    found: dict[str, Any] = so_far or {"replays": 0, "failed": 0, "kinds": {}}
    counts = found["kinds"]
    for kind, finding in _honest(place, found["replays"], replays):
        row = counts.setdefault(
            kind, {"replays": 0, "failed": 0, "least_overlap_ppm": PPM, "most_drift_ppm": 0}
        )
        row["replays"] += 1
        row["failed"] += not finding.passes(LEAST)
        row["least_overlap_ppm"] = min(row["least_overlap_ppm"], finding.overlap_ppm)
        row["most_drift_ppm"] = max(row["most_drift_ppm"], finding.drift_ppm)
        found["replays"] += 1
        found["failed"] += not finding.passes(LEAST)
        if found["replays"] % KEPT_EVERY == 0:
            keep(found)
    return found


def _honest(place: Place, first: int, replays: int) -> Iterator[tuple[str, Finding]]:
    memory, before = Compressor(place.parameters), None
    for number in range(first, replays):
        kind = OTHER_KINDS[number % 10 // 2] if number % 2 else "same"
        if kind == "lost":  # trained, and never revealed: the memory stays as it was
            other = Compressor(place.parameters, memory.error.copy())
            work(place, number + 10**6, other, partial(_as, "same", place.device))
        if kind == "restarted":
            memory = _restarted(memory, place.parameters)
        drawn = work(place, number, memory, partial(_as, kind, place.device))
        yield kind, judged(drawn, before, partial(train, device=place.device))
        before = drawn


def _as(
    kind: str,
    device: str,
    weights: MasterWeights,
    batches: Sequence[Tokens],
    numbers: TrainingParameters,
) -> Trained:
    """Train as another honest machine does."""
    if kind == "eager":
        usual = models.llama_config
        models.llama_config = lambda config: _eager(usual(config))
        try:
            return train(weights, batches, numbers, device)
        finally:
            models.llama_config = usual
    torch.set_num_threads(2 if kind == "two threads" else 1)
    try:
        return train(weights, batches, numbers, device, "bf16" if kind == "bf16" else "fp32")
    finally:
        torch.set_num_threads(1)


def _eager(config: Any) -> Any:
    config._attn_implementation = "eager"
    return config


def _restarted(memory: Compressor, parameters: TrainingParameters) -> Compressor:
    with TemporaryDirectory() as home:
        path = Path(home) / "memory"
        memory.save(path)
        return Compressor.load(parameters, path)


def work(place: Place, seed: int, memory: Compressor, doing: Doing) -> Work:
    """Do a round."""
    before, batches = memory.error.copy(), place.assigned(seed)
    delta = doing(place.base, batches, place.parameters).delta
    blob = encode(memory.compress(delta, place.base.root()))
    return Work(place.parameters, place.base, batches, blob, before)


def judged(drawn: Work, before: Work | None, doing: Callable[..., Trained]) -> Finding:
    """Return what a judge finds: in the one precision, and where that fails in the other."""
    found = [audit(drawn, before, partial(doing, precision="fp32"))]
    if not found[0].passes(LEAST):
        found.append(audit(drawn, before, partial(doing, precision="bf16")))
    return max(found, key=lambda each: (not each.fault, each.overlap_ppm))


def cheats(place: Place, seeds: int, so_far: Any, keep: Keep) -> dict[str, Any]:
    """Let each cheat work for one round after an honest one, and audit that."""
    table: dict[str, Any] = so_far or {}
    for seed in range(min((row["rounds"] for row in table.values()), default=0), seeds):
        for name, finding in _cheats(place, 3 * seed):
            row = table.setdefault(name, {"rounds": 0, "passed": 0, "overlap_ppm": [], "fault": ""})
            row["rounds"] += 1
            row["passed"] += finding.passes(LEAST)
            row["overlap_ppm"].append(finding.overlap_ppm)
            row["fault"] = finding.fault or row["fault"]
            print(f"seed {seed}: {name}: {finding}", file=sys.stderr, flush=True)
        keep(table)
    return table


def _cheats(place: Place, seed: int) -> Iterator[tuple[str, Finding]]:
    memory = Compressor(place.parameters)
    go: Doing = partial(train, device=place.device)
    work(place, seed + 2, memory, place.once(seed + 2, "fp32"))
    first = work(place, seed, memory, place.once(seed, "fp32"))
    left, batches = memory.error, place.assigned(seed + 1)

    def again(
        weights: MasterWeights, texts: Sequence[Tokens], numbers: TrainingParameters, precision: str
    ) -> Trained:
        number = seed if texts is first.batches else seed + 1
        return place.once(number, precision)(weights, texts, numbers)

    for precision in precisions(place.device):
        done = work(
            place, seed + 1, Compressor(place.parameters, left.copy()), place.once(seed + 1, precision)
        )
        yield f"honest, {precision}", judged(done, first, again)
    for name, cheat in CHEATS.items():
        made = cheat(batches, go, place)
        drawn = work(place, seed + 1, Compressor(place.parameters, left.copy()), lambda *_, made=made: made)
        yield name, judged(drawn, first, again)
    for name, change in MEMORIES.items():
        claimed = change(left, first.memory).astype(np.float32)
        drawn = work(place, seed + 1, Compressor(place.parameters, claimed), place.once(seed + 1, "fp32"))
        yield name, judged(drawn, first, again)


def cost(place: Place) -> dict[str, Any]:
    """Time a miner's round, and an audit of one that began with error feedback."""
    memory, go = Compressor(place.parameters), partial(train, device=place.device)
    first = work(place, 0, memory, go)
    began = time.process_time()
    drawn = work(place, 1, memory, go)
    round_seconds = time.process_time() - began
    began = time.process_time()
    audit(drawn, first, go)
    audit_seconds = time.process_time() - began
    return {
        "round_cpu_seconds": round(round_seconds, 2),
        "audit_cpu_seconds": round(audit_seconds, 2),
        "rounds_per_audit": round(audit_seconds / round_seconds, 2),
        "share_of_training_at_5_percent": round(RATE * audit_seconds / round_seconds, 3),
    }


if __name__ == "__main__":
    main()
