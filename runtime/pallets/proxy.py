"""Proxy: accounts that may act for another, all or some of its calls. Source: FRAME's pallet-proxy.

Stricter than FRAME in two places: a proxied call keeps the filters of who made it, so a proxy of a proxy can
do no more than both; `pures` remembers who paid for a pure account, so each deposit goes back to its payer.
"""

import enum
from dataclasses import dataclass
from typing import Annotated, Any

from runtime.frame.base import Call, Runtime, RuntimeCall
from runtime.frame.declare import CallFilter, Signed, SignedOrigin, call, constant, coupled, db, event
from runtime.frame.errors import DispatchError, DispatchResult, Err, Ok, PalletError, ensure
from runtime.frame.pallet import Pallet
from runtime.frame.storage import Map, storage
from runtime.frame.traits import BlockNumberProvider, Reserves
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.scale import codec
from runtime.primitives.shapes import Bounded, Compact, struct, u16, u32
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash, Lookup, Weight

MAX_PROXIES = 32
MAX_PENDING = 32


class ProxyType(enum.Enum):
    """Which calls a proxy may make. The order is part of what is stored and sorted."""

    __scale_path__ = "assay_runtime::ProxyType"

    Any = 0
    NonTransfer = 1
    Staking = 2

    def is_superset(self, other: "ProxyType") -> bool:
        """Say whether this type permits whatever the other one does."""
        return (
            self is other
            or self is ProxyType.Any
            or (self, other) == (ProxyType.NonTransfer, ProxyType.Staking)
        )


ENTROPY = codec(tuple[AccountId, BlockNumber, u32, ProxyType, u16])
"""What a pure account's address is made of."""


@struct("pallet_proxy::ProxyDefinition")
class ProxyDefinition:
    """One proxy of an account; `delay` is in blocks."""

    delegate: AccountId
    proxy_type: ProxyType
    delay: BlockNumber

    def rank(self) -> tuple[AccountId, int, BlockNumber]:
        """Return what proxies are sorted by."""
        return self.delegate, self.proxy_type.value, self.delay


@struct("pallet_proxy::Announcement")
class Announcement:
    """A call that a proxy means to make."""

    real: AccountId
    call_hash: Hash
    height: BlockNumber


@struct("pallet_proxy::Pure")
class Pure:
    """Who created a pure account, and what that one set aside for it, in planck."""

    spawner: AccountId
    deposit: Balance


@event
class ProxyExecuted:
    """A proxy was executed correctly, with the given."""

    result: DispatchResult


@event
class PureCreated:
    """A pure account has been created by new proxy with given disambiguation index and proxy type."""

    pure: AccountId
    who: AccountId
    proxy_type: ProxyType
    disambiguation_index: u16


@event
class Announced:
    """An announcement was placed to make a call in the future."""

    real: AccountId
    proxy: AccountId
    call_hash: Hash


@event
class ProxyAdded:
    """A proxy was added."""

    delegator: AccountId
    delegatee: AccountId
    proxy_type: ProxyType
    delay: BlockNumber


@event
class ProxyRemoved:
    """A proxy was removed."""

    delegator: AccountId
    delegatee: AccountId
    proxy_type: ProxyType
    delay: BlockNumber


class Error(PalletError):
    """Why a proxy call is refused."""

    TooMany = "There are too many proxies registered or too many announcements pending."
    NotFound = "Proxy registration not found."
    NotProxy = "Sender is not a proxy of the account to be proxied."
    Unproxyable = "A call which is incompatible with the proxy type's filter was attempted."
    Duplicate = "Account is already a proxy."
    NoPermission = "Call may not be made by proxy because it may escalate its privileges."
    Unannounced = "Announcement, if made at all, was made too recently."
    NoSelfProxy = "Cannot add self as proxy."


@dataclass(frozen=True)
class Reach:
    """What a proxy type may call: whole pallets by name, without the calls `but` names as "Pallet.call"."""

    pallets: tuple[str, ...]
    but: tuple[str, ...] = ()


@dataclass(frozen=True)
class ProxyFilter:
    """Narrows an origin to what a proxy type permits. Source: pallet-proxy's do_proxy."""

    proxy_type: ProxyType
    reach: Reach
    index: int
    """of the Proxy pallet"""

    def permits(self, runtime: Runtime, call: Call) -> bool:
        """Say whether the proxy may make this call; it never hands on more than it has."""
        target = runtime.targets[call.pallet, call.index]
        if call.pallet == self.index:
            if target.spec.name in ("add_proxy", "remove_proxy"):
                if not self.proxy_type.is_superset(call.arguments[1]):
                    return False
            elif target.spec.name in ("remove_proxies", "kill_pure"):
                return False
        pallet = runtime.declared[target.attribute].name
        return pallet in self.reach.pallets and f"{pallet}.{target.spec.name}" not in self.reach.but


def _weight_proxy(runtime: Runtime, real: Any, forced: Any, inner: Call) -> Weight:
    return db(reads=2, writes=1) + runtime.info(inner).weight


def _weight_announced(runtime: Runtime, delegate: Any, real: Any, forced: Any, inner: Call) -> Weight:
    return db(reads=4, writes=3) + runtime.info(inner).weight


Proxies = tuple[Annotated[list[ProxyDefinition], Bounded(MAX_PROXIES)], Balance]
Pending = tuple[Annotated[list[Announcement], Bounded(MAX_PENDING)], Balance]


class Proxy(Pallet[ProxyExecuted | PureCreated | Announced | ProxyAdded | ProxyRemoved, Error]):
    """Who may act for whom, what was announced, and the deposits for both."""

    system: BlockNumberProvider = coupled()
    currency: Reserves = coupled()
    reaches: dict[ProxyType, Reach] = coupled()
    proxy_deposit_base: Balance = constant(200_000_000_000)
    proxy_deposit_factor: Balance = constant(50_000_000_000)
    max_proxies: u32 = constant(MAX_PROXIES)
    max_pending: u32 = constant(MAX_PENDING)
    announcement_deposit_base: Balance = constant(200_000_000_000)
    announcement_deposit_factor: Balance = constant(100_000_000_000)

    proxies: Map[AccountId, Proxies] = storage(default=([], 0), hasher=twox_64_concat)
    announcements: Map[AccountId, Pending] = storage(default=([], 0), hasher=twox_64_concat)
    pures: Map[AccountId, Pure] = storage()

    @call(0, weight=_weight_proxy)
    def proxy(
        self, origin: SignedOrigin, real: Lookup, force_proxy_type: ProxyType | None, call: RuntimeCall
    ) -> None:
        """Dispatch the given call from an account that the sender is authorised for through add_proxy."""
        definition = self._find(real, origin.account, force_proxy_type)
        ensure(definition.delay == 0, Error.Unannounced)
        self._act(definition, real, call, origin.filters)

    @call(1, weight=db(reads=2, writes=2))
    def add_proxy(self, who: Signed, delegate: Lookup, proxy_type: ProxyType, delay: BlockNumber) -> None:
        """Register a proxy account for the sender that is able to make calls on its behalf."""
        ensure(delegate != who, Error.NoSelfProxy)
        definition = ProxyDefinition(delegate, proxy_type, delay)
        known, deposit = self.proxies[who]
        ensure(definition not in known, Error.Duplicate)
        ensure(len(known) < self.max_proxies, Error.TooMany)
        self._put(who, sorted([*known, definition], key=ProxyDefinition.rank), deposit)
        self.deposit(ProxyAdded(who, delegate, proxy_type, delay))

    @call(2, weight=db(reads=3, writes=3))
    def remove_proxy(self, who: Signed, delegate: Lookup, proxy_type: ProxyType, delay: BlockNumber) -> None:
        """Unregister a proxy account for the sender."""
        definition = ProxyDefinition(delegate, proxy_type, delay)
        known, deposit = self.proxies[who]
        ensure(definition in known, Error.NotFound)
        self._put(who, [each for each in known if each != definition], deposit)
        self.deposit(ProxyRemoved(who, delegate, proxy_type, delay))

    @call(3, weight=db(reads=3, writes=3))
    def remove_proxies(self, who: Signed) -> None:
        """Unregister all proxy accounts for the sender; of a pure account, all access is lost."""
        _, deposit = self.proxies[who]
        self._put(who, [], deposit)

    @call(4, weight=db(reads=2, writes=3))
    def create_pure(self, who: Signed, proxy_type: ProxyType, delay: BlockNumber, index: u16) -> None:
        """Spawn a fresh new account that nobody has the key of, with the sender as its proxy."""
        pure = pure_account(who, self.system.number.get(), self.host.extrinsic_index or 0, proxy_type, index)
        ensure(pure not in self.proxies, Error.Duplicate)
        deposit = self._cost(1)
        self.currency.reserve(who, deposit)
        self.proxies[pure] = [ProxyDefinition(who, proxy_type, delay)], deposit
        self.pures[pure] = Pure(who, deposit)
        self.deposit(PureCreated(pure, who, proxy_type, index))

    @call(5, weight=db(reads=3, writes=3))
    def kill_pure(
        self,
        who: Signed,
        spawner: Lookup,
        proxy_type: ProxyType,
        index: u16,
        height: Compact[BlockNumber],
        ext_index: Compact[u32],
    ) -> None:
        """Remove a previously spawned pure proxy, as that account itself; all access to it is lost."""
        ensure(pure_account(spawner, height, ext_index, proxy_type, index) == who, Error.NoPermission)
        _, deposit = self.proxies[who]
        self._put(who, [], deposit)

    @call(6, weight=db(reads=3, writes=2))
    def announce(self, who: Signed, real: Lookup, call_hash: Hash) -> None:
        """Publish the hash of a proxy-call that will be made in the future."""
        known, _ = self.proxies[real]
        ensure(any(each.delegate == who for each in known), Error.NotProxy)
        pending, deposit = self.announcements[who]
        ensure(len(pending) < self.max_pending, Error.TooMany)
        announced = Announcement(real, call_hash, self.system.number.get())
        self._put_pending(who, [*pending, announced], deposit)
        self.deposit(Announced(real, who, call_hash))

    @call(7, weight=db(reads=2, writes=2))
    def remove_announcement(self, who: Signed, real: Lookup, call_hash: Hash) -> None:
        """Remove a given announcement, as who made it."""
        ensure(self._withdraw(who, real, call_hash, self.system.number.get()), Error.NotFound)

    @call(8, weight=db(reads=2, writes=2))
    def reject_announcement(self, who: Signed, delegate: Lookup, call_hash: Hash) -> None:
        """Remove the given announcement of a delegate, as the account it would act for."""
        ensure(self._withdraw(delegate, who, call_hash, self.system.number.get()), Error.NotFound)

    @call(9, weight=_weight_announced)
    def proxy_announced(
        self,
        origin: SignedOrigin,
        delegate: Lookup,
        real: Lookup,
        force_proxy_type: ProxyType | None,
        call: RuntimeCall,
    ) -> None:
        """Dispatch a call that the delegate announced long enough ago; anybody may."""
        definition = self._find(real, delegate, force_proxy_type)
        call_hash = Hash(blake2_256(self.host.codecs.of(RuntimeCall).encode(call)))
        latest = self.system.number.get() - definition.delay
        ensure(self._withdraw(delegate, real, call_hash, latest), Error.Unannounced)
        self._act(definition, real, call, origin.filters)

    def _find(self, real: AccountId, delegate: AccountId, forced: ProxyType | None) -> ProxyDefinition:
        known, _ = self.proxies[real]
        fitting = [each for each in known if each.delegate == delegate and forced in (None, each.proxy_type)]
        ensure(bool(fitting), Error.NotProxy)
        return fitting[0]

    def _act(
        self, definition: ProxyDefinition, real: AccountId, inner: Call, held: tuple[CallFilter, ...]
    ) -> None:
        """Dispatch as the real account, narrowed by this proxy's type and whatever narrowed the caller."""
        filters = held
        if definition.proxy_type is not ProxyType.Any:
            kind = definition.proxy_type
            narrower = ProxyFilter(kind, self.reaches[kind], self.index)
            filters = held if narrower in held else (*held, narrower)
        result: Ok | Err = Ok()
        try:
            self.host.dispatch(inner, SignedOrigin(real, filters))
        except DispatchError as refused:
            result = Err(self.host.error_kind(refused))
        self.deposit(ProxyExecuted(result))

    def _withdraw(self, delegate: AccountId, real: AccountId, call_hash: bytes, latest: int) -> bool:
        """Take back announcements of a call up to a height; say whether there were any."""
        pending, deposit = self.announcements[delegate]
        kept = [each for each in pending if each.real != real or each.call_hash != call_hash
                or each.height > latest]  # fmt: skip
        if len(kept) == len(pending):
            return False
        self._put_pending(delegate, kept, deposit)
        return True

    # Deposits follow the length of the lists.

    def _cost(self, count: int) -> Balance:
        return self.proxy_deposit_base + self.proxy_deposit_factor * count if count else 0

    def _put(self, who: AccountId, known: list[ProxyDefinition], before: Balance) -> None:
        """Store an account's proxies; what a pure account's spawner set aside covers its first one."""
        after = self._cost(len(known))
        pure = self.pures.get(who)
        covered = pure.deposit if pure else 0
        self._adjust(who, max(before - covered, 0), max(after - covered, 0))
        if known:
            self.proxies[who] = known, after
            return
        del self.proxies[who]
        if pure:
            self._adjust(pure.spawner, pure.deposit, 0)
            del self.pures[who]

    def _put_pending(self, who: AccountId, pending: list[Announcement], before: Balance) -> None:
        base, factor = self.announcement_deposit_base, self.announcement_deposit_factor
        after = base + factor * len(pending) if pending else 0
        self._adjust(who, before, after)
        if pending:
            self.announcements[who] = pending, after
        else:
            del self.announcements[who]

    def _adjust(self, who: AccountId, before: Balance, after: Balance) -> None:
        if after > before:
            self.currency.reserve(who, after - before)
        elif after < before:
            self.currency.unreserve(who, before - after)

    def deposits(self) -> dict[AccountId, Balance]:
        """Return what each account has set aside here, in planck."""
        owed: dict[AccountId, Balance] = {}
        for who, (_, deposit) in [*self.proxies.items(), *self.announcements.items()]:
            owed[who] = owed.get(who, 0) + deposit
        for who, pure in self.pures.items():
            owed[who] -= pure.deposit
            owed[pure.spawner] = owed.get(pure.spawner, 0) + pure.deposit
        return owed

    def try_state(self) -> None:
        """Lists are sorted, without doubles, and paid for; no account is its own proxy."""
        for who, (known, deposit) in self.proxies.items():
            ranks = [each.rank() for each in known]
            assert known, who.hex()
            assert ranks == sorted(frozenset(ranks)), who.hex()
            assert all(each.delegate != who for each in known), who.hex()
            assert len(known) <= self.max_proxies, who.hex()
            assert deposit == self._cost(len(known)), who.hex()
        for who, (pending, _) in self.announcements.items():
            assert 0 < len(pending) <= self.max_pending, who.hex()
        for who, _ in self.pures.items():
            assert who in self.proxies, who.hex()
        for who, deposit in self.deposits().items():
            assert self.currency.reserved(who) >= deposit, who.hex()


def pure_account(who: AccountId, height: int, extrinsic: int, proxy_type: ProxyType, index: int) -> AccountId:
    """Return the account that create_pure spawns there. Source: pallet-proxy's pure_account."""
    entropy = ENTROPY.encode((who, height, extrinsic, proxy_type, index))
    return AccountId(blake2_256(b"modlpy/proxy____" + entropy))
