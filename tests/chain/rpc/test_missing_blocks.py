"""Every method that only reads answers on a node that lacks blocks or is on its way to its first state."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from chain.env import Environment
from chain.env_real import no_peers
from chain.keys.pair import Keypair
from chain.node import Node, NodeConfig, Service
from chain.rpc.dispatch import Methods
from chain.rpc.errors import INTERNAL_ERROR
from chain.rpc.server import RpcConfig, all_methods
from chain.storage.store import ChainStore
from chain.sync.bootstrap import SyncMode
from runtime.primitives.header import Header
from runtime.primitives.types import Hash
from tests.chain.network.lab import grown
from tests.sim.database import MemoryDatabase, Tables
from tests.sim.env import Files, Life, SimClock, SimDisk, SimRng
from tests.sim.genesis import spec_of

BLOCKS = 20
TARGET = 18
"""where the node began; voters changed at #17, which is the one block below that it knows something of"""
SPEC = spec_of((1,), chain_type="Local")
UNKNOWN = "0x" + "77" * 32
KEY = "0x" + b":code".hex()
ACCOUNT = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"

AT_A_BLOCK: dict[str, list[Any]] = {
    "archive_v1_body": [],
    "archive_v1_header": [],
    "chain_getBlock": [],
    "chain_getHeader": [],
    "chain_getRuntimeVersion": [],
    "state_getMetadata": [],
    "state_getRuntimeVersion": [],
    "state_call": ["Core_version", "0x"],
    "state_callAt": ["Core_version", "0x"],
    "state_getKeys": ["0x3a"],
    "state_getPairs": ["0x3a"],
    "state_getKeysPaged": ["0x3a", 5, None],
    "state_getKeysPagedAt": ["0x3a", 5, None],
    "state_getReadProof": [[KEY]],
    "state_getStorage": [KEY],
    "state_getStorageAt": [KEY],
    "state_getStorageHash": [KEY],
    "state_getStorageHashAt": [KEY],
    "state_getStorageSize": [KEY],
    "state_getStorageSizeAt": [KEY],
    "state_queryStorageAt": [[KEY]],
    "system_dryRun": ["0x00"],
    "system_dryRunAt": ["0x00"],
    "payment_queryInfo": ["0x00"],
    "payment_queryFeeDetails": ["0x00"],
    "subnet_networks": [],
    "subnet_metagraph": [1],
    "subnet_neuron": [1, 0],
    "subnet_weights": [1],
    "subnet_registrationPrice": [1],
    "subnet_pruneOrder": [1],
    "subnet_pendingCommits": [1],
    "subnet_emissionPreview": [1],
    "subnet_checkCall": [ACCOUNT, "0x0000"],
    "modelUpdates_generateProof": [0],
    "modelUpdates_root": [],
    "training_round": [1, 1],
    "training_lineage": [1, 1, 9],
}
"""what comes before the hash of the block"""
AT_A_HEIGHT = ("archive_v1_hashByHeight", "chain_getBlockHash", "chain_getHead", "grandpa_proveFinality")
OF_THE_NODE = (
    "archive_v1_finalizedHeight", "archive_v1_genesisHash", "author_pendingExtrinsics",
    "babe_epochAuthorship", "chainSpec_v1_chainName", "chainSpec_v1_genesisHash",
    "chainSpec_v1_properties", "chain_getFinalisedHead", "chain_getFinalizedHead",
    "grandpa_checkpoint", "grandpa_roundState", "rpc_methods", "system_chain", "system_chainType",
    "system_health", "system_localListenAddresses", "system_localPeerId", "system_name",
    "system_nodeRoles", "system_peers", "system_properties", "system_reservedPeers",
    "system_syncState", "system_version",
)  # fmt: skip
OF_AN_ACCOUNT = ("account_nextIndex", "system_accountNextIndex")
BLOCK_FIRST = {"archive_v1_call": ["Core_version", "0x"], "grandpa_warpProof": []}
ELSEWHERE = ("author_", "childstate_", "system_add", "system_remove", "system_reset")
"""what writes, or has nothing to do with blocks"""


def calls(blocks: list[str], methods: Methods) -> list[tuple[str, list[Any]]]:
    """Return every read of every block."""
    found = [(name, [*before, block]) for name, before in AT_A_BLOCK.items() for block in blocks]
    found += [(name, [block, *after]) for name, after in BLOCK_FIRST.items() for block in blocks]
    found += [(name, [height]) for name in AT_A_HEIGHT for height in range(BLOCKS + 3)]
    found += [(name, []) for name in OF_THE_NODE]
    found += [(name, [ACCOUNT]) for name in OF_AN_ACCOUNT]
    found += [("state_queryStorage", [[KEY], first, last]) for first in blocks for last in (*blocks, None)]
    told = {name for name, _ in found}
    assert {name for name in methods.handlers if not name.startswith(ELSEWHERE)} <= told
    return found


def follows(blocks: list[str]) -> list[tuple[str, list[Any]]]:
    """Return every subscription that speaks of blocks."""
    item = {"key": KEY, "type": "value"}
    return [
        *((name, []) for name in (
            "chain_subscribeAllHeads", "chain_subscribeFinalizedHeads", "chain_subscribeNewHeads",
            "grandpa_subscribeJustifications", "state_subscribeRuntimeVersion",
        )),
        ("chainHead_v1_follow", [True]),
        ("state_subscribeStorage", [[KEY]]),
        *(("archive_v1_storage", [block, [item]]) for block in blocks),
        *(("archive_v1_storageDiff", [block]) for block in blocks),
    ]  # fmt: skip


def source() -> ChainStore:
    """Return the chain of a node that has everything."""
    return ChainStore.on(MemoryDatabase(grown(BLOCKS)[0].copy(), Life()), SPEC.state())


def header_at(store: ChainStore, number: int) -> Header:
    """Return a header of the best chain."""
    block = store.hash_at(number)
    header = None if block is None else store.header(block)
    assert header is not None
    return header


@asynccontextmanager
async def serving(tables: Tables, sync: SyncMode = "full") -> AsyncIterator[Service]:
    """Open a node on a database, and its RPC server; nothing goes on in it."""
    life, clock = Life(), SimClock(random.Random(1))
    clock.skew_ms = round(grown(BLOCKS)[1] * 1000)
    environment = Environment(
        clock,
        SimRng(random.Random(1)),
        lambda directory: SimDisk(Files(), life),
        lambda: MemoryDatabase(tables, life),
        no_peers,
    )
    rpc, key = RpcConfig(port=0), Keypair.from_seed(bytes(32), "ed25519")
    with Node.open(NodeConfig(SPEC, node_key=key, sync=sync, rpc=rpc), environment) as node:
        service = Service(node)
        await service.rpc.start()
        running = asyncio.create_task(service.rpc.run())
        try:
            yield service
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def check(service: Service, blocks: list[str]) -> None:
    """Call everything; nothing may be a surprise to the node."""
    methods = all_methods(unsafe=True)
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"http://127.0.0.1:{service.rpc.port}", max_msg_size=0) as socket,
    ):
        for number, (name, params) in enumerate([*calls(blocks, methods), *follows(blocks)]):
            await socket.send_json({"jsonrpc": "2.0", "id": number, "method": name, "params": params})
            async with asyncio.timeout(60):
                while True:
                    message = await socket.receive()
                    assert message.type is aiohttp.WSMsgType.TEXT, (name, params)
                    answer = json.loads(message.data)
                    assert "Internal error" not in message.data, (name, params)
                    if answer.get("id") == number:
                        break
            assert answer.get("error", {}).get("code") != INTERNAL_ERROR, (name, params)
        await socket.send_json({"jsonrpc": "2.0", "id": "last", "method": "system_health", "params": []})
        async with asyncio.timeout(60):
            while '"id":"last"' not in (message := await socket.receive_str()):
                assert "Internal error" not in message


def named(blocks: list[Hash]) -> list[str]:
    """Return hashes as clients write them."""
    return [*(f"0x{block.hex()}" for block in blocks), UNKNOWN]


@pytest.mark.parametrize("is_filled", [False, True])
def test_every_read_answers_where_blocks_are_missing(
    is_filled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    known, tables = source(), Tables()

    async def script() -> None:
        store = ChainStore.on(MemoryDatabase(tables, Life()), SPEC.state())
        headers = [header_at(known, number) for number in range(BLOCKS + 1)]
        hashes = [header.hash() for header in headers]
        store.restore(headers[TARGET]).put(
            b"", known.state_at(hashes[TARGET]).prove_range(b"", 1 << 30, None).entries, None
        )
        ends = [(headers[end], known.justification(hashes[end]) or b"") for end in known.set_ends_above(0)]
        store.finish_restoration(known.justification(hashes[TARGET]) or b"", ends)
        if is_filled:
            rows = [(headers[each], known.body(hashes[each]) or []) for each in range(TARGET, 8, -1)]
            store.gap.fill(rows)
        async with serving(tables) as service:
            await check(service, named(hashes))

    asyncio.run(script())
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


def test_every_read_answers_on_the_way_to_the_first_state_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known, tables = source(), Tables()

    async def script() -> None:
        headers = [header_at(known, number) for number in range(BLOCKS + 1)]
        hashes = [header.hash() for header in headers]
        target = headers[TARGET]
        entries = known.state_at(hashes[TARGET]).prove_range(b"", 1 << 30, None).entries
        half = entries[len(entries) // 2][0]
        async with serving(tables, "warp") as service:
            store = service.node.store
            assert service.node.is_behind()
            store.restore(target).put(b"", [each for each in entries if each[0] < half], half)
            await check(service, named(hashes))
            store.restore(target).put(half, [each for each in entries if each[0] >= half], None)
            store.finish_restoration(known.justification(hashes[TARGET]) or b"")
            await check(service, named(hashes[:1]))  # and nobody has heard of it yet
            service.node.feed.restored(hashes[TARGET], target)
            await asyncio.sleep(0)
            await check(service, named(hashes))  # and no block has come above it yet

    asyncio.run(script())
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []
