"""Whole models that judges keep for those who join: nodes of the tree under the root the chain attests.

models/00000050-9c41…/1f/1f3a…     0x00 and a 64 KiB leaf, or 0x01 and two hashes: a blob like any other
models/00000100-07be….half/…       one that is still being written or fetched: a restart goes on with it

Each node is served under its hash, so a joiner goes down from the root and needs to believe nobody.
"""

import asyncio
import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np

from miners.blobs.store import Quota
from miners.files import sync_directory
from miners.layout import ModelConfig, parameters_of
from miners.weights import (
    HASH_BYTES,
    INNER,
    LEAF,
    LEAF_BYTES,
    MasterWeights,
    RefusedWeights,
    leaves_of,
    split,
)
from runtime.primitives.hashing import blake2_256

NODE_BYTES = LEAF_BYTES + 1
"""Most bytes of a node."""
AT_ONCE = 8
"""nodes asked for at a time"""
HALF = ".half"
ROUND_DIGITS = 8

Get = Callable[[bytes, int], Awaitable[bytes]]
"""(digest, most bytes) -> the blob. Raises: BlobError."""
Progress = Callable[[int, int], None]
"""(leaves here, leaves in all)"""


class Models:
    """The models below one directory, by the round they came after."""

    def __init__(self, directory: Path, quota: Quota) -> None:
        self._directory = directory
        self._quota = quota
        self._lock = threading.RLock()
        self._fetching: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        directory.mkdir(parents=True, exist_ok=True)
        quota.used += sum(_size(path) for path in directory.iterdir() if path.is_dir())

    @property
    def rounds(self) -> list[int]:
        """Return the rounds whose models are whole here, ascending."""
        return sorted(_round_of(path) for path in self._whole())

    def find(self, digest: bytes) -> Path | None:
        """Return the file of a node of any model that is whole here."""
        found = (_node(path, digest) for path in self._whole())
        return next((path for path in found if path.is_file()), None)

    def keep(self, number: int, weights: MasterWeights) -> None:
        """Keep the model after a round; when this returns, it survives a crash.

        Raises: StoreFull, OSError.
        """
        home = self._home(number, weights.root())
        if home.is_dir():
            return
        with self._writing(home, _bytes_of(weights.config)) as half:
            for node in nodes_of(weights):
                _write(half, blake2_256(node), node, is_synced=True)
            self._finish(half, home)

    async def fetch(
        self, number: int, root: bytes, config: ModelConfig, get: Get, tell: Progress = lambda *_: None
    ) -> MasterWeights:
        """Return the model of a root, node by node; what an earlier attempt got is not asked for again.

        Raises: BlobError, RefusedWeights, StoreFull, OSError.
        """
        home = self._home(number, root)
        async with self._fetching.setdefault(home, asyncio.Lock()):  # two would write one half
            if home.is_dir():
                return await _descend(home, root, config, get, tell)
            with self._writing(home, _bytes_of(config)) as half:
                weights = await _descend(half, root, config, get, tell)
                await asyncio.to_thread(self._finish, half, home)
            return weights

    def forget(self) -> None:
        """Delete every model, and what was begun of any."""
        self.forget_before(_NONE)

    def forget_before(self, number: int) -> None:
        """Delete the models of earlier rounds, and what was begun of them."""
        with self._lock:
            for path in [each for each in self._directory.iterdir() if _round_of(each) < number]:
                self._quota.release(_size(path))
                shutil.rmtree(path)

    def _home(self, number: int, root: bytes) -> Path:
        return self._directory / f"{number:0{ROUND_DIGITS}d}-{root.hex()}"

    def _whole(self) -> list[Path]:
        return [path for path in self._directory.iterdir() if _round_of(path) < _NONE and path.suffix != HALF]

    def _writing(self, home: Path, size: int) -> "_Half":
        return _Half(home.with_name(home.name + HALF), size, self._quota)

    def _finish(self, half: Path, home: Path) -> None:
        """Make what was written a model that others may have."""
        for path in sorted(half.iterdir()):
            sync_directory(path)
        sync_directory(half)
        with self._lock:
            os.replace(half, home)
        sync_directory(self._directory)


class _Half:
    """A model that is being written: room for the whole of it is set aside meanwhile."""

    def __init__(self, path: Path, size: int, quota: Quota) -> None:
        path.mkdir(exist_ok=True)
        self._path = path
        self._before = _size(path)  # counted already
        self._size = max(0, size - self._before)
        self._quota = quota

    def __enter__(self) -> Path:
        self._quota.reserve(self._size)
        return self._path

    def __exit__(self, *problem: object) -> None:
        here = self._path if self._path.is_dir() else self._path.with_name(self._path.name[: -len(HALF)])
        self._quota.release(self._size + self._before - _size(here))


def nodes_of(weights: MasterWeights) -> Iterator[bytes]:
    """Yield every node of a model's tree, children before their parents and the root's last."""
    blob = weights.to_bytes()
    level = []
    for at in range(0, len(blob), LEAF_BYTES):
        leaf = LEAF + blob[at : at + LEAF_BYTES]
        yield leaf
        level.append(blake2_256(leaf))
    while len(level) > 1:
        pairs = [INNER + left + right for left, right in zip(level[::2], level[1::2], strict=False)]
        yield from pairs
        level = [blake2_256(pair) for pair in pairs] + level[2 * len(pairs) :]


def _bytes_of(config: ModelConfig) -> int:
    """Return how many bytes all nodes of a model have."""
    leaves = leaves_of(config)
    return 4 * parameters_of(config) + leaves + (leaves - 1) * (1 + 2 * HASH_BYTES)


async def _descend(half: Path, root: bytes, config: ModelConfig, get: Get, tell: Progress) -> MasterWeights:
    """Get the nodes from the root down, at most `AT_ONCE` at a time."""
    total, here = leaves_of(config), 0
    words = bytearray(4 * parameters_of(config))
    waiting = [(root, 0, total)]  # hash, first leaf below it, leaves below it
    while waiting:
        asked, waiting = waiting[-AT_ONCE:], waiting[:-AT_ONCE]
        getting = (_node_of(half, digest, get) for digest, _, _ in asked)
        found = await asyncio.gather(*getting, return_exceptions=True)  # all of them end before this does
        for (_, first, count), node in zip(asked, found, strict=True):
            if isinstance(node, BaseException):
                raise node
            if count == 1:
                _place(words, first, node)
                here += 1
            else:
                left = split(count)
                one, other = _children(node)
                waiting += [(other, first + left, count - left), (one, first, left)]
        tell(here, total)
    return MasterWeights(config, np.frombuffer(words, dtype="<i4").astype(np.int32, copy=False))


async def _node_of(half: Path, digest: bytes, get: Get) -> bytes:
    kept = await asyncio.to_thread(_kept, half, digest)
    if kept is not None:
        return kept
    node = await get(digest, NODE_BYTES)
    await asyncio.to_thread(_write, half, digest, node)
    return node


def _children(node: bytes) -> tuple[bytes, bytes]:
    if node[:1] != INNER or len(node) != 1 + 2 * HASH_BYTES:
        raise RefusedWeights("the tree of the model has another shape than its configuration")
    return node[1 : 1 + HASH_BYTES], node[1 + HASH_BYTES :]


def _place(words: bytearray, leaf: int, node: bytes) -> None:
    at = leaf * LEAF_BYTES
    if node[:1] != LEAF or len(node) - 1 != min(LEAF_BYTES, len(words) - at):
        raise RefusedWeights("the tree of the model has another shape than its configuration")
    words[at : at + len(node) - 1] = node[1:]


def _node(directory: Path, digest: bytes) -> Path:
    name = digest.hex()
    return directory / name[:2] / name


def _kept(directory: Path, digest: bytes) -> bytes | None:
    try:
        node = _node(directory, digest).read_bytes()
    except FileNotFoundError:
        return None
    return node if blake2_256(node) == digest else None


def _write(directory: Path, digest: bytes, node: bytes, *, is_synced: bool = False) -> None:
    """Write a node; without a sync a power cut may damage it, which its hash tells."""
    path = _node(directory, digest)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(node)
        if is_synced:
            file.flush()
            os.fsync(file.fileno())


_NONE = 10**ROUND_DIGITS
"""No round has this number."""


def _round_of(path: Path) -> int:
    """Return the round in the name of a model's directory; a number beyond all rounds for any other."""
    number, _, root = path.name.removesuffix(HALF).partition("-")
    is_ours = path.is_dir() and number.isdecimal() and len(number) >= ROUND_DIGITS and len(root) == 64
    return int(number) if is_ours else _NONE


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
