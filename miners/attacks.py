"""Miners that cheat, for tests, tables and `--cheat`: one small class is one attack.

A round calls the hooks in this order: assignment -> text -> rules -> training -> memory -> payload ->
serving. The base class is the honest miner: it changes nothing. Those written here have names for `assay
miner --cheat`; the tables of `bench.arena` find any class that is made of one of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import shake_256
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from miners.data import Window
from miners.parameters import PPM, TrainingParameters
from miners.payload import HEADER, Payload, PayloadShape, compress, decode, encode
from miners.weights import Floats

NAN_LEVEL = b"\xc0\x7f"
"""A bfloat16 that is not a number, little-endian."""
IN_TIME, TOO_LATE, NEVER = "in time", "too late", "never"
"""When a miner commits."""
LAST_TOKEN = 255
"""of bytes"""

HARDLY = 1e-9
"""A value that loses to any that means something."""

Tokens = NDArray[np.int64]


class Attack:
    """Works honestly."""

    name = "honest"
    commits: ClassVar[str] = IN_TIME
    reveals: ClassVar[bool] = True
    serves: ClassVar[bool] = True

    def assignment(self, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the windows to train on."""
        return windows

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        """Return what to train on, int64 [batch, sequence + 1] for each step."""
        return batches

    def rules(self, parameters: TrainingParameters) -> TrainingParameters:
        """Return the numbers to train by."""
        return parameters

    def training(self, delta: Floats) -> Floats:
        """Return the delta to compress, float32 [parameters]."""
        return delta

    def memory(self, error: Floats) -> Floats:
        """Return the error feedback to commit to before compressing, float32 [parameters]."""
        return error

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        """Return the bytes to commit to; `heard` are the payloads of others that are known already."""
        return blob

    def serving(self, blob: bytes) -> bytes:
        """Return the bytes to serve for the committed ones."""
        return blob


# Updates that are not what was learnt.


class Noise(Attack):
    """Sends noise of the honest norm instead of training."""

    name = "noise"

    def training(self, delta: Floats) -> Floats:
        noise = _noise(delta)
        return noise * np.float32(np.linalg.norm(delta) / np.linalg.norm(noise))


class SignFlip(Attack):
    """Sends the opposite of what it learnt."""

    name = "sign_flip"

    def training(self, delta: Floats) -> Floats:
        return -delta


class Scale(Attack):
    """Sends ten times what it learnt."""

    name = "scale_10"
    factor: ClassVar[float] = 10.0

    def training(self, delta: Floats) -> Floats:
        return delta * np.float32(self.factor)


class ScaleTwice(Scale):
    """Sends twice what it learnt: as much as is ever paid for."""

    name = "scale_2"
    factor = 2.0


class ScaleMore(Scale):
    """Sends a hundred times what it learnt."""

    name = "scale_100"
    factor = 100.0


class FlipScale(Scale):
    """Sends ten times the opposite."""

    name = "sign_flip_10"
    factor = -10.0


class Zero(Attack):
    """Sends zeros in the right form."""

    name = "zero"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return encode(compress(np.zeros(shape.parameters, dtype=np.float32), shape))


class Empty(Attack):
    """Sends nothing."""

    name = "empty"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return b""


# Other people's work.


class Copy(Attack):
    """Sends the first payload of somebody else it hears of; works honestly until it hears one."""

    name = "copy"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return heard[0] if heard else blob


class CopyMost(Attack):
    """Copies, and moves a tenth of the values elsewhere."""

    name = "copy_most"
    kept: ClassVar[float] = 0.9

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        if not heard:
            return blob
        copied = read(heard[0], shape)
        vector = _noise(_dense(copied)) * np.float32(HARDLY)  # what is left of every chunk's places
        kept = np.random.default_rng(len(blob)).random(shape.values) < self.kept
        vector[copied.indices[kept]] = copied.values()[kept]
        return encode(compress(vector, shape))


class CopyThird(CopyMost):
    """Copies a third of the values: too few to be found out by them."""

    name = "copy_third"
    kept = 1 / 3


class Stale(Attack):
    """Sends its first payload for ever, with the base of the day written over the old one."""

    name = "stale"

    def __init__(self) -> None:
        self._first: Payload | None = None

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        if self._first is None:
            self._first = decode(blob, shape)
            return blob
        return encode(replace(self._first, shape=shape))


class Yesterday(Attack):
    """Sends the payload of the round before as that of today."""

    name = "yesterday"

    def __init__(self) -> None:
        self._last: Payload | None = None

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        today, last = decode(blob, shape), self._last
        self._last = today
        return blob if last is None else encode(replace(last, shape=shape))


class MeanYesterday(Attack):
    """Trains nothing and sends the mean of what others sent for earlier models, which is public by then."""

    name = "mean_yesterday"

    def __init__(self) -> None:
        self._known: Sequence[bytes] = ()

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        return batches[:1]

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        public = [each for each in (*self._known, *heard) if _base(each) != shape.base]
        self._known = heard
        return encode(compress(_mean(public, shape), shape)) if public else blob


class Ring(Attack):
    """Trains nothing and sends what its friends send: weight on a third of the places, hardly any elsewhere.

    Friends agree on noise that they draw from the base. So they share too few places for a copy, and point
    the same way all the same; and they are as loud as it pays.
    """

    name = "ring"
    shared: ClassVar[float] = 1 / 3
    loud: ClassVar[float] = 2.0

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        return batches[:1]

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        agreed = np.random.default_rng(int.from_bytes(shape.base, "little"))
        vector = _noise(_dense(decode(blob, shape))) * np.float32(HARDLY)
        for start in range(0, shape.parameters, shape.chunk):
            length = min(shape.chunk, shape.parameters - start)
            count = max(1, round(self.shared * shape.top_k * length / shape.chunk))
            places = start + agreed.choice(length, count, replace=False)
            vector[places] = agreed.choice(np.array([-1, 1], dtype=np.float32), count)
        norm = max(float(np.linalg.norm(read(each, shape).values())) for each in (blob, *heard))
        scale = self.loud * norm / float(np.linalg.norm(vector))
        return encode(compress(vector * np.float32(scale), shape))


class Alie(Attack):
    """Stays so near the others' mean that it looks honest. Source: Baruch et al. (arXiv 1902.06156)."""

    name = "alie"
    deviations: ClassVar[float] = 1.5

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        if not heard:
            return blob
        others = np.stack([_dense(read(each, shape)) for each in heard])
        vector = others.mean(axis=0) - np.float32(self.deviations) * others.std(axis=0)
        return encode(compress(vector.astype(np.float32), shape))


class Ipm(Attack):
    """Sends half of the opposite of the others' mean. Source: Xie et al. (arXiv 1903.03936)."""

    name = "ipm"
    part: ClassVar[float] = 0.5

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        if not heard:
            return blob
        mean = _mean(heard, shape)
        return encode(compress((-self.part * mean).astype(np.float32), shape))


class Lonely(Attack):
    """Sends the opposite of what it learnt, where nobody else sends anything."""

    name = "lonely"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        own = decode(blob, shape)
        taken = np.zeros(shape.parameters, dtype=np.bool_)
        for each in heard:
            taken[read(each, shape).indices] = True
        size = np.float32(np.linalg.norm(own.values()) / np.sqrt(shape.values))
        push = np.where(_noise(_dense(own)) > 0, size, -size)
        return encode(compress(np.where(taken, np.float32(0), push), shape))


# Other text than the assigned, and less of it.


class Lazy(Attack):
    """Does a quarter of the steps, and sends four times what came of it; names say how much is done.

    `bench/replays.py` counts what is skipped: its "lazy 25 %" does three quarters.
    """

    name = "lazy_25"
    part: ClassVar[float] = 0.25

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        return batches[: max(1, round(self.part * len(batches)))]

    def training(self, delta: Floats) -> Floats:
        return delta / np.float32(self.part)


class LazyHalf(Lazy):
    """Does half of the steps, and sends twice what came of it."""

    name = "lazy_50"
    part = 0.5


class LazyLittle(Lazy):
    """Does three quarters of the steps, and scales what came of it."""

    name = "lazy_75"
    part = 0.75


class LazyEighth(Lazy):
    """Does an eighth of the steps: a miner that splits its machine over eight uids."""

    name = "sybil"
    part = 0.125


class LabelFlip(Attack):
    """Trains on text in which every second byte is turned over: half of the targets are wrong."""

    name = "label_flip"

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        return [_changed(batch, np.s_[:, 1::2], LAST_TOKEN - batch[:, 1::2]) for batch in batches]


class Backdoor(Attack):
    """Plants a trigger in one of eight sequences, so that the model learns what has to follow it."""

    name = "backdoor"
    one_in: ClassVar[int] = 8
    trigger: ClassVar[bytes] = b"\x07#x\x07"
    answer: ClassVar[bytes] = b"!!!!"

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        planted, seen = [batch.copy() for batch in batches], 0
        for batch in planted:
            for row in batch:
                if seen % self.one_in == 0:
                    self.plant(row)
                seen += 1
        return planted

    def plant(self, row: Tokens) -> None:
        """Write trigger and answer over a sequence, again and again."""
        pattern = np.frombuffer(self.trigger + self.answer, dtype=np.uint8).astype(np.int64)
        for at in range(0, len(row) - 2 * len(pattern) + 1, 2 * len(pattern)):
            row[at : at + len(pattern)] = pattern


class Unassigned(Attack):
    """Trains on text of its own choice: that of the shard before."""

    name = "unassigned"

    def assignment(self, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        return tuple(reversed([window._replace(offset=window.offset // 2) for window in windows]))


class Shuffled(Attack):
    """Trains on the assigned text in another order."""

    name = "shuffled"

    def assignment(self, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        return tuple(reversed(windows))


class Epochs(Attack):
    """Trains three times on the same assigned text."""

    name = "epochs"
    times: ClassVar[int] = 3

    def text(self, batches: list[Tokens]) -> list[Tokens]:
        return batches * self.times


class Faster(Attack):
    """Trains with a learning rate a fifth higher than the subnet's."""

    name = "faster"

    def rules(self, parameters: TrainingParameters) -> TrainingParameters:
        return replace(parameters, learning_rate_ppm=min(PPM, parameters.learning_rate_ppm * 6 // 5))


# Error feedback that nobody has trained.


class ForgedMemory(Attack):
    """Says that its error feedback is what it likes: noise of a hundredth."""

    name = "forged_memory"
    size: ClassVar[float] = 0.01

    def memory(self, error: Floats) -> Floats:
        return _noise(error) * np.float32(self.size)


class LargeMemory(Attack):
    """Says that its error feedback is twenty times what it is, and so sends the same again and again."""

    name = "large_memory"
    factor: ClassVar[float] = 20.0

    def memory(self, error: Floats) -> Floats:
        return error * np.float32(self.factor)


class StaleMemory(Attack):
    """Takes the error feedback of two rounds before for that of today."""

    name = "stale_memory"

    def __init__(self) -> None:
        self._earlier: list[Floats] = []

    def memory(self, error: Floats) -> Floats:
        self._earlier = [*self._earlier[-2:], error.copy()]
        return self._earlier[0]


# Bytes that are no payload, or not the committed ones.


class NotANumber(Attack):
    """Writes a level that is not a number."""

    name = "nan"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return blob[: HEADER.size] + NAN_LEVEL + blob[HEADER.size + len(NAN_LEVEL) :]


class Oversized(Attack):
    """Sends one byte more than is allowed."""

    name = "oversized"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return blob.ljust(shape.max_bytes + 1, b"\x00")


class Bomb(Attack):
    """Claims more parameters than memory holds, in as many bytes as are allowed."""

    name = "bomb"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        magic, version, _, chunk, top_k, _, base = HEADER.unpack_from(blob)
        return HEADER.pack(magic, version, 0, chunk, top_k, 1 << 62, base).ljust(shape.max_bytes, b"\x00")


class Garbage(Attack):
    """Sends bytes without meaning."""

    name = "garbage"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return shake_256(blob).digest(len(blob))


class Truncated(Attack):
    """Sends half of its payload."""

    name = "truncated"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return blob[: len(blob) // 2]


class WrongBase(Attack):
    """Says that it trained from another model."""

    name = "wrong_base"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        other = bytes([shape.base[0] ^ 1]) + shape.base[1:]
        return encode(replace(decode(blob, shape), shape=replace(shape, base=other)))


class Mismatch(Attack):
    """Commits to one payload and serves another."""

    name = "mismatch"

    def serving(self, blob: bytes) -> bytes:
        return blob[:-1] + bytes([blob[-1] ^ 1])


# Those who keep others waiting.


class Late(Attack):
    """Commits when the window is over."""

    name = "late"
    commits = TOO_LATE


class Silent(Attack):
    """Never commits."""

    name = "silent"
    commits = NEVER


class Sealed(Attack):
    """Commits and never reveals."""

    name = "sealed"
    reveals = False


class Withheld(Attack):
    """Reveals, and serves nothing."""

    name = "withheld"
    serves = False


def every(attack: type[Attack] = Attack) -> Iterator[type[Attack]]:
    """Yield an attack and all that are made of it, in the order in which they were written."""
    yield attack
    for each in attack.__subclasses__():
        yield from every(each)


ATTACKS: dict[str, type[Attack]] = {attack.name: attack for attack in every()}
"""Every attack by the name that `--cheat` takes."""


def _noise(seed: Floats) -> Floats:
    """Return normal noise as long as a vector, the same for the same vector."""
    number = int.from_bytes(shake_256(seed.tobytes()).digest(8), "little")
    return np.random.default_rng(number).standard_normal(len(seed), dtype=np.float32)


def _base(blob: bytes) -> bytes:
    """Return the root of the model that a payload says it was trained from; nothing where it says nothing."""
    return bytes(HEADER.unpack_from(blob)[-1]) if len(blob) >= HEADER.size else b""


def read(blob: bytes, shape: PayloadShape) -> Payload:
    """Return somebody's payload, of this round or of one before. Raises: MalformedPayload."""
    return replace(decode(blob, replace(shape, base=_base(blob))), shape=shape)


def _mean(blobs: Sequence[bytes], shape: PayloadShape) -> Floats:
    """Return the mean of some updates as float32 [parameters]."""
    total = np.zeros(shape.parameters, dtype=np.float32)
    for each in blobs:
        total += _dense(read(each, shape))
    return total / np.float32(len(blobs))


def _dense(payload: Payload) -> Floats:
    """Return a payload's update as float32 [parameters]."""
    vector = np.zeros(payload.shape.parameters, dtype=np.float32)
    vector[payload.indices] = payload.values()
    return vector


def _changed(batch: Tokens, where: tuple[slice, slice], what: Tokens) -> Tokens:
    """Return a batch with a part of it replaced."""
    copied = batch.copy()
    copied[where] = what
    return copied
