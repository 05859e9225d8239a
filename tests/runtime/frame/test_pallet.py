"""Declarations: what a pallet may say, who may call it, and that a failed call leaves nothing behind."""

from typing import Annotated, Any

import pytest

from runtime.frame.base import Runtime, RuntimeCall
from runtime.frame.declare import Origin, Root, Signed, Unsigned, call, constant, coupled, db, event
from runtime.frame.errors import (
    Arithmetic,
    ArithmeticError_,
    BadOrigin,
    CannotLookup,
    DispatchError,
    Module,
    ModuleError,
    PalletError,
    ensure,
    refuse,
)
from runtime.frame.pallet import Pallet, pascal, spec_of
from runtime.frame.storage import Map, Value, storage
from runtime.frame.testing import Externalities, assert_noop, assert_ok
from runtime.pallets.system import System
from runtime.primitives.layout import EncodeError
from runtime.primitives.shapes import Bounded, u8, u32
from runtime.primitives.types import AccountId, Address20, Address32, Id, Index, Lookup, Raw

ALICE, BOB = AccountId(b"\x01" * 32), AccountId(b"\x02" * 32)


@event
class Counted:
    """Somebody counted."""

    who: AccountId
    total: u32


class Error(PalletError):
    """Why counting is refused."""

    TooMuch = "Count lower."
    Unlucky = "Not thirteen."


class Counter(Pallet[Counted, Error]):
    """Counts."""

    limit: u32 = constant(100)
    total: Value[u32] = storage(default=0)
    tiny: Value[u8] = storage(default=0)
    last: Map[AccountId, u32] = storage(default=0)

    @call(0, weight=db(writes=2))
    def add(self, who: Signed, amount: u32) -> None:
        """Add to the total."""
        self.total.put(self.total.get() + amount)
        self.last[who] = amount
        self.deposit(Counted(who, self.total.get()))
        ensure(self.total.get() <= self.limit, Error.TooMuch)
        if amount == 13:
            refuse(Error.Unlucky)

    @call(2, weight=db())
    def reset(self, origin: Root) -> None:
        """Begin again."""
        self.total.kill()

    @call(3, weight=db())
    def stamp(self, origin: Unsigned) -> None:
        """Let nobody in particular count."""
        self.total.put(1)

    @call(4, weight=db())
    def credit(self, who: Signed, dest: Lookup, amount: u32) -> None:
        """Count for another."""
        self.last[dest] = amount

    @call(8, weight=db())
    def credit_all(
        self, who: Signed, dests: Annotated[list[Lookup], Bounded(3)], more: list[Lookup], amount: u32
    ) -> None:
        """Count for several others."""
        for dest in [*dests, *more]:
            self.last[dest] = amount

    @call(5, weight=db())
    def carry(self, origin: Origin, inner: RuntimeCall, swallow: bool) -> None:
        """Count, then make a call; a refusal is swallowed if wished."""
        self.total.put(self.total.get() + 1)
        try:
            self.host.dispatch(inner, origin)
        except DispatchError:
            if not swallow:
                raise

    @call(6, weight=db())
    def shrink(self, who: Signed, amount: u32) -> None:
        """Put what may not fit."""
        self.total.put(1)
        self.tiny.put(amount)

    @call(7, weight=db())
    def sink(self, who: Signed, amount: u32) -> None:
        """Go below zero."""
        self.deposit(Counted(who, 0))
        self.total.put(self.total.get() - amount)


class Small(Runtime):
    """A system and a counter."""

    system = System.at(0)
    counter = Counter.at(9)


@pytest.fixture
def ext() -> Externalities:
    return Externalities(Small)


def test_a_call_changes_state_and_leaves_its_events(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Counter", "add", 5)
    assert (ext.runtime.counter.total.get(), ext.runtime.counter.last[ALICE]) == (5, 5)
    assert ext.new_events() == [Counted(ALICE, 5)]


@pytest.mark.parametrize(("amount", "error"), [(101, Error.TooMuch), (13, Error.Unlucky)])
def test_a_refused_call_leaves_nothing(ext: Externalities, amount: int, error: Error) -> None:
    assert_noop(ext, ALICE, "Counter", "add", amount, error=error)


@pytest.mark.parametrize(
    ("origin", "name", "arguments"),
    [
        (Root(), "add", (1,)),
        (Unsigned(), "add", (1,)),
        (ALICE, "reset", ()),
        (Unsigned(), "reset", ()),
        (ALICE, "stamp", ()),
        (Root(), "stamp", ()),
    ],
)
def test_the_wrong_origin_is_refused(ext: Externalities, origin: Any, name: str, arguments: Any) -> None:
    assert_noop(ext, origin, "Counter", name, *arguments, error=BadOrigin())


def test_every_origin_has_its_calls(ext: Externalities) -> None:
    assert_ok(ext, Unsigned(), "Counter", "stamp")
    assert ext.runtime.counter.total.get() == 1
    assert_ok(ext, Root(), "Counter", "reset")
    assert ext.runtime.counter.total.get() == 0


@pytest.mark.parametrize("address", [Id(BOB), Address32(bytes(BOB))])
def test_an_address_becomes_an_account(ext: Externalities, address: Any) -> None:
    assert_ok(ext, ALICE, "Counter", "credit", address, 4)
    assert ext.runtime.counter.last[BOB] == 4


@pytest.mark.parametrize("address", [Index(()), Raw(bytes(BOB)), Address20(bytes(20))])
def test_an_address_of_nobody_cannot_be_looked_up(ext: Externalities, address: Any) -> None:
    assert_noop(ext, ALICE, "Counter", "credit", address, 4, error=CannotLookup())
    assert_noop(ext, ALICE, "Counter", "credit_all", [BOB], [ALICE, address], 4, error=CannotLookup())


def test_lists_of_addresses_become_accounts_and_are_bounded(ext: Externalities) -> None:
    assert_ok(ext, ALICE, "Counter", "credit_all", [BOB, Address32(bytes(32))], [ALICE], 4)
    assert dict(ext.runtime.counter.last.items()) == {BOB: 4, bytes(32): 4, ALICE: 4}
    call = ext.runtime.call("Counter", "credit_all", [BOB], [ALICE] * 5, 4)
    encoded = ext.runtime.codecs.of(RuntimeCall).encode(call)
    assert encoded == bytes([9, 8, 4, 0]) + BOB + bytes([20]) + (b"\0" + ALICE) * 5 + bytes([4, 0, 0, 0])
    assert ext.runtime.codecs.of(RuntimeCall).decode(encoded) == call
    with pytest.raises(EncodeError):
        ext.runtime.codecs.of(RuntimeCall).encode(ext.runtime.call("Counter", "credit_all", [BOB] * 4, [], 4))


def test_a_carried_call_takes_its_carrier_down_or_only_itself(ext: Externalities) -> None:
    bad = Small.call("Counter", "add", 13)
    assert_noop(ext, ALICE, "Counter", "carry", bad, False, error=Error.Unlucky)
    assert_ok(ext, ALICE, "Counter", "carry", bad, True)
    assert (ext.runtime.counter.total.get(), ext.runtime.counter.last.get(ALICE)) == (1, None)
    assert ext.new_events() == []
    assert_ok(ext, ALICE, "Counter", "carry", Small.call("Counter", "carry", bad, True), False)
    assert ext.runtime.counter.total.get() == 3
    assert_noop(ext, Root(), "Counter", "carry", Small.call("Counter", "add", 1), False, error=BadOrigin())


@pytest.mark.parametrize(("name", "amount"), [("shrink", 256), ("sink", 2)])
def test_a_number_that_does_not_fit_is_refused(ext: Externalities, name: str, amount: int) -> None:
    overflow = Arithmetic(ArithmeticError_.Overflow)
    assert_noop(ext, ALICE, "Counter", name, amount, error=overflow)
    assert_ok(ext, ALICE, "Counter", "carry", Small.call("Counter", name, amount), True)
    assert ext.runtime.counter.total.get() == 1


def test_a_bug_in_a_pallet_still_rolls_back(ext: Externalities, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, who: Any, amount: int) -> None:
        self.total.put(99)
        raise ZeroDivisionError

    monkeypatch.setattr(Counter, "add", broken)
    with pytest.raises(ZeroDivisionError):
        ext.dispatch(ALICE, "Counter", "add", 1)
    assert ext.runtime.counter.total.get() == 0


def test_errors_are_named_by_pallet_and_position(ext: Externalities) -> None:
    assert ext.runtime.error_kind(DispatchError(Error.Unlucky)) == Module(ModuleError(9, b"\x01\0\0\0"))
    assert ext.runtime.error_kind(DispatchError(BadOrigin())) == BadOrigin()


def test_a_declaration_is_read_in_wire_terms() -> None:
    spec = spec_of(Counter)
    assert [(each.index, each.name) for each in spec.calls][:3] == [(0, "add"), (2, "reset"), (3, "stamp")]
    assert [item.name for item in spec.storage] == ["Total", "Tiny", "Last"]
    assert [each.name for each in spec.constants] == ["Limit"]
    assert (spec.events, spec.error) == ((Counted,), Error)
    assert pascal("total_issuance") == "TotalIssuance"


def test_constants_come_from_genesis_or_the_runtime() -> None:
    changed = Externalities(Small, genesis={"constants": {"Counter": {"Limit": 3}}})
    assert_noop(changed, ALICE, "Counter", "add", 4, error=Error.TooMuch)

    class Strict(Runtime):
        """Counts to two."""

        system = System.at(0)
        counter = Counter.at(9, limit=2)

    assert_noop(Externalities(Strict), ALICE, "Counter", "add", 3, error=Error.TooMuch)


def test_two_pallets_do_not_share_an_index() -> None:
    with pytest.raises(AssertionError, match="share an index"):
        type("Clash", (Runtime,), {"system": System.at(4), "counter": Counter.at(4)})


def test_two_calls_do_not_share_an_index() -> None:
    class Twice(Pallet[None, Error]):
        """Two calls at 1."""

        @call(1, weight=db())
        def one(self, who: Signed) -> None:
            """Do."""

        @call(1, weight=db())
        def two(self, who: Signed) -> None:
            """Do."""

    with pytest.raises(AssertionError, match="two calls share an index"):
        spec_of(Twice)


def test_a_need_that_is_not_met_is_refused_where_it_is_placed() -> None:
    class Needy(Pallet[None, Error]):
        """Needs another."""

        other: Any = coupled()

    with pytest.raises(AssertionError, match="Needy needs"):
        Needy.at(1)


def test_a_bounded_argument_does_not_decode_beyond_its_bound() -> None:
    form = Small.codecs.of(Annotated[list[RuntimeCall], Bounded(2)])
    two = [Small.call("Counter", "add", each) for each in (1, 2)]
    assert form.decode(form.encode(two)) == two
    with pytest.raises(ValueError, match="at most 2"):
        form.decode(
            b"\x0c" + b"".join(Small.codecs.of(RuntimeCall).encode(each) for each in (*two, *two[:1]))
        )
