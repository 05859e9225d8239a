"""Voters that change while everything else goes wrong: new keys, new validators, stake that comes and goes.

Nobody leaves office here but who joined it while the network ran, so that byzantine twins never come to be
more than a third of a set by others going.
"""

import random
from collections.abc import Callable

from chain.keys.keystore import KEY_KINDS
from runtime.pallets.staking.types import Stash, ValidatorPrefs
from runtime.primitives.session import SessionKeys
from tests.sim.env import Killed
from tests.sim.genesis import UNIT, session_pair, session_secret, stash_pair
from tests.sim.machine import Machine
from tests.sim.world import World


class Churn:
    """What validators and others do with their stake and their keys."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._generations: dict[str, int] = {}
        self._joined: set[str] = set()
        self._bonded: set[str] = set()

    def step(self) -> None:
        """Have somebody do something."""
        acts: list[Callable[[Machine], None]] = [self.rotate, self.bond_more, self.unbond_some, self.nominate]
        ready = [machine for machine in self._world.honest if machine.node is not None]
        spares = [machine for machine in ready if machine.validator not in self._world.weights]
        if spares and self._rng.random() < 0.5:
            self.join_or_leave(self._rng.choice(spares))
            return
        settled = [
            machine
            for machine in ready
            if machine not in spares
            and machine not in self._world.silenced
            and machine.name in self._world.weights
        ]
        if settled:
            self._rng.choice(acts)(self._rng.choice(settled))

    def rotate(self, machine: Machine) -> None:
        """Give a validator new session keys."""
        generation = self._generations.get(machine.validator, 0) + 1
        self._generations[machine.validator] = generation
        change_keys(self._world, machine, generation)

    def bond_more(self, machine: Machine) -> None:
        """Raise a validator's own stake."""
        self._submit(machine, machine.validator, "bond_extra", UNIT // self._rng.choice((2, 10)))

    def unbond_some(self, machine: Machine) -> None:
        """Begin to free a little of what stands behind a validator."""
        self._submit(machine, machine.validator, "unbond", UNIT // 50)

    def nominate(self, machine: Machine) -> None:
        """Have an account that bonds for the first time stand behind a validator."""
        name = f"n{len(self._bonded)}"
        if name in self._world.nominators:
            self._bonded.add(name)
            self._submit(machine, name, "bond", UNIT // 2, Stash())
            self._submit(machine, name, "nominate", [stash_pair(machine.validator).account])

    def join_or_leave(self, machine: Machine) -> None:
        """Make a validator of who is none, or the other way round."""
        name = machine.validator
        if name in self._joined:
            self._joined.remove(name)
            self._submit(machine, name, "chill")
            return
        self._joined.add(name)
        if name not in self._bonded:
            self._bonded.add(name)
            self._submit(machine, name, "bond", UNIT, Stash())
            set_keys(self._world, machine, 0)
        self._submit(machine, name, "validate", ValidatorPrefs(0, False))

    def _submit(self, machine: Machine, account: str, call: str, *arguments: object) -> None:
        if machine.node is not None:
            self._world.submit(machine.node, account, "Staking", call, *arguments)


def change_keys(world: World, machine: Machine, generation: int) -> None:
    """Give a node new session keys, and say so on the chain; it may die of it."""
    assert machine.node is not None, f"{machine.name} is down"
    try:
        for kind in KEY_KINDS:
            machine.node.keys.insert(kind, session_secret(machine.validator, generation))
        set_keys(world, machine, generation)
    except Killed:
        machine.kill()


def set_keys(world: World, machine: Machine, generation: int) -> None:
    """Say on the chain which keys a validator's node has."""
    public = session_pair(machine.validator, generation).public
    assert machine.node is not None, f"{machine.name} is down"
    world.submit(machine.node, machine.validator, "Session", "set_keys", SessionKeys(public, public), b"")
