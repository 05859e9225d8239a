"""The node through a runtime upgrade: who has the new version goes on, who lacks it stops before it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chain.common.errors import RuntimeMissing, SubmitError
from chain.env_real import real_environment
from chain.executor import Executor
from chain.keys.pair import Keypair
from chain.node import Node, NodeConfig
from chain.runtimes import Runtimes
from chain.upgrades import GRACE
from runtime.apis import NATIVE
from runtime.frame.base import Call
from runtime.native import NativeRuntime
from runtime.pallets.checks import MetadataHashMode
from runtime.primitives.crypto import Sr25519
from runtime.primitives.era import IMMORTAL
from runtime.primitives.header import RuntimeEnvironmentUpdated
from runtime.primitives.manifest import CODE_KEY
from runtime.primitives.types import AccountId, Hash
from tests.chain.chains import SLOT_MS, spec_with_slots
from tests.chain.test_node import JumpingClock
from tests.runtime import next_version

ROOT = Keypair.from_suri("//Alice", "sr25519")
OLD, NEW = NATIVE, next_version.NATIVE
AT = 5
"""the first block of the next version"""
PRESET = spec_with_slots().id
CODE = NEW.manifest(PRESET).encode()


@asynccontextmanager
async def opened(
    base: Path, clock: JumpingClock, *natives: NativeRuntime, authority: str | None = "//Alice"
) -> AsyncIterator[Node]:
    """Open a node with these runtimes; the clock runs as long as it is open."""
    config = NodeConfig(
        spec_with_slots(), base_path=base, authority=authority, validator=authority is not None
    )
    executor = Executor(runtimes=Runtimes(natives))
    with Node.open(config, real_environment(base, clock=clock), executor) as node:
        turning = asyncio.create_task(clock.run())
        try:
            yield node
        finally:
            turning.cancel()


def signed(node: Node, call: Call, nonce: int, native: NativeRuntime = OLD) -> bytes:
    """Return an extrinsic of //Alice, signed for a version."""
    form, version = native.executive.format, native.version
    extra = ((), (), (), (), IMMORTAL, nonce, (), 0, MetadataHashMode.Disabled, ())
    genesis = node.store.genesis_hash
    implied = ((), version.spec_version, version.transaction_version, genesis, genesis, (), (), (), None, ())
    signature = Sr25519(ROOT.sign(form.payload(call, extra, implied)))
    return form.signed(call, AccountId(ROOT.public), signature, extra)


def schedule(node: Node, nonce: int = 0, at: int = AT, code: bytes = CODE) -> bytes:
    """Return root's word that the next version takes over."""
    call = OLD.executive.runtime.call
    return signed(node, call("Sudo", "sudo", call("System", "schedule_upgrade", at, code)), nonce)


def praise(node: Node, nonce: int) -> bytes:
    """Return a call that only the next version has."""
    call = NEW.executive.runtime.call("Kudos", "praise", AccountId(ROOT.public))
    return signed(node, call, nonce, NEW)


def version_at(node: Node, number: int) -> int:
    """Return the spec_version that a block's state names."""
    block = node.store.hash_at(number)
    assert block is not None
    return node.executor.version(node.store.state_at(block)).spec_version


def switches(node: Node) -> list[int]:
    """Return the blocks of the best chain whose header says that the runtime changed."""
    found = []
    for number in range(1, node.store.best_number + 1):
        header = node.store.header(node.store.hash_at(number) or Hash(bytes(32)))
        assert header is not None
        if RuntimeEnvironmentUpdated() in header.digest.logs:
            found.append(number)
    return found


async def blocks(node: Node, number: int) -> None:
    """Wait until a height is final."""
    finality = node.feed.finality()
    while node.store.finalized_number < number:
        await anext(finality)
    finality.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of runtimes."""
    return [record.getMessage() for record in caplog.records if record.name == "runtime"]


async def ending(running: asyncio.Task[None]) -> str:
    """Return the message with which a node ends."""
    with pytest.raises(BaseExceptionGroup) as ended:
        await running
    (problem,) = ended.value.exceptions
    assert isinstance(problem, RuntimeMissing)
    return str(problem)


async def test_a_node_that_has_the_version_goes_on_and_its_pool_judges_anew(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path, clock, OLD, NEW) as node, asyncio.timeout(60):
        running = asyncio.create_task(node.run())
        node.submit(schedule(node))
        await blocks(node, AT - 2)
        waiting = node.submit(signed(node, OLD.executive.runtime.call("System", "remark", b"x"), 9))
        with pytest.raises(SubmitError):
            node.submit(praise(node, 1))
        await blocks(node, AT)
        assert node.pool.get(waiting) is None
        node.submit(praise(node, 1))
        await blocks(node, AT + 2)
        running.cancel()
        old, new = OLD.version.spec_version, NEW.version.spec_version
        assert [version_at(node, number) for number in range(AT + 1)] == [old] * (AT - 1) + [new] * 2
        assert switches(node) == [AT - 1]
        runtime = NEW.reading(node.store.state_at(node.store.best))
        assert isinstance(runtime, next_version.NextRuntime)
        assert runtime.kudos.praises[AccountId(ROOT.public)] == 1
        assert (runtime.kudos.since.get(), runtime.kudos.came_from.get()) == (AT, old)


async def test_a_node_that_lacks_the_version_stops_before_it_and_resumes_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = JumpingClock()
    caplog.set_level(logging.WARNING, "runtime")
    lacks = (
        f"this chain needs version {NEW.version.spec_version} of runtime assay, this node has "
        f"[{OLD.version.spec_version}]: install a newer assay-chain, or the package with that runtime, "
        "and start again; nothing is lost"
    )
    async with opened(tmp_path, clock, OLD) as node, asyncio.timeout(60):
        running = asyncio.create_task(node.run())
        node.submit(schedule(node))
        message = await ending(running)
        best, final = node.store.best_number, node.store.finalized_number
        assert (best, final) == (AT - 1, AT - 1)
        assert node.store.state_at(node.store.best).get(CODE_KEY) == CODE
    assert message.startswith(f"stopped after block #{AT - 1} ")
    assert message.endswith(lacks)
    assert told(caplog) == [
        f"⚠️ This node will stop after block #{AT - 1}, it is at #1: from #{AT} on {lacks}",
        f"⚠️ #{AT - 1} is the last block this node can build on",
    ]
    with pytest.raises(RuntimeMissing, match="this chain needs version"):
        async with opened(tmp_path, clock, OLD):
            pass
    async with opened(tmp_path, clock, OLD, NEW) as node, asyncio.timeout(60):
        running = asyncio.create_task(node.run())
        await blocks(node, AT + 1)
        running.cancel()
        assert switches(node) == [AT - 1]


async def test_a_follower_without_the_version_takes_no_block_of_it(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path / "author", clock, OLD, NEW) as author, asyncio.timeout(60):
        running = asyncio.create_task(author.run())
        author.submit(schedule(author))
        await blocks(author, AT)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        chain = []
        for number in range(1, AT + 1):
            block = author.store.hash_at(number)
            assert block is not None
            header, body = author.store.header(block), author.store.body(block)
            assert header is not None
            assert body is not None
            chain.append((header, body))
    async with opened(tmp_path / "follower", clock, OLD, authority=None) as node, asyncio.timeout(60):
        running = asyncio.create_task(node.run())
        for header, body in chain[:-1]:
            node.importer.import_foreign(header, body)
        with pytest.raises(RuntimeMissing):
            node.importer.import_foreign(*chain[-1])
        with pytest.raises(SubmitError):
            node.submit(signed(node, OLD.executive.runtime.call("System", "remark", b"x"), 1))
        waited = clock.ms
        assert (await ending(running)).startswith(f"stopped after block #{AT - 1} ")
        assert clock.ms - waited == pytest.approx(GRACE * 1000, abs=SLOT_MS)  # nobody made it final
        assert node.store.best == chain[-2][0].hash()


async def test_the_warning_comes_at_start_and_once_per_session(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, at = JumpingClock(), 70
    async with opened(tmp_path, clock, OLD) as node, asyncio.timeout(60):
        caplog.set_level(logging.WARNING, "runtime")
        running = asyncio.create_task(node.run())
        node.submit(schedule(node, at=at))
        await blocks(node, 32)
        running.cancel()
        assert [line.split(":")[0] for line in told(caplog)] == [
            f"⚠️ This node will stop after block #{at - 1}, it is at #{number}" for number in (1, 31)
        ]
        await asyncio.gather(running, return_exceptions=True)
    caplog.clear()
    async with opened(tmp_path, clock, OLD) as node:
        (line,) = told(caplog)
        start = f"⚠️ This node will stop after block #{at - 1}, it is at #{node.store.best_number}"
        assert line.startswith(start)


async def test_a_cancelled_upgrade_stops_nobody(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with opened(tmp_path, clock, OLD) as node, asyncio.timeout(60):
        running = asyncio.create_task(node.run())
        node.submit(schedule(node))
        await blocks(node, 2)
        call = OLD.executive.runtime.call
        node.submit(signed(node, call("Sudo", "sudo", call("System", "cancel_upgrade")), 1))
        await blocks(node, AT + 2)
        running.cancel()
        assert switches(node) == []


def test_another_build_of_the_version_is_refused_in_one_line() -> None:
    ours = NEW.manifest(PRESET)
    theirs = replace(ours, metadata=Hash(bytes(32)))
    with pytest.raises(RuntimeMissing) as refused:
        Runtimes([OLD, NEW]).find(theirs.encode())
    assert str(refused.value) == (
        f"this chain runs version {NEW.version.spec_version} of runtime assay with metadata 0x{'00' * 32}, "
        f"this node has a build with metadata 0x{NEW.fingerprint.hex()}: install the chain's own build and "
        "start again; nothing is lost"
    )
    assert Runtimes([NEW, OLD]).find(ours.encode()) is NEW
