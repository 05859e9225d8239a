"""What everybody is promised of a small network, played before one's eyes."""

from tests.sim.storm import heal, lags
from tests.sim.world import Plan, World, run

FOUR = Plan(seed=4, validators=4, weights=(1, 1, 1, 1))


def test_four_validators_one_dies_then_two_then_all_are_back() -> None:
    """Finality follows the head; one of four may fail; with two gone blocks go on and finality waits."""

    async def script(world: World) -> None:
        world.start()
        await world.wait(30)
        assert world.head() >= 12
        assert max(lags(world)) <= 2

        world.machines["v0"].kill()
        before, final = world.head(), world.final()
        await world.wait(30)
        assert world.head() >= before + 8  # a quarter of the slots stays empty
        assert world.final() >= final + 8

        world.machines["v1"].kill()
        await world.wait(3)  # what was voted for may still become final
        before, final = world.head(), world.final()
        await world.wait(40)
        assert world.head() >= before + 6
        assert world.final() == final

        world.revive(world.machines["v1"])
        assert await world.until(lambda: world.final() >= world.head() - 2, 30)
        world.revive(world.machines["v0"])
        assert await world.until(lambda: len(world.nodes()) == 4 and max(lags(world)) <= 2, 30)

    outcome = run(FOUR, script)
    assert outcome.broken == []


def test_a_cut_network_goes_on_where_two_thirds_are_and_is_one_again_afterwards() -> None:
    async def script(world: World) -> None:
        world.start()
        await world.wait(15)
        world.network.partition(["v0", "v1", "v2"], ["v3"])
        alone = world.machines["v3"].node
        assert alone is not None
        await world.wait(2)
        final, best = alone.store.finalized_number, alone.store.best_number
        await world.wait(40)
        assert alone.store.finalized_number == final
        assert alone.store.best_number > best  # its own slots
        assert world.head() > alone.store.best_number
        heal(world)
        assert await world.until(lambda: max(lags(world)) <= 2, 30)

    outcome = run(FOUR, script)
    assert outcome.broken == []


def test_finality_takes_a_second_or_two_on_links_around_the_world() -> None:
    async def script(world: World) -> None:
        world.start()
        await world.wait(60)

    outcome = run(FOUR, script)
    assert outcome.broken == []
    assert outcome.height >= 27
    assert outcome.figures.median_latency() < 2.5
