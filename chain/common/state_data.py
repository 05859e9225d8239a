"""A range of a state as peers send it to each other, and how they ask for it."""

from typing import Annotated

from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, struct
from runtime.primitives.trie import MAX_KEY

MAX_ENTRIES = 1 << 14
"""in one range; a megabyte of accounts has 6,500"""
MAX_NODES = 4 * MAX_KEY
"""cut by the two edges of a range: at most one for each nibble"""
MAX_RANGE = 1 << 20
"""bytes of entries at which a range ends; the last entry may go beyond it"""
PER_ENTRY = 8
"""bytes that an entry counts for beside its own"""

Entry = tuple[bytes, bytes]
"""a key and its value"""


@struct("assay_network::StateRange")
class StateRange:
    """Entries, and the trie's nodes that prove that there are no others from the start up to the last one."""

    entries: Annotated[list[Entry], Bounded(MAX_ENTRIES)]
    proof: Annotated[list[bytes], Bounded(MAX_NODES)]
    is_complete: bool  # nothing comes after the last entry


STATE_RANGE = codec(StateRange)
NOTHING = StateRange([], [], is_complete=False)
"""says that the state is not there, which no proof does"""


def entry_size(entry: Entry) -> int:
    """Return the bytes that an entry counts for."""
    return len(entry[0]) + len(entry[1]) + PER_ENTRY
