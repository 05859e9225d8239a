"""Foreign bytes for decoders: seeded mutations of real encodings, and what a decoder may do with them.

    report = campaign(target, count=1_000_000, seed=1)      raises Finding with the input that broke a rule

The rules: a decoder returns a value or raises what its target names, within LIMIT seconds and without
keeping memory; what it takes, it writes again byte for byte, unless the target says why not. Inputs that meet
a refusal not seen before join the corpus, so a campaign works its way past one check after the other. One
corpus and one seed give one sequence of inputs.
"""

import random
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LIMIT = 1.0
"""seconds of CPU one input may take; the slowest honest one is far below"""
MEMORY = 256 << 20
"""bytes by which a campaign may raise the peak of the process"""
MAX_INPUT = 1 << 20
"""bytes of one input"""
MAX_KEPT = 512
"""inputs kept beside the seeds"""
REPEATS = (2, 3, 16, 65, 600, 5_000, 10_000)
"""How often a slice is repeated: around and far beyond every limit on nesting and length"""
EDGES = bytes((0, 1, 2, 3, 4, 0x3F, 0x40, 0x7F, 0x80, 0x84, 0xFC, 0xFD, 0xFE, 0xFF))
LENGTHS = (
    b"\xfe\xff\xff\xff", b"\x03\xff\xff\xff\xff", b"\xff" + b"\xff" * 67, b"\x13" + b"\xff" * 8, b"\xfd\xff",
    b"\x02\x00\x01\x00", b"\x01\x00", b"\xff\xff\xff\xff", b"\xff" * 8, b"\x00" * 8,
)  # fmt: skip
"""Compact lengths that promise far more than there is or are not the shortest, and extreme integers"""


@dataclass(frozen=True)
class Target:
    """A decoder of foreign bytes, and what is known of its inputs."""

    name: str
    decode: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    encode: Callable[[Any], bytes] | None = None
    why_loose: str = ""  # why what decodes need not be its only encoding, where encode is None
    kind: Callable[[Any], object] = type  # what tells one accepted value from another kind of them
    words: tuple[bytes, ...] = ()  # pieces of the format worth putting anywhere
    quick: int = 2_000  # inputs of the short form
    long: int = 1_000_000  # inputs of the long form


@dataclass(frozen=True)
class Report:
    """What a campaign saw."""

    inputs: int
    accepted: int
    kinds: int  # of refusals and of values
    seconds: float  # CPU
    slowest_ms: float  # CPU
    grown_mib: float  # of the peak of the process


class Finding(AssertionError):
    """A decoder broke a rule; carries the input."""

    def __init__(self, target: str, data: bytes, problem: str) -> None:
        shown = data if len(data) <= 400 else data[:200] + b" ... " + data[-200:]
        super().__init__(f"{target}: {problem}\n{len(data)} bytes: {shown!r}")
        self.data = data


class Mutator:
    """An endless, repeatable sequence of inputs made from a corpus that grows."""

    def __init__(self, seeds: tuple[bytes, ...], words: tuple[bytes, ...], rng: random.Random) -> None:
        self._corpus = list(seeds)
        self._fixed = len(seeds)
        self._words = words or LENGTHS
        self._rng = rng
        self._moves = (
            self._flip, self._flip, self._edge, self._edge, self._word, self._word,
            self._cut, self._truncate, self._splice, self._noise, self._number, self._repeat,
        )  # fmt: skip

    def keep(self, data: bytes) -> None:
        """Make an input part of the corpus; a full corpus forgets one that is no seed."""
        if len(self._corpus) < self._fixed + MAX_KEPT:
            self._corpus.append(data)
        else:
            self._corpus[self._fixed + self._below(MAX_KEPT)] = data

    def next(self) -> bytes:
        """Return the next input."""
        data = bytearray(self._corpus[self._below(len(self._corpus))])
        moves = self._moves
        while True:
            moves[self._below(len(moves))](data)
            if self._rng.random() < 0.5:
                return bytes(data[:MAX_INPUT])

    def _below(self, count: int) -> int:
        return int(self._rng.random() * count)

    def _at(self, data: bytearray) -> int:
        return self._below(len(data) + 1)

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self._below(len(data))] ^= 1 << self._below(8)

    def _edge(self, data: bytearray) -> None:
        if data:
            data[self._below(len(data))] = EDGES[self._below(len(EDGES))]

    def _word(self, data: bytearray) -> None:
        word, at = self._words[self._below(len(self._words))], self._at(data)
        data[at : at + (len(word) if self._rng.random() < 0.5 else 0)] = word

    def _cut(self, data: bytearray) -> None:
        at = self._at(data)
        del data[at : at + 1 + self._below(8)]

    def _truncate(self, data: bytearray) -> None:
        del data[self._at(data) :]

    def _splice(self, data: bytearray) -> None:
        other = self._corpus[self._below(len(self._corpus))]
        start = self._below(len(other) + 1)
        data[self._at(data) :] = other[start:]

    def _noise(self, data: bytearray) -> None:
        at = self._at(data)
        data[at:at] = self._rng.randbytes(1 + self._below(8))

    def _number(self, data: bytearray) -> None:
        size = (1, 2, 4, 8, 16)[self._below(5)]
        at = self._at(data)
        old = int.from_bytes(data[at : at + size], "little")
        new = (old + self._below(33) - 16) % (1 << 8 * size)
        data[at : at + size] = new.to_bytes(size, "little")

    def _repeat(self, data: bytearray) -> None:
        at = self._at(data)
        piece = bytes(data[at : at + 1 + self._below(6)])
        often = REPEATS[self._below(len(REPEATS) if self._rng.random() < 0.02 else 4)]
        data[at:at] = piece * often


def campaign(target: Target, count: int, seed: int) -> Report:
    """Feed a decoder its seeds and `count` mutations of them.

    Raises: Finding.
    """
    mutator = Mutator(target.seeds, target.words, random.Random(f"{target.name}/{seed}"))
    kinds: set[object] = set()
    accepted = slowest = total = 0
    peak = _peak()
    for number in range(count + len(target.seeds)):
        data = target.seeds[number] if number < len(target.seeds) else mutator.next()
        began = time.thread_time_ns()
        kind: object
        try:
            value = target.decode(data)
        except target.refusals as refusal:
            kind = type(refusal), _DIGITS.sub("", str(refusal))[:80]
            spent = time.thread_time_ns() - began
        except Exception as problem:
            raise Finding(target.name, data, f"{type(problem).__name__} escapes: {problem}") from problem
        else:
            spent = time.thread_time_ns() - began
            kind = target.kind(value), len(data).bit_length()
            accepted += 1
            _check_canonical(target, data, value)
        total += spent
        slowest = max(slowest, spent)
        if spent > LIMIT * 1e9:
            raise Finding(target.name, data, f"takes {spent / 1e9:.1f} s")
        if kind not in kinds:
            kinds.add(kind)
            mutator.keep(data)
    grown = _peak() - peak
    if grown > MEMORY:
        raise Finding(target.name, b"", f"the process grew by {grown >> 20} MiB")
    return Report(
        count + len(target.seeds), accepted, len(kinds), total / 1e9, slowest / 1e6, grown / (1 << 20)
    )


_DIGITS = re.compile(r"0x[0-9a-f]*|\d+|'.*'|\".*\"")


def _check_canonical(target: Target, data: bytes, value: Any) -> None:
    if target.encode is None:
        return
    again = target.encode(value)
    if again != data:
        raise Finding(target.name, data, f"decodes, and encodes as other bytes: {again[:200]!r}")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
