"""What tells honest work from other work, and what it costs a judge to look: real training, real payloads.

    python -m bench.scoring [--miners 6] [--rounds 12] [--seeds 1] [--tiny] [--json FILE]

Honest miners train a model round by round as a subnet does, with the real assignment, error feedback, cheap
checks, measurements, score book and aggregate; their scores decide the weights. Beside them stand updates
that are measured and never enter: noise of the same norm, the opposite of an honest update, one trained on
text of somebody else, one of a quarter of the steps. Figures are the extremes and medians over all updates.
`alignment` and `loss_drop_ppm` (of the loss) say how far apart the kinds are, `own_positive` is how often an
update helped its own text more than hidden text. Times are those of one payload, in CPU time of one thread,
next to one evaluation of the hidden batch.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import shake_256
from statistics import median

import numpy as np

from bench.record import finish, parser
from chain.client import Update
from miners.aggregate import aggregate
from miners.compressor import Compressor
from miners.data import Corpus, Window, assignment, build_corpus, evaluation, standard_library
from miners.layout import ModelConfig
from miners.model import Tokens, losses, train, use_threads
from miners.parameters import PPM, TrainingParameters
from miners.payload import Payload, compress, decode, encode, shape_of
from miners.replica import genesis_weights
from miners.shards import tokens_of
from miners.weights import Floats, MasterWeights
from runtime.primitives.commitments import Score
from validators.inspection import Candidate
from validators.measuring import OWN_SEQUENCES, row_of
from validators.overlap import EARLIER_ROUNDS, Sent, copies, overlaps
from validators.scorebook import Row, scored
from validators.scoring import Measured

EMA_PPM = 800_000
TINY = TrainingParameters(
    model=ModelConfig(hidden=16, layers=1, heads=2, feed_forward=32, sequence=32),
    inner_steps=4, warmup_steps=1, batch_size=2, chunk=256, top_k=16, evaluation_sequences=16,
)  # fmt: skip
LAZY = 4
"""The lazy one does one step in so many."""
HONEST = "honest"
OVERLAPS = [f"overlap_{kind}_ppm" for kind in ("same_round", "own_earlier", "others_earlier")]


@dataclass
class Run:
    """A subnet in one process: its model, its miners' memories, what a judge remembers, and what was seen."""

    corpus: Corpus
    parameters: TrainingParameters
    weights: MasterWeights
    memories: list[Compressor]
    sent: list[list[Sent]] = field(default_factory=list)  # by round
    rows: list[Row] = field(default_factory=list)  # newest first
    seen: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def timed(self, what: str, among: int = 1) -> Iterator[None]:
        """Note how long something takes for each of so many payloads, ms."""
        began = time.thread_time()
        yield
        self.times[what].append((time.thread_time() - began) * 1_000 / among)

    def text(self, windows: tuple[Window, ...]) -> Tokens:
        """Return tokens of windows."""
        texts = [self.corpus.shards[window.shard.digest] for window in windows]
        return tokens_of(texts, windows, self.parameters.model.sequence + 1)

    def trained(self, windows: tuple[Window, ...]) -> Floats:
        """Return what training on windows changes."""
        size = self.parameters.batch_size
        batches = [self.text(windows[at : at + size]) for at in range(0, len(windows), size)]
        return train(self.weights, batches, self.parameters).delta


def main() -> None:
    """Run every seed, and print what was seen in all of them."""
    flags = parser(__doc__)
    flags.add_argument("--miners", type=int, default=6, help="honest ones [6]")
    flags.add_argument("--rounds", type=int, default=12, help="[12]")
    flags.add_argument("--seeds", type=int, default=1, help="[1]")
    flags.add_argument("--tiny", action="store_true", help="a model that trains in a moment")
    given = flags.parse_args()
    use_threads(1)
    corpus = build_corpus(standard_library())
    runs = [play(corpus, given.miners, given.rounds, seed, given.tiny) for seed in range(given.seeds)]
    finish("scoring", figures(runs, given.miners, given.rounds), given)


def play(corpus: Corpus, miners: int, rounds: int, seed: int, is_tiny: bool) -> Run:
    """Train for some rounds, and look at every update as a judge does."""
    parameters = TINY if is_tiny else TrainingParameters()
    weights = genesis_weights(1 + seed, parameters.model)
    run = Run(corpus, parameters, weights, [Compressor(parameters) for _ in range(miners)])
    for number in range(1, rounds + 1):
        one_round(run, number, shake_256(f"{seed}/{number}".encode()).digest(64))
    return run


def one_round(run: Run, number: int, beacons: bytes) -> None:
    """Let everybody train, measure every update, and merge the honest ones by their scores."""
    beacon0, beacon1, parameters = beacons[:32], beacons[32:], run.parameters
    keys = [bytes([uid]) * 32 for uid in range(len(run.memories))]
    assigned = [assignment(beacon0, key, run.corpus.manifest, parameters) for key in keys]
    shape = shape_of(parameters, run.weights.root())
    payloads = list[Payload]()
    for memory, windows in zip(run.memories, assigned, strict=True):
        payloads.append(memory.compress(run.trained(windows), shape.base))
    kinds = [HONEST] * len(payloads)
    for kind, vector in others(run, assigned, payloads[0], beacon1).items():
        kinds.append(kind)
        payloads.append(compress(vector, shape))
    blobs = [encode(payload) for payload in payloads]
    with run.timed("decode_ms", len(blobs)):
        payloads = [decode(blob, shape) for blob in blobs]
    updates = [
        Update(uid, bytes([uid]) * 32, bytes(32), len(blob), number, uid) for uid, blob in enumerate(blobs)
    ]
    candidates = [Candidate(*each) for each in zip(range(len(blobs)), updates, blobs, payloads, strict=True)]
    look_for_copies(run, number, candidates[: len(keys)], beacon1)
    row = measured(run, candidates, assigned, beacon1)
    note(run, kinds, row)
    scores = scored(row[: len(keys)], dict(enumerate(keys)), run.rows, EMA_PPM)
    run.rows.insert(0, {keys[each.uid]: each for each in scores})
    entering = [(payloads[each.uid], each.score * 65_535 // PPM) for each in scores]
    run.weights = aggregate(run.weights, entering, parameters)
    drops = median((each.loss_before - each.loss_after) / each.loss_before for each in scores)
    shared = [max(run.seen[HONEST][name][-len(keys) :], default=0) / PPM for name in OVERLAPS]
    print(
        f"round {number:3d}  loss {row[0].loss_before / PPM:.4f}  median drop {100 * drops:.2f} %  shared",
        *(f"{each:.2f}" for each in shared),
        flush=True,
    )


def others(run: Run, assigned: list[tuple[Window, ...]], honest: Payload, seed: bytes) -> dict[str, Floats]:
    """Return updates of those who do not do their work, with the norm of one who does if they choose."""
    whole = np.zeros(honest.shape.parameters, dtype=np.float32)
    whole[honest.indices] = honest.values()
    noise = np.random.default_rng(list(seed)).standard_normal(len(whole), dtype=np.float32)
    steps = run.parameters.inner_steps // LAZY * run.parameters.batch_size
    lazy = run.trained(assigned[0][:steps])
    return {
        "noise": noise * np.float32(np.linalg.norm(whole) / np.linalg.norm(noise)),
        "opposite": -whole,
        "lazy": lazy,
        "lazy_rescaled": lazy * np.float32(LAZY),
    }


def look_for_copies(run: Run, number: int, candidates: list[Candidate], beacon: bytes) -> None:
    """Compare honest updates with each other and with those of the last rounds."""
    shape, sent = shape_of(run.parameters, run.weights.root()), [each.sent(number) for each in candidates]
    earlier = [one for older in run.sent[-EARLIER_ROUNDS:] for one in older]
    with run.timed("overlap_ms", len(sent)):
        found = copies(sent, earlier, shape, beacon)
    run.seen[HONEST]["called_copies"].append(sum(each is not None for each in found))
    everyone = [*earlier, *sent]
    for at, shares in enumerate(overlaps(everyone, len(earlier), shape, beacon), len(earlier)):
        for other, share in zip(everyone, shares.tolist(), strict=False):
            is_own = other.miner == everyone[at].miner
            kind = "own_earlier" if is_own else "others_earlier" if other.place[0] < number else "same_round"
            run.seen[HONEST][f"overlap_{kind}_ppm"].append(share)
    run.sent.append(sent)


def measured(
    run: Run, candidates: list[Candidate], assigned: list[tuple[Window, ...]], beacon: bytes
) -> list[Score]:
    """Return the row of a judge, before scores; the others claim the text of the first miner."""
    taken = [window for windows in assigned for window in windows]
    hidden = run.text(evaluation(beacon, run.corpus.manifest, run.parameters, taken))
    own = [run.text(windows[-OWN_SEQUENCES:]) for windows in assigned]
    own += [own[0]] * (len(candidates) - len(own))
    before, *own_before = losses(run.weights, [hidden, *own])
    found = []
    for candidate, text, own_loss in zip(candidates, own, own_before, strict=True):
        with run.timed("apply_ms"):
            alone = candidate.applied_to(run.weights, run.parameters)
        with run.timed("evaluation_ms"):
            (after,) = losses(alone, [hidden])
        with run.timed("own_text_ms"):
            (own_after,) = losses(alone, [text])
        found.append(Measured(candidate.uid, before, after, own_loss, own_after))
    honest = len(assigned)
    with run.timed("alignment_ms", honest):
        row_of(found[:honest], candidates[:honest], run.parameters.norm_clip_ppm)
    return row_of(found, candidates, run.parameters.norm_clip_ppm)


def note(run: Run, kinds: list[str], row: list[Score]) -> None:
    """Keep what was seen of each kind."""
    for kind, each in zip(kinds, row, strict=True):
        seen = run.seen[kind]
        seen["alignment_ppm"].append(each.alignment)
        seen["loss_drop_ppm"].append((each.loss_before - each.loss_after) * PPM / each.loss_before)
        seen["own_drop"].append(each.own_drop)


def figures(runs: list[Run], miners: int, rounds: int) -> dict[str, object]:
    """Return what all runs show together."""
    kinds: dict[str, object] = {}
    for kind in runs[0].seen:
        table = {
            name: [value for run in runs for value in run.seen[kind][name]] for name in runs[0].seen[kind]
        }
        own = table.pop("own_drop")
        positive = round(sum(value > 0 for value in own) / len(own), 3)
        kinds[kind] = {name: _spread(values) for name, values in table.items()} | {"own_positive": positive}
    times = {
        name: round(median(value for run in runs for value in run.times[name]), 3) for name in runs[0].times
    }
    checks = sum(times[name] for name in ("decode_ms", "overlap_ms", "alignment_ms", "own_text_ms"))
    return {
        "miners": miners, "rounds": rounds, "seeds": len(runs), "kinds": kinds, "times": times,
        "checks_per_evaluation": round(checks / times["evaluation_ms"], 3),
    }  # fmt: skip


def _spread(values: list[float]) -> dict[str, float]:
    return {"least": round(min(values)), "median": round(median(values)), "most": round(max(values))}


if __name__ == "__main__":
    main()
