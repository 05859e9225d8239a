"""Sudo: one key acts as root, for others, and can be given up."""

import pytest

from runtime.frame.base import Runtime
from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, Err, Ok
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.balances import Balances
from runtime.pallets.sudo import Error, KeyChanged, KeyRemoved, Sudid, Sudo, SudoAsDone
from runtime.pallets.system import System
from runtime.primitives.types import AccountId, Weight

ALICE, BOB = AccountId(b"\x01" * 32), AccountId(b"\x02" * 32)


class Small(Runtime):
    """Money and a key."""

    system = System.at(0)
    balances = Balances.at(4, accounts=system, existential_deposit=1)
    sudo = Sudo.at(15)


SET = Small.call("Balances", "force_set_balance", BOB, 7)
PAY = Small.call("Balances", "transfer_keep_alive", ALICE, 3)
STAMP = Small.call("System", "remark_with_event", b"")


@pytest.fixture
def ext() -> Externalities:
    key = {"key": "0x" + ALICE.hex()}
    return Externalities(Small, genesis={"sudo": key, "balances": {"balances": [["0x" + BOB.hex(), 50]]}})


def test_the_key_acts_as_root(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Sudo", "sudo", SET)
    assert ext.runtime.balances.free(BOB) == 7
    assert ext.new_events()[-1] == Sudid(Ok())
    assert_ok(ext, ALICE, "Sudo", "sudo_unchecked_weight", SET, Weight(1, 1))


def test_a_refused_call_is_told_not_raised(ext: Externalities) -> None:
    root = ext.state_root()
    assert_ok(ext, ALICE, "Sudo", "sudo", STAMP)
    assert ext.new_events() == [Sudid(Err(BadOrigin()))]
    assert ext.state_root() == root


def test_the_key_acts_for_others(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Sudo", "sudo_as", BOB, PAY)
    assert (ext.runtime.balances.free(ALICE), ext.new_events()[-1]) == (3, SudoAsDone(Ok()))
    assert_ok(ext, ALICE, "Sudo", "sudo_as", BOB, SET)
    assert ext.new_events()[-1] == SudoAsDone(Err(BadOrigin()))


@pytest.mark.parametrize("origin", [BOB, Root()])
def test_nobody_else_does(ext: Externalities, origin: AccountId | Root) -> None:
    error = BadOrigin() if isinstance(origin, Root) else Error.RequireSudo
    for name, arguments in [
        ("sudo", (SET,)),
        ("sudo_unchecked_weight", (SET, Weight())),
        ("set_key", (BOB,)),
        ("sudo_as", (ALICE, PAY)),
        ("remove_key", ()),
    ]:
        assert_noop(ext, origin, "Sudo", name, *arguments, error=error)


def test_the_key_is_handed_on_and_given_up(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Sudo", "set_key", BOB)
    assert ext.new_events()[-1] == KeyChanged(ALICE, BOB)
    assert_noop(ext, ALICE, "Sudo", "sudo", SET, error=Error.RequireSudo)
    assert_ok(ext, BOB, "Sudo", "remove_key")
    assert ext.new_events()[-1] == KeyRemoved()
    assert_noop(ext, BOB, "Sudo", "sudo", SET, error=Error.RequireSudo)


def test_a_chain_without_a_key_obeys_nobody() -> None:
    ext = Externalities(Small)
    assert_noop(ext, ALICE, "Sudo", "sudo", SET, error=Error.RequireSudo)
