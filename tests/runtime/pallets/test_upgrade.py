"""Upgrades: a manifest is scheduled, replaced or cancelled, and the next version takes over at its height."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.apis import NATIVE
from runtime.frame.base import Call
from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, DispatchError, SystemError_
from runtime.frame.executive import BlockFault, BlockRejected
from runtime.pallets.system import (
    CodeUpdated,
    LastRuntimeUpgradeInfo,
    UpgradeCancelled,
    UpgradeSchedule,
    UpgradeScheduled,
)
from runtime.primitives.header import RuntimeEnvironmentUpdated
from runtime.primitives.manifest import CODE_KEY
from runtime.primitives.transaction import TransactionRejected
from runtime.runtime import VERSION
from tests.runtime import next_version
from tests.runtime.bench import ALICE, BOB, Block, Chain, call

NEXT = next_version.NATIVE.manifest("test")
CODE = NEXT.encode()
SWITCHED = RuntimeEnvironmentUpdated()


def schedule(at: int, code: bytes = CODE) -> Call:
    return call("System", "schedule_upgrade", at, code)


def as_root(chain: Chain, what: Call) -> bytes:
    return chain.sign(ALICE, call("Sudo", "sudo", what))


def told(block: Block) -> list[Any]:
    """Return what a block says about upgrades."""
    kinds = (CodeUpdated, UpgradeScheduled, UpgradeCancelled)
    return [record.event for record in block.events if isinstance(record.event, kinds)]


def upgraded(at: int = 3) -> Chain:
    """Return a chain whose next block is the first of the next version."""
    chain = Chain()
    chain.build(as_root(chain, schedule(at)))
    while chain.head.number < at - 1:
        chain.build()
    chain.native = next_version.NATIVE
    return chain


def test_the_code_changes_in_the_block_before_the_height() -> None:
    chain = Chain()
    codes, logs, seen = [], [], []
    for extrinsics in [(as_root(chain, schedule(4)),), (), (), ()]:
        seen.append(told(chain.build(*extrinsics)))
        codes.append(chain.state.get(CODE_KEY) == CODE)
        logs.append(SWITCHED in chain.head.digest.logs)
        if chain.head.number == 3:
            chain.native = next_version.NATIVE
    assert codes == [False, False, True, True]
    assert logs == [False, False, True, False]
    assert seen == [[UpgradeScheduled(4, VERSION.spec_version + 1)], [], [CodeUpdated()], []]
    assert chain.runtime.system.scheduled_upgrade.find() is None


def test_the_next_block_is_soon_enough() -> None:
    chain = Chain()
    assert told(chain.build(as_root(chain, schedule(2)))) == [
        UpgradeScheduled(2, VERSION.spec_version + 1),
        CodeUpdated(),
    ]
    assert chain.state.get(CODE_KEY) == CODE


def test_a_schedule_is_replaced_and_cancelled() -> None:
    chain = Chain()
    chain.build(as_root(chain, schedule(3)))
    later = replace(NEXT, spec_version=900).encode()
    assert told(chain.build(as_root(chain, schedule(5, later)))) == [UpgradeScheduled(5, 900)]
    assert chain.runtime.system.scheduled_upgrade.get() == UpgradeSchedule(5, later)
    assert told(chain.build(as_root(chain, call("System", "cancel_upgrade")))) == [UpgradeCancelled()]
    for _ in range(4):
        assert told(chain.build()) == []
    assert chain.state.get(CODE_KEY) == NATIVE.manifest("test").encode()


REFUSED = {
    "of another chain": (9, replace(NEXT, preset="other").encode(), SystemError_.InvalidSpecName),
    "of another runtime": (9, replace(NEXT, spec_name="else").encode(), SystemError_.InvalidSpecName),
    "the same version": (9, NATIVE.manifest("test").encode(), SystemError_.SpecVersionNeedsToIncrease),
    "older transactions": (
        9,
        replace(NEXT, transaction_version=VERSION.transaction_version - 1).encode(),
        SystemError_.SpecVersionNeedsToIncrease,
    ),
    "garbage": (9, b"\x00asm", SystemError_.FailedToExtractRuntimeVersion),
    "another spelling": (9, CODE.replace(b":", b": "), SystemError_.FailedToExtractRuntimeVersion),
    "for this block": (1, CODE, SystemError_.UpgradeInThePast),
    "for genesis": (0, CODE, SystemError_.UpgradeInThePast),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_manifest_is_refused(why: str) -> None:
    at, code, error = REFUSED[why]
    runtime = Chain().open().runtime
    before = dict(runtime.overlay.changes)
    with pytest.raises(DispatchError) as refused:
        runtime.dispatch(schedule(at, code), Root())
    assert (refused.value.reason, runtime.overlay.changes) == (error, before)


def test_only_root_schedules_and_nothing_cannot_be_cancelled() -> None:
    chain = Chain()
    made = chain.build(chain.sign(BOB, schedule(5)), chain.sign(ALICE, call("System", "cancel_upgrade")))
    assert [error.reason for error in made.errors if error is not None] == [BadOrigin(), BadOrigin()]
    runtime = chain.open().runtime
    with pytest.raises(DispatchError) as refused:
        runtime.dispatch(call("System", "cancel_upgrade"), Root())
    assert refused.value.reason == SystemError_.NothingScheduled


def test_the_new_version_migrates_once_and_then_executes() -> None:
    chain = upgraded(at=3)
    first = chain.build()
    runtime = chain.runtime
    assert isinstance(runtime, next_version.NextRuntime)
    wrote = LastRuntimeUpgradeInfo(VERSION.spec_version + 1, VERSION.spec_name)
    assert runtime.system.last_runtime_upgrade.get() == wrote
    assert (runtime.kudos.came_from.get(), runtime.kudos.since.get()) == (VERSION.spec_version, 3)
    praise = next_version.NextRuntime.call("Kudos", "praise", BOB.account)
    signed = chain.sign(ALICE, praise, spec_version=VERSION.spec_version + 1)
    second = chain.build(signed)
    assert [error for error in second.errors if error is not None] == []
    assert chain.runtime.kudos.praises[BOB.account] == 1
    assert chain.runtime.kudos.since.get() == 3
    assert first.header.number == 3


def test_another_node_executes_the_switch_alike_and_only_with_the_right_version() -> None:
    chain, other = upgraded(at=3), upgraded(at=3)
    executed, body, _ = chain.draft()
    assert other.execute(executed.header, body).changes == executed.changes
    other.native = NATIVE
    with pytest.raises(BlockRejected) as refused:
        other.execute(executed.header, body)
    assert refused.value.fault is BlockFault.STATE_ROOT


def test_what_is_asked_before_the_first_new_block_is_answered_as_after_the_migration() -> None:
    chain = upgraded(at=3)
    runtime = chain.runtime
    assert isinstance(runtime, next_version.NextRuntime)
    assert runtime.kudos.came_from.get() == VERSION.spec_version
    assert chain.state.get(runtime.kudos.came_from.key) is None


def test_transactions_signed_for_the_old_version_are_refused_after_the_switch() -> None:
    chain = upgraded(at=3)
    remark = call("System", "remark", b"x")
    old = chain.sign(ALICE, remark)
    new = chain.sign(ALICE, remark, spec_version=VERSION.spec_version + 1)
    NATIVE.executive.validate(Chain().state, Chain().head, Chain().sign(ALICE, remark))
    with pytest.raises(TransactionRejected) as refused:
        chain.native.executive.validate(chain.state, chain.head, old)
    assert refused.value.reason == "BadProof"
    chain.native.executive.validate(chain.state, chain.head, new)
