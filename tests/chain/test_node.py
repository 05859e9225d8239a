"""The whole node in this process, on a clock that jumps to whatever comes next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chain.common.errors import StateDiscarded
from chain.consensus.grandpa.voter import GOSSIP_DURATION
from chain.node import NodeConfig, Service
from chain.rpc.server import RpcConfig
from chain.storage.pruning import Pruning
from runtime.primitives.types import Hash
from tests.chain.chains import FIRST_SLOT, SLOT_MS, spec_with_slots
from tests.chain.clocks import StillClock


class JumpingClock(StillClock):
    """Time passes only while everybody sleeps."""

    def __init__(self) -> None:
        super().__init__(FIRST_SLOT * SLOT_MS + 1)

    async def run(self) -> None:
        """Jump, for ever."""
        while True:
            await self.settle()
            if self._sleepers:
                self.wake_next()


@asynccontextmanager
async def opened(
    base: Path,
    clock: JumpingClock,
    *,
    authority: str | None = "//Alice",
    prometheus_port: int | None = None,
    state_pruning: Pruning | None = None,
    epoch_slots: int = 30,
) -> AsyncIterator[Service]:
    """Open a node on the test chain; the clock runs as long as it is open."""
    config = NodeConfig(
        spec_with_slots(epoch_slots),
        base_path=base,
        authority=authority,
        validator=authority is not None,
        state_pruning=state_pruning,
        rpc=RpcConfig(port=0),
        prometheus_port=prometheus_port,
    )
    async with Service.open(config, clock) as service:
        turning = asyncio.create_task(clock.run())
        try:
            yield service
        finally:
            turning.cancel()


async def test_a_block_is_final_one_gossip_duration_after_it_and_authoring_goes_on(tmp_path: Path) -> None:
    clock = JumpingClock()
    imported: dict[Hash, int] = {}
    finalized: dict[Hash, int] = {}
    async with opened(tmp_path, clock) as service, asyncio.timeout(60):
        imports, finality = service.node.feed.imports(), service.node.feed.finality()
        running = asyncio.create_task(service.run())
        for _ in range(5):
            note = await anext(imports)
            imported[note.hash] = clock.ms
            final = await anext(finality)
            finalized[final.hash] = clock.ms
        running.cancel()
    assert list(imported.values()) == [(FIRST_SLOT + slot) * SLOT_MS for slot in range(1, 6)]
    delay = round(GOSSIP_DURATION * 1000)
    assert finalized == {block: moment + delay for block, moment in imported.items()}


async def test_blocks_that_a_stop_left_unfinalised_are_finalised_after_the_start(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path, clock) as service, asyncio.timeout(60):
        imports = service.node.feed.imports()
        running = asyncio.create_task(service.run())
        head = (await anext(imports)).hash
        running.cancel()  # before its gossip duration is over
        assert service.node.store.finalized == service.node.store.genesis_hash
    async with opened(tmp_path, clock) as service, asyncio.timeout(60):
        assert service.node.store.best == head
        finality = service.node.feed.finality()
        running = asyncio.create_task(service.run())
        assert (await anext(finality)).hash == head
        running.cancel()


async def test_a_pruned_node_starts_again_without_its_first_states(tmp_path: Path) -> None:
    clock = JumpingClock()
    for _ in range(2):
        async with opened(tmp_path, clock, state_pruning=Pruning(1)) as service, asyncio.timeout(60):
            finality = service.node.feed.finality()
            running = asyncio.create_task(service.run())
            for _ in range(3):
                await anext(finality)
            running.cancel()
            with pytest.raises(StateDiscarded):
                service.node.store.state_at(service.node.store.genesis_hash)
    assert service.node.store.finalized_number >= 6


async def test_a_node_without_keys_neither_authors_nor_votes(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path, clock, authority=None) as service, asyncio.timeout(60):
        running = asyncio.create_task(service.run())
        await clock.sleep(10 * SLOT_MS / 1000)
        running.cancel()
        assert service.node.store.best == service.node.store.genesis_hash


async def test_a_node_whose_key_is_no_authority_authors_nothing(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path, clock, authority="//Bob") as service, asyncio.timeout(60):
        running = asyncio.create_task(service.run())
        await clock.sleep(10 * SLOT_MS / 1000)
        assert not running.done()
        running.cancel()
        assert service.node.store.best == service.node.store.genesis_hash


async def test_the_port_is_free_again_once_the_node_is_closed(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path, clock) as service, asyncio.timeout(60):
        port = service.rpc.port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
