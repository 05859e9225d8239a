"""Incentive: the chain's only mint, and the epochs that pay miners and judges. Every amount is planck.

    every block   mint the block reward -> consensus pot, and pots of the subnets by their emission share
    every tempo   pot + carried over -> run_epoch -> coldkeys; what nobody earned is carried over

Minted = paid + carried + what went into the consensus pot, to the planck, in every block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.frame.declare import constant, coupled, db, event
from runtime.frame.errors import DispatchError, NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, Value, storage
from runtime.frame.traits import Currency
from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.shares import apportion
from runtime.pallets.incentive.terms import CONSENSUS, EpochInput, EpochOutput, Row
from runtime.pallets.incentive.terms import Hyperparameters as Dials
from runtime.pallets.neurons import Neuron
from runtime.pallets.subnets import ASY, PPM, Hyperparameters
from runtime.pallets.weights import WeightCommit
from runtime.primitives.accounts import pallet_account
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.shapes import u16, u32, u128
from runtime.primitives.types import ZERO_HASH, AccountId, Balance, BlockNumber, Hash, Ppm, Weight

MOST_HALVINGS = 128
"""No reward of u128 survives more."""
NOBODY = AccountId(ZERO_HASH)
"""Stands for the stash of a uid that nobody holds."""
BY_UID = (twox_64_concat, twox_64_concat)


@event
class EpochRun:
    """An epoch of a subnet ran: of `emission`, `paid` went out and `carried` waits for the next one.

    `input_hash` is the blake2-256 of the SCALE form of the EpochInput, so that anyone can replay it.
    """

    netuid: u16
    input_hash: Hash
    emission: u128
    paid: u128
    carried: u128


@event
class EmissionPaid:
    """A neuron's coldkey got this for its work as a miner and as a judge."""

    netuid: u16
    uid: u16
    hotkey: AccountId
    coldkey: AccountId
    incentive: u128
    dividend: u128


@event
class EmissionCarried:
    """Emission that nobody earned waits for the subnet's next epoch."""

    netuid: u16
    amount: u128


class SubnetsOf(Protocol):
    """What is asked of the Subnets pallet."""

    def netuids(self) -> list[int]:
        """Return all subnets, ascending."""
        ...

    def parameters(self, netuid: int) -> Hyperparameters:
        """Return the numbers in force. Raises: DispatchError."""
        ...

    def is_epoch(self, netuid: int, block: int) -> bool:
        """Say whether the subnet's epoch is in this block."""
        ...

    def is_paused(self, netuid: int) -> bool:
        """Say whether the subnet stands still."""
        ...


class NeuronsOf(Protocol):
    """What is asked of the Neurons pallet."""

    def listed(self, netuid: int) -> list[tuple[int, Neuron]]:
        """Return all neurons, ascending by uid."""
        ...

    def stakes(self, netuid: int) -> dict[int, Balance]:
        """Return the stake of every uid."""
        ...

    def owner_uid(self, netuid: int) -> int | None:
        """Return the uid of the subnet's owner, if it has one."""
        ...


class WeightsOf(Protocol):
    """What is asked of the Weights pallet."""

    def row(self, netuid: int, uid: int) -> Row:
        """Return a judge's row, ascending by uid."""
        ...

    def updated_at(self, netuid: int, uid: int) -> int:
        """Return the block in which a judge's row was set, zero for never."""
        ...

    def pending(self, netuid: int) -> dict[int, list[WeightCommit]]:
        """Return what each uid has sealed and can still open, oldest first."""
        ...

    def end_epoch(self, netuid: int, epoch: int) -> int:
        """Give up what had to be opened in this epoch; return how many hotkeys had sealed rows."""
        ...


@dataclass(frozen=True, slots=True)
class Payout:
    """What one neuron is owed."""

    uid: int
    neuron: Neuron
    incentive: Balance
    dividend: Balance


class Incentive(Pallet[EpochRun | EmissionPaid | EmissionCarried, NoError]):
    """The block reward, the pots it waits in, and what the last epoch of each subnet decided."""

    subnets: SubnetsOf = coupled()
    neurons: NeuronsOf = coupled()
    weights: WeightsOf = coupled()
    currency: Currency = coupled()

    block_reward: Balance = constant(ASY)
    halving_interval: BlockNumber = constant(21_024_000)
    consensus_share_ppm: Ppm = constant(200_000)
    pot_endowment: Balance = constant(1_000_000_000)
    consensus_pot: AccountId = constant(pallet_account(b"asy/cons"))
    subnet_pot: AccountId = constant(pallet_account(b"asy/subn"))

    consensus: DoubleMap[u16, u16, u16] = storage(default=0, hashers=BY_UID)
    incentives: DoubleMap[u16, u16, u16] = storage(default=0, hashers=BY_UID)
    dividends: DoubleMap[u16, u16, u16] = storage(default=0, hashers=BY_UID)
    bonds: DoubleMap[u16, u16, Row] = storage(default=Row(), hashers=BY_UID)
    validator_permit: DoubleMap[u16, u16, bool] = storage(default=False, hashers=BY_UID)
    emission: DoubleMap[u16, u16, Balance] = storage(default=0, hashers=BY_UID)
    last_epoch: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    epoch_index: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    pots: Map[u16, Balance] = storage(default=0, hasher=twox_64_concat)
    carried_over: Map[u16, Balance] = storage(default=0, hasher=twox_64_concat)
    unallocated: Value[Balance] = storage(default=0)
    minted: Value[Balance] = storage(default=0)
    minted_to_consensus: Value[Balance] = storage(default=0)
    paid: Value[Balance] = storage(default=0)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Open the pots and hand out the permits of {netuid: [uids]}.

        The pots start with an endowment (the existential deposit) that is never paid out, so that a pot can
        be emptied to the planck without being reaped.
        """
        for pot in (self.consensus_pot, self.subnet_pot):
            self.currency.mint(pot, self.pot_endowment)
        for netuid, uids in sorted((int(netuid), uids) for netuid, uids in config.items()):
            for uid in uids:
                self.validator_permit[netuid, uid] = True

    def on_initialize(self, now: int) -> Weight:
        """Mint the reward of this block, then run the epochs that fall into it."""
        self._mint(now)
        netuids = self.subnets.netuids()
        judged = 0
        for netuid in netuids:
            if self.subnets.is_epoch(netuid, now) and not self.subnets.is_paused(netuid):
                judged += self._run_epoch(netuid, now)
        self._assert_conserved()
        return db(reads=12 + 6 * len(netuids) + 9 * judged, writes=8 + 2 * len(netuids) + 8 * judged)

    # What other pallets use.

    def is_permitted(self, netuid: int, uid: int) -> bool:
        """Say whether a neuron may judge."""
        return self.validator_permit[netuid, uid]

    def permitted(self, netuid: int) -> list[int]:
        """Return the uids that may judge, ascending."""
        return sorted(uid for uid, permit in self.validator_permit.under(netuid) if permit)

    def last_epoch_block(self, netuid: int) -> int:
        """Return the block of the last epoch, zero before the first."""
        return self.last_epoch[netuid]

    def epochs_run(self, netuid: int) -> int:
        """Return how many epochs the subnet has run."""
        return self.epoch_index[netuid]

    def emission_of(self, netuid: int, uid: int) -> Balance:
        """Return what a neuron was paid in the last epoch."""
        return self.emission[netuid, uid]

    def draw_consensus(self, dest: AccountId) -> Balance:
        """Move what is in the consensus pot, but for its endowment, to an account; return how much."""
        drawn = self.currency.free(self.consensus_pot) - self.pot_endowment
        if drawn:
            self.currency.move(self.consensus_pot, dest, drawn, keep_alive=True)
        return drawn

    def carried(self) -> Balance:
        """Return everything minted for subnets and not yet paid."""
        return self.unallocated.get() + sum(self.pots.values()) + sum(self.carried_over.values())

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove permit, bonds and scores of a neuron that is leaving."""
        for by_uid in (self.consensus, self.incentives, self.dividends, self.emission):
            del by_uid[netuid, uid]
        del self.validator_permit[netuid, uid]
        del self.bonds[netuid, uid]
        for judge, row in self.bonds.under(netuid):
            kept = [entry for entry in row if entry[0] != uid]
            if len(kept) < len(row):
                self._put_bonds(netuid, judge, Row(kept))

    def try_state(self) -> None:
        """Nothing was lost or made; what an epoch decided is about neurons that exist."""
        self._assert_conserved()
        seats = {(netuid, uid) for netuid in self.subnets.netuids() for uid, _ in self.neurons.listed(netuid)}
        for place, permit in self.validator_permit.items():
            assert permit, place
            assert place in seats, place
        for (netuid, uid), row in self.bonds.items():
            assert {(netuid, uid), *((netuid, each) for each, _ in row)} <= seats
        for by_uid in (self.consensus, self.incentives, self.dividends, self.emission):
            assert all(place in seats for place, _ in by_uid.items())

    # The mint.

    def _mint(self, now: int) -> None:
        reward = self.block_reward >> min(now // self.halving_interval, MOST_HALVINGS)
        to_consensus = reward * self.consensus_share_ppm // PPM
        self.currency.mint(self.consensus_pot, to_consensus)
        self.currency.mint(self.subnet_pot, reward - to_consensus)
        self.minted.put(self.minted.get() + reward)
        self.minted_to_consensus.put(self.minted_to_consensus.get() + to_consensus)
        self._allocate(self.unallocated.get() + reward - to_consensus)

    def _allocate(self, amount: Balance) -> None:
        """Split money among the pots; without a subnet that has a share it waits."""
        netuids = self.subnets.netuids()
        parts = apportion(amount, [self.subnets.parameters(netuid).emission_share for netuid in netuids])
        for netuid, part in zip(netuids, parts, strict=True):
            if part:
                self.pots[netuid] = self.pots[netuid] + part
        self.unallocated.put(amount - sum(parts))

    def _assert_conserved(self) -> None:
        carried = self.carried()
        out = self.paid.get() + carried + self.minted_to_consensus.get()
        assert self.minted.get() == out, f"{self.minted.get()} minted, {out} paid or carried"
        held = self.currency.free(self.subnet_pot)  # anybody may give to the pot: more is no loss
        assert held >= carried + self.pot_endowment, f"{held} in the subnets' pot, {carried} carried"

    # Epochs.

    def _run_epoch(self, netuid: int, now: int) -> int:
        """Run one subnet's epoch; return how many neurons and sealed rows it went through."""
        listed = self.neurons.listed(netuid)
        epoch = self.epoch_input(netuid, now)
        output = run_epoch(epoch)
        self._store(netuid, listed, output)
        payouts = [_payout(uid, neuron, output) for uid, neuron in listed if output.emission[uid]]
        paid = sum(self._pay(netuid, payout) for payout in payouts)
        carried = epoch.emission - paid
        self.paid.put(self.paid.get() + paid)
        del self.pots[netuid]
        self.carried_over[netuid] = carried
        self.last_epoch[netuid] = now
        index = self.epoch_index[netuid]
        sealed = self.weights.end_epoch(netuid, index)
        self.epoch_index[netuid] = index + 1
        self.deposit(EpochRun(netuid, epoch.hash(), epoch.emission, paid, carried))
        if carried:
            self.deposit(EmissionCarried(netuid, carried))
        return len(listed) + sealed

    def epoch_input(self, netuid: int, now: int) -> EpochInput:
        """Return everything an epoch in block `now` would depend on; a uid nobody holds has no stake."""
        seats = dict(self.neurons.listed(netuid))
        stakes = self.neurons.stakes(netuid)
        chosen = self.subnets.parameters(netuid)
        sealed = {uid: commits[0].committed_at for uid, commits in self.weights.pending(netuid).items()}
        uids = range(max(seats, default=-1) + 1)
        updated = [self.weights.updated_at(netuid, uid) for uid in uids]
        permit = [self.validator_permit[netuid, uid] for uid in uids]
        if chosen.commit_reveal and CONSENSUS[chosen.consensus] == "yuma3":
            # Where rows are sealed, one that was opened earlier counts no more; median sees to it itself.
            since = self.last_epoch[netuid]
            permit = [held and opened >= since for held, opened in zip(permit, updated, strict=True)]
        return EpochInput(
            consensus=CONSENSUS[chosen.consensus],
            block=now,
            tempo=chosen.tempo,
            last_epoch_block=self.last_epoch[netuid],
            stake=[stakes.get(uid, 0) for uid in uids],
            stash=[seats[uid].coldkey if uid in seats else NOBODY for uid in uids],
            last_update=updated,
            registered=[seats[uid].registered_at if uid in seats else now for uid in uids],
            permit=permit,
            weights=[self.weights.row(netuid, uid) for uid in uids],
            bonds=[self.bonds[netuid, uid] for uid in uids],
            pending_commit=[sealed.get(uid, 0) for uid in uids],
            owner_uid=self.neurons.owner_uid(netuid),
            emission=self.pots[netuid] + self.carried_over[netuid],
            hyperparameters=_dials(chosen),
        )

    def _store(self, netuid: int, listed: Sequence[tuple[int, Neuron]], output: EpochOutput) -> None:
        for uid, _ in listed:
            self.consensus[netuid, uid] = output.consensus[uid]
            self.incentives[netuid, uid] = output.incentive[uid]
            self.dividends[netuid, uid] = output.dividends[uid]
            self.emission[netuid, uid] = 0
            self._put_bonds(netuid, uid, output.bonds[uid])
            if output.permit[uid]:
                self.validator_permit[netuid, uid] = True
            else:
                del self.validator_permit[netuid, uid]

    def _pay(self, netuid: int, payout: Payout) -> Balance:
        """Pay a neuron's coldkey; return what it got: nothing if its account cannot take so little."""
        amount = payout.incentive + payout.dividend
        try:
            self.currency.move(self.subnet_pot, payout.neuron.coldkey, amount, keep_alive=True)
        except DispatchError:
            return 0
        self.emission[netuid, payout.uid] = amount
        self.deposit(
            EmissionPaid(
                netuid,
                payout.uid,
                payout.neuron.hotkey,
                payout.neuron.coldkey,
                payout.incentive,
                payout.dividend,
            )
        )
        return amount

    def _put_bonds(self, netuid: int, uid: int, row: Row) -> None:
        if row:
            self.bonds[netuid, uid] = row
        else:
            del self.bonds[netuid, uid]


def _dials(chosen: Hyperparameters) -> Dials:
    return Dials(
        kappa_ppm=chosen.kappa_ppm,
        max_permits=chosen.max_permits,
        stake_threshold=chosen.stake_threshold,
        stake_cap_ppm=chosen.stake_cap_ppm,
        activity_cutoff=chosen.activity_cutoff,
        bonds_moving_average_ppm=chosen.bonds_moving_average_ppm,
        bonds_penalty_ppm=chosen.bonds_penalty_ppm,
        owner_cut_ppm=chosen.owner_cut_ppm,
        miners_share_ppm=chosen.miners_share_ppm,
    )


def _payout(uid: int, neuron: Neuron, output: EpochOutput) -> Payout:
    """Name the two parts of what a neuron is owed; the owner's cut is with what it mined."""
    dividend = output.validator_emission[uid]
    return Payout(uid, neuron, output.emission[uid] - dividend, dividend)
