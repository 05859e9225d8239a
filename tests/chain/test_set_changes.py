"""The whole node in this process through several sets of voters: what it finalises, proves and remembers."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chain.checkpoints import Checkpoint
from chain.cli import main
from chain.commands import checkpoint
from chain.node import Service
from chain.rpc.methods.grandpa import FINALITY_PROOF, FinalityProof
from chain.spec import ChainSpec
from chain.storage.store import ChainStore
from runtime.primitives.babe import Authorities
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    ScheduledChange,
    changes_voters,
    decode_justification,
    verify_justification,
)
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from tests.chain.chains import spec_with_slots
from tests.chain.test_node import JumpingClock, opened

EPOCH = 4
"""slots; an era, which brings the next set, has two epochs"""
HEIGHT = 30
"""final blocks after which a test looks back"""


@dataclass
class Follower:
    """Knows the voters of genesis and learns of others by proofs alone, as a light client does."""

    voters: Authorities
    set_id: int = 0
    ends: list[int] = field(default_factory=list)

    def follow(self, justification: bytes, header: Header) -> None:
        """Take a proof of the next final block, and the voters it announces."""
        verify_justification(
            decode_justification(justification), self.voters, self.set_id, (header.hash(), header.number)
        )
        if not changes_voters(header):
            return
        logs = [
            log._1 for log in header.digest.logs if isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE
        ]
        (change,) = [said for said in map(CONSENSUS_LOG.decode, logs) if isinstance(said, ScheduledChange)]
        self.voters, self.set_id = change._0.next_authorities, self.set_id + 1
        self.ends.append(header.number)


@asynccontextmanager
async def running(base: Path) -> AsyncIterator[Service]:
    """Run a node with short sessions."""
    async with opened(base, JumpingClock(), epoch_slots=EPOCH) as service, asyncio.timeout(60):
        task = asyncio.create_task(service.run())
        yield service
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def final(service: Service, number: int) -> None:
    """Wait until a height is final."""
    finality = service.node.feed.finality()
    while service.node.store.finalized_number < number:
        await anext(finality)
    finality.close()


async def ask(service: Service, method: str, *params: object) -> Any:
    """Call the node and return the result."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{service.rpc.port}", json=body) as response,
    ):
        return (await response.json())["result"]


def at_genesis(service: Service) -> Follower:
    """Return who knows genesis only."""
    node = service.node
    voters, set_id = node.executor.grandpa_set(node.store.state_at(node.store.genesis_hash))
    return Follower(voters, set_id)


async def test_whoever_is_told_the_justifications_can_follow_the_sets(tmp_path: Path) -> None:
    async with opened(tmp_path, JumpingClock(), epoch_slots=EPOCH) as service, asyncio.timeout(60):
        follower, told = at_genesis(service), []
        url = f"http://127.0.0.1:{service.rpc.port}"
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
            request = {"jsonrpc": "2.0", "id": 1, "method": "grandpa_subscribeJustifications", "params": []}
            await socket.send_json(request)
            assert "result" in await socket.receive_json()
            task = asyncio.create_task(service.run())
            while not told or told[-1] < HEIGHT:
                message = await socket.receive_json()
                justification = bytes.fromhex(message["params"]["result"][2:])
                header = service.node.store.header(decode_justification(justification).commit.target_hash)
                assert header is not None
                follower.follow(justification, header)
                told.append(header.number)
        assert len(follower.ends) >= 3
        assert told == sorted(set(told))
        assert (await ask(service, "grandpa_roundState"))["setId"] >= follower.set_id
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_height_is_proven_to_who_knows_its_set_and_the_node_remembers(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await final(service, HEIGHT)
        store, follower, proofs = service.node.store, at_genesis(service), {}
        for number in range(1, HEIGHT + 1):
            block = store.hash_at(number)
            assert block is not None
            if store.set_end(number) == number:
                header, justification = store.header(block), store.justification(block)
                assert header is not None
                assert justification is not None
                proofs[number] = follower.voters, follower.set_id
                follower.follow(justification, header)
        assert len(follower.ends) >= 3
        for number in range(1, follower.ends[-1] + 1):
            end = min(each for each in follower.ends if each >= number)
            raw = await ask(service, "grandpa_proveFinality", number)
            proof: FinalityProof = FINALITY_PROOF.decode(bytes.fromhex(raw[2:]))
            assert proof.block == store.hash_at(end)
            assert [header.number for header in proof.unknown_headers] == list(range(number + 1, end + 1))
            verify_justification(decode_justification(proof.justification), *proofs[end], (proof.block, end))
        before = service.node.voter.voter
        assert before is not None
        reached = store.finalized_number
    async with running(tmp_path) as service:
        await final(service, reached + 12)
        voter = service.node.voter.voter
        assert voter is not None
        assert voter.set_id > before.set_id
        assert service.node.store.set_end(1) == follower.ends[0]


async def test_the_newest_change_of_voters_is_a_checkpoint_for_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The node says so while it runs, and its data when it does not."""
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(spec_with_slots(EPOCH).source))
    flags = ["checkpoint", "--chain", str(spec), "--base-path", str(tmp_path), "--json"]
    ChainStore.open(
        ChainSpec.load(str(spec)).home(tmp_path) / "db", ChainSpec.load(str(spec)).state()
    ).close()
    assert main(flags) == 1
    assert "nothing newer to trust than genesis" in capsys.readouterr().err
    async with running(tmp_path) as service:
        url = f"ws://127.0.0.1:{service.rpc.port}"
        await final(service, HEIGHT)
        store, follower = service.node.store, at_genesis(service)
        for end in store.set_ends_above(0):
            block = store.hash_at(end)
            assert block is not None
            header, justification = store.header(block), store.justification(block)
            assert header is not None
            assert justification is not None
            follower.follow(justification, header)
        expected = Checkpoint(end, block, follower.set_id)
        assert Checkpoint.from_json(await ask(service, "grandpa_checkpoint")) == expected
        await asyncio.to_thread(checkpoint.run, argparse.Namespace(url=url, base_path=None, json=False))
        flag, entry = capsys.readouterr().out.splitlines()
        told = Checkpoint.parse(flag.removeprefix("--checkpoint "))  # there may be a newer one by now
        assert json.loads(f"{{{entry}}}") == {"checkpoints": [told.to_json()]}
        assert store.hash_at(told.number) == told.hash
        assert store.set_ends_above(0).index(told.number) + 1 == told.set_id >= expected.set_id
    assert main(flags) == 0
    stopped = Checkpoint.from_json(json.loads(capsys.readouterr().out))
    assert (stopped.number, stopped.set_id) >= (told.number, told.set_id)
