"""How many blocks of one author and slot are executed: two, which is the proof that it cheats, and no more.

An author may seal as many blocks for its slot as it likes, and each takes as long to execute as the largest
block does. A further one is executed only once a block is built on it that counts among its own author's
two, or once it is voted for: what the others build on, everybody must be able to follow. See
docs/adr/0020-two-blocks-of-a-slot.md.
"""

from runtime.primitives.types import Hash

EXECUTED = 2
"""blocks of one author in one slot"""
REMEMBERED = 4096
"""authors' slots; the blocks that are not final are far fewer"""


class Seals:
    """The blocks that count, by author and slot; their seals are verified."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[bytes, int], set[Hash]] = {}  # least recently named first

    def admit(self, author: bytes, slot: int, block: Hash) -> bool:
        """Say whether a block is one of those that count, which it is from now on while there is room."""
        name = author, slot
        blocks = self._blocks.pop(name, set())
        self._blocks[name] = blocks
        if len(self._blocks) > REMEMBERED:
            del self._blocks[next(iter(self._blocks))]
        if len(blocks) < EXECUTED:
            blocks.add(block)
        return block in blocks
