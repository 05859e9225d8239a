"""Subnets: one market for one kind of work each, its owner, and the numbers that rule it.

A number changes in two steps: `set_hyperparameter` schedules it, and it comes into force in the block after
the subnet's next epoch. Inside the freeze window before an epoch, and in the epoch's block, nothing can be
scheduled. When epochs are is written in one calendar, so that a block looks at those that are due and at no
other subnet.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Protocol, get_type_hints

from runtime.frame.declare import Origin, Root, SignedOrigin, call, constant, coupled, db, event
from runtime.frame.errors import PalletError, ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, Value, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import Bounded, struct, u8, u16, u32, u64, u128
from runtime.primitives.ss58 import account_of
from runtime.primitives.types import AccountId, Balance, BlockNumber, Ppm, Weight

PPM = 1_000_000
"""Parts per million in one."""
ASY = 10**12
"""planck in one ASY"""
MOST_UIDS = 1024
"""No subnet may have more uids: an epoch must fit into a block."""
MOST_BALANCE = 10**24
"""planck; a bound on amounts, far from the edge of u128"""
LEAST_PRICE = 10
"""planck; from nothing no price rises, however many register."""
MOST_SUBNETS = 128
"""No chain may have more subnets: emission is allocated to all of them in one block."""
MOST_BLOCKS = 10**7
"""A bound on durations, in blocks."""


ALLOCATION = db(reads=2 + 2 * MOST_SUBNETS, writes=1 + MOST_SUBNETS)
"""The weight of Incentive.allocate at most."""


class Kind(enum.Enum):
    """What a subnet's miners are paid for."""

    __scale_path__ = "pallet_subnets::types::Kind"

    Training = 0
    Inference = 1


@dataclass(frozen=True)
class Within:
    """The bounds of a hyperparameter, both inclusive."""

    least: int
    most: int


@struct("pallet_subnets::types::Network")
class Network:
    """What a subnet is, apart from its numbers."""

    kind: Kind
    owner: AccountId
    created_at: BlockNumber


@struct("pallet_subnets::types::Hyperparameters")
class Hyperparameters:
    """The numbers that rule a subnet; blocks and planck; the defaults are the live network's."""

    tempo: Annotated[u32, Within(2, 50_400)] = 360
    immunity_period: Annotated[u32, Within(0, MOST_BLOCKS)] = 7_200
    activity_cutoff: Annotated[u32, Within(1, MOST_BLOCKS)] = 5_000
    freeze_window: Annotated[u32, Within(1, 1_000)] = 10
    max_uids: Annotated[u16, Within(1, MOST_UIDS)] = 256
    max_permits: Annotated[u16, Within(1, 128)] = 64
    kappa_ppm: Annotated[Ppm, Within(PPM // 2, PPM)] = PPM // 2
    stake_cap_ppm: Annotated[Ppm, Within(1, PPM)] = 200_000
    bonds_moving_average_ppm: Annotated[Ppm, Within(0, PPM)] = 900_000
    owner_cut_ppm: Annotated[Ppm, Within(0, 100_000)] = 0
    miners_share_ppm: Annotated[Ppm, Within(0, PPM)] = 600_000
    emission_share: Annotated[u32, Within(0, PPM)] = 1  # of the sum over all subnets
    burn_start: Annotated[Balance, Within(LEAST_PRICE, MOST_BALANCE)] = 10 * ASY
    burn_min: Annotated[Balance, Within(LEAST_PRICE, MOST_BALANCE)] = ASY
    burn_max: Annotated[Balance, Within(LEAST_PRICE, MOST_BALANCE)] = 10_000 * ASY
    burn_half_life: Annotated[u32, Within(1, MOST_BLOCKS)] = 360
    uid_bond: Annotated[Balance, Within(0, MOST_BALANCE)] = 100 * ASY
    train_window: Annotated[u32, Within(3, 50_400)] = 200
    reveal_window: Annotated[u32, Within(3, 50_400)] = 10
    score_commit_window: Annotated[u32, Within(3, 50_400)] = 40
    score_reveal_window: Annotated[u32, Within(3, 50_400)] = 10
    attest_window: Annotated[u32, Within(3, 50_400)] = 10
    max_payload_bytes: Annotated[u32, Within(128, 1 << 30)] = 65_536
    weights_rate_limit: Annotated[u32, Within(0, MOST_BLOCKS)] = 100
    serving_rate_limit: Annotated[u32, Within(0, MOST_BLOCKS)] = 50
    weights_version: Annotated[u64, Within(0, (1 << 64) - 1)] = 0  # least version_key of set_weights
    # How a training subnet trains: names and bounds of miners.parameters and miners.layout.
    inner_steps: Annotated[u32, Within(1, 1_000)] = 20
    batch_size: Annotated[u32, Within(1, 4_096)] = 4
    learning_rate_ppm: Annotated[Ppm, Within(1, PPM)] = 2_000
    warmup_steps: Annotated[u32, Within(0, 1_000)] = 8
    weight_decay_ppm: Annotated[Ppm, Within(0, PPM)] = 100_000
    clip_norm_ppm: Annotated[Ppm, Within(1, 1_000 * PPM)] = PPM
    chunk: Annotated[u32, Within(16, 65_536)] = 4_096
    top_k: Annotated[u32, Within(1, 65_536)] = 128
    beta_ppm: Annotated[Ppm, Within(0, PPM)] = 950_000
    outer_learning_rate_ppm: Annotated[Ppm, Within(1, 4 * PPM)] = PPM
    support_floor_ppm: Annotated[Ppm, Within(0, PPM)] = 500_000
    norm_clip_ppm: Annotated[Ppm, Within(1, 100 * PPM)] = PPM
    evaluation_sequences: Annotated[u32, Within(1, 65_536)] = 64
    # The shape of the model.
    vocabulary: Annotated[u32, Within(256, 256)] = 256
    hidden: Annotated[u32, Within(2, 16_384)] = 128
    layers: Annotated[u32, Within(1, 256)] = 4
    heads: Annotated[u32, Within(1, 256)] = 4
    feed_forward: Annotated[u32, Within(1, 65_536)] = 352
    sequence: Annotated[u32, Within(1, 65_536)] = 128
    # How its epochs turn scores into pay.
    consensus: Annotated[u8, Within(0, 1)] = 0  # the epoch's function: 0 median, 1 yuma3
    commit_reveal: Annotated[u8, Within(0, 1)] = 1  # 1: rows are committed, then revealed; 0: set in the open
    reveal_period: Annotated[u32, Within(1, 10)] = 1  # epochs from a commit to its reveal
    bonds_penalty_ppm: Annotated[Ppm, Within(0, PPM)] = PPM  # of what exceeds the consensus earns no bond
    vesting_rounds: Annotated[u32, Within(0, 100)] = 40  # over which what a miner earned becomes its own
    stake_threshold: Annotated[Balance, Within(0, MOST_BALANCE)] = 0  # a validator with less does not count

    def longest_round(self) -> int:
        """Return how many blocks a training round takes when every window runs to its end."""
        scoring = self.score_commit_window + self.score_reveal_window
        return self.train_window + self.reveal_window + scoring + self.attest_window


class Parameter(enum.Enum):
    """The names of the hyperparameters; the numbers are what users sign, so they never change."""

    __scale_path__ = "pallet_subnets::types::Parameter"

    tempo = 0
    immunity_period = 1
    activity_cutoff = 2
    freeze_window = 3
    max_uids = 4
    max_permits = 5
    kappa_ppm = 6
    stake_cap_ppm = 7
    bonds_moving_average_ppm = 8
    owner_cut_ppm = 9
    miners_share_ppm = 10
    emission_share = 11
    burn_start = 12
    burn_min = 13
    burn_max = 14
    burn_half_life = 15
    uid_bond = 16
    train_window = 17
    reveal_window = 18
    score_commit_window = 19
    score_reveal_window = 20
    attest_window = 21
    max_payload_bytes = 22
    weights_rate_limit = 23
    serving_rate_limit = 24
    weights_version = 25
    inner_steps = 26
    batch_size = 27
    learning_rate_ppm = 28
    warmup_steps = 29
    weight_decay_ppm = 30
    clip_norm_ppm = 31
    chunk = 32
    top_k = 33
    beta_ppm = 34
    outer_learning_rate_ppm = 35
    support_floor_ppm = 36
    norm_clip_ppm = 37
    evaluation_sequences = 38
    vocabulary = 39
    hidden = 40
    layers = 41
    heads = 42
    feed_forward = 43
    sequence = 44
    consensus = 45
    commit_reveal = 46
    reveal_period = 47
    bonds_penalty_ppm = 48
    vesting_rounds = 49
    stake_threshold = 50


FIXED = frozenset({"vocabulary", "hidden", "layers", "heads", "feed_forward", "sequence"})
"""A model keeps its shape: these are set when the subnet is created, never after."""
ROOT_ONLY = frozenset(
    {"emission_share", "tempo", "max_uids", "max_permits", "stake_cap_ppm", "stake_threshold"}
)
"""What an owner could use against other subnets, or to judge alone: shares, work for every block, votes."""


@struct("pallet_subnets::types::Setting")
class Setting:
    """A hyperparameter and a value for it."""

    parameter: Parameter
    value: u128


@struct("pallet_subnets::types::Change")
class Change:
    """A scheduled value, and the block in which it comes into force."""

    value: u128
    at: BlockNumber


@event
class NetworkAdded:
    """A subnet was created."""

    netuid: u16
    kind: Kind
    owner: AccountId


@event
class HyperparameterScheduled:
    """A hyperparameter will change in block `at`."""

    netuid: u16
    parameter: Parameter
    value: u128
    at: BlockNumber


@event
class HyperparameterSet:
    """A scheduled hyperparameter came into force."""

    netuid: u16
    parameter: Parameter
    value: u128


@event
class OwnerSet:
    """A subnet has another owner."""

    netuid: u16
    owner: AccountId


@event
class NetworkPaused:
    """A subnet stands still; what it would have emitted is carried over."""

    netuid: u16


@event
class NetworkUnpaused:
    """A subnet works again."""

    netuid: u16


class Error(PalletError):
    """Why a call about a subnet is refused."""

    UnknownSubnet = "There is no subnet with this netuid; read Subnets.Networks for those there are."
    TooManySubnets = (
        "The chain has as many subnets as it allows; raise MaxSubnets in a runtime upgrade first."
    )
    NotOwner = "Only the subnet's owner or root may do this; sign with the owner's coldkey."
    OnlyRoot = "Root alone sets this hyperparameter: it weighs on others or on who may judge; ask root."
    OutOfBounds = "The value is out of bounds; choose one within those that docs/protocol.md lists."
    Contradiction = (
        "The values contradict each other; keep burn_min <= burn_max, top_k <= chunk, "
        "warmup_steps <= inner_steps, freeze_window < tempo <= activity_cutoff, and hidden a multiple of 2 * "
        "heads."
    )
    FixedAtCreation = "A model keeps its shape; create another subnet for a model of another shape."
    Frozen = (
        "Nothing is scheduled in the freeze window before an epoch, nor in the epoch's block; send this "
        "again after it."
    )
    AlreadyPaused = "The subnet is paused already; nothing is left to do."
    NotPaused = "The subnet is not paused; nothing is left to do."
    Paused = "The subnet is paused; wait until root has unpaused it."


class Shares(Protocol):
    """Who splits what is minted by the subnets' shares: the Incentive pallet."""

    def allocate(self) -> None:
        """Split what was minted until now."""
        ...


class Subnets(
    Pallet[
        NetworkAdded
        | HyperparameterScheduled
        | HyperparameterSet
        | OwnerSet
        | NetworkPaused
        | NetworkUnpaused,
        Error,
    ]
):
    """Subnets, their owners and hyperparameters, and when their epochs are."""

    system: BlockNumberProvider = coupled()
    incentive: Shares = coupled()

    max_subnets: u16 = constant(MOST_SUBNETS)

    networks: Map[u16, Network] = storage(hasher=twox_64_concat)
    hyperparameters: Map[u16, Hyperparameters] = storage(hasher=twox_64_concat)
    pending_changes: DoubleMap[u16, Parameter, Change] = storage(hasher=twox_64_concat)
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
            for parameter, change in self.pending_changes.under(netuid):
                weight += self._apply(netuid, parameter, change.value, now)
        self.epochs_ended.kill()
        return weight

    def _apply(self, netuid: int, parameter: Parameter, value: int, now: int) -> Weight:
        shares_change = parameter is Parameter.emission_share
        if shares_change:
            self.incentive.allocate()
        self.hyperparameters[netuid] = _with(self.hyperparameters[netuid], parameter, value)
        del self.pending_changes[netuid, parameter]
        if parameter is Parameter.tempo:
            self._enter(netuid, now - 1)
        self.deposit(HyperparameterSet(netuid, parameter, value))
        return db(reads=3, writes=3) + (ALLOCATION if shares_change else Weight())

    @call(0, weight=ALLOCATION + db(reads=2, writes=5))
    def create(
        self, origin: Root, kind: Kind, owner: AccountId, settings: Annotated[list[Setting], Bounded(64)]
    ) -> None:
        """Create a subnet; `settings` are the hyperparameters that differ from the defaults."""
        taken = self.netuids()
        ensure(len(taken) < self.max_subnets, Error.TooManySubnets)
        chosen = Hyperparameters()
        for setting in settings:
            ensure(in_bounds(setting.parameter, setting.value), Error.OutOfBounds)
            chosen = _with(chosen, setting.parameter, setting.value)
        ensure(contradiction(chosen) is None, Error.Contradiction)
        self._add(max(taken, default=0) + 1, kind, owner, chosen)

    @call(1, weight=db(reads=56, writes=1))
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
        self.pending_changes[netuid, name] = Change(value, epoch + 1)
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
        due = {netuid: at for at, netuid in calendar}
        for (netuid, _), change in self.pending_changes.items():
            now = self.system.number.get()
            assert change.at <= max(due[netuid], now + 1) + 1
            assert change.at > now or due[netuid] <= now or netuid in self.epochs_ended.get()
        for netuid in self.netuids():
            assert problem_with(self.parameters(netuid)) is None, netuid
            assert problem_with(self._as_scheduled(netuid)) is None, netuid

    def _authorise(self, origin: Origin, netuid: int) -> None:
        owner = self.network(netuid).owner
        owns = isinstance(origin, SignedOrigin) and origin.account == owner
        ensure(owns or isinstance(origin, Root), Error.NotOwner)

    def _as_scheduled(self, netuid: int) -> Hyperparameters:
        chosen = self.parameters(netuid)
        for parameter, change in self.pending_changes.under(netuid):
            chosen = _with(chosen, parameter, change.value)
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


def _bounds() -> dict[str, Within]:
    hints = get_type_hints(Hyperparameters, include_extras=True)
    return {
        field.name: next(mark for mark in hints[field.name].__metadata__ if isinstance(mark, Within))
        for field in fields(Hyperparameters)
    }


BOUNDS = _bounds()
"""Least and most of each hyperparameter, by name."""


def in_bounds(parameter: Parameter, value: int) -> bool:
    """Say whether a value lies within the bounds of its hyperparameter."""
    bounds = BOUNDS[parameter.name]
    return bounds.least <= value <= bounds.most


def contradiction(chosen: Hyperparameters) -> str | None:
    """Say which two values cannot stand together, or None."""
    rules = {
        "burn_min is above burn_max": chosen.burn_min <= chosen.burn_max,
        "top_k is above chunk": chosen.top_k <= chosen.chunk,
        "warmup_steps is above inner_steps": chosen.warmup_steps <= chosen.inner_steps,
        "freeze_window is not below tempo": chosen.freeze_window < chosen.tempo,
        "activity_cutoff is below tempo": chosen.activity_cutoff >= chosen.tempo,
        "hidden is no multiple of 2 * heads": chosen.hidden % (2 * chosen.heads) == 0,
    }
    return next((problem for problem, holds in rules.items() if not holds), None)


def problem_with(chosen: Hyperparameters) -> str | None:
    """Say what is wrong with a set of hyperparameters, or None."""
    for name, bounds in BOUNDS.items():
        value = getattr(chosen, name)
        if not bounds.least <= value <= bounds.most:
            return f"{name} is {value}, must be {bounds.least} to {bounds.most}"
    return contradiction(chosen)


def _with(chosen: Hyperparameters, parameter: Parameter, value: int) -> Hyperparameters:
    return replace(chosen, **{parameter.name: value})
