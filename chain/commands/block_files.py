"""Files of blocks, as Substrate's export-blocks writes and import-blocks reads them.

    binary   count u64, little-endian, then that many SignedBlock in SCALE
    JSON     one SignedBlock after the other; we write one a line

A file is read a piece at a time: however long it is, one block and a buffer are in memory.
Source: paritytech/polkadot-sdk substrate/client/service/src/chain_ops (export_blocks, import_blocks).
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from chain.rpc.shapes import block_json
from runtime.primitives.header import GRANDPA_ENGINE, Digest, DigestItem, EngineId, Header
from runtime.primitives.scale import DecodeError, Input, codec
from runtime.primitives.shapes import Bounded
from runtime.primitives.types import Hash

MAX_BLOCK = 32 << 20
"""bytes of one block in either form; in JSON the largest legal one takes about half"""
BUFFER = 1 << 20
"""bytes read at a time"""
MAX_JUSTIFICATIONS = 8
"""One per consensus engine."""

_HEADER, _BODY, _BYTES, _LOG = codec(Header), codec(list[bytes]), codec(bytes), codec(DigestItem)
_JUSTIFICATIONS = codec(Annotated[list[tuple[EngineId, bytes]], Bounded(MAX_JUSTIFICATIONS)] | None)
_COUNT = 8
"""bytes of the number at the head of a binary file"""
_SPACE = re.compile(rb"\s*")
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"0x[0-9a-f]{1,8}", re.IGNORECASE | re.ASCII)


class BlockFileError(ValueError):
    """The file holds no blocks, or is damaged; says where."""


@dataclass(frozen=True, slots=True)
class SignedBlock:
    """A block with the proof that it is final, where there is one."""

    header: Header
    body: list[bytes]
    justification: bytes | None


def write_binary(output: BinaryIO, count: int, blocks: Iterator[SignedBlock]) -> None:
    """Write blocks as Substrate's --binary does."""
    output.write(count.to_bytes(_COUNT, "little"))
    for block in blocks:
        proofs = None if block.justification is None else [(GRANDPA_ENGINE, block.justification)]
        body = [_BYTES.decode(extrinsic) for extrinsic in block.body]
        output.write(_HEADER.encode(block.header) + _BODY.encode(body) + _JUSTIFICATIONS.encode(proofs))


def write_json(output: BinaryIO, count: int, blocks: Iterator[SignedBlock]) -> None:
    """Write blocks as JSON, one a line."""
    for block in blocks:
        text = json.dumps(block_json(block.header, block.body, block.justification), separators=(",", ":"))
        output.write(text.encode() + b"\n")


def read_binary(source: BinaryIO) -> Iterator[SignedBlock]:
    """Yield the blocks of a binary file.

    Raises: BlockFileError.
    """
    head = source.read(_COUNT)
    if len(head) < _COUNT:
        raise BlockFileError("the file is too short to say how many blocks it has")
    count = int.from_bytes(head, "little")
    held = b""
    for index in range(1, count + 1):
        place = f"block {index} of {count} in the file"
        block, held = _next(source, held, _decode, place)
        if block is None:
            raise BlockFileError(f"{place} is missing: the file is cut off")
        yield block


def read_json(source: BinaryIO) -> Iterator[SignedBlock]:
    """Yield the blocks of a JSON file.

    Raises: BlockFileError.
    """
    held, index = b"", 1
    while True:
        block, held = _next(source, held, _parse, f"block {index} in the file")
        if block is None:
            return
        yield block
        index += 1


class _NotWhole(Exception):
    """What is held ends inside a block."""


def _next(
    source: BinaryIO, held: bytes, take: Callable[[bytes], tuple[SignedBlock | None, int]], place: str
) -> tuple[SignedBlock | None, bytes]:
    """Return the next block (None: the end) and what was read beyond it."""
    while True:
        try:
            block, used = take(held)
        except _NotWhole as problem:
            more = source.read(max(BUFFER, len(held))) if len(held) < MAX_BLOCK else b""
            if not more:
                why = "is cut off or damaged" if len(held) < MAX_BLOCK else f"is above {MAX_BLOCK >> 20} MiB"
                raise BlockFileError(f"{place} {why}: {problem}") from problem
            held += more
            continue
        except (ValueError, LookupError, TypeError) as problem:
            raise BlockFileError(f"{place} is no block: {problem!r}") from problem
        if block is not None:
            return block, held[used:]
        held = source.read(BUFFER)
        if not held:
            return None, b""


def _decode(held: bytes) -> tuple[SignedBlock | None, int]:
    """Return the SCALE block at the front, and its length."""
    if not held:
        return None, 0
    source = Input(held)
    try:
        header, body = _HEADER.read(source), _BODY.read(source)
        proofs = _JUSTIFICATIONS.read(source)
    except DecodeError as problem:
        raise _NotWhole(str(problem)) from problem
    return SignedBlock(header, [_BYTES.encode(each) for each in body], _grandpa(proofs)), source.offset


def _parse(held: bytes) -> tuple[SignedBlock | None, int]:
    """Return the JSON block at the front, and its length."""
    start = _SPACE.match(held).end()  # type: ignore[union-attr]  # it matches nothing, too
    if start == len(held):
        return None, start
    try:
        given, length = json.JSONDecoder().raw_decode(held[start:].decode("ascii"))
    except (ValueError, RecursionError) as problem:
        raise _NotWhole(str(problem)) from problem
    return _from_json(given), start + length


def _from_json(given: Any) -> SignedBlock:
    """Raises: ValueError, LookupError, TypeError."""
    block, header = given["block"], given["block"]["header"]
    number = header["number"]
    if not isinstance(number, str) or _NUMBER.fullmatch(number) is None:
        raise ValueError(f"the number {number!r} is not hexadecimal")
    proofs = given["justifications"]
    return SignedBlock(
        Header(
            _hash(header["parentHash"]),
            int(number, 16),
            _hash(header["stateRoot"]),
            _hash(header["extrinsicsRoot"]),
            Digest([_LOG.decode(_bytes(log)) for log in header["digest"]["logs"]]),
        ),
        [_bytes(extrinsic) for extrinsic in block["extrinsics"]],
        None if proofs is None else _grandpa([(_octets(engine), _octets(proof)) for engine, proof in proofs]),
    )


def _grandpa(proofs: list[tuple[bytes, bytes]] | None) -> bytes | None:
    return next((proof for engine, proof in proofs or () if engine == GRANDPA_ENGINE), None)


def _octets(numbers: object) -> bytes:
    if not isinstance(numbers, list):
        raise TypeError(f"{str(numbers)[:70]!r} is no array of bytes")
    return bytes(numbers)


def _bytes(text: object) -> bytes:
    if not isinstance(text, str) or _HEX.fullmatch(text) is None:
        raise ValueError(f"{str(text)[:70]!r} is not hexadecimal")
    return bytes.fromhex(text[2:])


def _hash(text: object) -> Hash:
    found = _bytes(text)
    if len(found) != 32:
        raise ValueError(f"a hash has 32 bytes, {text!r} has {len(found)}")
    return Hash(found)
