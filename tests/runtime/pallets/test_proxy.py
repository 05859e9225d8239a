"""Proxy: who may act for whom, what no proxy can reach, and that every deposit goes back to its payer."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.declare import Root
from runtime.frame.errors import (
    BadOrigin,
    DispatchError,
    Err,
    Module,
    ModuleError,
    Ok,
    PalletError,
    SystemError_,
    Token,
    TokenError,
)
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.balances import Balances
from runtime.pallets.multisig import Multisig
from runtime.pallets.proxy import (
    MAX_PENDING,
    MAX_PROXIES,
    Announced,
    Announcement,
    Error,
    Proxy,
    ProxyAdded,
    ProxyDefinition,
    ProxyExecuted,
    ProxyRemoved,
    ProxyType,
    Pure,
    PureCreated,
    pure_account,
)
from runtime.pallets.sudo import Sudo
from runtime.pallets.system import System
from runtime.pallets.utility import (
    BatchInterrupted,
    ItemCompleted,
    ItemFailed,
    Utility,
    derivative_account,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.types import AccountId, Weight
from runtime.runtime import REACHES, AssayRuntime

ALICE, BOB, CAROL, DAVE = (AccountId(bytes([number]) * 32) for number in range(1, 5))
PEOPLE = (ALICE, BOB, CAROL)
BASE, FACTOR, TOLD, TOLD_EACH = 100, 10, 50, 5
ANY, NON_TRANSFER, STAKING = ProxyType.Any, ProxyType.NonTransfer, ProxyType.Staking
FILTERED = Err(Module(ModuleError(0, bytes([5, 0, 0, 0]))))
FUNDS = 10_000


class Small(Runtime):
    """Money, and everything a call may be wrapped in."""

    system = System.at(0)
    balances = Balances.at(4, accounts=system, existential_deposit=1)
    utility = Utility.at(12)
    multisig = Multisig.at(13, system=system, currency=balances)
    proxy = Proxy.at(
        14, system=system, currency=balances, reaches=REACHES, proxy_deposit_base=BASE,
        proxy_deposit_factor=FACTOR, announcement_deposit_base=TOLD, announcement_deposit_factor=TOLD_EACH,
        max_proxies=4, max_pending=3,
    )  # fmt: skip
    sudo = Sudo.at(15)


PAY = Small.call("Balances", "transfer_keep_alive", DAVE, 50)
REMARK = Small.call("System", "remark", b"seen")


def hash_of(inner: Call) -> bytes:
    return blake2_256(Small.codecs.of(RuntimeCall).encode(inner))


@pytest.fixture
def ext() -> Externalities:
    return market()


def market() -> Externalities:
    held = [["0x" + who.hex(), FUNDS] for who in (*PEOPLE, derivative_account(ALICE, 3))]
    key = {"key": "0x" + ALICE.hex()}
    return Externalities(Small, genesis={"balances": {"balances": held}, "sudo": key})


def add(ext: Externalities, real: AccountId, delegate: AccountId, kind: ProxyType, delay: int = 0) -> None:
    assert_ok(ext, real, "Proxy", "add_proxy", delegate, kind, delay)


def outcome(ext: Externalities, who: AccountId, inner: Call, forced: ProxyType | None = None) -> Any:
    """Return how a call went that `who` made for Alice."""
    assert_ok(ext, who, "Proxy", "proxy", ALICE, forced, inner)
    executed = ext.new_events()[-1]
    assert isinstance(executed, ProxyExecuted)
    return executed.result


def paid(ext: Externalities) -> int:
    return int(ext.runtime.balances.free(DAVE))


def proxied(real: AccountId, inner: Call) -> Call:
    return Small.call("Proxy", "proxy", real, None, inner)


def test_proxies_are_kept_sorted_and_paid_for(ext: Externalities) -> None:
    add(ext, ALICE, CAROL, ANY)
    add(ext, ALICE, BOB, STAKING, 5)
    add(ext, ALICE, BOB, NON_TRANSFER, 9)
    listed = [
        ProxyDefinition(BOB, NON_TRANSFER, 9),
        ProxyDefinition(BOB, STAKING, 5),
        ProxyDefinition(CAROL, ANY, 0),
    ]
    assert ext.runtime.proxy.proxies[ALICE] == (listed, BASE + 3 * FACTOR)
    assert ext.new_events()[-1] == ProxyAdded(ALICE, BOB, NON_TRANSFER, 9)
    assert ext.runtime.balances.reserved(ALICE) == BASE + 3 * FACTOR
    assert_ok(ext, ALICE, "Proxy", "remove_proxy", BOB, STAKING, 5)
    assert ext.new_events()[-1] == ProxyRemoved(ALICE, BOB, STAKING, 5)
    assert ext.runtime.balances.reserved(ALICE) == BASE + 2 * FACTOR
    assert_ok(ext, ALICE, "Proxy", "remove_proxies")
    assert (ext.runtime.balances.free(ALICE), ALICE in ext.runtime.proxy.proxies) == (FUNDS, False)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("add_proxy", (ALICE, ANY, 0), Error.NoSelfProxy),
        ("add_proxy", (BOB, ANY, 0), Error.Duplicate),
        ("remove_proxy", (BOB, ANY, 1), Error.NotFound),
        ("remove_proxy", (CAROL, ANY, 0), Error.NotFound),
        ("proxy", (BOB, None, REMARK), Error.NotProxy),
        ("announce", (BOB, bytes(32)), Error.NotProxy),
        ("remove_announcement", (BOB, bytes(32)), Error.NotFound),
        ("reject_announcement", (BOB, bytes(32)), Error.NotFound),
        ("proxy_announced", (BOB, ALICE, None, REMARK), Error.Unannounced),
        ("proxy_announced", (CAROL, ALICE, None, REMARK), Error.NotProxy),
        ("kill_pure", (ALICE, ANY, 0, 1, 0), Error.NoPermission),
    ],
)
def test_what_is_refused(
    ext: Externalities, name: str, arguments: tuple[Any, ...], error: PalletError
) -> None:
    add(ext, ALICE, BOB, ANY)
    assert_noop(ext, ALICE, "Proxy", name, *arguments, error=error)
    assert_noop(ext, Root(), "Proxy", name, *arguments, error=BadOrigin())


def test_lists_are_bounded(ext: Externalities) -> None:
    for delay in range(4):
        add(ext, ALICE, BOB, ANY, delay)
    assert_noop(ext, ALICE, "Proxy", "add_proxy", BOB, ANY, 4, error=Error.TooMany)
    for _ in range(3):
        assert_ok(ext, BOB, "Proxy", "announce", ALICE, bytes(32))
    assert_noop(ext, BOB, "Proxy", "announce", ALICE, bytes(32), error=Error.TooMany)


def test_a_proxy_acts_and_says_how_it_went(ext: Externalities) -> None:
    add(ext, ALICE, BOB, ANY)
    assert outcome(ext, BOB, PAY) == Ok()
    assert (ext.runtime.balances.free(ALICE), paid(ext)) == (FUNDS - BASE - FACTOR - 50, 50)
    broke = Small.call("Balances", "transfer_keep_alive", DAVE, 10**6)
    assert outcome(ext, BOB, broke) == Err(Token(TokenError.FundsUnavailable))
    assert_noop(ext, CAROL, "Proxy", "proxy", ALICE, None, PAY, error=Error.NotProxy)
    assert_noop(ext, BOB, "Proxy", "proxy", ALICE, STAKING, PAY, error=Error.NotProxy)


@pytest.mark.parametrize(
    ("kind", "superset"),
    [(ANY, {ANY, NON_TRANSFER, STAKING}), (NON_TRANSFER, {NON_TRANSFER, STAKING}), (STAKING, {STAKING})],
)
def test_a_type_contains_those_it_permits(kind: ProxyType, superset: set[ProxyType]) -> None:
    assert {each for each in ProxyType if kind.is_superset(each)} == superset


ESCAPES: dict[str, Call] = {
    "plain": PAY,
    "batch": Small.call("Utility", "batch_all", [PAY]),
    "deep batch": Small.call("Utility", "batch_all", [Small.call("Utility", "batch_all", [PAY])]),
    "derivative": Small.call("Utility", "as_derivative", 3, PAY),
    "multisig of one": Small.call("Multisig", "as_multi_threshold_1", [BOB], PAY),
    "multisig": Small.call("Multisig", "as_multi", 2, [BOB], None, PAY, Weight()),
    "multisig by hash": Small.call("Multisig", "approve_as_multi", 2, [BOB], None, hash_of(PAY), Weight()),
    "sudo": Small.call("Sudo", "sudo", Small.call("Balances", "force_transfer", ALICE, DAVE, 50)),
    "add a stronger proxy": Small.call("Proxy", "add_proxy", BOB, ANY, 0),
    "remove a stronger proxy": Small.call("Proxy", "remove_proxy", CAROL, ANY, 0),
    "remove all proxies": Small.call("Proxy", "remove_proxies"),
    "kill": Small.call("Proxy", "kill_pure", BOB, ANY, 0, 1, 0),
    "announce": Small.call("Proxy", "announce", CAROL, hash_of(PAY)),
}


@pytest.mark.parametrize("kind", [NON_TRANSFER, STAKING])
@pytest.mark.parametrize("name", ESCAPES)
def test_no_wrapping_escapes_a_filter(ext: Externalities, kind: ProxyType, name: str) -> None:
    add(ext, ALICE, BOB, kind)
    add(ext, ALICE, CAROL, ANY)
    before = ext.runtime.proxy.proxies[ALICE]
    assert outcome(ext, BOB, ESCAPES[name]) == FILTERED
    assert (ext.runtime.proxy.proxies[ALICE], paid(ext)) == (before, 0)
    assert not ext.runtime.proxy.announcements[ALICE][0]


def test_batches_tell_which_call_was_filtered(ext: Externalities) -> None:
    add(ext, ALICE, BOB, NON_TRANSFER)
    assert outcome(ext, BOB, Small.call("Utility", "batch", [REMARK, PAY])) == Ok()
    assert ext.new_events()[-3:-1] == [ItemCompleted(), BatchInterrupted(1, FILTERED._0)]
    assert outcome(ext, BOB, Small.call("Utility", "force_batch", [PAY, REMARK])) == Ok()
    assert ItemFailed(FILTERED._0) in ext.new_events()
    assert paid(ext) == 0


@pytest.mark.parametrize("kind", ProxyType)
def test_a_proxy_of_a_proxy_can_do_no_more_than_both(ext: Externalities, kind: ProxyType) -> None:
    add(ext, CAROL, ALICE, kind)
    add(ext, ALICE, BOB, NON_TRANSFER)
    assert outcome(ext, BOB, proxied(CAROL, REMARK)) == Ok()
    assert ext.new_events()[-2] == ProxyExecuted(FILTERED if kind is STAKING else Ok())
    assert outcome(ext, BOB, proxied(CAROL, PAY)) == Ok()
    assert ext.new_events()[-2] == ProxyExecuted(FILTERED)
    assert outcome(ext, BOB, proxied(CAROL, Small.call("Proxy", "add_proxy", BOB, ANY, 0))) == Ok()
    assert ext.new_events()[-2] == ProxyExecuted(FILTERED)
    assert paid(ext) == 0
    add(ext, ALICE, BOB, ANY)
    assert outcome(ext, BOB, proxied(CAROL, PAY), ANY) == Ok()
    assert paid(ext) == (50 if kind is ANY else 0)


def test_a_narrow_proxy_hands_on_what_it_has(ext: Externalities) -> None:
    add(ext, ALICE, BOB, NON_TRANSFER)
    assert outcome(ext, BOB, Small.call("Proxy", "add_proxy", CAROL, STAKING, 0)) == Ok()
    assert outcome(ext, BOB, Small.call("Proxy", "remove_proxy", CAROL, STAKING, 0)) == Ok()
    assert outcome(ext, BOB, REMARK) == Ok()


def test_every_reach_names_pallets_and_calls_that_exist() -> None:
    names = {pallet.name for pallet in AssayRuntime.declared.values()}
    calls = {
        f"{AssayRuntime.declared[target.attribute].name}.{target.spec.name}"
        for target in AssayRuntime.targets.values()
    }
    for reach in REACHES.values():
        assert set(reach.pallets) <= names
        assert set(reach.but) <= calls
        assert not {"Balances", "Multisig", "Sudo"} & set(reach.pallets)


def test_a_delayed_proxy_announces_first(ext: Externalities) -> None:
    add(ext, ALICE, BOB, ANY, 3)
    assert_noop(ext, BOB, "Proxy", "proxy", ALICE, None, PAY, error=Error.Unannounced)
    assert_ok(ext, BOB, "Proxy", "announce", ALICE, hash_of(PAY))
    assert ext.new_events()[-1] == Announced(ALICE, BOB, hash_of(PAY))
    pending = [Announcement(ALICE, hash_of(PAY), 1)]
    assert ext.runtime.proxy.announcements[BOB] == (pending, TOLD + TOLD_EACH)
    assert ext.runtime.balances.reserved(BOB) == TOLD + TOLD_EACH
    early = (BOB, ALICE, None, PAY)
    ext.run_to_block(3)
    assert_noop(ext, CAROL, "Proxy", "proxy_announced", *early, error=Error.Unannounced)
    ext.run_to_block(4)
    assert_ok(ext, CAROL, "Proxy", "proxy_announced", *early)
    assert ext.new_events()[-1] == ProxyExecuted(Ok())
    assert (paid(ext), ext.runtime.balances.free(BOB)) == (50, FUNDS)
    assert_noop(ext, CAROL, "Proxy", "proxy_announced", *early, error=Error.Unannounced)


@pytest.mark.parametrize(
    ("who", "name", "other"), [(BOB, "remove_announcement", ALICE), (ALICE, "reject_announcement", BOB)]
)
def test_an_announcement_is_taken_back(
    ext: Externalities, who: AccountId, name: str, other: AccountId
) -> None:
    add(ext, ALICE, BOB, ANY, 3)
    for digest in (hash_of(PAY), hash_of(REMARK)):
        assert_ok(ext, BOB, "Proxy", "announce", ALICE, digest)
    assert_ok(ext, who, "Proxy", name, other, hash_of(PAY))
    assert ext.runtime.balances.reserved(BOB) == TOLD + TOLD_EACH
    ext.run_to_block(9)
    gone = (BOB, ALICE, None, PAY)
    assert_noop(ext, BOB, "Proxy", "proxy_announced", *gone, error=Error.Unannounced)
    assert_ok(ext, BOB, "Proxy", "proxy_announced", BOB, ALICE, None, REMARK)
    assert ext.runtime.balances.reserved(BOB) == 0


def test_a_pure_account_from_creation_to_its_end(ext: Externalities) -> None:
    ext.runtime.extrinsic_index = 2
    assert_ok(ext, ALICE, "Proxy", "create_pure", ANY, 0, 7)
    entropy = b"modlpy/proxy____" + ALICE + bytes.fromhex("0100000002000000000700")
    pure = AccountId(blake2_256(entropy))
    assert pure == pure_account(ALICE, 1, 2, ANY, 7)
    assert ext.new_events()[-1] == PureCreated(pure, ALICE, ANY, 7)
    assert ext.runtime.proxy.pures.get(pure) == Pure(ALICE, BASE + FACTOR)
    assert_noop(ext, ALICE, "Proxy", "create_pure", ANY, 0, 7, error=Error.Duplicate)
    assert_ok(ext, ALICE, "Balances", "transfer_keep_alive", pure, 500)
    assert_ok(ext, ALICE, "Proxy", "proxy", pure, None, Small.call("Proxy", "add_proxy", BOB, STAKING, 0))
    assert (ext.runtime.balances.reserved(ALICE), ext.runtime.balances.reserved(pure)) == (110, FACTOR)
    kill = Small.call("Proxy", "kill_pure", ALICE, ANY, 7, 1, 2)
    assert_ok(ext, ALICE, "Proxy", "proxy", pure, None, kill)
    assert ext.new_events()[-1] == ProxyExecuted(Ok())
    assert (ext.runtime.balances.reserved(ALICE), ext.runtime.balances.reserved(pure)) == (0, 0)
    assert_noop(ext, ALICE, "Proxy", "proxy", pure, None, REMARK, error=Error.NotProxy)


def test_a_pure_account_that_lets_go_of_its_proxies_frees_its_spawner(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Proxy", "create_pure", ANY, 0, 0)
    pure = pure_account(ALICE, 1, 0, ANY, 0)
    assert_ok(ext, ALICE, "Proxy", "proxy", pure, None, Small.call("Proxy", "remove_proxies"))
    assert ext.new_events()[-1] == ProxyExecuted(Ok())
    assert (ext.runtime.balances.free(ALICE), list(ext.runtime.proxy.pures.items())) == (FUNDS, [])


def test_the_filter_speaks_with_the_system_pallets_voice(ext: Externalities) -> None:
    assert ext.runtime.error_kind(DispatchError(SystemError_.CallFiltered)) == FILTERED._0


def test_the_longest_lists_fit_what_is_stored() -> None:
    known = [ProxyDefinition(ALICE, ANY, delay) for delay in range(MAX_PROXIES)]
    pending = [Announcement(ALICE, bytes(32), height) for height in range(MAX_PENDING)]
    ext = market()
    ext.runtime.proxy.proxies[ALICE] = known, 1
    ext.runtime.proxy.announcements[ALICE] = pending, 1
    assert ext.runtime.proxy.proxies[ALICE] == (known, 1)
    assert ext.runtime.proxy.announcements[ALICE] == (pending, 1)


PURES = tuple(pure_account(who, 1, 0, ANY, index) for who in PEOPLE for index in range(2))
KINDS = st.sampled_from(list(ProxyType))
ACCOUNTS = st.sampled_from((*PEOPLE, *PURES))
DIGESTS = st.sampled_from([hash_of(PAY), hash_of(REMARK)])
CALLS = st.one_of(
    st.tuples(st.just("add_proxy"), ACCOUNTS, KINDS, st.integers(0, 2)),
    st.tuples(st.just("remove_proxy"), ACCOUNTS, KINDS, st.integers(0, 2)),
    st.just(("remove_proxies",)),
    st.tuples(st.just("create_pure"), st.just(ANY), st.just(0), st.integers(0, 1)),
    st.tuples(
        st.just("kill_pure"), st.sampled_from(PEOPLE), st.just(ANY), st.integers(0, 1), st.just(1), st.just(0)
    ),
    st.tuples(st.just("announce"), ACCOUNTS, DIGESTS),
    st.tuples(st.just("remove_announcement"), ACCOUNTS, DIGESTS),
    st.tuples(st.just("reject_announcement"), ACCOUNTS, DIGESTS),
    st.tuples(st.just("proxy_announced"), ACCOUNTS, ACCOUNTS, st.none(), st.sampled_from([PAY, REMARK])),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(PEOPLE), st.none() | ACCOUNTS, CALLS), max_size=30))
def test_deposits_are_conserved(steps: list[tuple[AccountId, AccountId | None, tuple[Any, ...]]]) -> None:
    ext = market()
    for pure in PURES:
        ext.runtime.balances.mint(pure, FUNDS)
    issued = ext.runtime.balances.total_issuance.get()
    for who, real, (name, *arguments) in steps:
        made = Small.call("Proxy", name, *arguments)
        if real is not None:
            made = proxied(real, made)
        root = ext.state_root()
        try:
            ext.dispatch(who, "Utility", "batch_all", [made])
        except DispatchError:
            assert ext.state_root() == root
        ext.runtime.try_state()
        owed = ext.runtime.proxy.deposits()
        for each in (*PEOPLE, *PURES):
            assert ext.runtime.balances.reserved(each) == owed.get(each, 0)
        assert ext.runtime.balances.total_issuance.get() == issued
