"""Multisig: who may approve what, when it runs, and that every deposit comes back."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject
from scalecodec.type_registry import load_type_registry_preset

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin, DispatchError, Err, Ok, PalletError, Token, TokenError
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets import balances
from runtime.pallets.balances import Balances
from runtime.pallets.multisig import (
    MAX_SIGNATORIES,
    Error,
    Multisig,
    MultisigApproval,
    MultisigCancelled,
    MultisigExecuted,
    NewMultisig,
    Operation,
    Timepoint,
    multi_account,
)
from runtime.pallets.system import System
from runtime.pallets.utility import Utility
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Weight

ALICE, BOB, CAROL, DAVE = (AccountId(bytes([number]) * 32) for number in range(1, 5))
PARTY = [ALICE, BOB, CAROL]
BASE, FACTOR = 10, 3
PLENTY = Weight(10**12, 10**9)


class Small(Runtime):
    """Money, batches and multisigs."""

    system = System.at(0)
    balances = Balances.at(4, accounts=system, existential_deposit=1)
    utility = Utility.at(12)
    multisig = Multisig.at(
        13, system=system, currency=balances, deposit_base=BASE, deposit_factor=FACTOR, max_signatories=4
    )


TWO = multi_account(PARTY, 2)
THREE = multi_account(PARTY, 3)
ONE = multi_account(PARTY, 1)
PAY = Small.call("Balances", "transfer_keep_alive", DAVE, 50)
REMARK = Small.call("System", "remark", b"seen")


def hash_of(inner: Call) -> bytes:
    return blake2_256(Small.codecs.of(RuntimeCall).encode(inner))


def others(who: AccountId) -> list[AccountId]:
    return [each for each in PARTY if each != who]


@pytest.fixture
def ext() -> Externalities:
    held = [["0x" + who.hex(), 1_000] for who in (ALICE, BOB, CAROL, ONE, TWO, THREE)]
    started = Externalities(Small, genesis={"balances": {"balances": held}})
    started.runtime.extrinsic_index = 7
    return started


def approve(ext: Externalities, who: AccountId, threshold: int, when: Timepoint | None, inner: Call) -> None:
    arguments = (threshold, others(who), when, hash_of(inner), Weight())
    assert_ok(ext, who, "Multisig", "approve_as_multi", *arguments)


def told(ext: Externalities) -> list[Any]:
    mine = (NewMultisig, MultisigApproval, MultisigExecuted, MultisigCancelled)
    return [event for event in ext.new_events() if isinstance(event, mine)]


@pytest.mark.parametrize("threshold", [1, 2, 65535])
def test_the_account_is_the_one_clients_derive(threshold: int) -> None:
    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("legacy"))
    oracle = config.get_decoder_class("MultiAccountId")
    derived = oracle.create_from_account_list(["0x" + who.hex() for who in reversed(PARTY)], threshold)
    assert multi_account(PARTY, threshold).hex() == derived.value.removeprefix("0x")


def test_a_threshold_of_one_runs_at_once(ext: Externalities) -> None:
    assert_ok(ext, BOB, "Multisig", "as_multi_threshold_1", [ALICE, CAROL], PAY)
    assert (ext.runtime.balances.free(ONE), ext.runtime.balances.free(DAVE)) == (950, 50)
    broke = Small.call("Balances", "transfer_keep_alive", DAVE, 5_000)
    error = Token(TokenError.FundsUnavailable)
    assert_noop(ext, BOB, "Multisig", "as_multi_threshold_1", [ALICE, CAROL], broke, error=error)
    assert_noop(ext, Root(), "Multisig", "as_multi_threshold_1", [ALICE, CAROL], PAY, error=BadOrigin())


def test_an_operation_from_first_approval_to_payment(ext: Externalities) -> None:
    approve(ext, BOB, 3, None, PAY)
    when, key = Timepoint(1, 7), (THREE, hash_of(PAY))
    assert ext.runtime.multisig.multisigs.get(*key) == Operation(when, BASE + 3 * FACTOR, BOB, [BOB])
    assert ext.runtime.balances.reserved(BOB) == BASE + 3 * FACTOR
    ext.run_to_block(2)
    approve(ext, ALICE, 3, when, PAY)
    assert ext.runtime.multisig.multisigs.get(*key) == Operation(when, 19, BOB, [ALICE, BOB])
    assert_ok(ext, CAROL, "Multisig", "as_multi", 3, [ALICE, BOB], when, PAY, PLENTY)
    assert told(ext) == [
        MultisigApproval(ALICE, when, THREE, key[1]),
        MultisigExecuted(CAROL, when, THREE, key[1], Ok()),
    ]
    assert (ext.runtime.balances.free(DAVE), ext.runtime.balances.reserved(BOB)) == (50, 0)
    assert ext.runtime.multisig.multisigs.get(*key) is None


def test_a_failing_call_is_told_and_the_operation_is_over(ext: Externalities) -> None:
    broke = Small.call("Balances", "transfer_keep_alive", DAVE, 5_000)
    assert_ok(ext, ALICE, "Multisig", "as_multi", 2, [BOB, CAROL], None, broke, PLENTY)
    assert_ok(ext, BOB, "Multisig", "as_multi", 2, [ALICE, CAROL], Timepoint(1, 7), broke, PLENTY)
    result = Err(Token(TokenError.FundsUnavailable))
    assert told(ext) == [
        NewMultisig(ALICE, TWO, hash_of(broke)),
        MultisigExecuted(BOB, Timepoint(1, 7), TWO, hash_of(broke), result),
    ]
    assert (ext.runtime.balances.free(ALICE), list(ext.runtime.multisig.multisigs.items())) == (1_000, [])


def test_enough_approvals_let_anyone_of_them_run_it(ext: Externalities) -> None:
    when, arguments = Timepoint(1, 7), (2, [BOB, CAROL], Timepoint(1, 7))
    approve(ext, ALICE, 2, None, PAY)
    approve(ext, BOB, 2, when, PAY)
    over = (2, [ALICE, BOB], when, hash_of(PAY), Weight())
    assert_noop(ext, CAROL, "Multisig", "approve_as_multi", *over, error=Error.AlreadyApproved)
    light = (*arguments, PAY, Weight(1, 0))
    assert_noop(ext, ALICE, "Multisig", "as_multi", *light, error=Error.MaxWeightTooLow)
    assert_ok(ext, ALICE, "Multisig", "as_multi", *arguments, PAY, PLENTY)
    assert ext.runtime.balances.free(DAVE) == 50


def test_only_the_depositor_cancels_and_gets_the_deposit(ext: Externalities) -> None:
    approve(ext, ALICE, 2, None, PAY)
    when, digest = Timepoint(1, 7), hash_of(PAY)
    refusals = [
        (BOB, (2, [ALICE, CAROL], when, digest), Error.NotOwner),
        (ALICE, (2, [BOB, CAROL], Timepoint(1, 8), digest), Error.WrongTimepoint),
        (ALICE, (3, [BOB, CAROL], when, digest), Error.NotFound),
        (ALICE, (2, [BOB, CAROL], when, bytes(32)), Error.NotFound),
        (ALICE, (1, [BOB, CAROL], when, digest), Error.MinimumThreshold),
    ]
    for who, arguments, error in refusals:
        assert_noop(ext, who, "Multisig", "cancel_as_multi", *arguments, error=error)
    assert_ok(ext, ALICE, "Multisig", "cancel_as_multi", 2, [BOB, CAROL], when, digest)
    assert told(ext)[-1] == MultisigCancelled(ALICE, when, TWO, digest)
    assert (ext.runtime.balances.free(ALICE), ext.runtime.balances.reserved(ALICE)) == (1_000, 0)


@pytest.mark.parametrize(
    ("threshold", "listed", "when", "error"),
    [
        (0, [BOB, CAROL], None, Error.MinimumThreshold),
        (1, [BOB, CAROL], None, Error.MinimumThreshold),
        (2, [], None, Error.TooFewSignatories),
        (2, [BOB, CAROL, DAVE, AccountId(b"\x09" * 32)], None, Error.TooManySignatories),
        (2, [CAROL, BOB], None, Error.SignatoriesOutOfOrder),
        (2, [BOB, BOB], None, Error.SignatoriesOutOfOrder),
        (2, [ALICE, BOB], None, Error.SenderInSignatories),
        (2, [BOB, CAROL], Timepoint(1, 7), Error.UnexpectedTimepoint),
        (500, [BOB, CAROL], None, balances.Error.InsufficientBalance),
    ],
)
def test_what_opens_no_operation(
    ext: Externalities, threshold: int, listed: list[AccountId], when: Timepoint | None, error: PalletError
) -> None:
    for name, what in (("as_multi", PAY), ("approve_as_multi", hash_of(PAY))):
        arguments = (threshold, listed, when, what, PLENTY)
        assert_noop(ext, ALICE, "Multisig", name, *arguments, error=error)


@pytest.mark.parametrize(
    ("who", "when", "error"),
    [
        (BOB, None, Error.NoTimepoint),
        (BOB, Timepoint(2, 7), Error.WrongTimepoint),
        (ALICE, Timepoint(1, 7), Error.AlreadyApproved),
    ],
)
def test_what_adds_no_approval(
    ext: Externalities, who: AccountId, when: Timepoint | None, error: PalletError
) -> None:
    approve(ext, ALICE, 3, None, PAY)
    for name, what in (("as_multi", PAY), ("approve_as_multi", hash_of(PAY))):
        assert_noop(ext, who, "Multisig", name, 3, others(who), when, what, PLENTY, error=error)


def test_an_operation_may_open_itself_again(ext: Externalities) -> None:
    again = Small.call("Multisig", "approve_as_multi", 2, [ALICE, BOB], None, hash_of(REMARK), Weight())
    assert_ok(ext, ALICE, "Multisig", "as_multi", 2, [BOB, CAROL], None, again, PLENTY)
    assert_ok(ext, BOB, "Multisig", "as_multi", 2, [ALICE, CAROL], Timepoint(1, 7), again, PLENTY)
    nested = multi_account(sorted([ALICE, BOB, TWO]), 2)
    operation = ext.runtime.multisig.multisigs.get(nested, hash_of(REMARK))
    assert operation == Operation(Timepoint(1, 7), BASE + 2 * FACTOR, TWO, [TWO])


def test_the_weight_covers_what_may_run() -> None:
    runtime = Externalities(Small).runtime
    inner = runtime.info(PAY).weight
    at_once = runtime.info(Small.call("Multisig", "as_multi_threshold_1", [BOB], PAY)).weight
    later = runtime.info(Small.call("Multisig", "as_multi", 2, [BOB], None, PAY, PLENTY)).weight
    assert at_once.ref_time > inner.ref_time
    assert later.ref_time > PLENTY.ref_time


def test_the_longest_list_of_approvals_fits_what_is_stored() -> None:
    approvals = [AccountId(bytes([number]) * 32) for number in range(MAX_SIGNATORIES)]
    form = Small.codecs.of(Operation)
    longest = Operation(Timepoint(1, 1), 1, approvals[0], approvals)
    assert form.decode(form.encode(longest)) == longest


STEPS = st.tuples(
    st.sampled_from(["as_multi", "approve_as_multi", "cancel_as_multi", "as_multi_threshold_1", "next"]),
    st.sampled_from(PARTY),
    st.integers(1, 3),
    st.sampled_from([PAY, REMARK]),
    st.booleans(),
)


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=30))
def test_deposits_are_conserved(steps: list[tuple[str, AccountId, int, Call, bool]]) -> None:
    held = [["0x" + who.hex(), 1_000] for who in (ALICE, BOB, CAROL, ONE, TWO, THREE)]
    ext = Externalities(Small, genesis={"balances": {"balances": held}})
    issued = ext.runtime.balances.total_issuance.get()
    for name, who, threshold, inner, informed in steps:
        if name == "next":
            ext.run_to_block(ext.number + 1)
            continue
        account, digest = multi_account(PARTY, threshold), hash_of(inner)
        known = ext.runtime.multisig.multisigs.get(account, digest)
        when = known.when if known and informed else None
        arguments: dict[str, tuple[Any, ...]] = {
            "as_multi": (threshold, others(who), when, inner, PLENTY),
            "approve_as_multi": (threshold, others(who), when, digest, PLENTY),
            "cancel_as_multi": (threshold, others(who), when or Timepoint(0, 0), digest),
            "as_multi_threshold_1": (others(who), inner),
        }
        root = ext.state_root()
        try:
            ext.dispatch(who, "Multisig", name, *arguments[name])
        except DispatchError:
            assert ext.state_root() == root
        ext.runtime.try_state()
        open_ = [operation for _, operation in ext.runtime.multisig.multisigs.items()]
        for each in PARTY:
            owed = sum(operation.deposit for operation in open_ if operation.depositor == each)
            assert ext.runtime.balances.reserved(each) == owed
            assert ext.runtime.balances.free(each) == 1_000 - owed
        assert ext.runtime.balances.total_issuance.get() == issued
