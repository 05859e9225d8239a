"""A whole network in one thread: machines, links, a witness, and what is done to them.

    outcome = run(Plan(seed=7, validators=4), script)

Everything random comes from the seed, each purpose with a stream of its own, so that one more draw here moves
nothing there.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from chain.common.errors import SubmitError
from chain.common.faults import Fault
from chain.node import Node
from chain.storage.db import META
from chain.storage.store import ChainStore
from runtime.primitives.types import Hash
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.economy import accused, money_flaw, stash_of
from tests.sim.env import Life
from tests.sim.genesis import SESSION_SLOTS, nominators, session_pair, spec_of, stash_pair, voters_of
from tests.sim.loop import VirtualLoop
from tests.sim.machine import Hooks, Machine
from tests.sim.sharing import SharedExecutor, shared_verdicts
from tests.sim.transport import SimNetwork, Weather
from tests.sim.users import submit
from tests.sim.witness import Figures, Lineage, Witness, state_flaw

ACCUSED = 40.0
"""seconds after which a twin that was caught stands accused on the chain, once finality is back"""
STAGGER = 0.5
"""seconds within which everybody starts"""


@dataclass(frozen=True)
class Plan:
    """What network a seed is played on."""

    seed: int
    validators: int = 4
    weights: tuple[int, ...] = ()  # by validator; none: drawn
    twins: tuple[str, ...] = ()  # validators whose keys lie on two machines
    traitors: tuple[str, ...] = ()  # validators that a script speaks for; their nodes are as all others
    spare: int = 0  # accounts that may become validators
    session_slots: int = SESSION_SLOTS
    weather: Weather = field(default_factory=Weather)


@dataclass
class Outcome:
    """How a run ended."""

    seed: int
    trace: str
    seconds: float  # of virtual time
    height: int
    blocks: int
    recovery: float  # seconds from the end of all faults to finality at the head
    broken: list[str]
    figures: Figures


class World:
    """One network and all that happens to it."""

    def __init__(self, plan: Plan, loop: VirtualLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.over = asyncio.Event()
        weights = plan.weights or drawn_weights(plan.validators, self.rng("weights"))
        blank = blank_tables(weights, plan.spare, plan.session_slots)
        self.spec = spec_of(weights, plan.spare, plan.session_slots)
        self.live = spec_of(weights, plan.spare, plan.session_slots, "Live")
        self.voters = voters_of(weights)
        self.genesis = Hash(blank.columns[META][b"genesis"])
        lineage = Lineage(self.genesis, list(self.voters.weights.items()))
        self.witness = Witness(loop, lineage, self.over.set)
        names = (f"v{index}" for index in range(len(weights)))
        self.weights = dict(zip(names, self.voters.weights.values(), strict=True))
        self.silenced: list[Machine] = []  # honest, but without a guard
        self.submitted = 0
        self.recovery = 0.0  # seconds from the end of all faults to finality at the head
        self.network = SimNetwork(loop, self.rng("network"), plan.weather)
        self.network.on_deliver = self.witness.delivered
        self.executor = SharedExecutor(self.witness.fail)
        self.machines: dict[str, Machine] = {}
        self.expected_stops: dict[str, type[BaseException]] = {}  # machine -> what may end its node
        self.stops: list[str] = []  # as they were expected
        for validator in self.weights:
            twin = validator in plan.twins
            for name in (f"{validator}a", f"{validator}b") if twin else (validator,):
                self._install(name, validator, blank, honest=not twin and validator not in plan.traitors)
        for index in range(plan.spare):
            name = f"v{len(weights) + index}"
            self._install(name, name, blank, honest=True)
        self.nominators = nominators(plan.spare)
        self.witness.byzantine |= {session_pair(name).public for name in (*plan.twins, *plan.traitors)}
        self.network.connect(list(self.machines))

    def rng(self, purpose: str) -> random.Random:
        """Return a stream of chance for one purpose."""
        return random.Random(f"{self.plan.seed}/{purpose}")

    @property
    def honest(self) -> list[Machine]:
        """The machines whose keys are nowhere else."""
        return [machine for machine in self.machines.values() if machine.honest]

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.loop.time()

    def nodes(self) -> list[Node]:
        """Return the honest nodes that run."""
        return [machine.node for machine in self.honest if machine.node is not None]

    def head(self) -> int:
        """Return the height of the best block of anybody honest."""
        return max((node.store.best_number for node in self.nodes()), default=0)

    def final(self) -> int:
        """Return the height of the last final block of whoever honest is last."""
        return min((node.store.finalized_number for node in self.nodes()), default=0)

    def weight_of(self, machines: Iterable[Machine]) -> int:
        """Return the weight of these machines' validators."""
        return sum(self.weights.get(name, 0) for name in sorted({each.validator for each in machines}))

    def expendable(self, machine: Machine) -> bool:
        """Say whether finality can do without a machine, and without all that are lost already."""
        lost = [*self.silenced, *(each for each in self.machines.values() if not each.honest), machine]
        return self.weight_of(lost) <= self.voters.total - self.voters.threshold

    def revive(self, machine: Machine) -> None:
        """Start a machine that is down."""
        if not machine.up:
            machine.start()

    def add_places(self, name: str, count: int) -> list[str]:
        """Lay links from new places in the network to every node; return their names."""
        names = [f"{name}{number}" for number in range(count)]
        for each in names:
            self.network.attach(each, list(self.machines))
        return names

    def submit(self, node: Node, account: str, pallet: str, call: str, *arguments: Any) -> None:
        """Submit a call; a pool may refuse it, as when the last one is not in a block yet."""
        try:
            submit(node, stash_pair(account), pallet, call, *arguments)
        except SubmitError:
            return
        self.submitted += 1

    def start(self, names: Sequence[str] | None = None) -> None:
        """Start these machines, or all, within a moment."""
        rng = self.rng("start")
        for name in self.machines if names is None else names:
            self.loop.at(self.now + rng.random() * STAGGER, self.revive, self.machines[name])

    async def wait(self, seconds: float) -> None:
        """Let time pass; less of it where something breaks."""
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds; say whether it came to that in time."""
        end = self.now + seconds
        while not holds():
            if self.now >= end or self.over.is_set():
                return False
            await self.wait(0.25)
        return True

    def check(self) -> None:
        """Compare the states of all machines, and see whether honest nodes took each other for liars."""
        flaw = state_flaw(list(self.machines.values()))
        if flaw is not None:
            self.witness.fail(flaw)
        self._check_economy()
        honest = {machine.name for machine in self.honest}
        for who, whom, reason in self.network.drops:
            if who in honest and whom in honest and reason != Fault.TIMEOUT:  # a lost greeting
                self.witness.fail(f"{who} has dropped {whom}, which is honest: {reason}")

    def add_process(self, of: str, name: str) -> Machine:
        """Install a second node beside one, with its files but a database of its own; not yet started."""
        machine = self.machines[of]
        second = self._install(name, machine.validator, machine.blank.tables, honest=True)
        second.files = machine.files
        self.network.connect(list(self.machines))
        return second

    def _check_economy(self) -> None:
        """Check the money, and that who signed twice is accused, and nobody else."""
        nodes = self.nodes()
        if not nodes:
            return
        node = max(nodes, key=lambda each: each.store.finalized_number)
        flaw = money_flaw(node)
        if flaw is not None:
            self.witness.fail(flaw)
        guilty = accused(node)
        self.witness.figures.offences = sum(guilty.values())
        for validator in self.weights:
            twice = session_pair(validator).public in self.witness.byzantine
            if stash_of(validator) in guilty and not twice:
                self.witness.fail(f"{validator}, which is honest, is accused")
            caught = self.witness.caught.get(session_pair(validator).public)
            if caught is not None and caught < self.now - ACCUSED and stash_of(validator) not in guilty:
                self.witness.fail(f"{validator} has made two blocks for a slot and nobody accuses it")

    def _install(self, name: str, validator: str, blank: Tables, *, honest: bool) -> Machine:
        hooks = Hooks(self.witness.attend, self._on_stopped)
        self.machines[name] = Machine(
            name, validator, self.spec, blank, self.network, self.executor, self.rng(name), hooks, honest
        )
        return self.machines[name]

    def _on_stopped(self, machine: Machine, problem: BaseException | None) -> None:
        expected = self.expected_stops.get(machine.name)
        if problem is None:
            return
        if expected is not None and isinstance(problem, expected):
            self.stops.append(machine.name)
            del self.machines[machine.name]
        else:
            self.witness.fail(f"{machine.name} has stopped: {problem!r}")


Script = Callable[[World], Awaitable[None]]


def run(plan: Plan, script: Script) -> Outcome:
    """Play a script on a network, and tell how it ended."""
    loop = VirtualLoop()
    world: World | None = None

    async def main() -> World:
        made = World(plan, loop)
        await script(made)
        made.check()
        return made

    with shared_verdicts():
        world = loop.run(main())
    witness = world.witness
    return Outcome(
        plan.seed,
        witness.trace,
        loop.time(),
        witness.height,
        len(witness.born),
        world.recovery,
        witness.broken,
        witness.figures,
    )


def drawn_weights(count: int, rng: random.Random) -> tuple[int, ...]:
    """Return what is behind each validator: the same, or not; few kinds, since a genesis takes its time."""
    kind = rng.randrange(4)
    if kind < 2:
        return (1,) * count
    return tuple(1 + (index * (3 + kind)) % 5 for index in range(count))


@lru_cache(maxsize=64)
def blank_tables(weights: tuple[int, ...], spare: int, session_slots: int) -> Tables:
    """Return the database of a node that has never run."""
    tables = Tables()
    spec = spec_of(weights, spare, session_slots)
    ChainStore.on(MemoryDatabase(tables, Life()), spec.state()).close()
    return tables
