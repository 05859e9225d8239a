"""Sudo: one key that acts as root, until governance lands. Source: FRAME's pallet-sudo."""

from collections.abc import Mapping
from typing import Any

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.declare import Pays, Root, Signed, SignedOrigin, call, db, event
from runtime.frame.errors import DispatchError, DispatchResult, Err, Ok, PalletError, ensure
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Value, storage
from runtime.primitives.ss58 import account_of
from runtime.primitives.types import AccountId, Lookup, Weight


@event
class Sudid:
    """A sudo call just took place."""

    sudo_result: DispatchResult


@event
class KeyChanged:
    """The sudo key has been updated."""

    old: AccountId | None
    new: AccountId


@event
class KeyRemoved:
    """The key was permanently removed."""


@event
class SudoAsDone:
    """A sudo_as call just took place."""

    sudo_result: DispatchResult


class Error(PalletError):
    """Why a sudo call is refused."""

    RequireSudo = "Sender must be the Sudo account."


def _weight_of(runtime: Runtime, inner: Call) -> Weight:
    return db(reads=1) + runtime.info(inner).weight


def _weight_of_as(runtime: Runtime, who: Any, inner: Call) -> Weight:
    return _weight_of(runtime, inner)


def _weight_given(runtime: Runtime, inner: Call, weight: Weight) -> Weight:
    return weight


class Sudo(Pallet[Sudid | KeyChanged | KeyRemoved | SudoAsDone, Error]):
    """The sudo key and what it may do."""

    key: Value[AccountId] = storage()

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Set the `key`, if the chain has one."""
        if config.get("key"):
            self.key.put(account_of(config["key"]))

    @call(0, weight=_weight_of)
    def sudo(self, who: Signed, call: RuntimeCall) -> None:
        """Authenticates the sudo key and dispatches a function call with Root origin."""
        self._ensure_sudo(who)
        self.deposit(Sudid(self._try(call, Root())))

    @call(1, weight=_weight_given)
    def sudo_unchecked_weight(self, who: Signed, call: RuntimeCall, weight: Weight) -> None:
        """Dispatches a call with Root origin; the sudo user says how much it weighs."""
        self._ensure_sudo(who)
        self.deposit(Sudid(self._try(call, Root())))

    @call(2, weight=db(reads=1, writes=1), pays=Pays.Yes)
    def set_key(self, who: Signed, new: Lookup) -> None:
        """Authenticates the current sudo key and sets the given AccountId as the new sudo key."""
        self._ensure_sudo(who)
        self.deposit(KeyChanged(self.key.find(), new))
        self.key.put(new)

    @call(3, weight=_weight_of_as)
    def sudo_as(self, sender: Signed, who: Lookup, call: RuntimeCall) -> None:
        """Dispatches a call with Signed origin from a given account."""
        self._ensure_sudo(sender)
        self.deposit(SudoAsDone(self._try(call, SignedOrigin(who))))

    @call(4, weight=db(reads=1, writes=1))
    def remove_key(self, who: Signed) -> None:
        """Permanently removes the sudo key. This cannot be un-done."""
        self._ensure_sudo(who)
        self.key.kill()
        self.deposit(KeyRemoved())

    def _ensure_sudo(self, who: AccountId) -> None:
        ensure(self.key.find() == who, Error.RequireSudo)

    def _try(self, inner: Call, origin: Root | SignedOrigin) -> Ok | Err:
        try:
            self.host.dispatch(inner, origin)
        except DispatchError as refused:
            return Err(self.host.error_kind(refused))
        return Ok()
