"""Incentive: the chain's only mint, and the epochs that pay miners and judges. Every amount is planck.

    every block   mint the block reward -> consensus pot, and what the subnets will share
    every tempo   pot + carried over -> run_epoch -> coldkeys, nominators, vesting; the rest is carried over

So many epochs run in one block; those that have waited longest first, the others in the next block. Minted =
paid + burned + carried + what went into the consensus pot, to the planck, in every block.

The money lies in `pots`, what vests of it in `schedules`; `verdicts` are what epochs decide. This file says
when what happens, and pays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.frame.declare import constant, coupled, db
from runtime.frame.errors import DispatchError, NoError
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, Value, storage
from runtime.frame.traits import Currency
from runtime.pallets.incentive.couplings import NeuronsOf, StakingOf, SubnetsOf, WeightsOf
from runtime.pallets.incentive.epoch import run_epoch
from runtime.pallets.incentive.messages import EmissionCarried, EmissionPaid, EmissionVested, EpochRun, Event
from runtime.pallets.incentive.pots import Pots, reward_of
from runtime.pallets.incentive.schedules import Schedules
from runtime.pallets.incentive.shares import apportion
from runtime.pallets.incentive.terms import CONSENSUS, EpochInput, EpochOutput, Row
from runtime.pallets.incentive.terms import Hyperparameters as Dials
from runtime.pallets.incentive.verdicts import Verdicts
from runtime.pallets.incentive.vesting import Vesting
from runtime.pallets.neurons.types import Neuron, Roster
from runtime.pallets.subnets.numbers import ASY, PPM, Hyperparameters
from runtime.primitives.accounts import pallet_account
from runtime.primitives.hashing import blake2_128_concat, twox_64_concat
from runtime.primitives.shapes import u16, u32
from runtime.primitives.types import ZERO_HASH, AccountId, Balance, BlockNumber, Ppm, Weight

NOBODY = AccountId(ZERO_HASH)
"""Stands for the stash of a uid that nobody holds."""
BY_UID = (twox_64_concat, twox_64_concat)


class Incentive(Pallet[Event, NoError]):
    """The block reward, the pots it waits in, and what the last epoch of each subnet decided."""

    subnets: SubnetsOf = coupled()
    neurons: NeuronsOf = coupled()
    weights: WeightsOf = coupled()
    currency: Currency = coupled()
    staking: StakingOf = coupled()

    block_reward: Balance = constant(ASY)
    halving_interval: BlockNumber = constant(21_024_000)
    consensus_share_ppm: Ppm = constant(200_000)
    max_epochs_per_block: u32 = constant(2)
    pot_endowment: Balance = constant(1_000_000_000)
    consensus_pot: AccountId = constant(pallet_account(b"asy/cons"))
    subnet_pot: AccountId = constant(pallet_account(b"asy/subn"))

    consensus: DoubleMap[u16, u16, u16] = storage(default=0, hashers=BY_UID)
    incentives: DoubleMap[u16, u16, u16] = storage(default=0, hashers=BY_UID)
    dividends: DoubleMap[u16, u16, u16] = storage(default=0, hashers=BY_UID)
    bonds: DoubleMap[u16, u16, Row] = storage(default=Row(), hashers=BY_UID)
    validator_permit: DoubleMap[u16, u16, bool] = storage(default=False, hashers=BY_UID)
    emission: DoubleMap[u16, u16, Balance] = storage(default=0, hashers=BY_UID)
    last_pay: DoubleMap[u16, u16, Balance] = storage(default=0, hashers=BY_UID)
    vesting: DoubleMap[u16, u16, Vesting] = storage(hashers=BY_UID)
    vesting_of_former: DoubleMap[u16, AccountId, Vesting] = storage(
        hashers=(twox_64_concat, blake2_128_concat)
    )
    rounds_ended: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    last_epoch: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    epoch_index: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    pots: Map[u16, Balance] = storage(default=0, hasher=twox_64_concat)
    carried_over: Map[u16, Balance] = storage(default=0, hasher=twox_64_concat)
    unallocated: Value[Balance] = storage(default=0)
    minted: Value[Balance] = storage(default=0)
    minted_to_consensus: Value[Balance] = storage(default=0)
    paid: Value[Balance] = storage(default=0)
    burned: Value[Balance] = storage(default=0)
    total_vesting: Value[Balance] = storage(default=0)

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
        """Mint the reward of this block, then run the epochs that are due, as many as a block takes."""
        self._mint(now)
        due = self.subnets.take_due(now, self.max_epochs_per_block)
        if due:
            self.allocate()
        judged = sum(self._run_epoch(netuid, now) for netuid in due)
        self._check_pots(to_the_planck=bool(due))
        pots = len(self.subnets.netuids()) if due else 0
        return db(reads=12 + 3 * pots + 14 * judged, writes=8 + pots + 11 * judged)

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
        """Return what a neuron earned in the last epoch."""
        return self.emission[netuid, uid]

    def last_paid(self, netuid: int, uids: Sequence[int]) -> dict[int, Balance]:
        """Return what neurons earned in the last epoch that paid any of them."""
        last = {uid: self.emission[netuid, uid] for uid in uids}
        return last if any(last.values()) else {uid: self.last_pay[netuid, uid] for uid in uids}

    def draw_consensus(self, dest: AccountId) -> Balance:
        """Move what is in the consensus pot, but for its endowment, to an account; return how much."""
        drawn = self.currency.free(self.consensus_pot) - self.pot_endowment
        if drawn:
            self.currency.move(self.consensus_pot, dest, drawn, keep_alive=True)
        return drawn

    def carried(self) -> Balance:
        """Return everything minted for subnets and not yet paid."""
        return self._pots.carried()

    def allocate(self) -> None:
        """Split what was minted until now among the subnets, by the shares in force."""
        unallocated = self.unallocated.get()
        if unallocated:
            netuids = self.subnets.netuids()
            shares = [self.subnets.parameters(netuid).emission_share for netuid in netuids]
            self._pots.allocate(dict(zip(netuids, apportion(unallocated, shares), strict=True)))

    def waiting(self, netuid: int) -> Balance:
        """Return what an epoch could pay now, of what is allocated: the pot, and what was carried over."""
        return self._pots.waiting(netuid)

    def end_round(self, netuid: int) -> None:
        """Count a round of a training subnet that is over."""
        self._schedules.end_round(netuid)

    def vesting_of(self, netuid: int, uid: int) -> Balance:
        """Return what a neuron has earned and its coldkey has not got yet."""
        return self._schedules.held(netuid, uid)

    def burn_vesting(self, netuid: int, uid: int, part_ppm: Ppm) -> Balance:
        """Burn a part of what has not vested yet, rounded up; return how much."""
        self._pay_vested(netuid, self._coldkey(netuid, uid), self._schedules.settle(netuid, uid))
        burnt = self._schedules.cut(netuid, uid, part_ppm, PPM)
        if burnt:
            self._pots.note_burned(burnt)
            self.currency.burn(self.subnet_pot, burnt)
        return burnt

    def forget(self, netuid: int, uid: int, hotkey: AccountId) -> None:
        """Remove permit, bonds and scores of a neuron that is leaving; what it has earned goes on vesting."""
        coldkey = self._coldkey(netuid, uid)
        self._pay_vested(netuid, coldkey, self._schedules.leave(netuid, uid, coldkey))
        self._verdicts.forget(netuid, uid)

    def try_state(self) -> None:
        """Nothing was lost or made; what an epoch decided is about neurons that exist."""
        self._check_pots()
        self._schedules.check()
        seats = {(netuid, uid) for netuid in self.subnets.netuids() for uid, _ in self.neurons.listed(netuid)}
        self._verdicts.check(seats)
        assert all(place in seats for place, _ in self.vesting.items())

    # The mint.

    @property
    def _pots(self) -> Pots:
        return Pots(
            self.minted, self.minted_to_consensus, self.paid, self.burned, self.unallocated,
            self.total_vesting, self.pots, self.carried_over,
        )  # fmt: skip

    @property
    def _schedules(self) -> Schedules:
        return Schedules(self.vesting, self.vesting_of_former, self.rounds_ended, self.total_vesting)

    @property
    def _verdicts(self) -> Verdicts:
        return Verdicts(
            self.consensus,
            self.incentives,
            self.dividends,
            self.emission,
            self.last_pay,
            self.bonds,
            self.validator_permit,
        )

    def _mint(self, now: int) -> None:
        reward = reward_of(now, self.block_reward, self.halving_interval)
        to_consensus = reward * self.consensus_share_ppm // PPM
        self.currency.mint(self.consensus_pot, to_consensus)
        self.currency.mint(self.subnet_pot, reward - to_consensus)
        self._pots.mint(reward, to_consensus)

    def _check_pots(self, *, to_the_planck: bool = True) -> None:
        """Assert that the pot covers what is owed; to the planck, look at every subnet as well."""
        if to_the_planck:
            self._pots.check()
        held, owed = self.currency.free(self.subnet_pot), self._pots.owed()
        assert held >= owed + self.pot_endowment, f"{held} in the subnets' pot, {owed} minted and not paid"

    # Epochs.

    def _run_epoch(self, netuid: int, now: int) -> int:
        """Run one subnet's epoch; return how many neurons, sealed rows and schedules it went through."""
        vested = self._vest(netuid)
        roster = self.neurons.roster(netuid)
        epoch = self._input(netuid, now, roster)
        output, verdicts, rounds = run_epoch(epoch), self._verdicts, self._vesting_rounds(netuid)
        earned = dict[int, Balance]()
        for uid, neuron in roster.listed:
            verdicts.store(netuid, uid, output)
            earned[uid] = self._pay(netuid, uid, neuron, output, rounds) if output.emission[uid] else 0
        paid = sum(earned.values())
        verdicts.store_emission(netuid, earned)
        carried = epoch.emission - paid
        self._pots.close(netuid, carried)
        index = self.epoch_index[netuid]
        self.last_epoch[netuid] = now
        sealed = self.weights.end_epoch(netuid, index)
        self.epoch_index[netuid] = index + 1
        self.deposit(EpochRun(netuid, epoch.hash(), epoch.emission, paid, carried))
        if carried:
            self.deposit(EmissionCarried(netuid, carried))
        self.neurons.warn(netuid, roster)
        return len(roster.listed) + sealed + vested

    def epoch_input(self, netuid: int, now: int) -> EpochInput:
        """Return everything an epoch in block `now` would depend on; a uid nobody holds has no stake."""
        return self._input(netuid, now, self.neurons.roster(netuid))

    def _input(self, netuid: int, now: int, roster: Roster) -> EpochInput:
        seats, stakes = dict(roster.listed), roster.stakes
        chosen = self.subnets.parameters(netuid)
        sealed = {uid: commits[0].committed_at for uid, commits in self.weights.pending(netuid).items()}
        uids = range(max(seats, default=-1) + 1)
        updated = [self.weights.updated_at(netuid, uid) for uid in uids]
        permit = [self.validator_permit[netuid, uid] for uid in uids]
        count_once = chosen.commit_reveal or self.subnets.is_training(netuid)
        if count_once and CONSENSUS[chosen.consensus] == "yuma3":
            # Rows that were sealed or come from rounds are for one epoch; median sees to it itself.
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
            owner_uid=roster.owner_uid,
            emission=self.waiting(netuid),
            hyperparameters=_dials(chosen),
        )

    def _pay(self, netuid: int, uid: int, neuron: Neuron, output: EpochOutput, rounds: int) -> Balance:
        """Give a neuron what it has earned; return how much: without what its account is too small for."""
        dividend = output.validator_emission[uid]
        incentive = output.emission[uid] - dividend  # the owner's cut is with what it mined
        shared = self.staking.share_dividend(neuron.coldkey, dividend, self.subnet_pot) if dividend else 0
        vesting = self._schedules.grant(netuid, uid, incentive, rounds) if incentive and rounds else 0
        at_once = incentive - vesting + dividend - shared
        self._pots.note_paid(shared)
        if not self._move(neuron.coldkey, at_once):
            incentive, dividend = vesting, shared
        if incentive or dividend:
            hotkey, coldkey = neuron.hotkey, neuron.coldkey
            self.deposit(EmissionPaid(netuid, uid, hotkey, coldkey, incentive, dividend, shared, vesting))
        return incentive + dividend

    def _move(self, coldkey: AccountId, amount: Balance) -> bool:
        """Pay an account; say whether it got it: one that does not exist cannot take too little."""
        if not amount:
            return True
        try:
            self.currency.move(self.subnet_pot, coldkey, amount, keep_alive=True)
        except DispatchError:
            return False
        self._pots.note_paid(amount)
        return True

    # Vesting.

    def _vesting_rounds(self, netuid: int) -> int:
        """Return over how many rounds what miners earn becomes theirs; 0 where it is theirs at once."""
        return self.subnets.parameters(netuid).vesting_rounds if self.subnets.is_training(netuid) else 0

    def _vest(self, netuid: int) -> int:
        """Pay what has vested in a subnet since its last epoch; return how many schedules there are."""
        earned, former = self._schedules.settle_uids(netuid), self._schedules.settle_former(netuid)
        for coldkey, vested in [*((self._coldkey(netuid, uid), vested) for uid, vested in earned), *former]:
            self._pay_vested(netuid, coldkey, vested)
        return len(earned) + len(former)

    def _pay_vested(self, netuid: int, coldkey: AccountId, vested: Balance) -> None:
        """Pay what has vested; what an account is too small for goes back to the subnet."""
        if not vested:
            return
        if self._move(coldkey, vested):
            self.deposit(EmissionVested(netuid, coldkey, vested))
        else:
            self._pots.carry(netuid, vested)

    def _coldkey(self, netuid: int, uid: int) -> AccountId:
        neuron = self.neurons.neuron(netuid, uid)
        assert neuron is not None, f"nobody holds uid {uid} of subnet {netuid}"
        return neuron.coldkey


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
