"""Bytes and loss of the subnet's rounds against synchronous data-parallel AdamW on as many tokens.

    python -m bench.loss_gap [--seeds 3] [--only warm] [--set top_k=64 ...] [--json FILE]

sync     AdamW with all workers' gradients averaged in every step: warm-up, cosine to a tenth; every worker
         uploads each gradient once, in float32
scratch  rounds from the first model on: H steps of every worker, the payload really encoded and decoded, the
         int64 aggregate of all workers with equal weights; H rises as the chain lets it rise
warm     the same from sync's model after --warm steps
far      as warm, with half the bytes

Bytes are what one worker uploads: its blobs, and a bound on what goes around them in a round (`AROUND`).
`gap_percent` is by how much the held-out loss is above sync's of the same seed. The learning rate of the
rounds falls as sync's does: the owner sets it between rounds. A run that was stopped goes on where it stood.
"""

import json
import math
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch

from bench.lab import SIZES, Text, beacon, begin, changes, flags_of, hotkey, key_of, put_aside, say
from bench.record import finish, parser
from miners.aggregate import aggregate
from miners.compressor import Compressor
from miners.files import write_whole
from miners.model import (
    build,
    choose_device,
    choose_precision,
    cross_entropy,
    flatten,
    loss,
    train,
    trained_in,
)
from miners.optimiser import InnerOptimiser
from miners.parameters import ADAMW, MUON, PPM, TrainingParameters
from miners.payload import decode, encode, shape_of
from miners.weights import MasterWeights, Words, from_floats, initial
from runtime.pallets.training.decisions import steps_of

PEAK_PPM = 3_000
"""sync's learning rate: that of the published baseline; it was not searched again"""
RISE, FLOOR, CLIP, DECAY_PPM = 40, 0.1, 1.0, 100_000
"""sync's steps of warm-up, the part of the rate that is left at the end, gradient norm, weight decay"""
SEGMENT = 50
"""sync's steps between two draws of text, and between two looks at the run"""
HELD_OUT = 512
"""sequences of the public text behind every loss"""
AROUND = 1_024
"""bytes that go with a payload at most: commit and reveal with signatures, HTTP head, delivery receipt"""
EQUAL = 65_535
"""weight of every payload"""
FLOAT32 = 4
"""bytes"""
MEASURED_ROUNDS = 5
"""rounds between two losses of a curve"""
RECIPES: dict[str, dict[str, int]] = {
    "scratch": {"start": 0, "inner_steps_start": 5, "inner_steps": 25, "warmup_rounds": 8},
    "warm": {"start": 1},
    "far": {"start": 1, "top_k": 110},
}
"""What each way of training sets otherwise than `BASE`."""
BASE = {
    "inner_steps": 20,
    "inner_steps_start": 0,
    "warmup_rounds": 0,
    "batch_size": 4,
    "learning_rate_ppm": 2_500,
    "floor_ppm": 300_000,  # part of the rate that is left at the end
    "warmup_steps": 0,
    "weight_decay_ppm": 100_000,
    "chunk": 8_192,
    "top_k": 252,
    "beta_ppm": 950_000,
    "outer_learning_rate_ppm": 1_500_000,
    "support_floor_ppm": 250_000,
    "norm_clip_ppm": 2_000_000,
    "inner_optimizer": MUON,
}
"""Found with seed 0 on the model of size small, warm: see bench/results/loss_gap/search.json."""


@dataclass
class Run:
    """What came of one run."""

    steps: int = 0
    rounds: int = 0
    blob_bytes: int = 0  # that one worker uploaded, the mean
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)  # steps, nats per token

    @classmethod
    def of(cls, story: Mapping[str, Any]) -> "Run":
        """Read back what was written down."""
        return cls(**{**story, "curve": [(int(steps), float(nats)) for steps, nats in story["curve"]]})

    @property
    def loss(self) -> float:
        """Held-out loss at the end, nats per token."""
        return self.curve[-1][1]


@dataclass(frozen=True)
class Course:
    """One seed of the experiment: what all ways of training have in common."""

    given: Namespace
    text: Text
    seed: int

    @property
    def parameters(self) -> TrainingParameters:
        """The model, and what sync takes from the subnet's numbers."""
        return TrainingParameters(
            model=SIZES[self.given.size], batch_size=self.given.batch, max_payload_bytes=1 << 30,
            weight_decay_ppm=DECAY_PPM, inner_optimizer=MUON if self.given.muon else ADAMW,
        )  # fmt: skip

    def first(self) -> MasterWeights:
        """Return the first model."""
        return initial(SIZES[self.given.size], beacon("first", self.seed))

    def rate(self, step: int) -> float:
        """Return the part of the peak that cosine leaves at a step, after the rise."""
        done = (step - RISE) / max(1, self.given.steps - RISE)
        return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * min(1.0, max(0.0, done)))) / 2

    def held_out(self, weights: MasterWeights) -> float:
        """Return the loss on public text, nats per token."""
        tokens = self.text.held_out(self.parameters, self.given.held_out)
        return round(loss(weights, tokens, self.given.device), 5)

    def settings(self, way: str, numbers: Mapping[str, int]) -> dict[str, object]:
        """Return all that decides what a run comes to."""
        common = ("size", "workers", "steps", "warm", "batch", "held_out", "device", "precision")
        named = {name: getattr(self.given, name) for name in common}
        root = self.text.corpus.manifest.root().hex()
        other = {"muon": True} if self.given.muon else {}
        common_to_all = {"way": way, "seed": self.seed, "text": root, "peak": self.given.peak}
        return {**common_to_all, **named, **other, **numbers}

    def place(self, way: str, numbers: Mapping[str, int]) -> Path:
        """Return where a run is kept, without suffix."""
        return Path(self.given.state, f"{way}-{self.seed}-{key_of(self.settings(way, numbers))}")


def main() -> None:
    """Run what is asked for, and report."""
    flags = flags_of(parser(__doc__), "loss_gap")
    flags.add_argument("--workers", type=int, default=4, help="that train together [4]")
    flags.add_argument("--batch", type=int, default=4, help="sequences of a worker's step [4]")
    flags.add_argument("--steps", type=int, default=600, help="of sync [600]")
    flags.add_argument("--warm", type=int, default=200, help="of them before the warm start [200]")
    flags.add_argument("--held-out", type=int, default=HELD_OUT, help=f"sequences of a loss [{HELD_OUT}]")
    flags.add_argument("--peak", type=int, default=PEAK_PPM, help=f"sync's rate, ppm [{PEAK_PPM}]")
    flags.add_argument("--muon", action="store_true", help="sync too takes Muon, which is no aim [AdamW]")
    flags.add_argument("--only", choices=RECIPES, action="append", help="[all]")
    flags.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", help="try another number")
    flags.add_argument("--played", action="store_true", help="show how far the runs are, run no more")
    given = flags.parse_args()
    text = begin(given)
    ways, seeds = given.only or list(RECIPES), range(given.seeds)
    raw = [measured(Course(given, text, seed), ways, changes(given.set, BASE)) for seed in seeds]
    finish("loss_gap", figures(given, text, ways, raw), given)


def measured(course: Course, ways: list[str], changed: dict[str, int]) -> dict[str, Any]:
    """Return the raw figures of one seed; of what has not ended, as far as it has come."""
    whole = kept_of(course.place("sync", {})) if course.given.played else synchronous(course)
    found: dict[str, Any] = {"seed": course.seed, "sync": whole and asdict(whole)}
    for way in ways:
        numbers = BASE | RECIPES[way] | changed
        place = course.place(way, numbers)
        run = kept_of(place) if course.given.played else rounds(course, way, numbers)
        if run is None or whole is None or not run.rounds:
            continue
        floats, uploaded = FLOAT32 * len(course.first().words), run.blob_bytes + AROUND * run.rounds
        steps = run.steps + (course.given.warm if numbers["start"] else 0)
        beside = dict(whole.curve).get(steps)
        found[way] = asdict(run) | {
            "has_ended": place.with_suffix(".json").exists(),
            "bytes_up": uploaded,
            "times_fewer_bytes": round(floats * run.steps / uploaded, 1),
            "gap_percent": beside and round(100 * (run.loss / beside - 1), 3),
        }
        say(f"seed {course.seed} {way}: {found[way]['gap_percent']} % at {found[way]['times_fewer_bytes']}x")
    return found


def kept_of(place: Path) -> Run | None:
    """Return a run as far as it has come."""
    if place.with_suffix(".json").exists():
        return Run.of(json.loads(place.with_suffix(".json").read_text()))
    if place.with_suffix(".npz").exists():
        with np.load(place.with_suffix(".npz")) as before:
            return Run.of(json.loads(str(before["run"])))
    if place.with_suffix(".pt").exists():
        return Run.of(torch.load(place.with_suffix(".pt"), weights_only=True, map_location="cpu")["run"])
    return None


# Synchronous AdamW.


def synchronous(course: Course) -> Run:
    """Train with every gradient exchanged; leave the model of --warm steps where the rounds find it."""
    given, place = course.given, course.place("sync", {})
    if (finished := place.with_suffix(".json")).exists():
        return Run.of(json.loads(finished.read_text()))
    device, kept = choose_device(given.device), place.with_suffix(".pt")
    model = build(course.first(), device).train()
    optimiser = InnerOptimiser(trained_in(model), course.parameters)
    run = Run()
    if kept.exists():
        before = torch.load(kept, map_location=device, weights_only=True)
        model.load_state_dict(before["model"])
        optimiser.load(before["optimiser"])
        run = Run.of(before["run"])
    while run.steps < given.steps:
        began, ends = time.monotonic(), {given.warm, given.steps}
        most = min(end for end in (*ends, run.steps + SEGMENT) if end > run.steps)
        _segment(course, model, optimiser, run.steps, most)
        run.steps, run.seconds = most, round(run.seconds + time.monotonic() - began, 1)
        weights = from_floats(SIZES[given.size], flatten(model))
        run.curve.append((run.steps, course.held_out(weights)))
        if run.steps == given.warm:
            put_aside(course.place("sync", {}).with_suffix(".warm"), {"words": weights.words})
        state = {"model": model.state_dict(), "optimiser": optimiser.state(), "run": asdict(run)}
        torch.save(state, kept.with_suffix(".new"))
        kept.with_suffix(".new").replace(kept)
        say(f"seed {course.seed} sync: step {run.steps} loss {run.loss:.4f} {run.seconds:.0f} s")
    run.blob_bytes = FLOAT32 * len(course.first().words) * run.steps
    write_whole(finished, json.dumps(asdict(run)).encode())
    return run


def _segment(
    course: Course, model: torch.nn.Module, optimiser: InnerOptimiser, first: int, last: int
) -> None:
    """Take the steps from one to another, on text of all workers."""
    given = course.given
    device = choose_device(given.device)
    low = choose_precision(given.precision, device) is not torch.float32
    numbers = course.parameters.in_round(last - first)
    drawn = [
        course.text.assigned(beacon("sync", course.seed, first), hotkey(each), numbers)
        for each in range(given.workers)
    ]
    for step, parts in enumerate(zip(*drawn, strict=True), first):
        batch = torch.from_numpy(np.concatenate(parts)).to(device)  # int64 [batch * workers, sequence + 1]
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
            value = cross_entropy(model, batch)
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(trained_in(model), CLIP)
        optimiser.step(given.peak / PPM * course.rate(step) * min(1.0, (step + 1) / RISE))


# Rounds.


def rounds(course: Course, way: str, numbers: Mapping[str, int]) -> Run:
    """Train as a subnet does."""
    place = course.place(way, numbers)
    finished, kept = place.with_suffix(".json"), place.with_suffix(".npz")
    if finished.exists():
        return Run.of(json.loads(finished.read_text()))
    wanted = (course.given.steps - (course.given.warm if numbers["start"] else 0)) * course.given.batch
    wanted //= numbers["batch_size"]
    run, words, errors = _begun(course, numbers, kept)
    while run.steps < wanted:
        began = time.monotonic()
        words, errors = _round(course, numbers, run, words, errors, wanted)
        run.seconds = round(run.seconds + time.monotonic() - began, 1)
        if run.rounds % MEASURED_ROUNDS == 0 or run.steps == wanted:
            weights = MasterWeights(SIZES[course.given.size], words)
            run.curve.append((run.steps, course.held_out(weights)))
            story = np.array(json.dumps(asdict(run)))
            put_aside(kept, {"run": story, "words": words, "errors": np.stack(errors)})
            say(f"seed {course.seed} {way}: round {run.rounds} step {run.steps} loss {run.loss:.4f}")
    write_whole(finished, json.dumps(asdict(run)).encode())
    kept.unlink(missing_ok=True)
    return run


def _begun(course: Course, numbers: Mapping[str, int], kept: Path) -> tuple[Run, Words, list[Any]]:
    """Return how far a run is: itself, the model, every worker's error feedback."""
    if kept.exists():
        with np.load(kept) as before:
            return Run.of(json.loads(str(before["run"]))), before["words"], list(before["errors"])
    words = course.first().words
    if numbers["start"]:
        with np.load(course.place("sync", {}).with_suffix(".warm")) as before:
            words = before["words"]
    return Run(), words, [np.zeros(len(words), dtype=np.float32) for _ in range(course.given.workers)]


def _round(
    course: Course, numbers: Mapping[str, int], run: Run, words: Words, errors: list[Any], wanted: int
) -> tuple[Words, list[Any]]:
    """Play one round: every worker trains, compresses and encodes, and everybody aggregates."""
    given, weights = course.given, MasterWeights(SIZES[course.given.size], words)
    parameters = numbers_of(course, numbers, run, wanted)
    base, drawn, blobs, after = weights.root(), beacon("round", course.seed, run.rounds), [], []
    for worker in range(given.workers):
        batches = course.text.assigned(drawn, hotkey(worker), parameters)
        trained = train(weights, batches, parameters, given.device, given.precision)
        memory = Compressor(parameters, errors[worker])
        blobs.append(encode(memory.compress(trained.delta, base)))
        after.append(memory.error)
    shape = shape_of(parameters, base)
    merged = aggregate(weights, [(decode(blob, shape), EQUAL) for blob in blobs], parameters)
    run.steps, run.rounds = run.steps + parameters.inner_steps, run.rounds + 1
    run.blob_bytes += round(fmean(len(blob) for blob in blobs))
    return merged.words, after


def numbers_of(course: Course, numbers: Mapping[str, int], run: Run, wanted: int) -> TrainingParameters:
    """Return what holds in the next round."""
    steps = steps_of(
        numbers["inner_steps_start"], numbers["inner_steps"], numbers["warmup_rounds"], run.rounds
    )
    steps = min(steps, wanted - run.steps)
    before = course.given.warm if numbers["start"] else 0
    at = before + (run.steps + steps / 2) * numbers["batch_size"] / course.given.batch
    floor = numbers["floor_ppm"] / PPM
    left = floor + (course.rate(int(at)) - FLOOR) / (1 - FLOOR) * (1 - floor)
    named = {name: numbers[name] for name in BASE if hasattr(course.parameters, name)}
    chosen: dict[str, Any] = named | {"learning_rate_ppm": max(1, round(numbers["learning_rate_ppm"] * left))}
    ready = replace(course.parameters, **(chosen | {"warmup_steps": 0, "inner_steps": steps}))
    return replace(ready, warmup_steps=min(numbers["warmup_steps"], steps))


# What is published.


def figures(given: Namespace, text: Text, ways: list[str], raw: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over the seeds, and the raw figures of each."""
    summary = {}
    for way in ways:
        ended = [each[way] for each in raw if way in each and each[way]["has_ended"]]
        gaps = [each["gap_percent"] for each in ended]
        summary[way] = {
            "seeds_ended": len(ended),
            "gap_percent": round(fmean(gaps), 2) if gaps else None,
            "gap_deviation": round(stdev(gaps), 2) if len(gaps) > 1 else None,
            "times_fewer_bytes": round(fmean(each["times_fewer_bytes"] for each in ended), 1)
            if gaps
            else None,
            "recipe": BASE | RECIPES[way] | changes(given.set, BASE),
        }
    return {
        "size": given.size,
        "parameters": len(initial(SIZES[given.size], bytes(32)).words),
        "workers": given.workers,
        "tokens": given.steps * given.workers * given.batch * SIZES[given.size].sequence,
        "text_root": "0x" + text.corpus.manifest.root().hex(),
        "seeds": given.seeds,
        **summary,
        "raw": raw,
    }


if __name__ == "__main__":
    main()
