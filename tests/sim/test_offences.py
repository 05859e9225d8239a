"""A validator that signs twice, from the split brain to the slash: one, whoever saw what and how often."""

from typing import Any

from chain.node import Node
from runtime.pallets.staking.messages import Slashed
from runtime.runtime import AssayRuntime
from tests.sim.economy import accused, stash_of
from tests.sim.genesis import ASY, UNIT
from tests.sim.storm import lags
from tests.sim.world import Plan, World, run

SESSION = 5
"""slots; an era is two sessions, and a slash is applied an era later"""
FRACTION = 562_500_000
"""parts per billion: (3 x 1 of 4) squared"""


def events(node: Node, kind: type) -> list[Any]:
    """Return the events of a kind in all final blocks."""
    found = []
    for number in range(1, node.store.finalized_number + 1):
        block = node.store.hash_at(number)
        assert block is not None
        runtime = AssayRuntime.reading(node.store.state_at(block))
        found += [record.event for record in runtime.system.events.get() if isinstance(record.event, kind)]
    return found


def test_twins_are_accused_by_everybody_and_slashed_once() -> None:
    async def script(world: World) -> None:
        world.start()
        await world.wait(4)
        world.network.partition(["v0", "v1", "v3a"], ["v2", "v3b"])
        await world.wait(7)
        world.network.partition()
        await world.wait(4)
        world.machines["v3b"].kill()
        assert await world.until(lambda: min(node.store.finalized_number for node in world.nodes()) > 40, 120)
        assert max(lags(world)) <= 2
        node = world.nodes()[0]
        guilty = accused(node)
        assert list(guilty) == [stash_of("v3")]  # of one deed or several; three nodes have reported each
        slashes = events(node, Slashed)
        assert [(bytes(each.staker), each.amount) for each in slashes] == [
            (stash_of("v3"), UNIT * FRACTION // 1_000_000_000)
        ]
        runtime = AssayRuntime.reading(node.store.state_at(node.store.finalized))
        ledger = runtime.staking.ledger.get(stash_of("v3"))  # type: ignore[call-overload]
        assert ledger is not None
        assert ledger.total == UNIT - slashes[0].amount
        assert len(node.executor.grandpa_set(node.store.state_at(node.store.finalized))[0]) == 3
        reward = slashes[0].amount // 10
        minted = node.store.finalized_number * ASY
        issued = runtime.balances.total_issuance.get()
        genesis = AssayRuntime.reading(node.store.state_at(node.store.genesis_hash))
        destroyed = genesis.balances.total_issuance.get() + minted - issued
        assert destroyed == slashes[0].amount - reward

    plan = Plan(11, 4, (1, 1, 1, 1), twins=("v3",), session_slots=SESSION)
    outcome = run(plan, script)
    assert outcome.broken == []
