"""The text a subnet trains on: shards known by their hash, and who reads which part of them in a round.

    build_corpus(root) -> Corpus(manifest, shards)
    assignment(beacon, hotkey, manifest, parameters) -> windows to train on
    evaluation(beacon, manifest, parameters, assigned) -> hidden windows to score on
    held_out(manifest, parameters, count) -> public windows, for the published loss

A window is the place of one sequence; a batch is `batch_size` windows in order. Nobody chooses windows: they
are the output of SHAKE-256 over a beacon of the chain.
"""

import os
import sysconfig
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_256
from itertools import accumulate
from pathlib import Path
from typing import Annotated, NamedTuple

from miners.parameters import TrainingParameters
from runtime.primitives.hashing import blake2_256
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.shapes import Bounded, struct, u8, u32
from runtime.primitives.types import Hash

SHARD_BYTES = 65_536
"""A shard is at most this long: one quick request, one hash."""
MAX_SHARDS = 65_536
"""4 GiB of text; bounds what a hostile manifest can make a reader hold."""
MAX_MANIFEST_BYTES = 36 * MAX_SHARDS + 64
MANIFEST_VERSION = 2
MAX_CORPUS_BYTES = 1 << 30
"""A provider refuses to read more than this from a directory."""
HELD_OUT_ONE_IN = 16
"""Share of the files that is published for measuring and never trained on."""
EXCLUDED = frozenset({"test", "tests", "idle_test", "encodings", "idlelib", "site-packages", "__pycache__"})
"""Directories without prose or code worth learning: tables, tests, other people's packages."""
DRAWS_PER_WINDOW = 64
"""An evaluation gives up after this many draws per window that all meet assigned text."""


class UnusableCorpus(ValueError):
    """The text is too small, too large or malformed for what is asked; says which."""


@struct("assay::Shard")
class Shard:
    """A piece of text: its hash and its length in bytes."""

    digest: Hash
    length: u32


@struct("assay::Manifest")
class Manifest:
    """The list of a data set's shards; its root names the data set on the chain.

    A subnet that trains an adapter finds here which model it belongs to.
    """

    version: u8
    train: Annotated[list[Shard], Bounded(MAX_SHARDS)]
    held_out: Annotated[list[Shard], Bounded(MAX_SHARDS)]
    base: Hash | None = None  # model_root

    def encode(self) -> bytes:
        """Return the SCALE bytes, which are served as a blob."""
        return MANIFEST.encode(self)

    def root(self) -> bytes:
        """Return the manifest root: blake2b-256 of its bytes, so the manifest is a blob like any other."""
        return blake2_256(self.encode())


MANIFEST = codec(Manifest)


class Window(NamedTuple):
    """One sequence: `sequence + 1` bytes of a shard."""

    shard: Shard
    offset: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """A manifest with the bytes it speaks of."""

    manifest: Manifest
    shards: dict[bytes, bytes]  # digest -> text


def decode_manifest(blob: bytes) -> Manifest:
    """Read a manifest that was fetched by its root.

    Raises: UnusableCorpus.
    """
    if len(blob) > MAX_MANIFEST_BYTES:
        raise UnusableCorpus(f"the manifest has {len(blob)} bytes, at most {MAX_MANIFEST_BYTES} are allowed")
    try:
        manifest: Manifest = MANIFEST.decode(blob)
    except DecodeError as problem:
        raise UnusableCorpus(f"the manifest does not decode: {problem}") from problem
    if manifest.version != MANIFEST_VERSION:
        raise UnusableCorpus(
            f"the manifest has version {manifest.version}, this program reads {MANIFEST_VERSION}"
        )
    for shard in (*manifest.train, *manifest.held_out):
        if not 0 < shard.length <= SHARD_BYTES:
            raise UnusableCorpus(f"a shard claims {shard.length} bytes, must be 1 to {SHARD_BYTES}")
    return manifest


def standard_library() -> Path:
    """Return the directory of the running Python's own source files."""
    return Path(sysconfig.get_path("stdlib"))


def build_corpus(root: Path, base: Hash | None = None) -> Corpus:
    """Cut the Python files below a directory into shards; the same files give the same manifest.

    `base` is the root of the model that an adapter belongs to.

    Raises: UnusableCorpus when there is nothing to read or too much.
    """
    split: dict[bool, list[bytes]] = {False: [], True: []}
    size = 0
    for path in source_files(root):
        size += path.stat().st_size
        if size > MAX_CORPUS_BYTES:
            raise UnusableCorpus(f"{root} holds more than {MAX_CORPUS_BYTES} bytes of source")
        split[_is_held_out(path.relative_to(root))].append(path.read_bytes())
    if not size:
        raise UnusableCorpus(f"{root} holds no Python source files")
    train, held_out = (_cut(b"".join(split[part])) for part in (False, True))
    manifest = Manifest(
        MANIFEST_VERSION, [_shard(text) for text in train], [_shard(text) for text in held_out], base
    )
    return Corpus(manifest, {blake2_256(text): text for text in (*train, *held_out)})


def source_files(root: Path) -> list[Path]:
    """Return the Python files below a directory that belong to the corpus, sorted by their relative path."""
    chosen: list[Path] = []
    for directory, below, files in os.walk(root):
        below[:] = [name for name in below if name not in EXCLUDED]  # not even entered
        chosen += [Path(directory, name) for name in files if name.endswith(".py")]
    regular = [path for path in chosen if path.is_file() and not path.is_symlink()]
    return sorted(regular, key=lambda path: path.relative_to(root).as_posix())


def assignment(
    beacon: bytes, hotkey: bytes, manifest: Manifest, parameters: TrainingParameters
) -> tuple[Window, ...]:
    """Return what a miner trains on in a round, in order: `inner_steps * batch_size` windows."""
    places = _Places(manifest.train, parameters.model.sequence + 1)
    count = parameters.inner_steps * parameters.batch_size
    stream = _draws(b"assay/assignment/1" + beacon + hotkey, count)
    return tuple(places.window(number) for number in stream)


def evaluation(
    beacon: bytes, manifest: Manifest, parameters: TrainingParameters, assigned: Iterable[Window]
) -> tuple[Window, ...]:
    """Return the hidden windows judges measure on; none overlaps a window that was assigned in the round.

    Raises: UnusableCorpus when the assignments leave too little text.
    """
    span = parameters.model.sequence + 1
    places = _Places(manifest.train, span)
    taken = _Taken(assigned, span)
    count = parameters.evaluation_sequences
    drawn: list[Window] = []
    for number in _draws(b"assay/evaluation/1" + beacon, DRAWS_PER_WINDOW * count):
        window = places.window(number)
        if window not in taken:
            drawn.append(window)
        if len(drawn) == count:
            return tuple(drawn)
    raise UnusableCorpus("this round's assignments leave too little text to evaluate on")


def held_out(manifest: Manifest, parameters: TrainingParameters, count: int) -> tuple[Window, ...]:
    """Return evenly spaced windows of the public held-out text; they feed the published loss only."""
    places = _Places(manifest.held_out, parameters.model.sequence + 1)
    return tuple(places.window(places.total * index // count) for index in range(count))


class _Places:
    """Numbers every start of a window in a list of shards."""

    def __init__(self, shards: Sequence[Shard], span: int) -> None:
        self._shards = [shard for shard in shards if shard.length >= span]
        self._ends = list(accumulate(shard.length - span + 1 for shard in self._shards))
        self.total = self._ends[-1] if self._ends else 0
        if not self.total:
            raise UnusableCorpus(f"no shard is as long as one sequence of {span} bytes")

    def window(self, number: int) -> Window:
        """Return the window at a number, taken modulo all starts (bias below 2^-32)."""
        place = number % self.total
        index = bisect_right(self._ends, place)
        return Window(self._shards[index], place - (self._ends[index - 1] if index else 0))


class _Taken:
    """Windows nobody may be measured on; answers whether another one overlaps them."""

    def __init__(self, windows: Iterable[Window], span: int) -> None:
        self._span = span
        self._offsets: dict[bytes, list[int]] = {}
        for window in windows:
            self._offsets.setdefault(window.shard.digest, []).append(window.offset)
        for offsets in self._offsets.values():
            offsets.sort()

    def __contains__(self, window: Window) -> bool:
        offsets = self._offsets.get(window.shard.digest, [])
        after = bisect_right(offsets, window.offset - self._span)  # the first that ends behind our start
        return after < len(offsets) and offsets[after] < window.offset + self._span


def _draws(seed: bytes, count: int) -> Iterator[int]:
    stream = shake_256(seed).digest(8 * count)
    return (int.from_bytes(stream[at : at + 8], "little") for at in range(0, len(stream), 8))


def _is_held_out(path: Path) -> bool:
    return blake2_256(path.as_posix().encode())[0] % HELD_OUT_ONE_IN == 0


def _cut(text: bytes) -> list[bytes]:
    return [text[at : at + SHARD_BYTES] for at in range(0, len(text), SHARD_BYTES)]


def _shard(text: bytes) -> Shard:
    return Shard(Hash(blake2_256(text)), len(text))
