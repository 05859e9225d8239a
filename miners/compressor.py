"""The miner's memory between rounds: what was too small to send is sent later.

Source: SparseLoCo (arXiv 2508.15706), error feedback e <- beta e + delta - sent.
"""

import os
from pathlib import Path

import numpy as np

from miners.layout import parameters_of
from miners.parameters import PPM, TrainingParameters
from miners.payload import Payload, compress, shape_of
from miners.weights import Floats
from runtime.primitives.hashing import blake2_256

MAGIC = b"ASEF\x02"
NOTHING = bytes(32)
"""What an empty error feedback was left by."""


LEAST_FADING_PPM = 20_000
"""A memory that fades less is bounded as if it faded so much."""


class LostMemory(ValueError):
    """The saved error feedback cannot be used; says why."""


def fading_ppm(beta_ppm: int) -> int:
    """Return which part (ppm) of an error feedback is gone after a round, as bounds of it take it."""
    return max(PPM - beta_ppm, LEAST_FADING_PPM)


def added_up(error: Floats, delta: Floats, beta_ppm: int) -> Floats:
    """Return what a round compresses: what earlier ones left, faded, and its own delta."""
    total: Floats = error * np.float32(beta_ppm / PPM) + delta
    return total


class Compressor:
    """Owns the error feedback, float32 [parameters]; starts at zero."""

    def __init__(
        self, parameters: TrainingParameters, error: Floats | None = None, left_by: bytes = NOTHING
    ) -> None:
        """`left_by` is the digest of the payload that left this error feedback."""
        self._parameters = parameters
        self.left_by = left_by
        count = parameters_of(parameters.model)
        self.error = np.zeros(count, dtype=np.float32) if error is None else error
        if self.error.shape != (count,) or self.error.dtype != np.float32:
            raise LostMemory(f"the error feedback does not hold float32 [{count}]")

    def digest(self) -> bytes:
        """Return blake2b-256 of the error feedback as it is now; a commit carries it before compressing."""
        return blake2_256(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the error feedback as little-endian float32, which is what the digest is of."""
        return self.error.astype("<f4").tobytes()

    def compress(self, delta: Floats, base: bytes) -> Payload:
        """Add a round's delta to the memory, take out what the payload carries, return the payload."""
        total = added_up(self.error, delta, self._parameters.beta_ppm)
        payload = compress(total, shape_of(self._parameters, base))
        total[payload.indices] -= payload.values()
        self.error = total
        return payload

    def save(self, path: Path, left_by: bytes = NOTHING) -> None:
        """Write the memory, what left it, and a checksum; the file is whole or absent."""
        body = left_by + self.to_bytes()
        written = path.with_suffix(".new")
        with written.open("wb") as file:
            file.write(MAGIC + blake2_256(body) + body)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)

    @classmethod
    def load(cls, parameters: TrainingParameters, path: Path) -> "Compressor":
        """Read back `save`.

        Raises: LostMemory when the file is damaged or of another model; OSError when it is not there.
        """
        blob = path.read_bytes()
        head, digest, body = blob[: len(MAGIC)], blob[len(MAGIC) : len(MAGIC) + 32], blob[len(MAGIC) + 32 :]
        expected = 4 * parameters_of(parameters.model)
        if head != MAGIC or len(body) != len(NOTHING) + expected or blake2_256(body) != digest:
            raise LostMemory(
                f"{path} is not a whole error feedback of {expected} bytes; delete it to start anew"
            )
        error = np.frombuffer(body, dtype="<f4", offset=len(NOTHING)).astype(np.float32)
        if not np.isfinite(error).all():
            raise LostMemory(f"{path} holds a number that is not finite; delete it to start anew")
        return cls(parameters, error, body[: len(NOTHING)])
