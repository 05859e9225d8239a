"""SubnetApi: what a subnet looks like from outside; one call gives what a miner or an explorer needs.

Everything is read from the state of one block. Lists have at most one element for each uid (1,024); amounts
are planck, moments are blocks, and u16 shares are parts of 65,535.
"""

import inspect
from typing import Annotated, Final

from runtime.frame.api import ApiTrap
from runtime.frame.base import RuntimeCall
from runtime.frame.declare import SignedOrigin
from runtime.frame.errors import DispatchError, DispatchErrorKind, PalletError
from runtime.native import Bound
from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.neurons.types import Axon, Identity, Neuron
from runtime.pallets.subnets.numbers import MOST_UIDS, Hyperparameters, Parameter
from runtime.pallets.subnets.types import Kind
from runtime.pallets.weights import Row, WeightCommit
from runtime.primitives.header import Digest
from runtime.primitives.shapes import Bounded, struct, u16, u32, u128
from runtime.primitives.types import AccountId, Balance, BlockNumber, Hash
from runtime.runtime import AssayRuntime

CHECKED: Final = ("Subnets", "Neurons", "Weights", "Staking", "ModelUpdates", "Training", "Verification")
"""Pallets whose calls can be checked: none of them carries other calls, so each costs what it says."""
CURVE_POINTS: Final = 16
"""Moments for which a registration price is forecast, half a half-life apart."""


@struct("assay_runtime::subnets::NetworkInfo")
class NetworkInfo:
    """One of the chain's subnets: what it is for, what a place in it costs, what its epochs have to pay."""

    netuid: u16
    kind: Kind
    owner: AccountId
    paused: bool
    max_uids: u16
    price: Balance  # of a registration in the next block
    bond: Balance  # that comes back when the neuron leaves
    emission_share: u32  # of what is minted, as a part of all subnets' shares
    emission: Balance  # waits for the next epoch
    epoch: u32  # how many it has run
    next_epoch: BlockNumber


@struct("assay_runtime::subnets::NeuronInfo")
class NeuronInfo:
    """One neuron: who, with what behind it, what the last epoch decided, and when it may be replaced."""

    uid: u16
    hotkey: AccountId
    coldkey: AccountId
    name: str  # as it says itself
    stake: Balance
    validator_permit: bool
    consensus: u16
    incentive: u16
    dividends: u16
    emission: Balance  # in the last epoch
    last_update: BlockNumber  # of its row of weights; 0 for never
    registered_at: BlockNumber
    immune_until: BlockNumber  # the first block in which a newcomer may replace it
    prune_rank: u16 | None  # 0 goes first; None while immune, and for the owner's uid
    bond: Balance
    vesting: Balance  # earned, and not its coldkey's yet
    axon: Axon | None


@struct("assay_runtime::subnets::PendingChange")
class PendingChange:
    """A hyperparameter that will have another value from block `at` on."""

    parameter: Parameter
    value: u128
    at: BlockNumber


@struct("assay_runtime::subnets::Metagraph")
class Metagraph:
    """A subnet as of a block, with all its neurons, ascending by uid."""

    netuid: u16
    block: BlockNumber
    kind: Kind
    owner: AccountId
    owner_uid: u16 | None
    created_at: BlockNumber
    paused: bool
    epoch: u32  # how many it has run
    last_epoch: BlockNumber  # 0 before the first
    next_epoch: BlockNumber
    emission: Balance  # waits for the next epoch; `carried_over` of it is left from earlier ones
    carried_over: Balance
    price: Balance  # of a registration in the next block
    hyperparameters: Hyperparameters
    pending_changes: list[PendingChange]
    neurons: Annotated[list[NeuronInfo], Bounded(MOST_UIDS)]


@struct("assay_runtime::subnets::NeuronDetail")
class NeuronDetail:
    """One neuron with what is too long for a list: rows are (uid, u16), ascending by uid."""

    netuid: u16
    block: BlockNumber
    neuron: NeuronInfo
    identity: Identity | None
    weights: Row
    bonds: Row
    commits: list[WeightCommit]


@struct("assay_runtime::subnets::JudgeRow")
class JudgeRow:
    """What a judge thinks of the others, and since which block."""

    uid: u16
    hotkey: AccountId
    last_update: BlockNumber
    weights: Row


@struct("assay_runtime::subnets::WeightRows")
class WeightRows:
    """All rows of weights in force, ascending by uid."""

    netuid: u16
    block: BlockNumber
    rows: Annotated[list[JudgeRow], Bounded(MOST_UIDS)]


@struct("assay_runtime::subnets::PricePoint")
class PricePoint:
    """What a registration would cost in a block if nobody registered before."""

    block: BlockNumber
    price: Balance


@struct("assay_runtime::subnets::RegistrationPrice")
class RegistrationPrice:
    """What a registration costs: `price` is burnt, `bond` comes back when the neuron leaves."""

    netuid: u16
    block: BlockNumber
    price: Balance
    bond: Balance
    price_after: Balance  # one more registration
    free_uids: u16
    replaced_uid: u16 | None  # who would go for a newcomer
    opens_at: BlockNumber | None  # None: now; else the first block in which an immunity ends
    curve: Annotated[list[PricePoint], Bounded(CURVE_POINTS)]


@struct("assay_runtime::subnets::PruneEntry")
class PruneEntry:
    """Where a neuron stands among those that newcomers replace; `rank` 0 goes first."""

    uid: u16
    hotkey: AccountId
    emission: Balance
    registered_at: BlockNumber
    immune_until: BlockNumber
    immune_epochs: u32  # that come before the immunity ends
    rank: u16 | None  # None while it is immune


@struct("assay_runtime::subnets::PruneOrder")
class PruneOrder:
    """Who goes first in a full subnet, then who is immune, the immunity that ends first first."""

    netuid: u16
    block: BlockNumber
    free_uids: u16  # while there are any, nobody goes
    owner_uid: u16 | None  # never replaced, and not in the list
    entries: Annotated[list[PruneEntry], Bounded(MOST_UIDS)]


@struct("assay_runtime::subnets::JudgeCommits")
class JudgeCommits:
    """What one hotkey has sealed and can still open, oldest first."""

    uid: u16
    hotkey: AccountId
    commits: list[WeightCommit]


@struct("assay_runtime::subnets::PendingCommits")
class PendingCommits:
    """What is sealed in a subnet: a row opens while `epoch` is its `reveal_epoch`."""

    netuid: u16
    block: BlockNumber
    epoch: u32
    next_epoch: BlockNumber  # when `epoch` grows by one
    judges: Annotated[list[JudgeCommits], Bounded(MOST_UIDS)]


@struct("assay_runtime::subnets::Forecast")
class Forecast:
    """What an epoch would decide about one neuron; `dividend` is the part of `emission` for judging."""

    uid: u16
    hotkey: AccountId
    validator_permit: bool
    consensus: u16
    incentive: u16
    dividends: u16
    validator_trust: u16
    emission: Balance
    dividend: Balance


@struct("assay_runtime::subnets::EmissionPreview")
class EmissionPreview:
    """What the subnet's epoch would pay if it ran in `block`, with what is known and minted so far."""

    netuid: u16
    block: BlockNumber
    next_epoch: BlockNumber  # when it will run
    input_hash: Hash
    emission: Balance
    carried: Balance  # of `emission`: nobody earned it
    neurons: Annotated[list[Forecast], Bounded(MOST_UIDS)]


@struct("assay_runtime::subnets::Refusal")
class Refusal:
    """Why a call would fail: the error, and its pallet, name and remedy in words."""

    error: DispatchErrorKind
    pallet: str
    name: str
    text: str


class SubnetApi(Bound):
    """Subnets as miners, judges and explorers see them; None stands for a subnet or uid there is not."""

    def networks(self) -> list[NetworkInfo]:
        """Return all subnets, ascending."""
        subnets, incentive, now = self.runtime.subnets, self.runtime.incentive, self._now()
        incentive.allocate()  # in this view alone: what is minted already belongs to somebody
        return [
            NetworkInfo(
                netuid=netuid,
                kind=subnets.network(netuid).kind,
                owner=subnets.network(netuid).owner,
                paused=subnets.is_paused(netuid),
                max_uids=chosen.max_uids,
                price=self.runtime.neurons.price_at(netuid, now + 1),
                bond=chosen.uid_bond,
                emission_share=chosen.emission_share,
                emission=incentive.waiting(netuid),
                epoch=incentive.epochs_run(netuid),
                next_epoch=subnets.next_epoch(netuid, now),
            )
            for netuid, chosen in [(each, subnets.parameters(each)) for each in subnets.netuids()]
        ]

    def metagraph(self, netuid: u16) -> Metagraph | None:
        """Return a subnet with all its neurons."""
        if not self.runtime.subnets.exists(netuid):
            return None
        subnets, incentive = self.runtime.subnets, self.runtime.incentive
        incentive.allocate()
        network, now = subnets.network(netuid), self._now()
        changes = sorted(subnets.pending_changes.under(netuid), key=lambda entry: entry[0].value)
        at, carried = subnets.changes_at(netuid, now), incentive.carried_over[netuid]
        return Metagraph(
            netuid=netuid,
            block=now,
            kind=network.kind,
            owner=network.owner,
            owner_uid=self.runtime.neurons.owner_uid(netuid),
            created_at=network.created_at,
            paused=subnets.is_paused(netuid),
            epoch=incentive.epochs_run(netuid),
            last_epoch=incentive.last_epoch_block(netuid),
            next_epoch=subnets.next_epoch(netuid, now),
            emission=incentive.waiting(netuid),
            carried_over=carried,
            price=self.runtime.neurons.price_at(netuid, now + 1),
            hyperparameters=subnets.parameters(netuid),
            pending_changes=[PendingChange(name, value, at) for name, value in changes],
            neurons=self._neurons(netuid),
        )

    def neuron(self, netuid: u16, uid: u16) -> NeuronDetail | None:
        """Return one neuron with its rows of weights and bonds, its identity, and what it has sealed."""
        found = self.runtime.neurons.neuron(netuid, uid)
        if found is None:
            return None
        return NeuronDetail(
            netuid=netuid,
            block=self._now(),
            neuron=self._neurons(netuid, uid)[0],
            identity=self.runtime.neurons.identities.get(netuid, found.hotkey),
            weights=self.runtime.weights.row(netuid, uid),
            bonds=self.runtime.incentive.bonds[netuid, uid],
            commits=self.runtime.weights.pending(netuid).get(uid, []),
        )

    def weights(self, netuid: u16) -> WeightRows | None:
        """Return all rows of weights in force."""
        if not self.runtime.subnets.exists(netuid):
            return None
        hotkeys, weights = self.runtime.neurons.keys, self.runtime.weights
        rows = sorted(weights.weights.under(netuid), key=lambda entry: entry[0])
        return WeightRows(
            netuid,
            self._now(),
            [JudgeRow(uid, hotkeys[netuid, uid], weights.updated_at(netuid, uid), row) for uid, row in rows],
        )

    def registration_price(self, netuid: u16) -> RegistrationPrice | None:
        """Return what a registration costs now and later, and whether there is a place."""
        if not self.runtime.subnets.exists(netuid):
            return None
        neurons, chosen, now = self.runtime.neurons, self.runtime.subnets.parameters(netuid), self._now()
        order, free = neurons.prune_order(netuid), self._free(netuid)
        immune = [] if free or order else self._prune_entries(netuid, neurons.owner_uid(netuid))
        step = max(1, chosen.burn_half_life // 2)
        blocks = range(now + 1, now + 1 + CURVE_POINTS * step, step)
        return RegistrationPrice(
            netuid=netuid,
            block=now,
            price=neurons.price_at(netuid, now + 1),
            bond=chosen.uid_bond,
            price_after=neurons.price_after(netuid, now + 1),
            free_uids=free,
            replaced_uid=order[0] if order and not free else None,
            opens_at=immune[0].immune_until if immune else None,
            curve=[PricePoint(block, neurons.price_at(netuid, block)) for block in blocks],
        )

    def prune_order(self, netuid: u16) -> PruneOrder | None:
        """Return who a newcomer would replace in which order, and how long the others are immune."""
        if not self.runtime.subnets.exists(netuid):
            return None
        owner = self.runtime.neurons.owner_uid(netuid)
        entries = self._prune_entries(netuid, owner)
        return PruneOrder(netuid, self._now(), self._free(netuid), owner, entries)

    def pending_commits(self, netuid: u16) -> PendingCommits | None:
        """Return which rows of weights are sealed, and when each can be opened."""
        if not self.runtime.subnets.exists(netuid):
            return None
        now, hotkeys = self._now(), self.runtime.neurons.keys
        return PendingCommits(
            netuid,
            now,
            self.runtime.incentive.epochs_run(netuid),
            self.runtime.subnets.next_epoch(netuid, now),
            [
                JudgeCommits(uid, hotkeys[netuid, uid], commits)
                for uid, commits in self.runtime.weights.pending(netuid).items()
            ],
        )

    def emission_preview(self, netuid: u16) -> EmissionPreview | None:
        """Return what the epoch would pay if it ran in the next block."""
        if not self.runtime.subnets.exists(netuid):
            return None
        now = self._now()
        self.runtime.incentive.allocate()
        epoch = self.runtime.incentive.epoch_input(netuid, now + 1)
        made = run_epoch(epoch)
        rows = [
            Forecast(
                uid=uid,
                hotkey=neuron.hotkey,
                validator_permit=made.permit[uid],
                consensus=made.consensus[uid],
                incentive=made.incentive[uid],
                dividends=made.dividends[uid],
                validator_trust=made.validator_trust[uid],
                emission=made.emission[uid],
                dividend=made.validator_emission[uid],
            )
            for uid, neuron in self.runtime.neurons.listed(netuid)
        ]
        upcoming = self.runtime.subnets.next_epoch(netuid, now)
        return EmissionPreview(netuid, now + 1, upcoming, epoch.hash(), epoch.emission, made.carried, rows)

    def check_call(self, who: AccountId, call: RuntimeCall) -> Refusal | None:
        """Return why a call would fail if this account signed it for the next block; None when it would not.

        It looks at what the call does, not at the fee. Calls about subnets, rounds and stake only.
        """
        name = _pallet_name(self.runtime, call.pallet)
        if name not in CHECKED:
            raise ApiTrap(f"check_call knows the calls of {', '.join(CHECKED)}, not those of {name}")
        self.runtime.system.initialize(self._now() + 1, self.header.hash(), Digest([]))
        try:
            self.runtime.dispatch(call, SignedOrigin(who))
        except DispatchError as refused:
            return _refusal(self.runtime, refused)
        return None

    # What several answers share.

    def _now(self) -> BlockNumber:
        return self.runtime.system.number.get()

    def _free(self, netuid: int) -> int:
        """Return how many uids nobody holds."""
        most, listed = self.runtime.subnets.parameters(netuid).max_uids, self.runtime.neurons.listed(netuid)
        return most - sum(1 for uid, _ in listed if uid < most)

    def _neurons(self, netuid: int, only: int | None = None) -> list[NeuronInfo]:
        """Return all neurons, ascending by uid, or one of them."""
        roster = self.runtime.neurons.roster(netuid)
        immunity = self.runtime.subnets.parameters(netuid).immunity_period
        ranks = {uid: rank for rank, uid in enumerate(self.runtime.neurons.prune_order(netuid))}
        return [
            self._neuron(netuid, uid, neuron, roster.stakes[uid], immunity, ranks.get(uid))
            for uid, neuron in roster.listed
            if only is None or uid == only
        ]

    def _neuron(
        self, netuid: int, uid: int, neuron: Neuron, stake: Balance, immunity: int, rank: int | None
    ) -> NeuronInfo:
        neurons, incentive = self.runtime.neurons, self.runtime.incentive
        identity = neurons.identities.get(netuid, neuron.hotkey)
        return NeuronInfo(
            uid=uid,
            hotkey=neuron.hotkey,
            coldkey=neuron.coldkey,
            name=identity.name if identity else "",
            stake=stake,
            validator_permit=incentive.is_permitted(netuid, uid),
            consensus=incentive.consensus[netuid, uid],
            incentive=incentive.incentives[netuid, uid],
            dividends=incentive.dividends[netuid, uid],
            emission=incentive.emission_of(netuid, uid),
            last_update=self.runtime.weights.updated_at(netuid, uid),
            registered_at=neuron.registered_at,
            immune_until=neuron.registered_at + immunity,
            prune_rank=rank,
            bond=neuron.bond,
            vesting=incentive.vesting_of(netuid, uid),
            axon=neurons.axons.get(netuid, neuron.hotkey),
        )

    def _prune_entries(self, netuid: int, owner: int | None) -> list[PruneEntry]:
        """Return all neurons but the owner's, who goes first first."""
        neurons, chosen, now = self.runtime.neurons, self.runtime.subnets.parameters(netuid), self._now()
        ranks = {uid: rank for rank, uid in enumerate(neurons.prune_order(netuid))}
        first = self.runtime.subnets.next_epoch(netuid, now)
        entries = [
            PruneEntry(
                uid=uid,
                hotkey=neuron.hotkey,
                emission=self.runtime.incentive.emission_of(netuid, uid),
                registered_at=neuron.registered_at,
                immune_until=neuron.registered_at + chosen.immunity_period,
                immune_epochs=_epochs(first, neuron.registered_at + chosen.immunity_period, chosen.tempo),
                rank=ranks.get(uid),
            )
            for uid, neuron in neurons.listed(netuid)
            if uid != owner
        ]
        return sorted(
            entries, key=lambda each: (each.rank is None, each.rank or 0, each.immune_until, each.uid)
        )


def _epochs(first: int, until: int, tempo: int) -> int:
    """Return how many of the epochs in `first`, `first + tempo`, ... come before a block."""
    return max(0, -(-(until - first) // tempo))


def _pallet_name(runtime: AssayRuntime, index: int) -> str:
    return next(pallet.name for pallet in runtime.pallets if pallet.index == index)


def _refusal(runtime: AssayRuntime, refused: DispatchError) -> Refusal:
    """Put an error into words: a pallet's own has its remedy with it."""
    reason, kind = refused.reason, runtime.error_kind(refused)
    if isinstance(reason, PalletError):
        pallet = _pallet_name(runtime, runtime.error_index[type(reason)])
        return Refusal(kind, pallet, reason.name, str(reason.value))
    inner = getattr(reason, "_0", None)
    name = type(reason).__name__ if inner is None else f"{type(reason).__name__}.{inner.name}"
    return Refusal(kind, "", name, inspect.getdoc(type(reason)) or "")
