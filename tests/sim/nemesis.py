"""What a network is put through. A nemesis works until its time is over; `storm.settle` cleans up after it.

Each takes its chance from a stream of its own and composes with the others. None takes more than f of the
weight away for good: twins and lost guards share one budget, which `World.expendable` keeps.
"""

import asyncio
import math
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from tests.sim.churn import Churn
from tests.sim.genesis import SLOT_MS, session_pair
from tests.sim.liars import Liar
from tests.sim.machine import Backup, Machine
from tests.sim.world import World

DROUGHT = 7.0
"""nats; slots that nobody takes happen, but not one time in a thousand so many in a row"""

Nemesis = Callable[[World, random.Random, float], Coroutine[Any, Any, None]]


async def pause(world: World, rng: random.Random, until: float, least: float, most: float) -> bool:
    """Let a while pass; say whether there is time left for more."""
    await world.wait(min(rng.uniform(least, most), max(0.0, until - world.now)))
    return world.now < until and not world.over.is_set()


async def partitions(world: World, rng: random.Random, until: float) -> None:
    """Cut the network in two, or three; of twins one is on each side."""
    while await pause(world, rng, until, 0.5, 5):
        world.network.partition(*sides(world, rng))
        await pause(world, rng, until, 3, 25)
        world.network.partition()


def sides(world: World, rng: random.Random) -> list[list[str]]:
    """Return who is with whom."""
    count = 3 if len(world.honest) > 5 and rng.random() < 0.2 else 2
    shuffled = [machine.name for machine in world.honest]
    rng.shuffle(shuffled)
    cuts = sorted(rng.sample(range(1, len(shuffled)), min(count, len(shuffled)) - 1))
    parted = [shuffled[low:high] for low, high in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    twins = [machine.name for machine in world.machines.values() if not machine.honest]
    parted[0] += twins[::2]
    parted[1] += twins[1::2]
    return parted


async def isolation(world: World, rng: random.Random, until: float) -> None:
    """Cut one node off after the other."""
    while await pause(world, rng, until, 0.5, 4):
        alone = rng.choice(list(world.machines))
        world.network.partition([name for name in world.machines if name != alone], [alone])
        await pause(world, rng, until, 2, 20)
        world.network.partition()


async def loss(world: World, rng: random.Random, until: float) -> None:
    """Lose up to a third of all messages."""
    while await pause(world, rng, until, 0, 5):
        world.network.weather = replace(world.network.weather, loss=rng.uniform(0.02, 0.33))
        await pause(world, rng, until, 4, 20)
        world.network.weather = replace(world.network.weather, loss=0.0)


async def chaos(world: World, rng: random.Random, until: float) -> None:
    """Deliver twice, late and out of order."""
    while await pause(world, rng, until, 0, 5):
        rough = replace(
            world.network.weather,
            duplication=rng.uniform(0, 0.3),
            reorder=rng.uniform(0, 0.5),
            delay=rng.choice((0.0, 1.0, 4.0)),
        )
        world.network.weather = rough
        await pause(world, rng, until, 4, 20)
        world.network.weather = replace(rough, duplication=0.0, reorder=0.0, delay=0.0)


async def crashes(world: World, rng: random.Random, until: float) -> None:
    """Cut the power of machines, at any await or inside a write; some come back with an older database."""
    backups = {name: machine.back_up() for name, machine in world.machines.items()}
    while await pause(world, rng, until, 0.2, 5):
        machine = rng.choice(list(world.machines.values()))
        if not machine.up:
            continue
        if rng.random() < 0.3:
            backups[machine.name] = machine.back_up()
        await fell(world, machine, rng, until)
        forget(world, machine, backups[machine.name], rng.random())
        world.loop.at(world.now + rng.choice((0.05, 1.0, 6.0, 15.0)), world.revive, machine)


def forget(world: World, machine: Machine, backup: Backup, fate: float) -> None:
    """Have a machine that is down come back with an older database, with none, or without its votes.

    Nobody forgets what nobody else has: a block that lies nowhere any more cannot stay final.
    """
    block = machine.final_block()
    if fate < 0.3 and any(other.has(block) for other in world.machines.values() if other is not machine):
        machine.restore(backup if fate < 0.2 else machine.blank)
    elif fate < 0.45:
        machine.files["grandpa"].content.clear()


async def fell(world: World, machine: Machine, rng: random.Random, until: float) -> None:
    """Cut a machine's power: now, or inside one of its next writes."""
    if rng.random() < 0.6:
        machine.life.fatal = machine.life.writes + rng.randrange(12)
        machine.life.torn = rng.random() < 0.5
        if await world.until(lambda: not machine.up, min(8.0, max(0.0, until - world.now))):
            return
    machine.kill()


async def skew(world: World, rng: random.Random, until: float) -> None:
    """Set clocks wrong by up to 5 s, and have them jump."""
    while await pause(world, rng, until, 0.5, 5):
        machine = rng.choice(list(world.machines.values()))
        machine.clock.skew_ms = rng.choice((-5_000, 5_000, rng.randint(-5_000, 5_000), 0))
    for machine in world.machines.values():
        machine.clock.skew_ms = 0


async def offline(world: World, rng: random.Random, until: float) -> None:
    """Take more than a third of the weight away, for most of the time."""
    await pause(world, rng, until, 0, 5)
    gone: list[Machine] = []
    shuffled = list(world.machines.values())
    rng.shuffle(shuffled)
    for machine in shuffled[:-1]:
        if world.weight_of(gone) <= world.voters.total - world.voters.threshold:
            gone.append(machine)
            machine.kill()
    known, end = len(world.witness.born), min(until, world.now + rng.uniform(20, 40))
    nats = await drought(world, end)
    if nats > DROUGHT and len(world.witness.born) == known:
        world.witness.fail(f"no block in a long time with {len(gone)} of {len(shuffled)} nodes off")
    for machine in gone:
        world.revive(machine)


async def drought(world: World, end: float) -> float:
    """Let time pass; return how unlikely it is that none of who could author in it had a slot, in nats.

    Other nemeses are at work, too: machines fall and come back with older chains, and keys fall silent.
    """
    nats, validators = 0.0, {machine.validator for machine in world.machines.values()}
    while world.now < end and not world.over.is_set():
        before = authors(world)
        await world.wait(SLOT_MS / 1000)
        through = {validator for validator, *_ in before & authors(world)}
        nats -= math.log1p(-min(len(through) / len(validators), 0.9))
    return nats


def authors(world: World) -> set[tuple[str, int, int]]:
    """Return the validators, each with its machine's life and clock, whom nothing keeps from authoring."""
    found = set()
    for machine in world.machines.values():
        node, public = machine.node, session_pair(machine.validator).public
        if node is None or machine in world.silenced or node.sync.is_major:
            continue
        if not node._guard.stale and node._guard.silence(public) is None:
            found.add((machine.validator, machine.lives, machine.clock.skew_ms))
    return found


async def guardless(world: World, rng: random.Random, until: float) -> None:
    """Lose the guard of a machine, whose keys must then stay silent."""
    await pause(world, rng, until, 0, 10)
    candidates = [each for each in world.honest if each.validator in world.weights and world.expendable(each)]
    if candidates:
        machine = rng.choice(candidates)
        machine.kill()
        machine.lose_guard(world.live)
        world.silenced.append(machine)
        world.revive(machine)


async def churn(world: World, rng: random.Random, until: float) -> None:
    """Change keys, stake and validators, so that voters change under all the rest."""
    churning = Churn(world, rng)
    while await pause(world, rng, until, 0.5, 4):
        churning.step()


async def liars(world: World, rng: random.Random, until: float) -> None:
    """Let peers in that are no nodes, and lie about everything; each node has some of them."""
    tasks = [
        asyncio.get_running_loop().create_task(Liar(world.network, name, world.genesis, rng).run(), name=name)
        for name in world.add_places("liar", 1 + len(world.machines) // 8)
    ]
    await world.wait(until - world.now)
    for task in tasks:
        task.cancel()


NEMESES: dict[str, Nemesis] = {
    each.__name__: each
    for each in (partitions, isolation, loss, chaos, crashes, skew, offline, guardless, churn, liars)
}
"""By name; twins are part of the plan."""
EXCLUSIVE: Sequence[frozenset[str]] = (frozenset(("partitions", "isolation")),)
"""These would undo each other."""
