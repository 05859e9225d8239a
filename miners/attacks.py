"""Miners that cheat, for tests, tables and `--cheat`: one small class is one attack.

A round calls the hooks in this order: assignment -> training -> payload -> serving. The base class is the
honest miner: it changes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import shake_256

import numpy as np

from miners.data import Window
from miners.payload import HEADER, Payload, PayloadShape, decode, encode
from miners.weights import Floats

NAN_LEVEL = b"\xc0\x7f"
"""A bfloat16 that is not a number, little-endian."""


class Attack:
    """Works honestly."""

    name = "honest"

    def assignment(self, windows: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the windows to train on."""
        return windows

    def training(self, delta: Floats) -> Floats:
        """Return the delta to compress, float32 [parameters]."""
        return delta

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        """Return the bytes to commit to; `heard` are the payloads of others that are known already."""
        return blob

    def serving(self, blob: bytes) -> bytes:
        """Return the bytes to serve for the committed ones."""
        return blob


class Noise(Attack):
    """Sends noise of the honest norm instead of training."""

    name = "noise"

    def training(self, delta: Floats) -> Floats:
        seed = int.from_bytes(shake_256(delta.tobytes()).digest(8), "little")
        noise = np.random.default_rng(seed).standard_normal(len(delta), dtype=np.float32)
        return noise * np.float32(np.linalg.norm(delta) / np.linalg.norm(noise))


class SignFlip(Attack):
    """Sends the opposite of what it learnt."""

    name = "sign_flip"

    def training(self, delta: Floats) -> Floats:
        return -delta


class Copy(Attack):
    """Sends the first payload of somebody else it hears of; works honestly until it hears one."""

    name = "copy"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return heard[0] if heard else blob


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


class Garbage(Attack):
    """Sends bytes without meaning."""

    name = "garbage"

    def payload(self, blob: bytes, shape: PayloadShape, heard: Sequence[bytes]) -> bytes:
        return shake_256(blob).digest(len(blob))


class Mismatch(Attack):
    """Commits to one payload and serves another."""

    name = "mismatch"

    def serving(self, blob: bytes) -> bytes:
        return blob[:-1] + bytes([blob[-1] ^ 1])


ATTACKS: dict[str, type[Attack]] = {
    attack.name: attack
    for attack in (Attack, Noise, SignFlip, Copy, Stale, NotANumber, Oversized, Garbage, Mismatch)
}
"""Every attack by the name that `--cheat` takes."""
