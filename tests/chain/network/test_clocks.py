"""Whole nodes of which one has a wrong clock: the others go on, it stops authoring and comes back."""

import pytest

from chain.node import Node
from runtime.primitives.babe import pre_digest_of
from tests.chain.network.lab import Lab, play
from tests.sim.genesis import session_pair

FOUR = ("a", "b", "c", "d")


def blocks_of_v3(node: Node, first: int) -> int:
    """Return how many blocks //v3 has on the best chain, from a height on."""
    epoch, _, _ = node.executor.current_epoch(node.store.state_at(node.store.best))
    blocks = [node.store.hash_at(number) for number in range(first, node.store.best_number + 1)]
    headers = [node.store.header(block) for block in blocks if block is not None]
    index = epoch.index_of(session_pair("v3").public)
    return sum(pre_digest_of(header).authority_index == index for header in headers if header is not None)


@pytest.mark.parametrize("skew_ms", [-5_000, -1_200, 5_000])
def test_a_wrong_clock_silences_its_author_alone(skew_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    async def script(lab: Lab) -> None:
        nodes = [lab.start(name, f"v{index}") for index, name in enumerate(FOUR)]
        first, wrong = nodes[0], nodes[3]
        await lab.until(lambda: all(node.store.finalized_number >= 5 for node in nodes))
        lab.clocks["d"].skew_ms = skew_ms
        await lab.until(lambda: "no block is authored until it is right" in caplog.text)
        height = first.store.best_number
        await lab.until(lambda: first.store.finalized_number >= height + 10)
        assert blocks_of_v3(first, height + 2) == 0
        told = [message for message in caplog.messages if "until it is right" in message]
        where = "ahead of" if skew_ms > 0 else "behind"
        assert len(told) == 1
        assert where in told[0]
        lab.clocks["d"].skew_ms = 0
        height = first.store.best_number
        await lab.until(lambda: blocks_of_v3(first, height + 1) > 0)
        assert "⏰ The clock was set by" in caplog.text
        await lab.until(lambda: wrong.store.finalized_number >= first.store.finalized_number - 1)

    play(script, FOUR, validators=4)


def test_a_clock_that_was_never_right_is_found_out_as_well(caplog: pytest.LogCaptureFixture) -> None:
    async def script(lab: Lab) -> None:
        first, *_ = [lab.start(name, f"v{index}") for index, name in enumerate(FOUR[:3])]
        lab.clocks["d"].skew_ms = -5_000
        wrong = lab.start("d", "v3")
        await lab.until(lambda: "no block is authored until it is right" in caplog.text)
        assert "The clock was set" not in caplog.text
        lab.clocks["d"].skew_ms = 0
        height = first.store.best_number
        await lab.until(lambda: blocks_of_v3(first, height + 1) > 0)
        await lab.until(lambda: wrong.store.finalized_number >= first.store.finalized_number - 1)

    play(script, FOUR, validators=4)


def test_of_two_equal_validators_with_different_clocks_none_stops(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody can say who is right; blocks of both are late or early for the other, and go on."""

    async def script(lab: Lab) -> None:
        nodes = [lab.start(name, f"v{index}") for index, name in enumerate("ab")]
        lab.clocks["b"].skew_ms = -1_500
        await lab.until(lambda: all(node.store.finalized_number >= 25 for node in nodes), 300)
        assert "no block is authored" not in caplog.text

    play(script, ("a", "b"), validators=2)


def test_a_clock_that_is_set_back_authors_no_slot_again(caplog: pytest.LogCaptureFixture) -> None:
    """The lone validator of a chain: nobody else would notice."""

    async def script(lab: Lab) -> None:
        node = lab.start("a", "v0")
        await lab.until(lambda: node.store.best_number >= 10)
        height = node.store.best_number
        lab.clocks["a"].skew_ms = -20_000
        await lab.until(lambda: node.store.best_number > height + 3)
        blocks = [node.store.hash_at(number) for number in range(1, node.store.best_number + 1)]
        headers = [node.store.header(block) for block in blocks if block is not None]
        slots = [pre_digest_of(header).slot for header in headers if header is not None]
        assert slots == sorted(set(slots))
        assert slots[height] - slots[height - 1] <= 2
        assert "must not author" not in caplog.text

    play(script, ("a",))
