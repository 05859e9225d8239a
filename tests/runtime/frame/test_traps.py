"""Extrinsics that find a mistake of ours: named, undone and refused, so that they stop nobody."""

from typing import Any

import pytest

from runtime.frame.errors import MISTAKES, RuntimeTrap
from runtime.frame.executive import BlockFault, BlockRejected
from runtime.pallets.system import System
from tests.runtime.bench import ALICE, ASY, BOB, Chain, call, transfer


class DiskGone(Exception):
    """What a failing database says."""


def failing(problem: BaseException) -> Any:
    """Return a call that writes something and then breaks."""

    def remark(self: System, origin: object, text: bytes) -> None:
        self.number.put(77)
        raise problem

    return remark


@pytest.fixture(scope="module")
def chain() -> Chain:
    """A chain at block 1; its tests only read."""
    made = Chain()
    made.build()
    return made


@pytest.mark.parametrize(
    "mistake",
    [AssertionError("n"), KeyError("k"), IndexError("i"), TypeError("t"), ValueError("v"), AttributeError(),
     ZeroDivisionError("z"), OverflowError("o"), UnicodeDecodeError("utf-8", b"", 0, 1, "u")],
    ids=lambda mistake: type(mistake).__name__,
)  # fmt: skip
def test_a_mistake_is_a_trap_that_changes_nothing(
    chain: Chain, mistake: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(mistake, MISTAKES)
    bad = chain.sign(ALICE, call("System", "remark", b"boom"))
    good = chain.sign(BOB, transfer(ALICE, ASY))
    expected, body, _ = chain.draft(good)
    monkeypatch.setattr(System, "remark", failing(mistake))
    execution = chain.open()
    for extrinsic in body[:-1]:
        execution.apply(extrinsic)
    with pytest.raises(RuntimeTrap, match=type(mistake).__name__):
        execution.apply(bad)
    execution.apply(good)
    executed = execution.finish()
    assert (executed.header, executed.changes) == (expected.header, expected.changes)


def test_nested_calls_are_undone_as_well(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = [transfer(BOB, ASY), call("System", "remark", b"boom")]
    bad = chain.sign(ALICE, call("Utility", "batch", inner))
    expected, body, _ = chain.draft()
    monkeypatch.setattr(System, "remark", failing(AssertionError("n")))
    execution = chain.open()
    for extrinsic in body:
        execution.apply(extrinsic)
    with pytest.raises(RuntimeTrap):
        execution.apply(bad)
    assert execution.finish().header == expected.header


def test_a_block_with_such_an_extrinsic_is_refused(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = chain.sign(ALICE, call("System", "remark", b"boom"))
    hostile, body, _ = chain.draft(bad)
    monkeypatch.setattr(System, "remark", failing(KeyError("k")))
    with pytest.raises(BlockRejected) as refused:
        chain.execute(hostile.header, body)
    assert refused.value.fault is BlockFault.TRAP
    assert refused.value.detail == f"extrinsic {len(body) - 1}: KeyError: 'k'"


@pytest.mark.parametrize("problem", [DiskGone(), MemoryError(), RecursionError(), SystemError()], ids=repr)
def test_failures_of_the_machine_pass_through(
    chain: Chain, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say nothing about the extrinsic: to refuse it for them would split the chain."""
    bad = chain.sign(ALICE, call("System", "remark", b"boom"))
    hostile, body, _ = chain.draft(bad)
    monkeypatch.setattr(System, "remark", failing(problem))
    with pytest.raises(type(problem)):
        chain.execute(hostile.header, body)
