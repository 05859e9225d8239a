"""Sets of voters that follow one another, seen from nodes that were not there."""

from chain.node import Node
from tests.chain.network.lab import Lab, play
from tests.sim.genesis import SESSION_SLOTS

FOUR = ("a", "b", "c", "d")


def set_id(node: Node) -> int:
    return node.importer.sets.current()[1]


def ends(node: Node) -> list[int]:
    """Return where sets ended on the final chain."""
    heights = range(1, node.store.finalized_number + 1)
    return sorted({end for number in heights if (end := node.store.set_end(number)) is not None})


def test_who_was_away_for_several_sets_is_taken_along_by_their_proofs() -> None:
    """A validator stops before the first change of voters, and another node begins after the third."""

    async def script(lab: Lab) -> None:
        nodes = [lab.start(name, f"v{index}") for index, name in enumerate(FOUR)]
        await lab.until(lambda: nodes[3].store.finalized_number >= 5)
        await lab.stop("d")
        await lab.until(lambda: all(set_id(node) >= 3 for node in nodes[:3]), 20 * SESSION_SLOTS)
        back, late = lab.start("d", "v3"), lab.start("e")
        target = nodes[0].store.finalized_number + 5
        await lab.until(
            lambda: all(node.store.finalized_number >= target for node in (*nodes[:3], back, late))
        )
        assert ends(back)[:3] == ends(late)[:3] == ends(nodes[0])[:3]
        for end in ends(late)[:3]:
            block = late.store.hash_at(end)
            assert block is not None
            assert late.store.justification(block) is not None
            assert back.store.justification(block) is not None
        voter = back.voter.voter
        assert voter is not None
        assert voter.set_id == set_id(nodes[0])

    play(script, (*FOUR, "e"), validators=4)
