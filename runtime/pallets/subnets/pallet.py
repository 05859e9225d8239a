"""Subnets: one market for one kind of work each, its owner, and the numbers that rule it.

A number changes in two steps: `set_hyperparameter` schedules it, and it comes into force in the block after
the subnet's next epoch. Inside the freeze window before an epoch, and in the epoch's block, nothing can be
scheduled. When epochs are is written in one calendar, so that a block looks at those that are due and at no
other subnet.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Protocol

from runtime.frame.declare import Origin, Root, SignedOrigin, call, constant, coupled, db
from runtime.frame.errors import ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, Value, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.pallets.subnets.messages import (
    Error,
    Event,
    HyperparameterScheduled,
    HyperparameterSet,
    NetworkAdded,
    NetworkPaused,
    NetworkUnpaused,
    OwnerSet,
)
from runtime.pallets.subnets.numbers import (
    FIXED,
    ROOT_ONLY,
    Hyperparameters,
    Parameter,
    contradiction,
    in_bounds,
    problem_with,
    with_value,
)
from runtime.pallets.subnets.types import Kind, Network, Setting
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import Bounded, u16, u128
from runtime.primitives.ss58 import account_of
from runtime.primitives.types import AccountId, BlockNumber, Weight

MOST_SUBNETS = 128
"""No chain may have more subnets: emission is allocated to all of them in one block."""
ALLOCATION = db(reads=2 + 2 * MOST_SUBNETS, writes=1 + MOST_SUBNETS)
"""The weight of Incentive.allocate at most."""


class Shares(Protocol):
    """Who splits what is minted by the subnets' shares: the Incentive pallet."""

    def allocate(self) -> None:
        """Split what was minted until now."""
        ...


class Subnets(Pallet[Event, Error]):
    """Subnets, their owners and hyperparameters, and when their epochs are."""

    system: BlockNumberProvider = coupled()
    incentive: Shares = coupled()

    max_subnets: u16 = constant(MOST_SUBNETS)

    networks: Map[u16, Network] = storage(hasher=twox_64_concat)
    hyperparameters: Map[u16, Hyperparameters] = storage(hasher=twox_64_concat)
    pending_changes: DoubleMap[u16, Parameter, u128] = storage(hasher=twox_64_concat)
    paused: Map[u16, bool] = storage(default=False, hasher=twox_64_concat)
    calendar: Value[list[tuple[BlockNumber, u16]]] = storage(default=[])  # (next epoch, netuid), ascending
    epochs_ended: Value[list[u16]] = storage(default=[])  # in the last block
    trained: Value[list[u16]] = storage(default=[])

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Create the subnets of {netuid: {"kind", "owner", "hyperparameters": {name: value}}}."""
        for netuid, section in sorted((int(netuid), section) for netuid, section in config.items()):
            chosen = section.get("hyperparameters", {})
            unknown = sorted(name for name in chosen if name not in Parameter.__members__)
            assert not unknown, f"subnet {netuid}: there are no hyperparameters {unknown}"
            problem = problem_with(Hyperparameters(**chosen))
            assert problem is None, f"subnet {netuid}: {problem}"
            owner = account_of(section["owner"])
            self._add(netuid, Kind[section["kind"]], owner, Hyperparameters(**chosen))

    def on_initialize(self, now: int) -> Weight:
        """Bring into force what was scheduled for after the epochs that ended in the last block."""
        weight = db(reads=1, writes=1)
        for netuid in self.epochs_ended.get():
            for parameter, value in self.pending_changes.under(netuid):
                weight += self._apply(netuid, parameter, value, now)
        self.epochs_ended.kill()
        return weight

    def _apply(self, netuid: int, parameter: Parameter, value: int, now: int) -> Weight:
        shares_change = parameter is Parameter.emission_share
        if shares_change:
            self.incentive.allocate()
        self.hyperparameters[netuid] = with_value(self.hyperparameters[netuid], parameter, value)
        del self.pending_changes[netuid, parameter]
        if parameter is Parameter.tempo:
            self._enter(netuid, now - 1)
        self.deposit(HyperparameterSet(netuid, parameter, value))
        return db(reads=3, writes=3) + (ALLOCATION if shares_change else Weight())

    @call(0, weight=ALLOCATION + db(reads=2, writes=5))
    def create(
        self, origin: Root, kind: Kind, owner: AccountId, settings: Annotated[list[Setting], Bounded(128)]
    ) -> None:
        """Create a subnet; `settings` are the hyperparameters that differ from the defaults."""
        taken = self.netuids()
        ensure(len(taken) < self.max_subnets, Error.TooManySubnets)
        chosen = Hyperparameters()
        for setting in settings:
            ensure(in_bounds(setting.parameter, setting.value), Error.OutOfBounds)
            chosen = with_value(chosen, setting.parameter, setting.value)
        ensure(contradiction(chosen) is None, Error.Contradiction)
        self._add(max(taken, default=0) + 1, kind, owner, chosen)

    @call(1, weight=db(reads=72, writes=1))
    def set_hyperparameter(self, origin: Origin, netuid: u16, name: Parameter, value: u128) -> None:
        """Schedule a hyperparameter for the block after the next epoch, as owner or root."""
        self._authorise(origin, netuid)
        ensure(isinstance(origin, Root) or name.name not in ROOT_ONLY, Error.OnlyRoot)
        ensure(name.name not in FIXED, Error.FixedAtCreation)
        ensure(in_bounds(name, value), Error.OutOfBounds)
        now = self.system.number.get()
        epoch = self.next_epoch(netuid, now)
        frozen = epoch - now <= self.parameters(netuid).freeze_window
        ensure(not frozen and netuid not in self.epochs_ended.get(), Error.Frozen)
        self.pending_changes[netuid, name] = value
        ensure(contradiction(self._as_scheduled(netuid)) is None, Error.Contradiction)
        self.deposit(HyperparameterScheduled(netuid, name, value, epoch + 1))

    @call(2, weight=db(reads=1, writes=1))
    def set_owner(self, origin: Origin, netuid: u16, owner: AccountId) -> None:
        """Hand a subnet over to another owner, as owner or root."""
        self._authorise(origin, netuid)
        self.networks[netuid] = replace(self.networks[netuid], owner=owner)
        self.deposit(OwnerSet(netuid, owner))

    @call(3, weight=db(reads=2, writes=1))
    def pause(self, origin: Root, netuid: u16) -> None:
        """Stop registrations, weights and epochs of a subnet; its emission is carried over."""
        self.parameters(netuid)
        ensure(not self.paused[netuid], Error.AlreadyPaused)
        self.paused[netuid] = True
        self.deposit(NetworkPaused(netuid))

    @call(4, weight=db(reads=4, writes=2))
    def unpause(self, origin: Root, netuid: u16) -> None:
        """Let a paused subnet work again; its next epoch leaves judges time to open their rows."""
        self.parameters(netuid)
        ensure(self.paused[netuid], Error.NotPaused)
        del self.paused[netuid]
        self._enter(netuid, self.system.number.get())
        self.deposit(NetworkUnpaused(netuid))

    # What other pallets use.

    def exists(self, netuid: int) -> bool:
        """Say whether there is such a subnet."""
        return netuid in self.networks

    def network(self, netuid: int) -> Network:
        """Return kind and owner of a subnet.

        Raises: DispatchError.
        """
        return self.networks.get(netuid) or refuse(Error.UnknownSubnet)

    def parameters(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force.

        Raises: DispatchError.
        """
        return self.hyperparameters.get(netuid) or refuse(Error.UnknownSubnet)

    def is_training(self, netuid: int) -> bool:
        """Say whether the subnet trains a model."""
        network = self.networks.get(netuid)
        return network is not None and network.kind is Kind.Training

    def is_paused(self, netuid: int) -> bool:
        """Say whether the subnet stands still."""
        return self.paused[netuid]

    def ensure_working(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force of a subnet that exists and is not paused.

        Raises: DispatchError.
        """
        chosen = self.parameters(netuid)
        ensure(not self.paused[netuid], Error.Paused)
        return chosen

    def netuids(self) -> list[int]:
        """Return all subnets, ascending."""
        return sorted(netuid for _, netuid in self.calendar.get())

    def training_netuids(self) -> list[int]:
        """Return the subnets that train a model, ascending."""
        return self.trained.get()

    def next_epoch(self, netuid: int, now: int) -> int:
        """Return the block of the subnet's next epoch, after `now`; one that is late may be later still."""
        due = next((due for due, listed in self.calendar.get() if listed == netuid), None)
        return refuse(Error.UnknownSubnet) if due is None else max(due, now + 1)

    def changes_at(self, netuid: int, now: int) -> int:
        """Return the block in which what is scheduled comes into force; a late epoch delays it."""
        return now + 1 if netuid in self.epochs_ended.get() else self.next_epoch(netuid, now) + 1

    def take_due(self, now: int, most: int) -> list[int]:
        """Take so many subnets whose epoch is due, those that have waited longest first.

        Those that are paused let theirs pass. Who is not taken is due in the next block.
        """
        due = [netuid for at, netuid in self.calendar.get() if at <= now]
        passing = [netuid for netuid in due if self.paused[netuid]]
        taken = [netuid for netuid in due if netuid not in passing][:most]
        for netuid in (*passing, *taken):
            self._enter(netuid, now)
        if due:
            self.epochs_ended.put([*passing, *taken])
        return taken

    def try_state(self) -> None:
        """Every subnet has numbers within bounds, in force and as scheduled, and a place in the calendar."""
        calendar = self.calendar.get()
        assert calendar == sorted(calendar)
        assert self.netuids() == sorted(self.hyperparameters.keys()) == sorted(self.networks.keys())
        assert self.trained.get() == [netuid for netuid in self.netuids() if self.is_training(netuid)]
        assert all(self.exists(netuid) for netuid in self.paused.keys())  # noqa: SIM118
        assert all(self.exists(netuid) for (netuid, _), _ in self.pending_changes.items())
        for netuid in self.netuids():
            assert problem_with(self.parameters(netuid)) is None, netuid
            assert problem_with(self._as_scheduled(netuid)) is None, netuid

    def _authorise(self, origin: Origin, netuid: int) -> None:
        owner = self.network(netuid).owner
        owns = isinstance(origin, SignedOrigin) and origin.account == owner
        ensure(owns or isinstance(origin, Root), Error.NotOwner)

    def _as_scheduled(self, netuid: int) -> Hyperparameters:
        chosen = self.parameters(netuid)
        for parameter, value in self.pending_changes.under(netuid):
            chosen = with_value(chosen, parameter, value)
        return chosen

    def _add(self, netuid: int, kind: Kind, owner: AccountId, chosen: Hyperparameters) -> None:
        self.incentive.allocate()
        now = self.system.number.get()
        self.networks[netuid] = Network(kind, owner, now)
        self.hyperparameters[netuid] = chosen
        self._put_epoch(netuid, epoch_after(now, netuid, chosen.tempo))
        if kind is Kind.Training:
            self.trained.put(sorted([*self.trained.get(), netuid]))
        self.deposit(NetworkAdded(netuid, kind, owner))

    def _enter(self, netuid: int, last: int) -> None:
        """Write the epoch after one in block `last` into the calendar.

        Where that one was late, or the tempo is another since, it is half a tempo later at least: judges get
        time to reveal their rows.
        """
        tempo = self.parameters(netuid).tempo
        self._put_epoch(netuid, epoch_after(last + (tempo - 1) // 2, netuid, tempo))

    def _put_epoch(self, netuid: int, epoch: int) -> None:
        others = [entry for entry in self.calendar.get() if entry[1] != netuid]
        self.calendar.put(sorted([*others, (epoch, netuid)]))


def epoch_after(now: int, netuid: int, tempo: int) -> int:
    """Return the first block after `now` for an epoch; the netuid spreads subnets over blocks."""
    return now + tempo - (now + netuid) % tempo
