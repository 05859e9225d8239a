"""Staking: who secures the chain with how much, what it earns and what it loses. Every amount is planck.

    session s     new_session(s + 1): where an era begins with it, take the election's result -> exposures
    era start     slashes whose time has come are applied; the exposures of the era count
    every block   20 points for its author; what judges earn in subnets is shared with their nominators
    era end       the consensus pot is drawn; payout_stakers splits it by points and exposure

Staking mints nothing: it holds what the pot gave until it is claimed, or goes into a later payout.
Source: FRAME's pallet-staking, its names and storage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from runtime.frame.declare import Root, Signed, call, constant, coupled, db
from runtime.frame.errors import ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, NMap, Value, storage
from runtime.pallets.staking import messages, types
from runtime.pallets.staking.bonds import SLASHED_ENTRIES, Bonds
from runtime.pallets.staking.couplings import Authors, Clock, Election, Pot, Sessions, StakingCurrency
from runtime.pallets.staking.eras import begins_era, least_nominator
from runtime.pallets.staking.history import History
from runtime.pallets.staking.ledger import added, has_room, rebonded, unbonded, withdrawn
from runtime.pallets.staking.messages import Error, Event
from runtime.pallets.staking.rewards import AUTHOR_POINTS
from runtime.pallets.staking.roles import Roles
from runtime.pallets.staking.slashing import application_era, check_durations, era_of_session
from runtime.pallets.staking.types import BILLION, MAX_NOMINATIONS, MAX_UNLOCKING_CHUNKS, ValidatorPrefs, part
from runtime.primitives.accounts import pallet_account
from runtime.primitives.hashing import twox_64_concat as TWOX
from runtime.primitives.shapes import Bounded, Compact, Perbill, Percent, u32
from runtime.primitives.ss58 import accounts_of
from runtime.primitives.types import AccountId, Balance, Lookup, Weight

MAX_VALIDATORS, MAX_NOMINATORS = 1_000, 9_000
"""How many may stand and vote, unless genesis or root says otherwise: what one election can hold."""
MAX_LISTED = 256
"""Accounts, or indices of slashes, one call may list."""
PAYOUT = db(reads=6 * 65, writes=5 * 65)
"""A page of 64 nominators and their validator: payee, ledger, lock and account of each."""
NO_PREFS, NO_POINTS = ValidatorPrefs(), types.EraRewardPoints(0, {})


class Staking(Pallet[Event, Error]):
    """Bonds, nominations, eras, rewards and slashes."""

    currency: StakingCurrency = coupled()
    session: Sessions = coupled()
    election: Election = coupled()
    pot: Pot = coupled()
    authorship: Authors = coupled()
    timestamp: Clock = coupled()

    history_depth: u32 = constant(84)
    sessions_per_era: u32 = constant(2)
    bonding_duration: u32 = constant(2)
    slash_defer_duration: u32 = constant(1)
    max_commission_rise: Perbill = constant(10_000_000)  # from one era to the next
    max_exposure_page_size: u32 = constant(64)
    max_nominations: u32 = constant(MAX_NOMINATIONS)
    max_unlocking_chunks: u32 = constant(MAX_UNLOCKING_CHUNKS)
    max_validator_set: u32 = constant(256)
    pot_endowment: Balance = constant(1_000_000_000)  # of the reward account: never paid out
    reward_account: AccountId = constant(pallet_account(b"asy/stak"))

    validator_count: Value[u32] = storage(default=0)
    minimum_validator_count: Value[u32] = storage(default=0)
    invulnerables: Value[Annotated[list[AccountId], Bounded(MAX_LISTED)]] = storage(default=[])
    bonded: Map[AccountId, AccountId] = storage(hasher=TWOX)
    min_nominator_bond: Value[Balance] = storage(default=0)
    min_validator_bond: Value[Balance] = storage(default=0)
    minimum_active_stake: Value[Balance] = storage(default=0)
    min_commission: Value[Perbill] = storage(default=0)
    ledger: Map[AccountId, types.StakingLedger] = storage()
    payee: Map[AccountId, types.RewardDestination] = storage(hasher=TWOX)
    validators: Map[AccountId, ValidatorPrefs] = storage(default=NO_PREFS, hasher=TWOX)
    commissions: Map[AccountId, tuple[Perbill, u32]] = storage(hasher=TWOX)  # last set; in which era
    counter_for_validators: Value[u32] = storage(default=0)
    max_validators_count: Value[u32] = storage()
    nominators: Map[AccountId, types.Nominations] = storage(hasher=TWOX)
    counter_for_nominators: Value[u32] = storage(default=0)
    max_nominators_count: Value[u32] = storage()
    current_era: Value[u32] = storage()
    active_era: Value[types.ActiveEraInfo] = storage()
    eras_start_session_index: Map[u32, u32] = storage(hasher=TWOX)
    eras_stakers_overview: DoubleMap[u32, AccountId, types.PagedExposureMetadata] = storage(hasher=TWOX)
    eras_stakers_paged: NMap[tuple[u32, AccountId, u32], types.ExposurePage] = storage(hasher=TWOX)
    claimed_rewards: DoubleMap[u32, AccountId, list[u32]] = storage(default=[], hasher=TWOX)
    eras_validator_prefs: DoubleMap[u32, AccountId, ValidatorPrefs] = storage(default=NO_PREFS, hasher=TWOX)
    eras_validator_reward: Map[u32, Balance] = storage(hasher=TWOX)
    eras_unclaimed_reward: Map[u32, Balance] = storage(default=0, hasher=TWOX)
    eras_nominator_dividend: DoubleMap[u32, AccountId, Balance] = storage(default=0, hasher=TWOX)
    eras_reward_points: Map[u32, types.EraRewardPoints] = storage(default=NO_POINTS, hasher=TWOX)
    eras_total_stake: Map[u32, Balance] = storage(default=0, hasher=TWOX)
    oldest_era: Value[u32] = storage(default=0)
    force_era: Value[types.Forcing] = storage(default=types.Forcing.NotForcing)
    slash_reward_fraction: Value[Perbill] = storage(default=0)
    canceled_slash_payout: Value[Balance] = storage(default=0)
    unapplied_slashes: Map[u32, list[types.UnappliedSlash]] = storage(default=[], hasher=TWOX)
    bonded_eras: Value[list[tuple[u32, u32]]] = storage(default=[])
    validator_slash_in_era: DoubleMap[u32, AccountId, tuple[Perbill, Balance]] = storage(hasher=TWOX)
    nominator_slash_in_era: DoubleMap[u32, AccountId, Balance] = storage(hasher=TWOX)
    current_planned_session: Value[u32] = storage(default=0)
    chill_threshold: Value[Percent] = storage()
    entries_touched: Value[u32] = storage(default=0)  # while the session was rotated

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Bond `stakers`: [[stash, planck], ...], validators all of them; write the settings beside them."""
        check_durations(self.slash_defer_duration, self.bonding_duration, self.history_depth)
        self.currency.mint(self.reward_account, self.pot_endowment)
        listed = config.get("stakers", [])
        stashes = accounts_of([stash for stash, *_ in listed], "staking.stakers")
        for stash, (_, amount) in zip(stashes, listed, strict=True):
            self._bonds.open(stash, int(amount), types.Staked())
            self._roles.validate(stash, ValidatorPrefs())
        self.validator_count.put(int(config.get("validator_count", len(listed))))
        self.minimum_validator_count.put(int(config.get("minimum_validator_count", 1)))
        self.min_nominator_bond.put(int(config.get("min_nominator_bond", 0)))
        self.min_validator_bond.put(int(config.get("min_validator_bond", 0)))
        self.slash_reward_fraction.put(int(config.get("slash_reward_fraction", 0)))
        self.max_validators_count.put(int(config.get("max_validators_count", MAX_VALIDATORS)))
        self.max_nominators_count.put(int(config.get("max_nominators_count", MAX_NOMINATORS)))

    def on_initialize(self, now: int) -> Weight:
        """Reward the author, and remove some of what has expired."""
        author = self.authorship.author_of_block()
        if author is not None:
            self.reward_by_points([(author, AUTHOR_POINTS)])
        touched = self._history.prune(self._planned() - self.history_depth) + self.entries_touched.get()
        self.entries_touched.kill()
        return db(reads=6 + touched, writes=2 + touched)

    def on_finalize(self, now: int) -> None:
        """Note when the era began, in its first block with a time."""
        active = self.active_era.find()
        if active is not None and active.start is None:
            self.active_era.put(replace(active, start=self.timestamp.now.get()))

    # Bonds.

    @call(0, weight=db(reads=5, writes=5))
    def bond(self, who: Signed, value: Compact[Balance], payee: types.RewardDestination) -> None:
        """Take the origin account as a stash and lock up value of its balance."""
        ensure(who not in self.bonded, Error.AlreadyBonded)
        ensure(not isinstance(payee, types.Controller), Error.ControllerDeprecated)
        value = min(value, self.currency.free(who))
        ensure(value >= self.currency.existential_deposit, Error.InsufficientBond)
        self._bonds.open(AccountId(who), value, payee)
        self.deposit(messages.Bonded(who, value))

    @call(1, weight=db(reads=4, writes=3))
    def bond_extra(self, who: Signed, max_additional: Compact[Balance]) -> None:
        """Add some extra amount that has appeared in the stash to the bond."""
        ledger = self.ledger.get(who) or refuse(Error.NotStash)
        extra = min(max_additional, self.currency.free(who) - ledger.total)
        changed = added(ledger, extra)
        ensure(extra > 0 and changed.active >= self.currency.existential_deposit, Error.InsufficientBond)
        self._bonds.write(changed)
        self.deposit(messages.Bonded(who, extra))

    @call(2, weight=db(reads=8, writes=5))
    def unbond(self, who: Signed, value: Compact[Balance]) -> None:
        """Unlock a portion of the stash after the bonding period, all of it rather than leave dust bonded."""
        ledger = self._ledger_of(who)
        era = self._planned() + self.bonding_duration
        if not has_room(ledger, era):
            ledger = self._withdraw(ledger)
            ensure(has_room(ledger, era), Error.NoMoreChunks)
        if value == 0 or ledger.active == 0:
            return
        changed = unbonded(ledger, value, era, self.currency.existential_deposit)
        ensure(changed.active >= self._least_bond(who), Error.InsufficientBond)
        self._bonds.write(changed)
        self.deposit(messages.Unbonded(who, ledger.active - changed.active))

    @call(3, weight=db(reads=6, writes=8))
    def withdraw_unbonded(self, who: Signed, num_slashing_spans: u32) -> None:
        """Remove unlocked chunks from the unlocking queue; without any stake left, forget the stash."""
        ledger = self._withdraw(self._ledger_of(who))
        if not ledger.unlocking and ledger.active < self.currency.existential_deposit:
            self._leave(AccountId(who))

    @call(19, weight=db(reads=4, writes=3))
    def rebond(self, who: Signed, value: Compact[Balance]) -> None:
        """Rebond a portion of the stash scheduled to be unlocked."""
        ledger = self._ledger_of(who)
        ensure(bool(ledger.unlocking), Error.NoUnlockChunk)
        changed = rebonded(ledger, value)
        ensure(changed.active >= self.currency.existential_deposit, Error.InsufficientBond)
        self._bonds.write(changed)
        self.deposit(messages.Bonded(who, changed.active - ledger.active))

    @call(7, weight=db(reads=1, writes=1))
    def set_payee(self, who: Signed, payee: types.RewardDestination) -> None:
        """Set where the rewards of a stash are paid."""
        self._ledger_of(who)
        ensure(not isinstance(payee, types.Controller), Error.ControllerDeprecated)
        self.payee[AccountId(who)] = payee

    # Roles.

    @call(4, weight=db(reads=9, writes=5))
    def validate(self, who: Signed, prefs: ValidatorPrefs) -> None:
        """Declare the desire to validate: it stands for election from the next one on."""
        stash = AccountId(who)
        ensure(self._ledger_of(who).active >= self.min_validator_bond.get(), Error.InsufficientBond)
        prefs = replace(prefs, commission=min(prefs.commission, BILLION))
        least, rise = self.min_commission.get(), self.max_commission_rise
        self._roles.ask(stash, prefs.commission, least, rise, self._planned())
        if stash not in self.validators:
            most = self.max_validators_count.find()
            ensure(most is None or self.counter_for_validators.get() < most, Error.TooManyValidators)
        self._roles.validate(stash, prefs)
        self.deposit(messages.ValidatorPrefsSet(who, prefs))

    @call(5, weight=db(reads=7 + MAX_NOMINATIONS, writes=4))
    def nominate(self, who: Signed, targets: Annotated[list[Lookup], Bounded(MAX_LISTED)]) -> None:
        """Declare the desire to nominate targets: the stake backs them from the next election on."""
        stash = AccountId(who)
        ensure(self._ledger_of(who).active >= self.min_nominator_bond.get(), Error.InsufficientBond)
        before = self.nominators.get(stash)
        if before is None:
            most = self.max_nominators_count.find()
            ensure(most is None or self.counter_for_nominators.get() < most, Error.TooManyNominators)
        ensure(bool(targets), Error.EmptyTargets)
        ensure(len(targets) <= MAX_NOMINATIONS, Error.TooManyTargets)
        chosen = list(dict.fromkeys(targets))
        kept = before.targets if before else []
        for each in chosen:
            ensure(each in kept or self._roles.takes_nominations(each), Error.BadTarget)
        self._roles.nominate(stash, types.Nominations(chosen, self._planned(), False))

    @call(6, weight=db(reads=4, writes=3))
    def chill(self, who: Signed) -> None:
        """Declare no desire to either validate or nominate, from the next election on."""
        self._ledger_of(who)
        self._chill(AccountId(who))

    @call(21, weight=db(reads=MAX_LISTED, writes=MAX_LISTED))
    def kick(self, validator: Signed, who: Annotated[list[Lookup], Bounded(MAX_LISTED)]) -> None:
        """Remove the given nominations from the calling validator."""
        stash = AccountId(validator)
        self._ledger_of(stash)
        for nominator in who:
            nominations = self.nominators.get(nominator)
            if nominations is not None and stash in nominations.targets:
                kept = [target for target in nominations.targets if target != stash]
                self.nominators[nominator] = replace(nominations, targets=kept)
                self.deposit(messages.Kicked(nominator, stash))

    @call(23, weight=db(reads=8, writes=3))
    def chill_other(self, who: Signed, stash: AccountId) -> None:
        """Declare a stash to stop participating, where its bond is below the minimum and the chain is full.

        That is when a chill threshold and a most number of its role are set, and the threshold is passed.
        """
        ledger = self.ledger.get(stash) or refuse(Error.NotStash)
        if stash != who:
            most = self.max_validators_count.find(), self.max_nominators_count.find()
            crowded = self._roles.is_crowded(stash, most, self.chill_threshold.find())
            ensure(crowded and ledger.active < self._least_bond(stash), Error.CannotChillOther)
        self._chill(stash)

    # Settings.

    @call(9, weight=db(writes=1))
    def set_validator_count(self, origin: Root, new: Compact[u32]) -> None:
        """Sets the ideal number of validators."""
        ensure(new <= self.max_validator_set, Error.TooManyValidators)
        self.validator_count.put(new)

    @call(10, weight=db(reads=1, writes=1))
    def increase_validator_count(self, origin: Root, additional: Compact[u32]) -> None:
        """Increments the ideal number of validators."""
        self.set_validator_count(origin, self.validator_count.get() + additional)

    @call(12, weight=db(writes=1))
    def force_no_eras(self, origin: Root) -> None:
        """Force there to be no new eras indefinitely."""
        self._force(types.Forcing.ForceNone)

    @call(13, weight=db(reads=4, writes=8))
    def force_new_era(self, origin: Root) -> None:
        """Force there to be a new era as soon as an election has ended; then eras go by the clock again."""
        self.election.start()
        self._force(types.Forcing.ForceNew)

    @call(14, weight=db(writes=1))
    def set_invulnerables(
        self, origin: Root, invulnerables: Annotated[list[AccountId], Bounded(MAX_LISTED)]
    ) -> None:
        """Set the validators who cannot be slashed (if any)."""
        self.invulnerables.put(invulnerables)

    @call(16, weight=db(reads=4, writes=8))
    def force_new_era_always(self, origin: Root) -> None:
        """Force there to be a new era at the end of sessions indefinitely."""
        self.election.start()
        self._force(types.Forcing.ForceAlways)

    @call(17, weight=db(reads=1, writes=1))
    def cancel_deferred_slash(
        self, origin: Root, era: u32, slash_indices: Annotated[list[u32], Bounded(MAX_LISTED)]
    ) -> None:
        """Cancel deferred slashes of an era, by their places in staking.unapplied_slashes."""
        ensure(bool(slash_indices), Error.EmptyTargets)
        ensure(slash_indices == sorted(frozenset(slash_indices)), Error.NotSortedAndUnique)
        waiting = self.unapplied_slashes[era]
        ensure(slash_indices[-1] < len(waiting), Error.InvalidSlashIndex)
        kept = [slash for at, slash in enumerate(waiting) if at not in slash_indices]
        lost = sum(slash.payout for at, slash in enumerate(waiting) if at in slash_indices)
        self.canceled_slash_payout.put(self.canceled_slash_payout.get() + lost)
        if kept:
            self.unapplied_slashes[era] = kept
        else:
            del self.unapplied_slashes[era]

    @call(22, weight=db(writes=6))
    def set_staking_configs(
        self,
        origin: Root,
        min_nominator_bond: types.BalanceOp,
        min_validator_bond: types.BalanceOp,
        max_nominator_count: types.CountOp,
        max_validator_count: types.CountOp,
        chill_threshold: types.PercentOp,
        min_commission: types.PerbillOp,
    ) -> None:
        """Update the various staking configurations; those who have a role already keep it."""
        for item, change in (
            (self.min_nominator_bond, min_nominator_bond),
            (self.min_validator_bond, min_validator_bond),
            (self.max_nominators_count, max_nominator_count),
            (self.max_validators_count, max_validator_count),
            (self.chill_threshold, chill_threshold),
            (self.min_commission, min_commission),
        ):
            if isinstance(change, types.Remove):
                item.kill()
            elif not isinstance(change, types.Noop):
                item.put(change._0)

    @call(25, weight=db(writes=1))
    def set_min_commission(self, origin: Root, new: Perbill) -> None:
        """Sets the minimum amount of commission that each validator must maintain."""
        self.min_commission.put(min(new, BILLION))

    # Payouts.

    @call(18, weight=PAYOUT)
    def payout_stakers(self, who: Signed, validator_stash: AccountId, era: u32) -> None:
        """Pay out the next page of the stakers behind a validator for the given era; anybody may call this.

        The era may be any that has ended and is not older than the history depth.
        """
        claimed = self.claimed_rewards[era, validator_stash]
        unclaimed = [page for page in range(self._page_count(validator_stash, era)) if page not in claimed]
        ensure(bool(unclaimed), Error.AlreadyClaimed)
        self._payout(validator_stash, era, unclaimed[0])

    @call(26, weight=PAYOUT)
    def payout_stakers_by_page(self, who: Signed, validator_stash: AccountId, era: u32, page: u32) -> None:
        """Pay out a page of the stakers behind a validator for the given era; anybody may call this."""
        ensure(page < self._page_count(validator_stash, era), Error.InvalidPage)
        ensure(page not in self.claimed_rewards[era, validator_stash], Error.AlreadyClaimed)
        self._payout(validator_stash, era, page)

    def _page_count(self, stash: AccountId, era: int) -> int:
        """Return how many pages can be claimed: one at least, for the validator itself."""
        ensure(era + self.history_depth >= self._planned(), Error.InvalidEraToReward)
        ensure(era in self.eras_validator_reward, Error.InvalidEraToReward)
        overview = self.eras_stakers_overview.get(era, stash) or refuse(Error.InvalidEraToReward)
        return max(overview.page_count, 1)

    def _payout(self, stash: AccountId, era: int, number: int) -> None:
        history, bonds, paid = self._history, self._bonds, 0
        shares = history.claim(era, stash, number)
        if shares:
            self.deposit(messages.PayoutStarted(era, stash))
        for who, amount in shares:
            dest = bonds.reward(self.reward_account, who, amount)
            if dest is not None:
                paid += amount
                self.deposit(messages.Rewarded(who, dest, amount))
        history.note_paid(era, paid)

    # Session's manager: eras.

    def new_session(self, index: int) -> list[tuple[AccountId, Balance]] | None:
        """Plan a session; where an era begins with it, return its validators with what is at stake.

        The election for the session after it starts here, so that it has a session's time.
        """
        self.current_planned_session.put(index)
        validators = self._plan_era(index) if self._begins_era(index) else None
        if self._begins_era(index + 1) and not self.election.is_ongoing():
            self.election.start()
        return validators

    def start_session(self, index: int) -> None:
        """Begin the era that was planned for this session, if there is one."""
        active = self.active_era.find()
        era = 0 if active is None else active.index + 1
        start = self.eras_start_session_index.get(era)
        if start is not None and start <= index:
            self._start_era(era, start)

    def end_session(self, index: int) -> None:
        """End the era with its last session."""
        active = self.active_era.find()
        if active is not None and self.eras_start_session_index.get(active.index + 1) == index + 1:
            self._end_era(active.index)

    def _begins_era(self, session: int) -> bool:
        current = self.current_era.find()
        since = None if current is None else self.eras_start_session_index[current]
        return begins_era(session, since, self.sessions_per_era, self.force_era.get())

    def _plan_era(self, session: int) -> list[tuple[AccountId, Balance]] | None:
        """Take the election's winners, without whom was chilled since; None if there are too few."""
        current = self.current_era.find()
        supports = self.election.elect_now() if current is None else self.election.elect()
        chosen = [each for each in supports or () if each.stash in self.validators and each.total]
        if current is not None and len(chosen) < max(self.minimum_validator_count.get(), 1):
            self.deposit(messages.StakingElectionFailed())
            return None
        era = 0 if current is None else current + 1
        self.current_era.put(era)
        self._touch(self._history.open(era, session, chosen, self.validators, self.max_exposure_page_size))
        self.minimum_active_stake.put(least_nominator(chosen))
        if self.force_era.get() is types.Forcing.ForceNew:
            self._force(types.Forcing.NotForcing)
        self.deposit(messages.StakersElected())
        return [(support.stash, support.total) for support in chosen]

    def _start_era(self, era: int, start: int) -> None:
        self.active_era.put(types.ActiveEraInfo(era, None))
        bonded = [each for each in self.bonded_eras.get() if each[0] + self.bonding_duration >= era]
        self.bonded_eras.put([*bonded, (era, start)])
        for slash in self.unapplied_slashes.take(era) or []:
            self._apply(slash, era)

    def _end_era(self, era: int) -> None:
        """Fix the payout: what the pot gives, and what nobody has a claim to any more.

        Where nobody has earned points, everything waits for the next era.
        """
        points, payout = self.eras_reward_points[era].total, 0
        if points:
            self.pot.draw_consensus(self.reward_account)
            payout = self.currency.free(self.reward_account) - self.pot_endowment - self._history.owed()
        if points or self.eras_unclaimed_reward[era]:
            self._history.close(era, payout)
        self.deposit(messages.EraPaid(era, payout, 0))

    # Offences and slashes.

    def on_offence(
        self, stash: AccountId, fraction_ppb: int, session: int, reporters: list[AccountId]
    ) -> None:
        """Chill and disable a validator for an offence in a session; slash it and its nominators later."""
        era = era_of_session(self.bonded_eras.get(), session)
        if era is None:
            self.deposit(messages.OldSlashingReportDiscarded(session))
            return
        overview = self.eras_stakers_overview.get(era, stash)
        if overview is None or stash in self.invulnerables.get():
            return
        self.deposit(messages.SlashReported(stash, fraction_ppb, era))
        self._chill(stash)
        self.session.disable(stash)
        slash = self._history.punish(era, stash, fraction_ppb)
        if slash is not None:
            self._defer(era, slash, reporters)

    def _defer(self, era: int, slash: types.UnappliedSlash, reporters: list[AccountId]) -> None:
        """Keep a slash until its time; apply it now where none is deferred."""
        total = slash.own + sum(value for _, value in slash.others)
        payout = part(self.slash_reward_fraction.get(), total) if reporters else 0
        slash = replace(slash, reporters=reporters, payout=payout)
        if self.slash_defer_duration:
            when = application_era(era, self._active(), self.slash_defer_duration)
            self.unapplied_slashes[when] = [*self.unapplied_slashes[when], slash]
        else:
            self._apply(slash, era)

    def _apply(self, slash: types.UnappliedSlash, era: int) -> None:
        """Take the money: the reporters' part is paid, the rest destroyed."""
        self._touch(SLASHED_ENTRIES * (1 + len(slash.others)))
        for who, lost in self._bonds.punish(slash, era - self.slash_defer_duration + self.bonding_duration):
            self.deposit(messages.Slashed(who, lost))
            if not self.ledger[who].total:
                self._leave(who)

    # What others ask.

    def stake_of(self, stash: AccountId) -> Balance:
        """Return what stands behind a validator in the active era, nominations included."""
        overview = self.eras_stakers_overview.get(self._active(), stash)
        return overview.total if overview else 0

    def reward_by_points(self, points: Sequence[tuple[AccountId, int]], lost: int = 0) -> None:
        """Add reward points of the active era; those `lost` are nobody's, and nobody's share is larger."""
        self._history.add_points(self._active(), points, lost)

    def share_dividend(self, stash: AccountId, dividend: Balance, source: AccountId) -> Balance:
        """Take its nominators' part of a judge's dividend into custody for their payout; return how much."""
        shared = self._history.share(self._active(), stash, dividend)
        if shared:
            self.currency.move(source, self.reward_account, shared, keep_alive=True)
        return shared

    def desired_targets(self) -> int:
        """Return how many validators are to be elected."""
        return min(self.validator_count.get(), self.max_validator_set)

    def electable_targets(self, after: AccountId | None, limit: int) -> list[AccountId]:
        """Return so many validators that come after one, in the order of their keys."""
        return [stash for _, stash, _ in self.validators.after(after, limit)]

    def voters_page(
        self, after: AccountId | None, limit: int
    ) -> list[tuple[AccountId, Balance, list[AccountId]]]:
        """Return so many voters that come after one, in the order of their keys: who, planck, for whom."""
        votes = self._roles.votes(after, limit)
        return [(stash, self.ledger[stash].active, targets) for stash, targets in votes]

    # The pieces.

    @property
    def _bonds(self) -> Bonds:
        return Bonds(self.bonded, self.ledger, self.payee, self.currency)

    @property
    def _roles(self) -> Roles:
        counters = self.counter_for_validators, self.counter_for_nominators
        return Roles(self.validators, self.nominators, self.commissions, *counters)

    @property
    def _history(self) -> History:
        return History(
            self.oldest_era, self.eras_start_session_index, self.eras_stakers_overview,
            self.eras_stakers_paged, self.eras_validator_prefs, self.claimed_rewards,
            self.eras_validator_reward, self.eras_unclaimed_reward, self.eras_nominator_dividend,
            self.eras_reward_points, self.eras_total_stake,
            self.validator_slash_in_era, self.nominator_slash_in_era,
        )  # fmt: skip

    def _touch(self, entries: int) -> None:
        self.entries_touched.put(self.entries_touched.get() + entries)

    def _active(self) -> int:
        return active.index if (active := self.active_era.find()) else 0

    def _planned(self) -> int:
        return self.current_era.find() or 0

    def _ledger_of(self, who: AccountId) -> types.StakingLedger:
        return self.ledger.get(who) or refuse(Error.NotController)

    def _least_bond(self, stash: AccountId) -> Balance:
        """Return the least active stake that the role of a stash asks for."""
        if stash in self.nominators:
            return self.min_nominator_bond.get()
        return self.min_validator_bond.get() if stash in self.validators else 0

    def _withdraw(self, ledger: types.StakingLedger) -> types.StakingLedger:
        changed = withdrawn(ledger, self._active())
        if changed.total < ledger.total:
            self._bonds.write(changed)
            self.deposit(messages.Withdrawn(ledger.stash, ledger.total - changed.total))
        return changed

    def _chill(self, stash: AccountId) -> None:
        if self._roles.chill(stash):
            self.deposit(messages.Chilled(stash))

    def _leave(self, stash: AccountId) -> None:
        """Forget a stash that has nothing at stake."""
        self._chill(stash)
        self._bonds.forget(stash)
        del self.commissions[stash]

    def _force(self, mode: types.Forcing) -> None:
        self.force_era.put(mode)
        self.deposit(messages.ForceEra(mode))

    def try_state(self) -> None:
        """Bonds, roles and eras hold what they promise; the reward account holds what is owed."""
        self._bonds.check()
        self._roles.check()
        self._history.check()
        acting = {*self.validators.keys(), *self.nominators.keys(), *self.commissions.keys()}
        assert acting <= {*self.ledger.keys()}
        held, owed = self.currency.free(self.reward_account), self._history.owed()
        assert held >= self.pot_endowment + owed, f"{held} in the reward account, {owed} unclaimed"
