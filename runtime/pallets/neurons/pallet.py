"""Neurons: who works in a subnet, under which uid, and at what price one joins.

A coldkey registers a hotkey: it burns the price of the moment and sets a bond aside, which comes back when
the neuron leaves, less what it was slashed for. The hotkey is that coldkey's for good, everywhere: nobody is
paid for the work of a program that has lost its seat and goes on. A full subnet replaces the neuron that
earned least in the last epoch. Each epoch warns those who may be replaced before the one after next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.frame.declare import Signed, call, constant, coupled, db
from runtime.frame.errors import ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, storage
from runtime.frame.traits import BlockNumberProvider, Currency
from runtime.pallets.neurons.couplings import Earnings, Hygiene, Sealed, Stakes, SubnetsOf
from runtime.pallets.neurons.messages import (
    AxonServed,
    Error,
    Event,
    HotkeySwapped,
    IdentitySet,
    NeuronDeregistered,
    NeuronRegistered,
    NeuronSlashed,
    PruneWarning,
)
from runtime.pallets.neurons.price import clamped, decayed, raised
from runtime.pallets.neurons.types import Axon, BurnPrice, Identity, Neuron, Roster, Url
from runtime.pallets.subnets.numbers import PPM, Hyperparameters
from runtime.primitives.addresses import is_url, may_be_public
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.shapes import u16, u32, u128
from runtime.primitives.ss58 import account_of
from runtime.primitives.types import AccountId, Balance, BlockNumber, Ppm, Weight

BY_UID = (twox_64_concat, twox_64_concat)
BY_HOTKEY = (twox_64_concat, blake2_128_concat)


def seat_weight(runtime: Any, netuid: int, *arguments: Any) -> Weight:
    """Return the weight of a call that may empty a seat: it reads all neurons and all rows about them."""
    chosen = runtime.subnets.hyperparameters.get(netuid)
    seats = chosen.max_uids if chosen else 0
    return db(reads=20 + 6 * seats, writes=25 + 3 * seats)


class Neurons(Pallet[Event, Error]):
    """Hotkeys, coldkeys and uids of every subnet; registration, endpoints and identities."""

    system: BlockNumberProvider = coupled()
    subnets: SubnetsOf = coupled()
    currency: Currency = coupled()
    staking: Stakes = coupled()
    earnings: Earnings = coupled()
    hygiene: tuple[Hygiene, ...] = coupled()
    weights: Sealed = coupled()

    public_axons: bool = constant(True)

    uids: DoubleMap[u16, AccountId, u16] = storage(hashers=BY_HOTKEY)
    keys: DoubleMap[u16, u16, AccountId] = storage(hashers=BY_UID)
    neurons: DoubleMap[u16, u16, Neuron] = storage(hashers=BY_UID)
    axons: DoubleMap[u16, AccountId, Axon] = storage(hashers=BY_HOTKEY)
    burn: Map[u16, BurnPrice] = storage(hasher=twox_64_concat)
    identities: DoubleMap[u16, AccountId, Identity] = storage(hashers=BY_HOTKEY)
    holds: DoubleMap[u16, u16, u32] = storage(default=0, hashers=BY_UID)
    swaps: DoubleMap[u16, u16, BlockNumber] = storage(hashers=BY_UID)
    coldkeys: Map[AccountId, AccountId] = storage()

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Register the neurons of {netuid: [{"hotkey", "coldkey"}, ...]}, uid 0 first, at no price."""
        for netuid, seats in sorted((int(netuid), seats) for netuid, seats in config.items()):
            chosen = self.subnets.parameters(netuid)
            problem = f"subnet {netuid}: {len(seats)} neurons, max_uids is {chosen.max_uids}"
            assert len(seats) <= chosen.max_uids, problem
            for uid, seat in enumerate(seats):
                hotkey, coldkey = account_of(seat["hotkey"]), account_of(seat["coldkey"])
                new = (netuid, hotkey) not in self.uids and self._may_own(coldkey, hotkey)
                assert new, f"subnet {netuid}: hotkey {seat['hotkey']} is somebody's already"
                self._seat(netuid, uid, hotkey, coldkey, chosen.uid_bond)

    @call(0, weight=seat_weight)
    def burned_register(self, who: Signed, netuid: u16, hotkey: AccountId, max_price: u128) -> None:
        """Register a hotkey: burn the price (at most max_price planck) and set the bond aside."""
        chosen = self.subnets.ensure_working(netuid)
        coldkey = AccountId(who)
        self._ensure_new(netuid, hotkey, coldkey)
        price = self.price(netuid)
        ensure(price <= max_price, Error.PriceTooHigh)
        ensure(self.currency.usable(coldkey) >= price + chosen.uid_bond, Error.CannotAfford)
        uid = self._free_uid(netuid, chosen)
        self.currency.burn(coldkey, price)
        self.burn[netuid] = BurnPrice(raised(price, chosen), self.system.number.get())
        self._seat(netuid, uid, hotkey, coldkey, chosen.uid_bond)
        self.deposit(NeuronRegistered(netuid, uid, hotkey, coldkey, price))

    @call(1, weight=seat_weight)
    def deregister(self, who: Signed, netuid: u16, hotkey: AccountId) -> None:
        """Give a neuron up as its coldkey; the bond comes back, the price does not."""
        uid = self._own(netuid, hotkey, AccountId(who))
        ensure(not self.holds[netuid, uid], Error.UnderAudit)
        self._remove(netuid, uid)

    @call(2, weight=db(reads=4, writes=1))
    def serve_axon(self, who: Signed, netuid: u16, url: Url, protocol: u16) -> None:
        """Announce as a hotkey where this neuron answers."""
        hotkey = AccountId(who)
        ensure((netuid, hotkey) in self.uids, Error.NotRegistered)
        ensure(is_url(url), Error.InvalidUrl)
        ensure(not self.public_axons or may_be_public(url), Error.PrivateAddress)
        now, before = self.system.number.get(), self.axons.get(netuid, hotkey)
        pause = self.subnets.parameters(netuid).serving_rate_limit
        ensure(before is None or now >= before.served_at + pause, Error.ServedTooSoon)
        self.axons[netuid, hotkey] = Axon(url, protocol, now)
        self.deposit(AxonServed(netuid, hotkey, url))

    @call(3, weight=db(reads=13, writes=12))
    def swap_hotkey(self, who: Signed, netuid: u16, hotkey: AccountId, new_hotkey: AccountId) -> None:
        """Move a neuron to another hotkey as its coldkey; uid, bond, age, scores and endpoint stay.

        What the old hotkey has sealed, or offered in this round, is given up: it is signed with that key. So
        that nobody offers a choice of works in one round, a seat changes its key once per longest round.
        """
        coldkey, now = AccountId(who), self.system.number.get()
        uid = self._own(netuid, hotkey, coldkey)
        self._ensure_new(netuid, new_hotkey, coldkey)
        before, pause = self.swaps.get(netuid, uid), self.subnets.parameters(netuid).longest_round()
        ensure(before is None or now >= before + pause, Error.SwappedTooSoon)
        self.weights.forget_commits(netuid, hotkey)
        del self.uids[netuid, hotkey]
        self.uids[netuid, new_hotkey] = uid
        self.coldkeys[new_hotkey] = coldkey
        self.swaps[netuid, uid] = now
        self.keys[netuid, uid] = new_hotkey
        self.neurons[netuid, uid] = replace(self.neurons[netuid, uid], hotkey=new_hotkey)
        if axon := self.axons.take(netuid, hotkey):
            self.axons[netuid, new_hotkey] = axon
        if identity := self.identities.take(netuid, hotkey):
            self.identities[netuid, new_hotkey] = identity
        self.deposit(HotkeySwapped(netuid, uid, hotkey, new_hotkey))

    @call(4, weight=db(reads=2, writes=1))
    def set_identity(self, who: Signed, netuid: u16, hotkey: AccountId, identity: Identity) -> None:
        """Say as its coldkey who runs a neuron."""
        self._own(netuid, hotkey, AccountId(who))
        ensure(not identity.url or is_url(identity.url), Error.InvalidUrl)
        self.identities[netuid, hotkey] = identity
        self.deposit(IdentitySet(netuid, hotkey))

    # What other pallets use.

    def uid_of(self, netuid: int, hotkey: AccountId) -> int | None:
        """Return the uid of a hotkey."""
        return self.uids.get(netuid, hotkey)

    def neuron(self, netuid: int, uid: int) -> Neuron | None:
        """Return who holds a uid."""
        return self.neurons.get(netuid, uid)

    def registered_at(self, netuid: int, uid: int) -> int | None:
        """Return the block in which a uid was taken."""
        neuron = self.neurons.get(netuid, uid)
        return neuron.registered_at if neuron else None

    def listed(self, netuid: int) -> list[tuple[int, Neuron]]:
        """Return all neurons of a subnet, ascending by uid."""
        return sorted(self.neurons.under(netuid), key=lambda entry: entry[0])

    def roster(self, netuid: int) -> Roster:
        """Return everybody with their stakes: that of a stash is split evenly over its uids."""
        listed = self.listed(netuid)
        held: dict[AccountId, int] = {}
        for _, neuron in listed:
            held[neuron.coldkey] = held.get(neuron.coldkey, 0) + 1
        each = {coldkey: self.staking.stake_of(coldkey) // count for coldkey, count in held.items()}
        stakes = {uid: each[neuron.coldkey] for uid, neuron in listed}
        return Roster(listed, stakes, self._owner_uid(netuid, listed))

    def stakes(self, netuid: int) -> dict[int, Balance]:
        """Return the stake of every uid, ascending."""
        return self.roster(netuid).stakes

    def owner_uid(self, netuid: int) -> int | None:
        """Return the oldest uid of the subnet's owner, which is never replaced and takes the owner's cut."""
        return self._owner_uid(netuid, self.listed(netuid))

    def _owner_uid(self, netuid: int, listed: Sequence[tuple[int, Neuron]]) -> int | None:
        owner = self.subnets.network(netuid).owner
        owned = [(neuron.registered_at, uid) for uid, neuron in listed if neuron.coldkey == owner]
        return min(owned)[1] if owned else None

    def price(self, netuid: int) -> Balance:
        """Return what a registration burns in this block.

        Raises: DispatchError.
        """
        return self.price_at(netuid, self.system.number.get())

    def price_at(self, netuid: int, block: int) -> Balance:
        """Return what a registration burns in this block or a later one if nobody registers before.

        Raises: DispatchError.
        """
        chosen, last = self.subnets.parameters(netuid), self.burn.get(netuid)
        if last is None:
            return clamped(chosen.burn_start, chosen)
        return clamped(decayed(last.price, block - last.updated_at, chosen.burn_half_life), chosen)

    def price_after(self, netuid: int, block: int) -> Balance:
        """Return what the next registration burns when one comes in this block or a later one.

        Raises: DispatchError.
        """
        return raised(self.price_at(netuid, block), self.subnets.parameters(netuid))

    def prune_order(self, netuid: int) -> list[int]:
        """Return the uids a newcomer may replace now, first the one to go first."""
        listed = self.listed(netuid)
        return self._prune_order(netuid, listed, self._owner_uid(netuid, listed))

    def _prune_order(
        self, netuid: int, listed: Sequence[tuple[int, Neuron]], immortal: int | None
    ) -> list[int]:
        now = self.system.number.get()
        immunity = self.subnets.parameters(netuid).immunity_period
        earned = self.earnings.last_paid(netuid, [uid for uid, _ in listed])
        ranks = [
            (earned[uid], neuron.registered_at, uid)
            for uid, neuron in listed
            if uid != immortal and neuron.registered_at + immunity <= now and not self.holds[netuid, uid]
        ]
        return [uid for _, _, uid in sorted(ranks)]

    def warn(self, netuid: int, roster: Roster) -> None:
        """Warn whose immunity ends before the epoch after next, and in a full subnet who is first to go."""
        chosen, now = self.subnets.parameters(netuid), self.system.number.get()
        after_next = self.subnets.next_epoch(netuid, now) + chosen.tempo
        listed, immortal = roster.listed, roster.owner_uid
        for uid, neuron in listed:
            ends = neuron.registered_at + chosen.immunity_period
            if uid != immortal and now < ends < after_next:
                self.deposit(PruneWarning(netuid, uid, neuron.hotkey, ends))
        full = len(listed) >= chosen.max_uids
        order = self._prune_order(netuid, listed, immortal) if full else []
        if order:
            self.deposit(PruneWarning(netuid, order[0], self.keys[netuid, order[0]], now))

    # What happens to who does wrong: the doors for Verification. A uid and the block it was taken in name a
    # neuron; where another holds the uid by now, nothing happens to it.

    def hold(self, netuid: int, uid: int, registered_at: BlockNumber) -> None:
        """Keep a neuron from leaving and from being replaced until its work is judged; holds add up."""
        if self.registered_at(netuid, uid) == registered_at:
            self.holds[netuid, uid] = self.holds[netuid, uid] + 1

    def release(self, netuid: int, uid: int, registered_at: BlockNumber) -> None:
        """Take one hold back."""
        left = self.holds[netuid, uid] - 1
        if self.registered_at(netuid, uid) != registered_at or left < 0:
            return
        if left:
            self.holds[netuid, uid] = left
        else:
            del self.holds[netuid, uid]

    def held(self, netuid: int, uid: int) -> int:
        """Return how many holds there are on a neuron."""
        return self.holds[netuid, uid]

    def slash(self, netuid: int, uid: int, registered_at: BlockNumber, part_ppm: Ppm) -> Balance:
        """Burn a part of a neuron's bond and of what has not vested, rounded up; return how much.

        Who has lost its whole bond loses its seat, too.
        """
        neuron = self.neurons.get(netuid, uid)
        if neuron is None or neuron.registered_at != registered_at:
            return 0
        assert part_ppm <= PPM, f"a slash of {part_ppm} ppm"
        bond = self.currency.burn_reserved(neuron.coldkey, -(-neuron.bond * part_ppm // PPM))
        vesting = self.earnings.burn_vesting(netuid, uid, part_ppm)
        self.neurons[netuid, uid] = replace(neuron, bond=neuron.bond - bond)
        self.deposit(NeuronSlashed(netuid, uid, neuron.hotkey, neuron.coldkey, bond, vesting))
        if part_ppm == PPM:
            self._remove(netuid, uid)
        return bond + vesting

    def evict(self, netuid: int, uid: int, registered_at: BlockNumber) -> None:
        """Take a neuron's seat away, whatever holds it; its bond comes back, as to who leaves."""
        if self.registered_at(netuid, uid) == registered_at:
            self._remove(netuid, uid)

    def try_state(self) -> None:
        """Uids, keys and neurons say the same; nothing is kept of who has no uid; bonds are set aside."""
        seats = {(netuid, uid): neuron.hotkey for (netuid, uid), neuron in self.neurons.items()}
        assert dict(self.keys.items()) == seats
        assert {(netuid, hotkey): uid for (netuid, uid), hotkey in seats.items()} == dict(self.uids.items())
        assert len(seats) == sum(1 for _ in self.uids.items())
        for endpoints in (self.axons, self.identities):
            assert all(place in self.uids for place, _ in endpoints.items())
        for _, neuron in self.neurons.items():
            assert self.coldkeys[neuron.hotkey] in (neuron.coldkey, neuron.hotkey)
        assert all(place in seats and holds for place, holds in self.holds.items())
        assert all(place in seats for place, _ in self.swaps.items())
        bonds: dict[AccountId, Balance] = {}
        for _, neuron in self.neurons.items():
            bonds[neuron.coldkey] = bonds.get(neuron.coldkey, 0) + neuron.bond
        for coldkey, bond in bonds.items():
            assert self.currency.reserved(coldkey) >= bond, coldkey.hex()
        for netuid in self.subnets.netuids():
            assert clamped(self.price(netuid), self.subnets.parameters(netuid)) == self.price(netuid)

    # Seats.

    def _ensure_new(self, netuid: int, hotkey: AccountId, coldkey: AccountId) -> None:
        ensure((netuid, hotkey) not in self.uids, Error.AlreadyRegistered)
        ensure(self._may_own(coldkey, hotkey), Error.HotkeyOfAnother)

    def _may_own(self, coldkey: AccountId, hotkey: AccountId) -> bool:
        return hotkey == coldkey or self.coldkeys.get(hotkey) in (None, coldkey)

    def _own(self, netuid: int, hotkey: AccountId, coldkey: AccountId) -> int:
        uid = self.uids.get(netuid, hotkey)
        if uid is None:
            refuse(Error.NotRegistered)
        ensure(self.neurons[netuid, uid].coldkey == coldkey, Error.NotColdkey)
        return uid

    def _free_uid(self, netuid: int, chosen: Hyperparameters) -> int:
        """Return a uid nobody holds; in a full subnet, make one free."""
        listed = self.listed(netuid)
        taken = frozenset(uid for uid, _ in listed)
        for uid in range(chosen.max_uids):
            if uid not in taken:
                return uid
        order = self._prune_order(netuid, listed, self._owner_uid(netuid, listed))
        ensure(bool(order), Error.SubnetFull)
        self._remove(netuid, order[0])
        return order[0]

    def _seat(self, netuid: int, uid: int, hotkey: AccountId, coldkey: AccountId, bond: Balance) -> None:
        self.currency.reserve(coldkey, bond)
        self.uids[netuid, hotkey] = uid
        self.coldkeys[hotkey] = coldkey
        self.keys[netuid, uid] = hotkey
        self.neurons[netuid, uid] = Neuron(hotkey, coldkey, self.system.number.get(), bond)

    def _remove(self, netuid: int, uid: int) -> None:
        neuron = self.neurons[netuid, uid]
        for pallet in self.hygiene:
            pallet.forget(netuid, uid, neuron.hotkey)
        del self.uids[netuid, neuron.hotkey]
        del self.keys[netuid, uid]
        del self.neurons[netuid, uid]
        del self.axons[netuid, neuron.hotkey]
        del self.identities[netuid, neuron.hotkey]
        del self.holds[netuid, uid]
        del self.swaps[netuid, uid]
        freed = self.currency.unreserve(neuron.coldkey, neuron.bond)
        self.deposit(NeuronDeregistered(netuid, uid, neuron.hotkey, neuron.coldkey, freed))
