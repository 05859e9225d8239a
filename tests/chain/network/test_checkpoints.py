"""Who has the keys of former voters can write another history; who trusts a block of the true one is safe."""

import asyncio

import pytest

from chain.checkpoints import Checkpoint
from chain.common.errors import SyncRefused
from chain.common.faults import Fault
from chain.node import Node
from chain.sync.bootstrap import SyncMode
from tests.chain.network.lab import Lab, grown, play

MODES: tuple[SyncMode, ...] = ("full", "fast", "warp")
HEIGHT, FORGED = 20, 18
"""final blocks of the true chain, and of every other"""
FORKS = [f"x{number}" for number in range(20)]
SECONDS = 600.0
"""after the beginning of them all"""


@pytest.fixture(scope="module", autouse=True)
def histories() -> None:
    """Grow all chains, which takes a loop of their own."""
    grown(HEIGHT)
    grown(2 * FORGED, 1)
    for later in range(1, len(FORKS) + 1):
        grown(FORGED, later)


def begin(lab: Lab, forgers: list[str]) -> Node:
    """Start a node of the true chain, and those of other histories, each with its own."""
    lab.tables["a"] = grown(HEIGHT)[0].copy()
    for later, name in enumerate(forgers, 1):
        lab.tables[name] = grown(FORGED, later)[0].copy()
        lab.start(name)
    return lab.start("a", "v0")


def checkpoint_of(node: Node, *, number: int | None = None) -> Checkpoint:
    """Return the first change of voters of a node's chain, or say that it has another height."""
    end = node.store.set_ends_above(0)[0]
    block = node.store.hash_at(end)
    assert block is not None
    return Checkpoint(end if number is None else number, block, 1)


def star(names: list[str]) -> list[tuple[str, str]]:
    """Link the newcomer to everybody, and nobody else."""
    return [("c", name) for name in names]


@pytest.mark.parametrize("mode", MODES)
def test_twenty_long_range_forks_are_refused_with_a_checkpoint(mode: SyncMode) -> None:
    """Every one of twenty peers has a history of its own, signed from genesis on by those who voted then."""
    names = ["a", *FORKS]

    async def script(lab: Lab) -> None:
        true = begin(lab, FORKS)
        assert len({lab.nodes[name].store.hash_at(1) for name in names}) == 21
        late = lab.start("c", sync=mode, checkpoint=checkpoint_of(true))
        await lab.until(lambda: late.store.finalized_number >= HEIGHT, 300)
        height = true.store.finalized_number + 4
        await lab.until(lambda: late.store.finalized_number >= height, 300)
        assert late.store.hash_at(height) == true.store.hash_at(height)
        assert lab.cost("c", "a") == 0

    play(script, ["c", *names], star(names), seconds=SECONDS)


@pytest.mark.parametrize("mode", MODES)
def test_who_meets_only_forgers_follows_them_unless_it_has_a_checkpoint(mode: SyncMode) -> None:
    """That is what checkpoints are for; docs/adr/0022 says so."""

    async def script(lab: Lab) -> None:
        true = begin(lab, FORKS[:1])
        misled = lab.start("c", sync=mode)
        await lab.until(lambda: misled.store.finalized_number >= FORGED)
        assert misled.store.hash_at(FORGED) == lab.nodes["x0"].store.hash_at(FORGED)
        safe = lab.start("d", sync=mode, checkpoint=checkpoint_of(true))
        await asyncio.sleep(60)
        assert (safe.store.best_number, safe.is_behind()) == (0, True)

    play(script, ["c", "d", "a", "x0"], [("c", "x0"), ("d", "x0")], seconds=SECONDS)


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_that_is_there_must_pass_through_a_new_checkpoint(mode: SyncMode) -> None:
    names = ["a", "x0"]

    async def script(lab: Lab) -> None:
        true = begin(lab, FORKS[:1])
        lab.tables["c"] = lab.tables["x0"].copy()
        with pytest.raises(SyncRefused, match=r"lies beside the checkpoint #\d+: .* Purge the chain"):
            lab.start("c", sync=mode, checkpoint=checkpoint_of(true))
        lab.tables["c"] = lab.tables["a"].copy()
        again = lab.start("c", sync=mode, checkpoint=checkpoint_of(true))
        await lab.until(lambda: again.store.finalized_number >= HEIGHT + 3)

    play(script, ["c", *names], star(names), seconds=SECONDS)


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_that_says_another_height_ends_the_node_with_a_line(mode: SyncMode) -> None:
    async def script(lab: Lab) -> None:
        true = begin(lab, [])
        lab.start("c", sync=mode, checkpoint=checkpoint_of(true, number=5))
        problem = await lab.ending("c")
        assert isinstance(problem, ExceptionGroup)
        (refused,) = problem.exceptions
        assert isinstance(refused, SyncRefused)
        assert "take it as `assay checkpoint` prints it" in str(refused)

    play(script, ["c", "a"], seconds=SECONDS)


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_point_older_than_the_bonding_duration_is_not_enough(mode: SyncMode) -> None:
    """On a Live chain; two eras are 64 s here, and nobody knows how old genesis is."""

    async def script(lab: Lab) -> None:
        true = begin(lab, [])
        for checkpoint, words in (
            (None, "genesis, is of unknown age"),
            (checkpoint_of(true), "#17, is 9 minutes old"),
        ):
            lab.start("c", sync=mode, checkpoint=checkpoint)
            problem = await lab.ending("c")
            assert isinstance(problem, ExceptionGroup)
            assert isinstance(problem.exceptions[0], SyncRefused)
            assert words in str(problem.exceptions[0])
            assert "give --checkpoint" in str(problem.exceptions[0])
        young = lab.start("d", sync=mode, checkpoint=checkpoint_of(true))
        assert young is not None

    play(script, ["c", "d", "a"], seconds=SECONDS, chain_type="Live")


@pytest.mark.parametrize("is_old", [False, True])
def test_who_was_away_for_longer_than_the_bonding_duration_is_warned(
    is_old: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(lab: Lab) -> None:
        lab.tables["a"] = grown(HEIGHT)[0].copy()
        lab.start("a")
        await asyncio.sleep(1)

    play(script, ["a"], seconds=SECONDS if is_old else grown(HEIGHT)[1], chain_type="Live")
    told = [each.getMessage() for each in caplog.records if "could sign another history" in each.getMessage()]
    assert len(told) == is_old
    assert all(f"#{HEIGHT}, is 9 minutes old" in each and "--checkpoint" in each for each in told)


def test_who_began_at_a_checkpoint_does_not_offer_the_blocks_below_it() -> None:
    """It has them, but no votes for the changes of voters among them: who needs those is stuck with it."""

    async def script(lab: Lab) -> None:
        true = begin(lab, [])
        checkpoint = checkpoint_of(true)
        late = lab.start("c", sync="warp", checkpoint=checkpoint)
        await lab.until(lambda: late.store.finalized_number >= HEIGHT and late.store.gap.missing is None)
        assert late.store.first_number == 0
        await lab.stop("c")
        await lab.until(lambda: "c" not in true.network.statuses())
        lab.start("c", sync="warp", checkpoint=checkpoint)
        await lab.until(lambda: "c" in true.network.statuses())
        assert true.network.statuses()["c"].first_number == checkpoint.number + 1

    play(script, ["c", "a"], seconds=SECONDS)


def test_a_peer_beside_a_checkpoint_is_dropped_for_it() -> None:
    async def script(lab: Lab) -> None:
        true = begin(lab, [])
        lab.tables["x0"] = grown(2 * FORGED, 1)[0].copy()
        lab.start("x0")
        late = lab.start("c", checkpoint=checkpoint_of(true))
        await lab.until(lambda: lab.cost("c", "x0") >= Fault.BESIDE_CHECKPOINT.cost // 2)
        await lab.until(lambda: late.store.finalized_number >= HEIGHT)
        assert late.store.hash_at(1) == true.store.hash_at(1)

    play(script, ["c", "a", "x0"], star(["a", "x0"]), seconds=SECONDS)
