"""A state on its way to another node: the proof of a range against a known state, and what is kept of it."""

from functools import cache

from chain.common.state_data import StateRange
from chain.storage.range_proof import prove_range, verify_range
from chain.storage.restore import WHOLE, HeldSnapshot, Restoring, Span
from chain.storage.state import Cache, Disk, View
from runtime.primitives.header import Digest, Header
from runtime.primitives.scale import DecodeError, codec
from runtime.primitives.trie import ProofError, trie_root
from runtime.primitives.types import Hash
from tests.fuzz.engine import Target

START = b"\x01"
STATE = {
    bytes([first, second]) * (1 + first % 3): bytes([second]) * (first * 7 + second)
    for first in range(5)
    for second in (0, 1, 16, 40)
} | {b"": b"empty", b"\x01": b"short", b"\x02\x02": bytes(90)}
RANGE = codec(StateRange)


@cache
def truth() -> tuple[Hash, list[StateRange]]:
    """Return the root of the state, and ranges of it that begin at START."""
    reader = View((), Disk(HeldSnapshot(STATE), Cache(1 << 20)))
    return trie_root(STATE), [prove_range(reader, START, limit) for limit in (0, 100, 400, 1 << 20)]


def proven(data: bytes) -> StateRange:
    """Read a range, which holds if its proof does."""
    found: StateRange = RANGE.decode(data)
    verify_range(truth()[0], START, found)
    wanted = sorted((key, value) for key, value in STATE.items() if key >= START)
    assert found.entries == wanted[: len(found.entries)], "a false range was proven"
    assert found.is_complete == (len(found.entries) == len(wanted)), "a false end was proven"
    return found


def targets() -> list[Target]:
    """Return the targets of this module."""
    header = Header(Hash(bytes(32)), 9, Hash(bytes(32)), Hash(bytes(32)), Digest([]))
    records = [Restoring(header, [WHOLE]), Restoring(header, [Span(b"", b"\x01"), Span(b"\x02", None)])]
    record = codec(Restoring)
    ranges = tuple(RANGE.encode(each) for each in truth()[1])
    return [
        Target(
            "state.restoring", record.decode, (DecodeError,), tuple(map(record.encode, records)),
            record.encode,
        ),
        Target("state.range", proven, (DecodeError, ProofError), ranges, RANGE.encode),
    ]  # fmt: skip
