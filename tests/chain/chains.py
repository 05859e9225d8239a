"""A clock that a test turns, and a real chain around it."""

import asyncio
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from chain.common.notifications import Notifications
from chain.consensus.slots import claim
from chain.consensus.slots import seal as seal_of
from chain.executor import Executor
from chain.keys.pair import Keypair
from chain.spec import ChainSpec
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.frame.base import Call
from runtime.frame.state import Overlay
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.grandpa import (
    Commit,
    GrandpaJustification,
    Precommit,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header
from runtime.primitives.types import AccountId, Hash
from runtime.runtime import EXECUTIVE, EXTENSIONS, AssayRuntime
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Life

ALICE = Keypair.from_suri("//Alice", "ed25519")
BOB = Keypair.from_suri("//Bob", "ed25519")
SPENDER = Keypair.from_suri("//Bob", "sr25519")
SLOT_MS = 2_000
FIRST_SLOT = 900_000_000


def spec_with_slots(epoch_slots: int = 30) -> ChainSpec:
    """Return the dev chain with the slots that the tests count in."""
    source = json.loads(files("genesis").joinpath("dev.json").read_text())
    constants = copy.deepcopy(source["genesis"]["runtimeGenesis"]["config"]["constants"])
    constants["Babe"] |= {"ExpectedBlockTime": SLOT_MS, "EpochDuration": epoch_slots}
    constants["Timestamp"]["MinimumPeriod"] = SLOT_MS // 2
    source["genesis"]["runtimeGenesis"]["config"]["constants"] = constants
    return ChainSpec.parse(json.dumps(source), "test")


def justified(header: Header, round_: int, set_id: int = 0, key: Keypair = ALICE) -> GrandpaJustification:
    """Return the proof that a block is final where one voter decides."""
    vote = Precommit(header.hash(), header.number)
    signed = SignedPrecommit(vote, key.sign(localized_payload(vote, round_, set_id)), key.public)
    return GrandpaJustification(round_, Commit(vote.target_hash, vote.target_number, [signed]), [])


@dataclass
class TurnedClock:
    """Shows what it was set to; whoever sleeps moves it on."""

    ms: int = FIRST_SLOT * SLOT_MS
    slept: list[float] = field(default_factory=list)

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return self.ms

    def monotonic(self) -> float:
        """Return seconds."""
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Let others run, then move on."""
        await asyncio.sleep(0)
        self.slept.append(seconds)
        self.ms += round(seconds * 1000)


class Waiting:
    """A queue of transactions."""

    def __init__(self, *extrinsics: bytes) -> None:
        self.extrinsics = list(extrinsics)
        self.reported: list[Hash] = []

    def best_first(self) -> Iterator[tuple[Hash, bytes]]:
        """Yield what waits."""
        for extrinsic in list(self.extrinsics):
            yield Hash(blake2_256(extrinsic)), extrinsic

    def report_invalid(self, transaction: Hash) -> None:
        """Note what failed."""
        self.reported.append(transaction)


class Chain:
    """A store with its importer, and an author that builds whatever block a test asks for."""

    def __init__(
        self,
        path: Path | Tables,
        clock: TurnedClock | None = None,
        also: Mapping[bytes, bytes] | None = None,
        spec: ChainSpec | None = None,
    ) -> None:
        """Open the chain, on disk or in memory; its genesis has what `also` says."""
        self.clock = clock or TurnedClock()
        genesis = (spec or spec_with_slots()).state()
        state = {**genesis, **(also or {})}
        if isinstance(path, Tables):
            self.store = ChainStore.on(MemoryDatabase(path, Life()), state)
        else:
            self.store = ChainStore.open(path, state)
        self.executor = Executor()
        self.feed = Notifications()
        self.importer = Importer(self.store, self.executor, self.feed, self.clock)

    def build(
        self, slot: int, extrinsics: tuple[bytes, ...] = (), parent: Hash | None = None, key: Keypair = ALICE
    ) -> tuple[Header, list[bytes]]:
        """Build a block on a parent (the best block by default) without importing it."""
        parent = parent or self.store.best
        header = self.store.header(parent)
        assert header is not None
        state = self.store.state_at(parent)
        ours = claim(ALICE, slot, self.executor.epoch(state, header.number, slot))
        assert ours is not None
        execution = self.executor.open(state, header.number + 1, parent, Digest([ours]))
        body = [*execution.inherents({"timestamp": slot * SLOT_MS}), *extrinsics]
        for extrinsic in body:
            execution.apply(extrinsic)
        unsealed = execution.finish().header
        return unsealed.sealed(seal_of(unsealed, key)), body

    def grow(self, slot: int, extrinsics: tuple[bytes, ...] = (), parent: Hash | None = None) -> Hash:
        """Build a block and import it through the door for foreign ones."""
        self.clock.ms = max(self.clock.ms, slot * SLOT_MS)
        return self.importer.import_foreign(*self.build(slot, extrinsics, parent))

    def remark(self, nonce: int, text: bytes = b"hello") -> bytes:
        """Return a signed extrinsic of //Bob for a child of the best block."""
        return self.signed(AssayRuntime.call("System", "remark", text), nonce)

    def signed(self, call: Call, nonce: int, signer: Keypair = SPENDER) -> bytes:
        """Return a call, signed for a child of the best block."""
        runtime = AssayRuntime(Overlay(self.store.state_at(self.store.best)))
        runtime.system.initialize(self.store.best_number + 1, self.store.best, Digest([]))
        chosen = {"CheckMortality": IMMORTAL, "CheckNonce": nonce, "ChargeTransactionPayment": 0}
        chosen["CheckMetadataHash"] = MetadataHashMode.Disabled
        extra = tuple(chosen.get(type(each).__name__, ()) for each in EXTENSIONS)
        pairs = zip(EXTENSIONS, extra, strict=True)
        implied = tuple(each.bind(runtime).implied(value) for each, value in pairs)
        signature = Sr25519(signer.sign(EXECUTIVE.format.payload(call, extra, implied)))
        return EXECUTIVE.format.signed(call, AccountId(signer.public), signature, extra)

    def snapshot(self) -> tuple[Hash, Hash, list[Hash]]:
        """Return what must not change when a block is refused."""
        return self.store.best, self.store.finalized, self.store.leaves()
