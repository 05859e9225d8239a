"""One seed: a network, a choice of nemeses, peace, and what must hold then.

    outcome = storm(seed=1234, validators=4, wanted="all")

A seed is CALM seconds of undisturbed work, FAULTS seconds of whatever the seed has chosen, and after that at
most SETTLED seconds until the finality of every honest node is at the head again, then AFTERMATH more.
"""

import asyncio
import random

from tests.sim.genesis import SESSION_SLOTS, voters_of
from tests.sim.nemesis import EXCLUSIVE, NEMESES
from tests.sim.transport import Weather
from tests.sim.world import Outcome, Plan, World, drawn_weights, run

CALM = 6.0
"""seconds in which a network gets going"""
FAULTS = 45.0
"""seconds of faults"""
SETTLED = 90.0
"""seconds after all faults are over in which finality must have come back"""
AFTERMATH = 10.0
"""seconds for which the network goes on in any case, so that late damage shows"""
SHORT_SESSION = 5
"""slots where validators come and go; an era is two sessions"""
CLOSE = 2
"""blocks that finality may be behind the head"""
TWINS = "twins"
"""not one of NEMESES, since who has a twin is part of the plan"""


def storm(seed: int, validators: int = 4, wanted: str = "all") -> Outcome:
    """Play a seed with some of the wanted nemeses: names with commas, or all."""
    rng = random.Random(f"{seed}/plan")
    chosen = choice(wanted, rng)
    weights = drawn_weights(validators, rng)
    twins = drawn_twins(weights, rng) if TWINS in chosen else ()
    spare, slots = (2, SHORT_SESSION) if "churn" in chosen else (0, SESSION_SLOTS)
    plan = Plan(seed, validators, weights, twins, spare=spare, session_slots=slots)

    async def script(world: World) -> None:
        await weather_storm(world, chosen)

    return run(plan, script)


def choice(wanted: str, rng: random.Random) -> list[str]:
    """Return the nemeses of a seed: all that are named, or a few of all."""
    if wanted != "all":
        names = wanted.split(",")
        unknown = [name for name in names if name not in NEMESES and name != TWINS]
        if unknown:
            raise ValueError(f"no nemesis {', '.join(unknown)}; there are {', '.join([*NEMESES, TWINS])}")
        return names
    chosen = rng.sample(list(NEMESES), rng.randint(1, 3))
    for group in EXCLUSIVE:
        both = [name for name in chosen if name in group]
        chosen = [name for name in chosen if name not in both[1:]]
    return [*chosen, TWINS] if rng.random() < 0.5 else chosen


def drawn_twins(weights: tuple[int, ...], rng: random.Random) -> tuple[str, ...]:
    """Return validators to be twins, as many as may be byzantine together."""
    voters, spent, twins = voters_of(weights), 0, list[str]()
    of = list(voters.weights.values())
    order = list(range(len(weights)))
    rng.shuffle(order)
    for index in order:
        if spent + of[index] <= voters.total - voters.threshold:
            spent += of[index]
            twins.append(f"v{index}")
    return tuple(sorted(twins[: rng.randint(1, len(twins))])) if twins else ()


async def weather_storm(world: World, chosen: list[str]) -> None:
    """Begin, suffer, settle."""
    world.start()
    await world.wait(CALM)
    until = world.now + FAULTS
    async with asyncio.TaskGroup() as tasks:
        for name in chosen:
            if name in NEMESES:
                tasks.create_task(NEMESES[name](world, world.rng(name), until))
    await world.wait(until - world.now)
    await settle(world)


async def settle(world: World) -> None:
    """End all faults; every honest node's finality must be near the head in time."""
    if world.over.is_set():
        return
    heal(world)
    ended = world.now
    await world.wait(AFTERMATH)
    settled = await world.until(lambda: is_settled(world), SETTLED - AFTERMATH)
    if not settled and not world.over.is_set():
        world.witness.fail(f"finality stays away: {lags(world)} {world.now - ended:.0f} s after all faults")
    world.recovery = world.now - ended


def heal(world: World) -> None:
    """End all faults."""
    world.network.partition()
    world.network.weather = Weather()
    for machine in world.machines.values():
        machine.clock.skew_ms = 0
        machine.life.fatal = None
        world.revive(machine)


def is_settled(world: World) -> bool:
    """Say whether every honest node runs, and its finality is near the head."""
    return all(machine.node is not None for machine in world.honest) and max(lags(world)) <= CLOSE


def lags(world: World) -> list[int]:
    """Return how many blocks each honest node's finality is behind the best block of all."""
    head = world.head()
    return [head - node.store.finalized_number for node in world.nodes()]
