"""Session: who the validators are, with which keys, and when the next ones come.

A session is a BABE epoch. When session i ends, those queued take office and those of i + 2 are queued:

    end_session(i) -> queued become validators -> start_session(i + 1) -> new_session(i + 2) -> handlers

The manager (Staking) names stashes with their stake; who has no keys is left out; stake becomes weight here,
once, so that all handlers (Babe, Grandpa, Historical) have the same list. Keys may be claimed without proof,
as wallets do; a proof that the claimant holds them takes them back from whoever claimed them first.
Source: FRAME's pallet-session.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from runtime.frame.declare import Signed, call, coupled, db, event
from runtime.frame.errors import DispatchError, PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, Value, storage
from runtime.primitives.authority_weights import authority_weights, tolerated
from runtime.primitives.babe import MAX_AUTHORITIES
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.session import Authority, KeyTypeId, SessionKeys
from runtime.primitives.shapes import u32, u64
from runtime.primitives.ss58 import accounts_of
from runtime.primitives.types import AccountId, Balance, Weight

SIGNATURES = Weight(150_000_000)
"""Two ed25519 signatures on reference hardware."""

Planned = Sequence[tuple[AccountId, Balance]]
"""Validators with the stake behind them, planck."""


class Accounts(Protocol):
    """Who keeps accounts from being reaped: the System pallet."""

    def add_consumer(self, who: AccountId) -> None:
        """Say that something needs the account to stay. Raises: DispatchError."""
        ...

    def remove_consumer(self, who: AccountId) -> None:
        """Take back `add_consumer`."""
        ...


class SessionManager(Protocol):
    """Who chooses validators, and knows who is bonded: the Staking pallet."""

    bonded: Map[AccountId, AccountId]

    def new_session(self, index: int) -> list[tuple[AccountId, Balance]] | None:
        """Return the validators planned for a session with their stake; None keeps those planned before."""
        ...

    def start_session(self, index: int) -> None:
        """Hear that a session begins."""
        ...

    def end_session(self, index: int) -> None:
        """Hear that a session ends."""
        ...


class SessionHandler(Protocol):
    """Who works with the validators' keys; lists are in the order of the authorities."""

    def on_genesis_session(self, validators: Sequence[Authority]) -> None:
        """Take the authorities of session 0."""
        ...

    def on_new_session(
        self, index: int, changed: bool, validators: Sequence[Authority], queued: Sequence[Authority]
    ) -> None:
        """Begin session `index` with `validators`; `queued` come in the one after."""
        ...

    def on_disabled(self, index: int) -> None:
        """Do without the authority at this place until the session ends."""
        ...


@event
class NewSession:
    """New session has happened."""

    session_index: u32


@event
class ValidatorDisabled:
    """Validator has been disabled."""

    validator: AccountId


@event
class ValidatorReenabled:
    """Validator has been re-enabled."""

    validator: AccountId


class Error(PalletError):
    """Why a session call is refused."""

    InvalidProof = "Invalid ownership proof: each key must sign POP_ and the stash, or leave the proof empty."
    NoAssociatedValidatorId = "No associated validator ID for account. Bond first: staking.bond."
    DuplicatedKey = "Registered duplicate key. Whoever holds it takes it back with a proof."
    NoKeys = "No keys are associated with this account."
    NoAccount = "Key setting account is not live, so it's impossible to associate keys."


class Session(Pallet[NewSession | ValidatorDisabled | ValidatorReenabled, Error]):
    """Validators by stash, in the order of the authority lists, and the keys of all who have set some."""

    accounts: Accounts = coupled()
    manager: SessionManager = coupled()
    handlers: tuple[SessionHandler, ...] = coupled()

    validators: Value[list[AccountId]] = storage(default=[])
    current_index: Value[u32] = storage(default=0)
    queued_changed: Value[bool] = storage(default=False)
    queued_keys: Value[list[tuple[AccountId, SessionKeys]]] = storage(default=[])
    disabled_validators: Value[list[u32]] = storage(default=[])
    next_keys: Map[AccountId, SessionKeys] = storage(hasher=twox_64_concat)
    key_owner: Map[tuple[KeyTypeId, bytes], AccountId] = storage(hasher=twox_64_concat)
    weights: Value[list[u64]] = storage(default=[])  # of the validators
    queued_weights: Value[list[u64]] = storage(default=[])
    planned: Value[list[tuple[AccountId, Balance]]] = storage(default=[])  # keys or not
    planned_at: Value[u32] = storage(default=0)  # in which session the queued were planned
    disabled_since: Value[list[tuple[AccountId, u32]]] = storage(default=[])  # in which session

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write `keys`: [[stash, {"babe": 0x.., "grandpa": 0x..}], ...]."""
        listed = config.get("keys", [])
        stashes = accounts_of([stash for stash, _ in listed], "session.keys")
        for stash, (_, keys) in zip(stashes, listed, strict=True):
            chosen = SessionKeys(bytes.fromhex(keys["babe"][2:]), bytes.fromhex(keys["grandpa"][2:]))
            self._claim(stash, chosen, b"")

    def on_genesis(self) -> None:
        """Put those in office whom the manager names for the first two sessions."""
        queued = self._plan(1, self._plan(0, []))
        self.queued_changed.kill()
        self._take_office(queued)
        self.manager.start_session(0)
        for handler in self.handlers:
            handler.on_genesis_session(queued)

    # Calls.

    @call(0, weight=db(reads=8, writes=8) + SIGNATURES)
    def set_keys(self, who: Signed, keys: SessionKeys, proof: bytes) -> None:
        """Sets the session key(s) of the function caller to `keys`.

        Allows an account to set its session key prior to becoming a validator. They take effect in the
        session after the next. The proof may be empty.
        """
        stash = AccountId(who)
        ensure(stash in self.manager.bonded, Error.NoAssociatedValidatorId)
        ensure(not proof or keys.proven(stash, proof), Error.InvalidProof)
        self._claim(stash, keys, proof)

    @call(1, weight=db(reads=4, writes=5))
    def purge_keys(self, who: Signed) -> None:
        """Removes any session key(s) of the function caller.

        A validator without keys leaves office in the session after the next.
        """
        ensure(AccountId(who) in self.next_keys, Error.NoKeys)
        self._forget(AccountId(who))

    def _claim(self, stash: AccountId, keys: SessionKeys, proof: bytes) -> None:
        for typed in keys.typed():
            owner = self.key_owner.get(typed)
            if owner is not None and owner != stash:
                ensure(bool(proof), Error.DuplicatedKey)
                self._forget(owner)
        self._forget(stash)
        try:
            self.accounts.add_consumer(stash)
        except DispatchError:
            refuse(Error.NoAccount)
        self.next_keys[stash] = keys
        for typed in keys.typed():
            self.key_owner[typed] = stash

    def _forget(self, stash: AccountId) -> None:
        keys = self.next_keys.take(stash)
        if keys is not None:
            for typed in keys.typed():
                del self.key_owner[typed]
            self.accounts.remove_consumer(stash)

    # Rotation.

    def rotate(self) -> Weight:
        """End the session and begin the next; return the weight used."""
        index, changed, current = self.current_index.get(), self.queued_changed.get(), self._queued()
        self.manager.end_session(index)
        self._take_office(current)
        lasting = self._lasting()
        index += 1
        self.current_index.put(index)
        self.manager.start_session(index)
        queued = self._plan(index + 1, current)
        self.deposit(NewSession(index))
        for handler in self.handlers:
            handler.on_new_session(index, changed, current, queued)
        for stash in lasting:
            self._exclude(stash)
        return db(reads=12 + 2 * len(queued), writes=12)

    def _take_office(self, authorities: Sequence[Authority]) -> None:
        self.validators.put([each.stash for each in authorities])
        self.weights.put([each.weight for each in authorities])

    def _plan(self, index: int, current: list[Authority]) -> list[Authority]:
        """Queue the validators of a session: those planned who have keys; if nobody has, the current ones."""
        planned = self.manager.new_session(index)
        fresh = self._with_keys(planned or [])
        if planned and fresh:
            self.planned.put(planned)
            self.planned_at.put(self.current_index.get())
        queued = fresh or self._with_keys(self.planned.get()) or current
        self.queued_changed.put(bool(fresh) or queued != current)
        self.queued_keys.put([(each.stash, each.keys) for each in queued])
        self.queued_weights.put([each.weight for each in queued])
        return queued

    def _with_keys(self, planned: Planned) -> list[Authority]:
        keyed = [
            (stash, keys, stake)
            for stash, stake in planned
            if (keys := self.next_keys.get(stash)) is not None
        ][:MAX_AUTHORITIES]
        weights = authority_weights([stake for _, _, stake in keyed])
        return [
            Authority(stash, keys, weight) for (stash, keys, _), weight in zip(keyed, weights, strict=True)
        ]

    def _queued(self) -> list[Authority]:
        keyed = zip(self.queued_keys.get(), self.queued_weights.get(), strict=True)
        return [Authority(stash, keys, weight) for (stash, keys), weight in keyed]

    # Disabling.

    def disable(self, stash: AccountId) -> bool:
        """Take a validator out of work until a set that is planned from now on; return whether that was done.

        Never so many that those disabled weigh more than what finality can bear to miss.
        """
        if not self._exclude(stash):
            return False
        self.disabled_since.put([*self.disabled_since.get(), (stash, self.current_index.get())])
        self.deposit(ValidatorDisabled(stash))
        return True

    def _exclude(self, stash: AccountId) -> bool:
        disabled, weights, validators = (
            self.disabled_validators.get(),
            self.weights.get(),
            self.validators.get(),
        )
        if stash not in validators or (index := validators.index(stash)) in disabled:
            return False
        if sum(weights[each] for each in (*disabled, index)) > tolerated(weights):
            return False
        self.disabled_validators.put(sorted((*disabled, index)))
        for handler in self.handlers:
            handler.on_disabled(index)
        return True

    def _lasting(self) -> list[AccountId]:
        """Forget who is disabled, but for those disabled since the validators in office were planned."""
        planned_at, office = self.planned_at.get(), self.validators.get()
        listed = self.disabled_since.get()
        for stash, since in listed:
            if since < planned_at and stash in office:
                self.deposit(ValidatorReenabled(stash))
        lasting = [(stash, since) for stash, since in listed if since >= planned_at]
        self.disabled_since.put(lasting)
        self.disabled_validators.kill()
        return [stash for stash, _ in lasting]

    # What others ask.

    def validator_at(self, index: int) -> AccountId | None:
        """Return the stash of an authority."""
        listed = self.validators.get()
        return listed[index] if index < len(listed) else None

    def is_disabled(self, index: int) -> bool:
        """Say whether an authority must not author."""
        return index in self.disabled_validators.get()

    def owner_of(self, kind: bytes, key: bytes) -> AccountId | None:
        """Return who uses a session key from the session after the next on."""
        return self.key_owner.get((kind, key))

    def try_state(self) -> None:
        """Keys and owners are inverse; lists are parallel; the disabled weigh no more than may be missing."""
        owned = {typed: stash for stash, keys in self.next_keys.items() for typed in keys.typed()}
        assert owned == dict(self.key_owner.items())
        weights, disabled = self.weights.get(), self.disabled_validators.get()
        assert len(self.validators.get()) == len(weights)
        assert len(self.queued_keys.get()) == len(self.queued_weights.get())
        assert sorted(set(disabled)) == disabled
        assert sum(weights[index] for index in disabled) <= tolerated(weights)
