"""What a miner publishes: the largest values of its update, two bits each, and where they stand.

    compress(vector, shape) -> Payload -> encode -> bytes -> decode(blob, shape) -> Payload

    header   magic 4 | version 1 | rice 1 | chunk u32 | top_k u32 | parameters u64 | base root 32
    levels   per chunk: low bf16 | high bf16                  the two magnitudes its values may take
    signs    one bit per value, 1 = negative                  every bit field is padded with zeros to a byte
    highs    one bit per value, 1 = the high level
    low bits `rice` bits per gap                              a gap = parameters skipped since the last value
    unary    gap >> rice zeros, then a one, per gap

The vector is cut into chunks of fixed length, whatever the tensors are, so that a payload does not depend on
how many machines made it. Source: SparseLoCo (arXiv 2508.15706) for the values; Rice codes, JPL 79-22.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miners.layout import parameters_of
from miners.parameters import TrainingParameters
from miners.weights import Floats

MAGIC = b"ASUP"
VERSION = 1
HEADER = struct.Struct("<4sBBIIQ32s")
MAX_RICE = 15
"""Chunks have at most 65,536 parameters, so no gap needs more low bits."""
LLOYD_STEPS = 3
"""Rounds of moving the two levels of a chunk to the means of their values."""
BF16_FOUR = 0x4080
"""The bits of 4.0: no level may reach it, so that Q30 sums fit int64."""
BF16_INFINITY = 0x7F80
BF16_SIGN = 0x8000

Indices = NDArray[np.int64]
Bits = NDArray[np.bool_]


class MalformedPayload(ValueError):
    """The blob is not a payload for this round; says why in one line."""


@dataclass(frozen=True, slots=True)
class PayloadShape:
    """What every payload of one round has in common."""

    base: bytes  # model root it was trained from, 32 bytes
    parameters: int
    chunk: int
    top_k: int
    max_bytes: int

    @property
    def full_chunks(self) -> int:
        """Number of chunks of full length."""
        return self.parameters // self.chunk

    @property
    def tail(self) -> int:
        """Length of the last, shorter chunk; 0 when there is none."""
        return self.parameters % self.chunk

    @property
    def tail_top_k(self) -> int:
        """Values kept of the shorter chunk: the same share, rounded up."""
        return -(-self.top_k * self.tail // self.chunk)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return self.full_chunks + (self.tail > 0)

    @property
    def values(self) -> int:
        """Number of values in a payload."""
        return self.full_chunks * self.top_k + self.tail_top_k


@dataclass(frozen=True, slots=True, eq=False)
class Payload:
    """One decoded update."""

    shape: PayloadShape
    indices: Indices  # int64 [values], strictly increasing
    negative: Bits  # bool [values]
    high: Bits  # bool [values]
    levels: NDArray[np.uint16]  # bf16 bits [chunks, 2]: low, high

    def chunk_of(self) -> Indices:
        """Return the chunk of each value, int64 [values]."""
        return self.indices // self.shape.chunk

    def values(self) -> Floats:
        """Return the values as float32 [values]."""
        magnitudes = (self.levels.astype(np.uint32) << 16).view(np.float32)  # [chunks, 2]
        picked = magnitudes[self.chunk_of(), self.high.astype(np.int64)]
        signed: Floats = np.where(self.negative, -picked, picked)
        return signed


def shape_of(parameters: TrainingParameters, base: bytes) -> PayloadShape:
    """Return the shape of the payloads trained from this model root."""
    return PayloadShape(
        base=base,
        parameters=parameters_of(parameters.model),
        chunk=parameters.chunk,
        top_k=parameters.top_k,
        max_bytes=parameters.max_payload_bytes,
    )


def compress(vector: Floats, shape: PayloadShape) -> Payload:
    """Keep the top k of every chunk and quantise them to two levels per chunk.

    Raises: ValueError when a number is not finite.
    """
    if vector.shape != (shape.parameters,) or not np.isfinite(vector).all():
        raise ValueError(f"the update must be {shape.parameters} finite numbers")
    kept = _largest(np.abs(vector), shape)
    values = vector[kept]
    levels, high = _quantise(np.abs(values), kept // shape.chunk, shape.chunks)
    return Payload(shape, kept, np.signbit(values), high, levels)


def encode(payload: Payload) -> bytes:
    """Return the bytes of a payload."""
    shape = payload.shape
    gaps = _gaps(payload.indices, shape)
    rice = min(range(MAX_RICE + 1), key=lambda bits: len(gaps) * bits + int((gaps >> bits).sum()))
    header = HEADER.pack(MAGIC, VERSION, rice, shape.chunk, shape.top_k, shape.parameters, shape.base)
    low_bits = (gaps[:, None] >> np.arange(rice - 1, -1, -1)) & 1  # [values, rice]
    ends = np.cumsum((gaps >> rice) + 1) - 1
    unary = np.zeros(int(ends[-1]) + 1, dtype=np.bool_)
    unary[ends] = True
    fields = (payload.negative, payload.high, low_bits.astype(np.bool_).reshape(-1), unary)
    packed = [np.packbits(one).tobytes() for one in fields]
    return b"".join([header, payload.levels.astype("<u2").tobytes(), *packed])


def decode(blob: bytes, shape: PayloadShape) -> Payload:
    """Read a stranger's bytes. Work and memory are bounded by the shape, never by what the blob claims.

    Raises: MalformedPayload.
    """
    if len(blob) > shape.max_bytes:
        raise MalformedPayload(f"payload has {len(blob)} bytes, at most {shape.max_bytes} are allowed")
    rice = _check_header(blob, shape)
    reader = _Reader(blob, HEADER.size)
    levels = np.frombuffer(reader.take(4 * shape.chunks), dtype="<u2").astype(np.uint16).reshape(-1, 2)
    _check_levels(levels)
    negative = reader.bits(shape.values, "sign")
    high = reader.bits(shape.values, "level")
    low_bits = reader.bits(shape.values * rice, "low bit").reshape(shape.values, rice)
    weights = np.int64(1) << np.arange(rice - 1, -1, -1, dtype=np.int64)
    quotients = _read_unary(reader.rest(), shape.values, shape.parameters >> rice)
    gaps = (quotients << rice) + low_bits.astype(np.int64) @ weights
    return Payload(shape, _positions(gaps, shape), negative, high, levels)


class _Reader:
    """Takes fields of known length off the front of a blob."""

    def __init__(self, blob: bytes, offset: int) -> None:
        self._blob = blob
        self._offset = offset

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._blob):
            raise MalformedPayload(f"payload is truncated: {len(self._blob)} bytes, needs more than {end}")
        field = self._blob[self._offset : end]
        self._offset = end
        return field

    def bits(self, count: int, name: str) -> Bits:
        unpacked = np.unpackbits(np.frombuffer(self.take(-(-count // 8)), dtype=np.uint8)).astype(np.bool_)
        if unpacked[count:].any():
            raise MalformedPayload(f"the padding of the {name} field is not zero")
        return unpacked[:count]

    def rest(self) -> bytes:
        return self._blob[self._offset :]


def _check_header(blob: bytes, shape: PayloadShape) -> int:
    if len(blob) < HEADER.size:
        raise MalformedPayload(f"payload has {len(blob)} bytes, its header alone needs {HEADER.size}")
    magic, version, rice, chunk, top_k, parameters, base = HEADER.unpack_from(blob)
    if magic != MAGIC:
        raise MalformedPayload(f"payload starts with {magic.hex()}, not with {MAGIC.hex()}")
    claimed = {
        "version": (version, VERSION),
        "chunk": (chunk, shape.chunk),
        "top_k": (top_k, shape.top_k),
        "parameters": (parameters, shape.parameters),
    }
    for name, (found, wanted) in claimed.items():
        if found != wanted:
            raise MalformedPayload(f"{name} is {found}, this round needs {wanted}")
    if base != shape.base:
        raise MalformedPayload(
            f"trained from model 0x{base.hex()}, this round starts at 0x{shape.base.hex()}"
        )
    if rice > MAX_RICE:
        raise MalformedPayload(f"rice parameter is {rice}, at most {MAX_RICE} is allowed")
    return int(rice)


def _check_levels(levels: NDArray[np.uint16]) -> None:
    magnitude = levels & ~np.uint16(BF16_SIGN)
    if (magnitude >= BF16_INFINITY).any():
        raise MalformedPayload("a level is not a finite number")
    if (magnitude >= BF16_FOUR).any():
        raise MalformedPayload("a level is 4 or more in absolute value")
    if (levels != magnitude).any():
        raise MalformedPayload("a level is negative; signs have their own field")
    if (levels[:, 0] > levels[:, 1]).any():
        raise MalformedPayload("a chunk's low level is above its high level")


def _read_unary(field: bytes, count: int, most_zeros: int) -> Indices:
    if len(field) > (count + most_zeros + 7) // 8:
        raise MalformedPayload("payload has trailing bytes")
    ends = np.flatnonzero(np.unpackbits(np.frombuffer(field, dtype=np.uint8)))
    if len(ends) != count:
        raise MalformedPayload(f"payload holds {len(ends)} positions, needs {count}")
    if count and (int(ends[-1]) >> 3) != len(field) - 1:
        raise MalformedPayload("payload has trailing bytes")
    return np.diff(ends, prepend=-1) - 1


def _gaps(indices: Indices, shape: PayloadShape) -> Indices:
    """Return the parameters skipped before each value since the last one of its chunk."""
    within = indices % shape.chunk
    before = np.concatenate(([-1], within[:-1]))
    before[_first_of_chunk(shape)] = -1
    return within - before - 1


def _positions(gaps: Indices, shape: PayloadShape) -> Indices:
    """Undo `_gaps`; refuse a value that falls out of its chunk."""
    steps = np.cumsum(gaps + 1)
    first = _first_of_chunk(shape)
    counts = np.diff(np.append(first, shape.values))
    before_chunk = np.repeat(steps[first] - gaps[first] - 1, counts)
    within = steps - before_chunk - 1
    chunk = np.repeat(np.arange(shape.chunks, dtype=np.int64), counts)
    indices: Indices = chunk * shape.chunk + within
    if (within >= shape.chunk).any() or (len(indices) and indices[-1] >= shape.parameters):
        raise MalformedPayload("a position is outside of its chunk")
    return indices


def _first_of_chunk(shape: PayloadShape) -> Indices:
    return np.arange(shape.chunks, dtype=np.int64) * shape.top_k


def _largest(magnitudes: Floats, shape: PayloadShape) -> Indices:
    """Return the positions of the k largest of every chunk, ascending; of equals the first ones."""
    cut = shape.full_chunks * shape.chunk
    full = _largest_of_rows(magnitudes[:cut].reshape(-1, shape.chunk), shape.top_k)
    if not shape.tail:
        return full
    return np.concatenate((full, cut + _largest_of_rows(magnitudes[None, cut:], shape.tail_top_k)))


def _largest_of_rows(rows: Floats, k: int) -> Indices:
    threshold = np.partition(rows, rows.shape[1] - k, axis=1)[:, -k, None]
    above = rows > threshold
    ties = rows == threshold
    room = k - above.sum(axis=1, keepdims=True)
    return np.flatnonzero(above | (ties & (np.cumsum(ties, axis=1) <= room)))


def _quantise(
    magnitudes: Floats, chunk: Indices, chunks: int
) -> tuple[NDArray[np.uint16], Bits]:  # levels [chunks, 2], high [values]
    threshold = _mean(magnitudes, chunk, chunks)
    for _ in range(LLOYD_STEPS):
        high = magnitudes > threshold[chunk]
        low_level = _mean(magnitudes[~high], chunk[~high], chunks)
        high_level = np.maximum(_mean(magnitudes[high], chunk[high], chunks), low_level)
        threshold = (low_level + high_level) / 2
    return _to_bf16(np.stack((low_level, high_level), axis=1)), high


def _mean(values: Floats, chunk: Indices, chunks: int) -> NDArray[np.float64]:
    counts = np.maximum(1, np.bincount(chunk, minlength=chunks))
    means: NDArray[np.float64] = np.bincount(chunk, weights=values, minlength=chunks) / counts
    return means


def _to_bf16(numbers: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Round non-negative numbers half to even to bfloat16 bits; 4 and more become the largest below 4."""
    words = numbers.astype(np.float32).view(np.uint32)
    rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16
    bits: NDArray[np.uint16] = np.minimum(rounded, BF16_FOUR - 1).astype(np.uint16)
    return bits
