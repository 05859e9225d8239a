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

MAGIC = b"ASEF\x01"


class LostMemory(ValueError):
    """The saved error feedback cannot be used; says why."""


class Compressor:
    """Owns the error feedback, float32 [parameters]; starts at zero."""

    def __init__(self, parameters: TrainingParameters, error: Floats | None = None) -> None:
        self._parameters = parameters
        count = parameters_of(parameters.model)
        self.error = np.zeros(count, dtype=np.float32) if error is None else error
        if self.error.shape != (count,) or self.error.dtype != np.float32:
            raise LostMemory(f"the error feedback does not hold float32 [{count}]")

    def digest(self) -> bytes:
        """Return blake2b-256 of the error feedback as it is now; a commit carries it before compressing."""
        return blake2_256(self.error.astype("<f4").tobytes())

    def compress(self, delta: Floats, base: bytes) -> Payload:
        """Add a round's delta to the memory, take out what the payload carries, return the payload."""
        total = self.error * np.float32(self._parameters.beta_ppm / PPM) + delta
        payload = compress(total, shape_of(self._parameters, base))
        total[payload.indices] -= payload.values()
        self.error = total
        return payload

    def save(self, path: Path) -> None:
        """Write the memory beside its checksum; the file is whole or absent."""
        body = self.error.astype("<f4").tobytes()
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
        if head != MAGIC or len(body) != expected or blake2_256(body) != digest:
            raise LostMemory(
                f"{path} is not a whole error feedback of {expected} bytes; delete it to start anew"
            )
        error = np.frombuffer(body, dtype="<f4").astype(np.float32)
        if not np.isfinite(error).all():
            raise LostMemory(f"{path} holds a number that is not finite; delete it to start anew")
        return cls(parameters, error)
