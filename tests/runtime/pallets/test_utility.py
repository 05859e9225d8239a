"""Utility: what a batch keeps, what it undoes, and who its calls are made by."""

from typing import Any

import pytest

from runtime.frame.base import Call, Runtime
from runtime.frame.declare import Root, Unsigned
from runtime.frame.errors import BadOrigin, Token, TokenError
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.balances import Balances
from runtime.pallets.sudo import Sudo
from runtime.pallets.system import System
from runtime.pallets.utility import (
    BATCH_LIMIT,
    BatchCompleted,
    BatchCompletedWithErrors,
    BatchInterrupted,
    ItemCompleted,
    ItemFailed,
    Utility,
    derivative_account,
)
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import AccountId

ALICE, BOB = AccountId(b"\x01" * 32), AccountId(b"\x02" * 32)


class Small(Runtime):
    """Money and batches."""

    system = System.at(0)
    balances = Balances.at(4, accounts=system, existential_deposit=1)
    utility = Utility.at(12)
    sudo = Sudo.at(15)


GOOD = Small.call("Balances", "transfer_keep_alive", BOB, 10)
BAD = Small.call("Balances", "transfer_keep_alive", BOB, 10**6)
ROOT = Small.call("Balances", "force_set_balance", BOB, 7)
TOO_MUCH = Token(TokenError.FundsUnavailable)


@pytest.fixture
def ext() -> Externalities:
    return Externalities(Small, genesis={"balances": {"balances": [["0x" + ALICE.hex(), 100]]}})


def told(ext: Externalities) -> list[Any]:
    mine = (BatchCompleted, BatchCompletedWithErrors, BatchInterrupted, ItemCompleted, ItemFailed)
    return [event for event in ext.new_events() if isinstance(event, mine)]


@pytest.mark.parametrize(
    ("name", "calls", "events", "moved"),
    [
        ("batch", [GOOD, GOOD], [ItemCompleted(), ItemCompleted(), BatchCompleted()], 20),
        ("batch", [GOOD, BAD, GOOD], [ItemCompleted(), BatchInterrupted(1, TOO_MUCH)], 10),
        ("batch", [ROOT, GOOD], [BatchInterrupted(0, BadOrigin())], 0),
        ("batch", [], [BatchCompleted()], 0),
        ("batch_all", [GOOD, GOOD], [ItemCompleted(), ItemCompleted(), BatchCompleted()], 20),
        (
            "force_batch",
            [BAD, GOOD, ROOT, GOOD],
            [
                ItemFailed(TOO_MUCH), ItemCompleted(), ItemFailed(BadOrigin()), ItemCompleted(),
                BatchCompletedWithErrors(),
            ],
            20,
        ),
        ("force_batch", [GOOD], [ItemCompleted(), BatchCompleted()], 10),
    ],
)  # fmt: skip
def test_a_batch_says_how_it_went(
    ext: Externalities, name: str, calls: list[Call], events: list[Any], moved: int
) -> None:
    assert_ok(ext, ALICE, "Utility", name, calls)
    assert told(ext) == events
    assert ext.runtime.balances.free(BOB) == moved


def test_batch_all_undoes_all(ext: Externalities) -> None:
    assert_noop(ext, ALICE, "Utility", "batch_all", [GOOD, GOOD, BAD], error=TOO_MUCH)
    inner = Small.call("Utility", "batch_all", [GOOD, BAD])
    assert_ok(ext, ALICE, "Utility", "force_batch", [GOOD, inner])
    assert ext.runtime.balances.free(BOB) == 10


def test_root_batches_as_root_and_nobody_does_not(ext: Externalities) -> None:
    assert_ok(ext, Root(), "Utility", "batch_all", [ROOT])
    assert ext.runtime.balances.free(BOB) == 7
    for name in ("batch", "batch_all", "force_batch"):
        assert_noop(ext, Unsigned(), "Utility", name, [GOOD], error=BadOrigin())


def test_a_derivative_acts_for_itself_only(ext: Externalities) -> None:
    pseudonym = derivative_account(ALICE, 5)
    assert_noop(ext, ALICE, "Utility", "as_derivative", 5, GOOD, error=TOO_MUCH)
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", pseudonym, 50)
    assert_ok(ext, ALICE, "Utility", "as_derivative", 5, GOOD)
    assert (ext.runtime.balances.free(pseudonym), ext.runtime.balances.free(ALICE)) == (40, 50)
    assert_noop(ext, ALICE, "Utility", "as_derivative", 5, ROOT, error=BadOrigin())
    assert_noop(ext, Root(), "Utility", "as_derivative", 5, GOOD, error=BadOrigin())


def test_a_batch_is_bounded_where_it_decodes(ext: Externalities) -> None:
    form = Small.codecs.of(tuple[Small.targets[12, 0].spec.parameters[0][1]])  # type: ignore[misc]
    remark = Small.call("System", "remark", b"")
    full = form.encode(([remark] * BATCH_LIMIT,))
    assert len(form.decode(full)[0]) == BATCH_LIMIT
    longer = (BATCH_LIMIT + 1 << 2 | 1).to_bytes(2, "little") + full[2:] + full[2:5]
    with pytest.raises(DecodeError, match="513 elements"):
        form.decode(longer)
