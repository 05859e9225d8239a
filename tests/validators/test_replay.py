"""Real training, trained again: whoever did the work passes, and nobody else does."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from miners.compressor import Compressor
from miners.layout import ModelConfig
from miners.model import Tokens, Trained, train
from miners.parameters import TrainingParameters
from miners.payload import Payload, compress, decode, encode, shape_of
from miners.weights import Floats, MasterWeights, initial
from runtime.primitives.hashing import blake2_256
from validators.replay import FROM_NOWHERE, MOST_DRIFT, Finding, Work, agreement, audit, longest_memory
from validators.replaying import conclude, found, read, replay, write

SMALL = TrainingParameters(
    model=ModelConfig(hidden=32, layers=2, heads=2, feed_forward=48, sequence=32),
    inner_steps=8, batch_size=4, warmup_steps=1, learning_rate_ppm=5_000, chunk=512, top_k=16,
)  # fmt: skip
LEAST = 900_000
TEXT = np.frombuffer(Path(np.__file__).read_bytes(), np.uint8).astype(np.int64)
BASE = initial(SMALL.model, b"assay")
Doing = Callable[[MasterWeights, Sequence[Tokens], TrainingParameters], Trained]


@cache
def assigned(round: int) -> tuple[Tokens, ...]:
    """The text of a round."""
    dice, span = np.random.default_rng(round), SMALL.model.sequence + 1
    starts = dice.integers(0, len(TEXT) - span, (SMALL.inner_steps, SMALL.batch_size))
    return tuple(np.stack([TEXT[at : at + span] for at in row]) for row in starts)


@cache
def trained(round: int) -> Trained:
    """What a round comes to; the same text and model give the same to the bit, so it is trained once."""
    return train(BASE, assigned(round), SMALL)


def again(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
    """Train as the miner of this file does when it is honest."""
    return trained(next(round for round in range(1, 4) if assigned(round) is batches))


def cast(blob: bytes) -> Payload:
    return decode(blob, shape_of(SMALL, BASE.root()))


def work(round: int, memory: Compressor, doing: Doing = again, *, keeps: bool = True) -> Work:
    """Do a round; what it began with is served as it was."""
    before = memory.error.copy()
    error = memory.error
    blob = encode(memory.compress(doing(BASE, assigned(round), SMALL).delta, BASE.root()))
    if not keeps:
        memory.error = error  # the round was lost
    return Work(SMALL, BASE, assigned(round), blob, before)


def passes(drawn: Work, before: Work | None) -> bool:
    return audit(drawn, before, again).passes(LEAST)


@pytest.fixture(scope="module")
def honest() -> tuple[Compressor, Work]:
    """A miner's error feedback after two rounds, and the second of them."""
    memory = Compressor(SMALL)
    work(1, memory)
    return memory, work(2, memory)


def fresh(honest: tuple[Compressor, Work]) -> tuple[Compressor, Work]:
    return Compressor(SMALL, honest[0].error.copy()), honest[1]


def test_an_honest_miner_agrees_to_the_bit_over_restarts_and_lost_rounds(tmp_path: Path) -> None:
    memory = Compressor(SMALL)
    first = work(1, memory)
    assert audit(first, None, again) == Finding(1_000_000)
    work(2, memory, keeps=False)
    memory.save(tmp_path / "memory", blake2_256(first.blob))
    third = work(3, Compressor.load(SMALL, tmp_path / "memory"))
    assert audit(third, first, again) == Finding(1_000_000)


def test_who_begins_anew_passes_without_the_round_before(honest: tuple[Compressor, Work]) -> None:
    assert audit(work(3, Compressor(SMALL)), honest[1], again) == Finding(1_000_000)


def test_another_precision_passes_with_room_to_spare(honest: tuple[Compressor, Work]) -> None:
    low = partial(train, precision="bf16")
    memory = Compressor(SMALL)
    work(1, memory, low)
    before = work(2, memory, low)
    finding = audit(work(3, memory, low), before, again)
    assert (finding.passes(LEAST), finding.fault) == (True, "")
    assert finding.overlap_ppm > 930_000
    assert finding.drift_ppm < 1_000_000 * MOST_DRIFT / 2


def test_what_does_not_come_out_is_trained_in_the_other_precision(tmp_path: Path) -> None:
    low = work(1, Compressor(SMALL), partial(train, precision="bf16"))
    write(tmp_path, "drawn", low.parameters, low.base, np.concatenate(low.batches))
    (tmp_path / "drawn.payload").write_bytes(low.blob)
    replay(tmp_path, "cpu", 1_000_000)
    assert found(tmp_path) == Finding(1_000_000)
    assert audit(low, None, again).overlap_ppm < 1_000_000


def lazy(part: float) -> Doing:
    def doing(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
        few = batches[: round(len(batches) * part)]
        done = train(weights, few, numbers)
        return replace(done, delta=done.delta * np.float32(len(batches) / len(few)))

    return doing


def backdoor(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
    poisoned = [batch.copy() for batch in batches]
    for batch in poisoned[::2]:
        batch[0, -8:] = ord("!")  # one sequence in eight
    return train(weights, poisoned, numbers)


def unassigned(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
    return train(weights, assigned(99), numbers)


def shuffled(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
    return train(weights, batches[::-1], numbers)


def faster(weights: MasterWeights, batches: Sequence[Tokens], numbers: TrainingParameters) -> Trained:
    return train(weights, batches, replace(numbers, learning_rate_ppm=numbers.learning_rate_ppm * 6 // 5))


@pytest.mark.parametrize(
    "doing",
    [lazy(0.75), lazy(0.5), lazy(0.25), backdoor, unassigned, shuffled, faster],
    ids=["lazy 25 %", "lazy 50 %", "lazy 75 %", "backdoor 1/8", "unassigned", "shuffled", "rate x1.2"],
)
def test_who_trains_otherwise_fails(honest: tuple[Compressor, Work], doing: Doing) -> None:
    memory, before = fresh(honest)
    finding = audit(work(3, memory, doing), before, again)
    assert finding.overlap_ppm < LEAST, finding


def poisoned(error: Floats, norm: float) -> Floats:
    """Hide something in an error feedback: so much of its norm, in as few values as a payload has."""
    hidden = np.zeros_like(error)
    places = np.arange(5, len(error), SMALL.chunk // SMALL.top_k)
    hidden[places] = np.float32(norm * np.linalg.norm(error) / np.sqrt(len(places)))
    return error + hidden


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda error, _: error * np.float32(20), "at most"),
        (lambda error, _: np.roll(error, 1), "of its norm away from what the round before leaves"),
        (lambda _, stale: stale, "of its norm away from what the round before leaves"),
        (lambda error, _: np.where(np.arange(len(error)) == 7, np.float32("nan"), error), "not finite"),
        (lambda error, _: poisoned(error, 0.25), "0.25 of its norm away"),
    ],
    ids=["oversized", "fabricated", "stale", "not finite", "poisoned"],
)
def test_who_makes_its_error_feedback_up_fails(
    honest: tuple[Compressor, Work], change: Callable[[Floats, Floats], Floats], said: str
) -> None:
    memory, before = fresh(honest)
    clean = work(3, Compressor(SMALL, memory.error.copy()))
    made_up = change(memory.error, before.memory).astype(np.float32)
    if np.isfinite(made_up).all():
        drawn = work(3, Compressor(SMALL, made_up))
    else:
        drawn = replace(clean, memory=made_up)
    finding = audit(drawn, before, again)
    assert not finding.passes(LEAST)
    assert said in finding.fault


def test_an_error_feedback_without_a_past_fails(honest: tuple[Compressor, Work]) -> None:
    assert audit(honest[1], None, again) == FROM_NOWHERE


def scaled(first: Work, scale: float) -> Work:
    """The same payload with larger or smaller values."""
    sent = cast(first.blob)
    levels = (sent.levels.astype(np.uint32) << 16).view(np.float32) * np.float32(scale)
    other = replace(sent, levels=(levels.view(np.uint32) >> 16).astype(np.uint16))
    return replace(first, blob=encode(other))


@pytest.mark.parametrize("scale", [1 / 10, 10.0])
def test_who_sends_other_sizes_fails(scale: float) -> None:
    first = work(1, Compressor(SMALL))
    assert audit(scaled(first, scale), None, again).overlap_ppm < 100_000


def test_who_makes_all_values_a_little_larger_fails(honest: tuple[Compressor, Work]) -> None:
    """All of them agree; the payload as a whole does not."""
    memory, before = fresh(honest)
    for finding in (
        audit(scaled(work(1, Compressor(SMALL)), 1.06), None, again),
        audit(scaled(work(3, memory), 1.06), before, again),
    ):
        assert finding.overlap_ppm > LEAST
        assert re.fullmatch(r"its values are 1\.0\d\d times as large as a replay's", finding.fault)


def test_who_makes_its_error_feedback_a_little_larger_fails(honest: tuple[Compressor, Work]) -> None:
    """It is no further from the replay's than an honest one may be; what is sent of it is too large."""
    memory, before = fresh(honest)
    louder = Compressor(SMALL, memory.error * np.float32(1 + 0.99 * MOST_DRIFT))
    finding = audit(work(3, louder), before, again)
    assert finding.overlap_ppm > LEAST
    assert finding.drift_ppm < 1_000_000 * MOST_DRIFT
    assert re.fullmatch(r"its values are 1\.0\d\d times as large as a replay's", finding.fault)


def test_who_marks_every_value_as_a_high_one_fails() -> None:
    total = np.random.default_rng(1).standard_normal(len(BASE.words), dtype=np.float32)
    sent = compress(total, shape_of(SMALL, BASE.root()))
    loud = replace(sent, high=np.ones(len(sent.high), dtype=np.bool_))
    assert agreement(sent, total) == 1_000_000
    assert agreement(loud, total) < LEAST


def test_what_is_no_payload_fails_without_training() -> None:
    first = Work(SMALL, BASE, (), b"nonsense", np.zeros(len(BASE.words), np.float32))
    assert audit(first, None, again) == Finding(
        0, "its payload is malformed: payload has 8 bytes, its header alone needs 54"
    )


def test_a_memory_is_bounded_by_what_beta_lets_add_up() -> None:
    delta = np.ones(4, dtype=np.float32)
    assert longest_memory(delta, 800_000) == pytest.approx(2 * 2 / 0.2)
    assert longest_memory(delta, 1_000_000) == pytest.approx(2 * 2 / 0.02)


def test_a_folder_holds_everything_and_the_finding_outlives_the_process(
    honest: tuple[Compressor, Work], tmp_path: Path
) -> None:
    memory, before = fresh(honest)
    for name, each in (("drawn", work(3, memory)), ("before", before)):
        write(tmp_path, name, each.parameters, each.base, np.concatenate(each.batches))
        (tmp_path / f"{name}.payload").write_bytes(each.blob)
        (tmp_path / f"{name}.memory").write_bytes(each.memory.tobytes())
    assert (found(tmp_path), read(tmp_path, "later")) == (None, None)
    replay(tmp_path, "cpu", LEAST)
    assert found(tmp_path) == Finding(1_000_000)
    conclude(tmp_path, Finding(1, "why", 2))
    assert found(tmp_path) == Finding(1, "why", 2)
    (tmp_path / "finding.json").write_bytes(b"{")
    assert found(tmp_path) is None
