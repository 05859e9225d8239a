"""A machine that runs a node: what lies on its disks, and one life of the node after the other."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from chain.consensus.guard import GUARD_FILE, Guard
from chain.env import Environment
from chain.executor import Executor
from chain.keys.pair import Keypair
from chain.node import Node, NodeConfig
from chain.spec import ChainSpec
from chain.storage.db import HEADERS, META
from runtime.primitives.grandpa import Message
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Files, Killed, Life, SimClock, SimDisk, SimRng
from tests.sim.genesis import keystore_files, session_pair
from tests.sim.transport import SimNetwork, SimTransport

DIRECTORIES = ("keystore", "guard", "network", "grandpa")


@dataclass(frozen=True)
class Hooks:
    """Who is told what happens to machines."""

    opened: Callable[["Machine", Node], None]
    stopped: Callable[["Machine", BaseException | None], None]


@dataclass(frozen=True)
class Backup:
    """The chain's database and the voter's file, as they were at one moment."""

    tables: Tables
    votes: dict[str, bytes]


class Machine:
    """One place in the network, with the keys of one validator."""

    def __init__(
        self,
        name: str,
        validator: str,
        spec: ChainSpec,
        blank: Tables,
        network: SimNetwork,
        executor: Executor,
        rng: random.Random,
        hooks: Hooks,
        honest: bool = True,
    ) -> None:
        self.name = name
        self.validator = validator
        self.honest = honest
        self.clock = SimClock(rng)
        self.files = {directory: Files() for directory in DIRECTORIES}
        self.files["keystore"].content |= keystore_files(validator)
        self.blank = Backup(blank, {})
        self.tables = blank.copy()
        self.node: Node | None = None
        self.life = Life(alive=False)
        self.lives = 0
        self.spec = spec
        self._network = network
        self._executor = executor
        self._rng = rng
        self._hooks = hooks
        self._task: asyncio.Task[None] | None = None
        self._node_key = Keypair.from_seed(rng.randbytes(32), "ed25519")
        self.admit([session_pair(validator)])

    @property
    def up(self) -> bool:
        """Whether a node runs here, or is being started."""
        return self.life.alive

    def admit(self, pairs: Iterable[Keypair]) -> None:
        """Give keys the guard records they are born with."""
        guard = Guard.open(SimDisk(self.files["guard"], Life()))
        for pair in pairs:
            guard.admit_author(pair.public)
            guard.admit_voter(pair.public)
        guard.close()

    def sign(self, message: Message, round_: int) -> None:
        """Have the guard sign a vote in set 0 that is never sent, while no node runs here."""
        guard = Guard.open(SimDisk(self.files["guard"], Life()))
        guard.sign_vote(session_pair(self.validator), message, round_, 0)
        guard.close()

    def lose_guard(self, live: ChainSpec) -> None:
        """Lose the guard's file, as one does who copies keys to a new machine, on a live chain."""
        self.files["guard"].content.pop(GUARD_FILE, None)
        self.spec = live

    def back_up(self) -> Backup:
        """Return a copy of what belongs to the chain; the guard is no part of a backup."""
        return Backup(self.tables.copy(), dict(self.files["grandpa"].content))

    def restore(self, backup: Backup) -> None:
        """Put a copy back, while no node runs here."""
        assert not self.up, f"{self.name} runs"
        self.tables = backup.tables.copy()
        self.files["grandpa"].content = dict(backup.votes)

    def final_block(self) -> bytes:
        """Return the last final block that lies here."""
        return self.tables.columns[META][b"finalized"]

    def has(self, block: bytes) -> bool:
        """Say whether a block lies here."""
        return block in self.tables.columns[HEADERS]

    def start(self) -> None:
        """Start a node on what lies here."""
        assert not self.up, f"{self.name} runs"
        self.lives += 1
        self.life = Life()
        work = self._run(self.life)
        self._task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{self.lives}")

    def kill(self) -> None:
        """Cut the power, wherever the node is."""
        self.life.alive = False
        self.node = None
        if self._task is not None:
            self._task.cancel()

    def environment(self, life: Life) -> Environment:
        """Return what surrounds one life of the node."""
        transport = SimTransport(self._network, self.name, life, self.kill)
        return Environment(
            self.clock,
            SimRng(self._rng),
            lambda directory: SimDisk(self.files[directory], life),
            lambda: MemoryDatabase(self.tables, life),
            lambda node_key, genesis: transport,
        )

    async def _run(self, life: Life) -> None:
        """Run one life to its end; only a loss of power may end it."""
        config = NodeConfig(self.spec, name=self.name, validator=True, node_key=self._node_key)
        try:
            with Node.open(config, self.environment(life), self._executor) as node:
                self.node = node
                self._hooks.opened(self, node)
                await node.run()
        except asyncio.CancelledError:
            self._hooks.stopped(self, None)
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            self._hooks.stopped(self, None if is_power_loss(problem) else problem)
        finally:
            if self.life is life:
                life.alive = False
                self.node = None


def is_power_loss(problem: BaseException) -> bool:
    """Say whether a node ended by a loss of power; what its tasks stumble over afterwards does not count."""
    if isinstance(problem, BaseExceptionGroup):
        return any(is_power_loss(each) for each in problem.exceptions)
    return isinstance(problem, Killed)
