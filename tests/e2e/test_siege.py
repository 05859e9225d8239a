"""Hostile peers in brief: a validator keeps its slots, its memory, its honest peer and room for newcomers.

bench/siege.py makes the same attacks as processes, at length, and measures them.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.record import resident_mib
from chain.common.faults import Fault
from runtime.primitives.types import Hash
from tests.e2e.enemy import Enemy
from tests.e2e.hosts import PATIENCE, PEER_PORT, Host, HostNode, Network, missing, network
from tests.e2e.process import eventually
from tests.e2e.siege_sync import FALSE
from tests.e2e.sieges import AT_THE_DOOR, LAND, ON_NEWCOMERS, SIEGES, sources
from tests.e2e.visitor import REFUSED, Visitor

pytestmark = pytest.mark.e2e

BRIEFLY = 1.0
"""seconds of an attack"""
UNTIL_BANNED = 60.0
"""seconds of those that must end with a ban"""
BANNED = ("frames", "forged_votes", "liars")
FRAMES = 4_000
CROWD = 20
ADDRESSES = 64
"""of each attack"""
GROWTH_MIB = 100
"""what hostile peers may cost at most, with everything that is allocated once"""


@dataclass
class Besieged:
    """A validator, its honest peer, and the hosts of an attacker and of somebody who wants to join."""

    net: Network
    victim: HostNode
    attacker: Host
    visitor: Visitor


@pytest.fixture(scope="module")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    """Start two validators; neither may have complained when all attacks are over."""
    if (lacking := missing()) is not None:
        pytest.skip(f"needs {lacking}")
    with network(tmp_path_factory.mktemp("siege"), ("Alice", "Bob")) as net:
        net.await_final(1)
        victim, attacker = net.nodes["Bob"], net.switch.add()
        genesis = victim.rpc("chain_getBlockHash", 0)
        net.switch.lend(attacker, LAND)
        yield Besieged(net, victim, attacker, Visitor(net.switch.add(), victim.host, genesis))
        assert net.complaints() == []
        net.await_final(max(node.number() for node in net.nodes.values()))
        net.agree()


@pytest.mark.parametrize("name", SIEGES)
def test_an_attack_costs_no_slot_no_memory_and_no_peer(besieged: Besieged, name: str) -> None:
    victim = besieged.victim
    said, height = len(victim.output()), victim.number()
    Path(f"/proc/{victim.pid}/clear_refs").write_text("5")  # the kernel's peak counts from here
    before = resident_mib(victim.pid, peak=True)
    counts = asyncio.run(attack(besieged, name, said))
    assert sum(counts.values()) > 0, "nothing was tried"
    assert counts.get("stuck", 0) == 0, counts
    assert counts.get("entered", 0) > 0 or name in AT_THE_DOOR, f"nobody got in: {counts}"
    assert resident_mib(victim.pid, peak=True) - before < GROWTH_MIB
    victim.wait_height(height + 2)
    assert victim.rpc("system_health")["peers"] >= 1, "the honest peer stays"
    eventually(lambda: lets_in(besieged.visitor), "an honest newcomer's handshake", PATIENCE)
    banned = "Banned" in victim.output()[said:]
    assert banned or name not in BANNED, victim.output()[said:]


@pytest.mark.parametrize("mode", ["fast", "warp"])
def test_a_newcomer_that_meets_liars_first_reaches_the_honest_state(besieged: Besieged, mode: str) -> None:
    net = besieged.net
    honest = net.nodes["Alice"]
    with net.joined(mode, "--sync", mode, alone=True) as newcomer:
        eventually(newcomer.is_up, "an answer of the newcomer", PATIENCE)
        Path(f"/proc/{newcomer.pid}/clear_refs").write_text("5")
        before = resident_mib(newcomer.pid, peak=True)
        asyncio.run(mislead(besieged, newcomer, honest))
        final = newcomer.finalized()
        assert newcomer.rpc("chain_getBlockHash", final) == honest.rpc("chain_getBlockHash", final)
        assert resident_mib(newcomer.pid, peak=True) - before < GROWTH_MIB
        assert Fault.FALSE_STATE in newcomer.output(), newcomer.output()
        assert f"{mode.title()} sync is done" in newcomer.output(), newcomer.output()


async def mislead(besieged: Besieged, newcomer: HostNode, honest: HostNode) -> None:
    """Have a crowd of liars, and then an honest node, show a newcomer the way to what is final now."""
    places = sources(len(SIEGES) + len(besieged.net.switch.hosts), ADDRESSES)
    with besieged.attacker.inside():
        enemy = Enemy(
            newcomer.host.address, PEER_PORT, Hash(bytes.fromhex(besieged.visitor.genesis[2:])), places,
            PATIENCE, 1 << 40, len(FALSE), seed=1, honest=honest.host.address,
        )  # fmt: skip
        raging = asyncio.create_task(ON_NEWCOMERS["false_guides"](enemy))
        await asyncio.to_thread(eventually, lambda: enemy.counts["entered"] >= len(FALSE), "liars", PATIENCE)
        final = honest.finalized()
        newcomer.rpc("system_addReservedPeer", besieged.net.address("Alice"))
        await asyncio.to_thread(eventually, lambda: newcomer.finalized() >= final, "its state", PATIENCE)
        raging.cancel()
        await asyncio.wait([raging])


async def attack(besieged: Besieged, name: str, said: int) -> dict[str, int]:
    """Make an attack, where it deserves a ban until there is one; return what it counted."""
    victim, genesis = besieged.victim, besieged.visitor.genesis
    with besieged.attacker.inside():
        enemy = Enemy(
            victim.host.address, PEER_PORT, Hash(bytes.fromhex(genesis[2:])),
            sources(list(SIEGES).index(name), ADDRESSES), UNTIL_BANNED if name in BANNED else BRIEFLY,
            FRAMES if name == "frames" else 1 << 40, CROWD, seed=1,
        )  # fmt: skip
        raging = asyncio.create_task(SIEGES[name](enemy))
        while name in BANNED and not raging.done() and "Banned" not in victim.output()[said:]:
            await asyncio.wait([raging], timeout=0.1)
        enemy.until = min(enemy.until, time.monotonic() + BRIEFLY)
        async with asyncio.timeout(PATIENCE):
            await raging
    return dict(enemy.counts)


def lets_in(visitor: Visitor) -> bool:
    """Say whether somebody new gets in now."""
    with contextlib.suppress(*REFUSED):
        visitor.greet()
        return True
    return False
