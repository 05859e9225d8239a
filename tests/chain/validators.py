"""Several validators on chains of their own, in step: slot by slot they author and exchange their blocks."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from chain.common.errors import UnknownBlock
from chain.consensus.author import Author
from chain.consensus.clock_watch import ClockWatch
from chain.consensus.guard import Guard
from chain.consensus.slots import claim, seal
from chain.env_real import RealDisk
from chain.keys.pair import Keypair
from chain.service.tip import Tip
from chain.spec import ChainSpec
from runtime.frame.state import Changes
from runtime.primitives import ss58
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import Hash
from tests.chain.chains import SLOT_MS, Chain, TurnedClock, Waiting, spec_with_slots
from tests.sim.database import Tables

ASY = 10**12
Block = tuple[Header, list[bytes]]


def spec_of(stakes: Mapping[str, int], babe: Mapping[str, Any] | None = None, slots: int = 30) -> ChainSpec:
    """Return the dev chain with these validators (stakes in ASY) and sessions of so many slots."""
    source = copy.deepcopy(spec_with_slots().source)
    config = source["genesis"]["runtimeGenesis"]["config"]
    config["constants"]["Babe"]["EpochDuration"] = slots
    names = {name: ss58.encode(Keypair.from_suri(f"//{name}", "sr25519").account) for name in stakes}
    keys = {name: f"0x{session_key(name).public.hex()}" for name in stakes}
    config["session"]["keys"] = [
        [names[name], {"babe": keys[name], "grandpa": keys[name]}] for name in stakes
    ]
    config["staking"]["stakers"] = [[names[name], stake * ASY] for name, stake in stakes.items()]
    config["babe"] = dict(babe or {})
    return ChainSpec.parse(json.dumps(source), "test")


def session_key(name: str) -> Keypair:
    """Return a validator's session key."""
    return Keypair.from_suri(f"//{name}", "ed25519")


class Validator:
    """A chain with an author; what it authors waits in `made`."""

    def __init__(
        self, name: str, home: Path, spec: ChainSpec, clock: TurnedClock, tables: Tables | None = None
    ) -> None:
        self.key = session_key(name)
        self.chain = Chain(tables or Tables(), clock, spec=spec)
        self.guard = Guard.open(RealDisk(home / "guard"))
        self.guard.admit_author(self.key.public)
        self.guard.put_to_work(self.key.public)
        self.made: list[Block] = []
        self.watch = ClockWatch(clock, SLOT_MS)
        tip = Tip(self.chain.store, self.chain.executor, self._accept, lambda: False)
        self.pool = Waiting()
        self.author = Author(tip, self.pool, [self.key], self.guard, clock, self.watch, SLOT_MS, _built)

    def close(self) -> None:
        """Close what is open."""
        self.guard.close()
        self.chain.store.close()

    def build(self, slot: int, parent: Hash, extrinsics: tuple[bytes, ...] = ()) -> Block | None:
        """Build a block without asking the guard; None where the slot is another's."""
        store, executor = self.chain.store, self.chain.executor
        header = store.header(parent)
        assert header is not None
        state = store.state_at(parent)
        ours = claim(self.key, slot, executor.epoch(state, header.number, slot))
        if ours is None:
            return None
        execution = executor.open(state, header.number + 1, parent, Digest([ours]))
        body = [*execution.inherents({"timestamp": slot * SLOT_MS}), *extrinsics]
        for extrinsic in body:
            execution.apply(extrinsic)
        unsealed = execution.finish().header
        return unsealed.sealed(seal(unsealed, self.key)), body

    def receive(self, blocks: Sequence[Block]) -> None:
        """Import what others have made; what hangs on unknown blocks is left out."""
        for header, body in blocks:
            try:
                self.chain.importer.import_foreign(header, body)
            except UnknownBlock:
                continue

    def _accept(self, header: Header, body: list[bytes], changes: Changes) -> Hash:
        self.made.append((header, body))
        return self.chain.importer.import_own(header, body, changes)


def _built(seconds: float, count: int, ended: str) -> None:
    """Count nothing."""


@contextmanager
def validators(
    home: Path, stakes: Mapping[str, int], babe: Mapping[str, Any] | None = None, slots: int = 30
) -> Iterator[list[Validator]]:
    """Run validators with one clock between them."""
    spec, clock = spec_of(stakes, babe, slots), TurnedClock()
    with ExitStack() as opened:
        made = []
        for name in stakes:
            made.append(Validator(name, home / name, spec, clock))
            opened.callback(made[-1].close)
        yield made


def grow(parties: Sequence[Validator], parent: Hash, slots: range, *extrinsics: bytes) -> Hash:
    """Build a fork that every validator imports, with a block in each slot; the first has the extrinsics."""
    for slot in slots:
        [block] = [made for each in parties if (made := each.build(slot, parent, extrinsics)) is not None]
        for each in parties:
            each.receive([block])
        parent, extrinsics = block[0].hash(), ()
    return parent


async def play(parties: Sequence[Validator], slots: range) -> list[list[Header]]:
    """Let validators author slot by slot, each before it hears of the others; return what came of each."""
    history = []
    for slot in slots:
        parties[0].chain.clock.ms = slot * SLOT_MS
        for each in parties:
            await each.author.begin(slot)
        made = [block for each in parties for block in each.made]
        for each in parties:
            each.receive([block for block in made if block not in each.made])
        for each in parties:
            each.made.clear()
        history.append([header for header, _ in made])
    return history
