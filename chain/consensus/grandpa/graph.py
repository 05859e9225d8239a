"""The vote graph: how much weight stands behind every block above a base, in each phase of a round.

Only blocks where a vote ends or chains part are nodes. A node owns the run of blocks from just above its
parent up to itself; all of them have the same support, so the node's own is enough. A block is walked over
once, when the first vote above it comes; a vote then costs one step per node below it, and a search one step
per node, however long the chain is. Source: the vote graph of finality-grandpa.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from runtime.primitives.grandpa import Block
from runtime.primitives.types import Hash

PHASES = 2
"""prevote and precommit"""


class Ancestry(Protocol):
    """The blocks a node has, by their parents."""

    def parent(self, block: Hash) -> Block | None:
        """Return the parent of a block that is stored, None of any other."""


class Node:
    """The end of a run of blocks with equal support."""

    __slots__ = ("blocks", "children", "number", "parent", "weights")

    def __init__(self, blocks: list[Hash], number: int, parent: "Node | None", weights: list[int]) -> None:
        self.blocks = blocks  # lowest first
        self.number = number  # of the last
        self.parent = parent
        self.children: list[Node] = []
        self.weights = weights  # by phase: of the votes for this node or above

    @property
    def block(self) -> Block:
        """The highest block of the run."""
        return self.blocks[-1], self.number

    def down(self) -> Iterator["Node"]:
        """Yield this node and those below it, to the base."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


class VoteGraph:
    """Votes above a base; it grows by the blocks that votes name."""

    def __init__(self, base: Block, ancestry: Ancestry) -> None:
        self._ancestry = ancestry
        self.root = Node([base[0]], base[1], None, [0] * PHASES)
        self._owners = {base[0]: self.root}

    def find(self, block: Block) -> Node | None:
        """Return the node of a block, made where needed; None unless the block descends from the base."""
        path = self._path(block)
        if path is None:
            return None
        start, above = path
        node = self._cut(self._owners[start], start)
        if above:
            grown = Node(above, block[1], node, [0] * PHASES)
            node.children.append(grown)
            self._owners.update(dict.fromkeys(above, grown))
            node = grown
        return node

    def add(self, node: Node, phase: int, weight: int) -> None:
        """Count a vote for a node and all below it; a negative weight takes it back."""
        for each in node.down():
            each.weights[phase] += weight

    def ghost(self, start: Node, holds: Callable[[Node], bool]) -> Node | None:
        """Return the highest node at or above `start` up to which all hold; None where `start` does not.

        Where two children hold (more than the tolerated weight is faulty), the one that came first is taken.
        """
        if not holds(start):
            return None
        found = start
        while (above := next(filter(holds, found.children), None)) is not None:
            found = above
        return found

    def _path(self, block: Block) -> tuple[Hash, list[Hash]] | None:
        """Return the highest known block at or below this one, and the unknown ones above it, in order."""
        target, number = block
        above: list[Hash] = []
        while target not in self._owners:
            parent = self._ancestry.parent(target)
            if parent is None or parent[1] + 1 != number or number <= self.root.number:
                return None
            above.append(target)
            target, number = parent
        return (target, above[::-1]) if self._number(target) == number else None

    def _number(self, block: Hash) -> int:
        owner = self._owners[block]
        return (
            owner.number
            if owner.blocks[-1] == block
            else owner.number - len(owner.blocks) + 1 + (owner.blocks.index(block))
        )

    def _cut(self, node: Node, block: Hash) -> Node:
        """Make a block the end of its own run."""
        if node.blocks[-1] == block:
            return node
        length = node.blocks.index(block) + 1
        lower = Node(node.blocks[:length], node.number - len(node.blocks) + length, node.parent, [])
        lower.weights = list(node.weights)
        lower.children = [node]
        assert node.parent is not None, "the base is one block"
        siblings = node.parent.children
        siblings[siblings.index(node)] = lower
        node.blocks, node.parent = node.blocks[length:], lower
        self._owners.update(dict.fromkeys(lower.blocks, lower))
        return lower
