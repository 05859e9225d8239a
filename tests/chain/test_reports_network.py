"""A validator that runs twice by mistake, among real nodes: seen, reported, disabled, slashed once."""

import logging
from typing import Any

import pytest

from chain.node import Node
from runtime.pallets.offences import Offence
from runtime.pallets.staking.messages import Slashed
from runtime.runtime import AssayRuntime
from tests.chain.network.lab import Lab, play
from tests.sim.genesis import stash_pair


def runtime_of(node: Node) -> AssayRuntime:
    """Return the runtime at a node's best block."""
    return AssayRuntime.reading(node.store.state_at(node.store.best))


def events(node: Node, kind: type) -> list[Any]:
    """Return the events of a kind in the best chain, oldest first."""
    found = []
    for number in range(1, node.store.best_number + 1):
        block = node.store.hash_at(number)
        assert block is not None
        runtime = AssayRuntime.reading(node.store.state_at(block))
        found += [each.event for each in runtime.system.events.get() if isinstance(each.event, kind)]
    return found


def test_a_validator_that_runs_twice_is_slashed_once(caplog: pytest.LogCaptureFixture) -> None:
    stash = stash_pair("v0").account

    async def script(lab: Lab) -> None:
        twins = [lab.start(name, "v0") for name in ("a", "twin")]
        b, c = lab.start("b", "v1"), lab.start("c", "v2", "v3")
        before = runtime_of(b).staking.ledger[stash].active
        await lab.until(lambda: bool(list(runtime_of(c).offences.reports.keys())))
        runtime = runtime_of(c)
        place = runtime.session.validators.get().index(stash)
        assert runtime.session.is_disabled(place)
        assert stash not in runtime.staking.validators
        era = runtime.staking.active_era.get().index
        await lab.until(lambda: runtime_of(b).staking.active_era.get().index >= era + 2, 600)
        deeds, slashes = events(b, Offence), events(b, Slashed)
        assert len({(each.kind, each.timeslot) for each in deeds}) == len(deeds)
        assert [each.staker for each in slashes] == [stash]
        assert runtime_of(b).staking.ledger[stash].active == before - slashes[0].amount
        assert runtime_of(b).session.disabled_validators.get() == []
        assert [node.pool.ready_count for node in (*twins, b, c)] == [0] * 4

    with caplog.at_level(logging.INFO, "offences"):
        play(script, ("a", "twin", "b", "c"), validators=4)
    told = [record for record in caplog.records if record.name == "offences"]
    own = [record.getMessage() for record in told if record.levelno == logging.ERROR]
    assert own, "both twins learn it"
    assert all("this node's own key" in message for message in own)
