"""Training: the rounds in which a subnet's model moves from root to root.

    Idle -> Train -> Reveal -> ScoreCommit -> ScoreReveal -> Attest -> Closed, or Void from any of them

A phase ends at its deadline, or as soon as everybody expected has acted; the next round opens in the block
that ends the one before, but after a void one no earlier than if nobody had committed in that: meanwhile the
subnet is Idle. Reads top to bottom: on_initialize -> _advance -> one method per phase -> _end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.frame.declare import Pays, Signed, call, constant, coupled, db
from runtime.frame.errors import ensure, refuse
from runtime.frame.pallet import Pallet
from runtime.frame.storage import DoubleMap, Map, NMap, storage
from runtime.frame.traits import BlockNumberProvider
from runtime.pallets.subnets.numbers import Hyperparameters, Parameter
from runtime.pallets.training.couplings import (
    BeaconOf,
    NeuronOf,
    NeuronsOf,
    PermitsOf,
    ScoresOf,
    SubnetsOf,
    UpdatesOf,
)
from runtime.pallets.training.decisions import Ballot, majority, steps_of, weight_of
from runtime.pallets.training.parameters import ParameterSet, parameter_set
from runtime.pallets.training.types import (
    ENDED,
    Accepted,
    CheckpointAttested,
    Dataset,
    DatasetSet,
    Error,
    LineageEntry,
    ModelFounded,
    Phase,
    PhaseChanged,
    RootAttested,
    Round,
    RoundClosed,
    RoundOpened,
    RoundVoided,
    Url,
    VoidReason,
)
from runtime.primitives.addresses import is_url
from runtime.primitives.authority_weights import tolerated
from runtime.primitives.commitments import Score
from runtime.primitives.hashing import twox_64_concat
from runtime.primitives.scale import codec
from runtime.primitives.shapes import u16, u32
from runtime.primitives.types import AccountId, BlockNumber, Hash, Weight

BY_NUMBER = (twox_64_concat, twox_64_concat, twox_64_concat)
"""Netuids, rounds and uids are the chain's own numbers."""
ROUND_DOMAIN = codec(tuple[u16, u32])
"""What follows b"b0" or b"b1" in the domain of a round's beacons."""
ROLL_CALL = 10
"""Every so many rounds everybody is expected: phases that end early shut nobody out for longer."""


class Training(
    Pallet[
        RoundOpened
        | PhaseChanged
        | RoundClosed
        | RoundVoided
        | DatasetSet
        | RootAttested
        | CheckpointAttested
        | ModelFounded,
        Error,
    ]
):
    """The rounds of training subnets, and the append-only lineage of their models."""

    system: BlockNumberProvider = coupled()
    subnets: SubnetsOf = coupled()
    neurons: NeuronsOf = coupled()
    incentive: PermitsOf = coupled()
    babe: BeaconOf = coupled()
    model_updates: UpdatesOf = coupled()
    verification: ScoresOf = coupled()

    warm_up: BlockNumber = constant(3)

    rounds: DoubleMap[u16, u32, Round] = storage(hasher=twox_64_concat)
    current_round: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    phase: Map[u16, Phase] = storage(default=Phase.Idle, hasher=twox_64_concat)
    model_root: Map[u16, Hash] = storage(hasher=twox_64_concat)
    lineage: DoubleMap[u16, u32, LineageEntry] = storage(hasher=twox_64_concat)
    closed_rounds: Map[u16, u32] = storage(default=0, hasher=twox_64_concat)
    checkpoints: DoubleMap[u16, u32, Hash] = storage(hasher=twox_64_concat)
    datasets: Map[u16, Dataset] = storage(hasher=twox_64_concat)
    attestations: NMap[tuple[u16, u32, u16], Hash] = storage(hashers=BY_NUMBER)
    witnesses: Map[u16, list[u32]] = storage(default=[], hasher=twox_64_concat)
    ready_since: Map[u16, BlockNumber] = storage(hasher=twox_64_concat)
    parameter_sets: DoubleMap[u16, u32, ParameterSet] = storage(hasher=twox_64_concat)

    def genesis(self, config: Mapping[str, Any]) -> None:
        """Write the first model of each subnet: {netuid: {"model_root": "0x.."}}."""
        for netuid, section in sorted((int(netuid), section) for netuid, section in config.items()):
            self.model_root[netuid] = Hash(bytes.fromhex(section["model_root"].removeprefix("0x")))

    @call(0, weight=db(reads=2, writes=1))
    def set_dataset(self, who: Signed, netuid: u16, root: Hash, url: Url) -> None:
        """Name the data set that rounds train on from the next one on, as the subnet's owner."""
        self._ensure_owner(who, netuid)
        ensure(is_url(url), Error.InvalidUrl)
        self.datasets[netuid] = Dataset(root, url, self.system.number.get())
        self.deposit(DatasetSet(netuid, root, url))

    @call(1, weight=db(reads=10, writes=1), pays=Pays.No)
    def attest_root(self, who: Signed, netuid: u16, round: u32, root: Hash) -> None:
        """Say which model the accepted payloads lead to, as a judge; free, once per round."""
        judge = self.check_attest_root(who, netuid, round, root)
        self.attestations[netuid, round, judge] = root
        self.deposit(RootAttested(netuid, round, judge, root))

    def check_attest_root(self, who: AccountId, netuid: int, round: int, root: Hash) -> int:
        """Refuse what `attest_root` would refuse, and return the judge's uid.

        Raises: DispatchError.
        """
        judge = self._admit(who, netuid, round, Phase.Attest)
        ensure(self.incentive.is_permitted(netuid, judge), Error.NoPermit)
        ensure((netuid, round, judge) not in self.attestations, Error.AlreadyAttested)
        return judge

    @call(2, weight=db(reads=3, writes=1))
    def found_model(self, who: Signed, netuid: u16, root: Hash) -> None:
        """Name the model that the first round begins with, as the subnet's owner, until that round opens."""
        self._ensure_owner(who, netuid)
        ensure(not self.current_round[netuid], Error.RoundsBegan)
        self.model_root[netuid] = root
        self.deposit(ModelFounded(netuid, root))

    def _ensure_owner(self, who: AccountId, netuid: int) -> None:
        ensure(self.subnets.is_training(netuid), Error.NotTraining)
        ensure(self.subnets.network(netuid).owner == who, Error.NotOwner)

    # Who may act now. All raise DispatchError.

    def admit_to_train(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the caller's uid while TRAIN of this round is open."""
        return self._admit(who, netuid, round, Phase.Train)

    def admit_to_reveal(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the caller's uid while REVEAL of this round is open."""
        return self._admit(who, netuid, round, Phase.Reveal)

    def admit_to_score_commit(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the judge's uid while SCORE_COMMIT of this round is open and its beacon drawn."""
        judge = self._admit(who, netuid, round, Phase.ScoreCommit)
        ensure(self.incentive.is_permitted(netuid, judge), Error.NoPermit)
        ensure(self.rounds[netuid, round].beacon1 is not None, Error.BeaconPending)
        return judge

    def admit_to_score_reveal(self, who: AccountId, netuid: int, round: int) -> int:
        """Return the judge's uid while SCORE_REVEAL of this round is open."""
        return self._admit(who, netuid, round, Phase.ScoreReveal)

    def _admit(self, who: AccountId, netuid: int, round: int, phase: Phase) -> int:
        ensure(self.subnets.is_training(netuid), Error.NotTraining)
        uid = self.neurons.uid_of(netuid, who)
        if uid is None:
            refuse(Error.NotRegistered)
        ensure(round == self.current_round[netuid], Error.WrongRound)
        ensure(phase is self.phase[netuid] and self.blocks_left(netuid) > 0, Error.WrongPhase)
        return uid

    def blocks_left(self, netuid: int) -> int:
        """Return how many blocks, this one included, the open phase can still take; 0 when Idle."""
        current = self.rounds.get(netuid, self.current_round[netuid])
        if current is None or current.phase in ENDED:
            return 0
        return max(0, current.deadline - self.system.number.get())

    def base_root(self, netuid: int, round: int) -> Hash:
        """Return the model_root a round starts from."""
        return self.rounds[netuid, round].base_root

    def round_number(self, netuid: int) -> int:
        """Return the round that is open, or was last."""
        return self.current_round[netuid]

    def opened_at(self, netuid: int, round: int) -> BlockNumber:
        """Return the block in which a round opened."""
        return self.rounds[netuid, round].opened_at

    def max_payload_bytes(self, netuid: int) -> int:
        """Return how long a payload of the round that is open, or was last, may be."""
        return self.number(netuid, self.current_round[netuid], Parameter.max_payload_bytes)

    def number(self, netuid: int, round: int, wanted: Parameter) -> int:
        """Return a number as it was when a round opened."""
        return next(each.value for each in self.numbers_of(netuid, round) if each.parameter is wanted)

    def numbers_of(self, netuid: int, round: int) -> ParameterSet:
        """Return what a round is made of."""
        return self.parameter_sets[netuid, self.rounds[netuid, round].parameters]

    # The phase machine.

    def on_initialize(self, now: int) -> Weight:
        """Move every training subnet on."""
        weight = Weight()
        for netuid in self.subnets.training_netuids():
            weight += self._advance(netuid, now)
        return weight

    def _advance(self, netuid: int, now: int) -> Weight:
        if self.phase[netuid] is Phase.Idle:
            return self._warm_up(netuid, now)
        number = self.current_round[netuid]
        current = self.rounds[netuid, number]
        if self.subnets.is_paused(netuid):
            self._void(netuid, number, current, VoidReason.Paused, now)
        else:
            step: dict[Phase, Callable[[int, int, Round, int], None]] = {
                Phase.Train: self._train,
                Phase.Reveal: self._reveal,
                Phase.ScoreCommit: self._score_commit,
                Phase.ScoreReveal: self._score_reveal,
                Phase.Attest: self._attest,
            }
            step[current.phase](netuid, number, current, now)
        members = len(current.expected_miners) + len(current.expected_judges)
        return db(reads=14 + 4 * members, writes=5)

    def _warm_up(self, netuid: int, now: int) -> Weight:
        """Open a round when a void one has let it, or once everything has been there for a while again."""
        resumes = self._resumes_at(netuid)
        if now < resumes:
            return db(reads=4)
        if not self._ready(netuid):
            if netuid in self.ready_since:
                del self.ready_since[netuid]
            if not self.subnets.is_paused(netuid):
                self.verification.let_go(netuid)
            return db(reads=10)
        if netuid not in self.ready_since:
            self.ready_since[netuid] = now
        if now == resumes or now - self.ready_since[netuid] >= self.warm_up:
            del self.ready_since[netuid]
            self._open(netuid, now)
        return db(reads=16, writes=5)

    def _resumes_at(self, netuid: int) -> int:
        """Return the first block in which the next round may open: a void one's deadline."""
        last = self.rounds.get(netuid, self.current_round[netuid])
        return last.deadline if last is not None and last.phase is Phase.Void else 0

    def _ready(self, netuid: int) -> bool:
        return (
            not self.subnets.is_paused(netuid)
            and netuid in self.datasets
            and netuid in self.model_root
            and bool(self._miners(netuid))
            and bool(self._judges(netuid))
        )

    def _miners(self, netuid: int) -> list[tuple[int, NeuronOf]]:
        permitted = self.incentive.permitted(netuid)
        return [(uid, neuron) for uid, neuron in self.neurons.listed(netuid) if uid not in permitted]

    def _judges(self, netuid: int) -> list[int]:
        stakes = self.neurons.stakes(netuid)
        return [uid for uid in self.incentive.permitted(netuid) if stakes.get(uid, 0) > 0]

    def _open(self, netuid: int, now: int) -> None:
        last = self.current_round[netuid]
        number = last + 1
        base_root, chosen = self.model_root[netuid], self.subnets.parameters(netuid)
        current = Round(
            phase=Phase.Train,
            base_root=base_root,
            data_root=self.datasets[netuid].root,
            beacon0=self._beacon(b"b0", netuid, number),
            beacon1=None,
            opened_at=now,
            phase_since=now,
            deadline=now + chosen.train_window,
            expected_miners=self._expected_miners(netuid, number),
            expected_judges=self._expected_judges(netuid, number),
            accepted=[],
            new_root=None,
            inner_steps=steps_of(
                chosen.inner_steps_start,
                chosen.inner_steps,
                chosen.warmup_rounds,
                self.closed_rounds[netuid],
            ),
            parameters=self._version(netuid, last, chosen),
        )
        self.rounds[netuid, number] = current
        self.current_round[netuid] = number
        self.phase[netuid] = Phase.Train
        self.deposit(RoundOpened(netuid, number, base_root, current.beacon0))

    def _version(self, netuid: int, last: int, chosen: Hyperparameters) -> int:
        """Return the version of the numbers in force, and write it when the last round had others."""
        previous, numbers = self.rounds.get(netuid, last), parameter_set(chosen)
        newest = 0 if previous is None else previous.parameters
        if self.parameter_sets.get(netuid, newest) == numbers:
            return newest
        self.parameter_sets[netuid, newest + 1] = numbers
        return newest + 1

    def _expected_miners(self, netuid: int, number: int) -> list[int]:
        """Return who revealed in the round before or is new since; everybody if none, or at a roll call."""
        listed = self._miners(netuid)
        previous = self.rounds.get(netuid, number - 1)
        active = []
        if previous is not None and number % ROLL_CALL:
            revealed = [update.miner for update in self.model_updates.revealed(netuid, number - 1)]
            active = [
                uid
                for uid, neuron in listed
                if neuron.hotkey in revealed or neuron.registered_at >= previous.opened_at
            ]
        return active or [uid for uid, _ in listed]

    def _expected_judges(self, netuid: int, number: int) -> list[int]:
        """Return who revealed scores in the round before; every judge if these are few, or at a roll call."""
        judges = self._judges(netuid)
        if number % ROLL_CALL == 0:
            return judges
        stakes = self.neurons.stakes(netuid)
        revealed = [judge for judge, _ in self.verification.revealed(netuid, number - 1)]
        active = [uid for uid in judges if uid in revealed]
        held, total = (sum(stakes[uid] for uid in some) for some in (active, judges))
        return active if 2 * held >= total else judges

    def _beacon(self, domain: bytes, netuid: int, number: int) -> Hash:
        return self.babe.beacon(domain + ROUND_DOMAIN.encode((netuid, number)))

    def _train(self, netuid: int, number: int, current: Round, now: int) -> None:
        committed = self.model_updates.committed(netuid, number)
        missing = [uid for uid in current.expected_miners if self._hotkey_missing(netuid, uid, committed)]
        if now < current.deadline and (missing or not committed):
            return
        if committed:
            self._enter(netuid, number, replace(current, phase=Phase.Reveal), now)
        else:
            self._void(netuid, number, current, VoidReason.NoCommits, now)

    def _hotkey_missing(self, netuid: int, uid: int, present: Sequence[AccountId]) -> bool:
        """Say whether somebody holds the uid and is not among those present; who left is not waited for."""
        neuron = self.neurons.neuron(netuid, uid)
        return neuron is not None and neuron.hotkey not in present

    def _reveal(self, netuid: int, number: int, current: Round, now: int) -> None:
        revealed = [update.miner for update in self.model_updates.revealed(netuid, number)]
        committed = self.model_updates.committed(netuid, number)
        if now < current.deadline and len(revealed) < len(committed):
            return
        if revealed:
            scoring = replace(current, phase=Phase.ScoreCommit, beacon1=self._witness(netuid, number))
            self._enter(netuid, number, scoring, now)
        else:
            self._void(netuid, number, current, VoidReason.NoReveals, now)

    def _witness(self, netuid: int, number: int) -> Hash | None:
        """Count this block's author; return the beacon once those counted weigh more than the faulty may."""
        seen = self.witnesses[netuid]
        author = self.babe.author_index()
        if author is not None and author not in seen:
            seen = [*seen, author]
        self.witnesses[netuid] = seen
        weights = self.babe.authority_weights()
        counted = sum(weights[index] for index in seen if index < len(weights))
        return self._beacon(b"b1", netuid, number) if counted > tolerated(weights) else None

    def _score_commit(self, netuid: int, number: int, current: Round, now: int) -> None:
        committed = self.verification.committed(netuid, number)
        missing = [
            uid
            for uid in current.expected_judges
            if uid not in committed and self.incentive.is_permitted(netuid, uid)
        ]
        if now < current.deadline and (missing or not committed):
            if current.beacon1 is None:
                self._draw(netuid, number, current, now)
        elif committed:
            self._enter(netuid, number, replace(current, phase=Phase.ScoreReveal), now)
        else:
            reason = VoidReason.NoBeacon if current.beacon1 is None else VoidReason.NoScores
            self._void(netuid, number, current, reason, now)

    def _draw(self, netuid: int, number: int, current: Round, now: int) -> None:
        beacon1 = self._witness(netuid, number)
        if beacon1 is not None:
            self.rounds[netuid, number] = replace(current, beacon1=beacon1)
            self.deposit(PhaseChanged(netuid, number, current.phase, current.deadline, beacon1, []))

    def _score_reveal(self, netuid: int, number: int, current: Round, now: int) -> None:
        revealed = self.verification.revealed(netuid, number)
        if now < current.deadline and len(revealed) < len(self.verification.committed(netuid, number)):
            return
        accepted = self._accept(netuid, number, revealed)
        self.verification.end_scoring(netuid, number)
        if accepted:
            self._enter(netuid, number, replace(current, phase=Phase.Attest, accepted=accepted), now)
        else:
            reason = VoidReason.NothingAccepted if revealed else VoidReason.NoScores
            self._void(netuid, number, current, reason, now)

    def _accept(self, netuid: int, number: int, revealed: list[tuple[int, list[Score]]]) -> list[Accepted]:
        """Return the payloads that enter and their weights, in the order of their commits."""
        stakes = self.neurons.stakes(netuid)
        ballots = [
            Ballot(stakes.get(judge, 0), {each.uid: each.score for each in scores})
            for judge, scores in revealed
        ]
        accepted = []
        for update in self.model_updates.originals(netuid, number):
            uid = self.model_updates.seat_of(netuid, number, update.miner)
            weight = None if uid is None else weight_of(uid, ballots)
            if uid is not None and weight is not None:
                accepted.append(Accepted(uid, update.miner, update.digest, weight))
        return accepted

    def _attest(self, netuid: int, number: int, current: Round, now: int) -> None:
        """End the round when a root has won whatever the silent judges say, or when nobody is waited for."""
        attested = self._attested(netuid, number)
        speakers = [judge for judge, _, _ in attested]
        silent = [
            judge
            for judge, _ in self.verification.revealed(netuid, number)
            if judge not in speakers and self.incentive.is_permitted(netuid, judge)
        ]
        electorate = sum(stake for _, _, stake in attested)
        over = now >= current.deadline or not silent
        if not over:
            stakes = self.neurons.stakes(netuid)
            electorate += sum(stakes.get(judge, 0) for judge in silent)
        root = majority([(root, stake) for _, root, stake in attested], electorate)
        if root is not None:
            self._close(netuid, number, current, root, now)
        elif over:
            self._void(netuid, number, current, VoidReason.NoMajority, now)

    def _attested(self, netuid: int, number: int) -> list[tuple[int, Hash, int]]:
        """Return (judge, root, stake) by ascending judge; who lost its permit has no say."""
        stakes = self.neurons.stakes(netuid)
        return sorted(
            (judge, root, stakes.get(judge, 0))
            for (judge,), root in self.attestations.under(netuid, number)
            if self.incentive.is_permitted(netuid, judge)
        )

    def _enter(self, netuid: int, number: int, entering: Round, now: int) -> None:
        """Write a round that has just changed its phase."""
        chosen = self.subnets.parameters(netuid)
        window = {
            Phase.Reveal: chosen.reveal_window,
            Phase.ScoreCommit: chosen.score_commit_window,
            Phase.ScoreReveal: chosen.score_reveal_window,
            Phase.Attest: chosen.attest_window,
        }[entering.phase]
        entered = replace(entering, phase_since=now, deadline=now + window)
        self.rounds[netuid, number] = entered
        self.phase[netuid] = entered.phase
        self.deposit(
            PhaseChanged(netuid, number, entered.phase, entered.deadline, entered.beacon1, entered.accepted)
        )

    def _close(self, netuid: int, number: int, current: Round, root: Hash, now: int) -> None:
        assert (netuid, number) not in self.lineage, "the lineage is append-only"
        self.lineage[netuid, number] = LineageEntry(
            current.base_root, root, current.accepted, current.parameters
        )
        closed = self.closed_rounds[netuid] + 1
        self.closed_rounds[netuid] = closed
        self.model_root[netuid] = root
        self.verification.book(netuid, number, now)
        self.deposit(RoundClosed(netuid, number, root, len(current.accepted)))
        if closed % self.subnets.parameters(netuid).checkpoint_rounds == 0:
            self.checkpoints[netuid, number] = root
            self.deposit(CheckpointAttested(netuid, number, root))
        self._end(netuid, number, replace(current, phase=Phase.Closed, new_root=root), now)

    def _void(self, netuid: int, number: int, current: Round, reason: VoidReason, now: int) -> None:
        """Leave the model as it is until TRAIN would have ended: what counts rounds must not run faster."""
        self.deposit(RoundVoided(netuid, number, reason))
        trained = current.opened_at + self.subnets.parameters(netuid).train_window
        resumes = now if reason is VoidReason.Paused else max(now, trained)
        self._end(netuid, number, replace(current, phase=Phase.Void, deadline=resumes), now)

    def _end(self, netuid: int, number: int, ended: Round, now: int) -> None:
        """Write a round that is over, and open the next one in the same block if it can be."""
        self.rounds[netuid, number] = replace(ended, phase_since=now)
        self.incentive.end_round(netuid)
        self.verification.end_round(netuid, number)
        del self.witnesses[netuid]
        if now >= self._resumes_at(netuid) and self._ready(netuid):
            self._open(netuid, now)
        else:
            self.phase[netuid] = Phase.Idle

    def try_state(self) -> None:
        """One open round per subnet at most; deadlines lie ahead; models follow from the lineage."""
        now = self.system.number.get()
        for (netuid, number), current in self.rounds.items():
            last = self.current_round[netuid]
            assert number <= last
            assert number == last or current.phase in ENDED
            if number < last and current.phase is Phase.Void:
                assert current.phase_since <= current.deadline <= self.rounds[netuid, number + 1].opened_at
            assert ((netuid, number) in self.lineage) == (current.phase is Phase.Closed)
            revealed = self.model_updates.revealed(netuid, number)
            entered = [(accepted.hotkey, accepted.digest) for accepted in current.accepted]
            assert all(each in [(update.miner, update.digest) for update in revealed] for each in entered)
            if number == last and current.phase not in ENDED:
                assert self.phase[netuid] is current.phase
                assert now < current.deadline
            elif number == last:
                assert self.phase[netuid] is Phase.Idle
        self._try_lineage()
        self._try_parameters()

    def _try_lineage(self) -> None:
        heads: dict[int, Hash] = {}
        for (netuid, _), entry in sorted(self.lineage.items(), key=lambda stored: stored[0]):
            assert heads.get(netuid, entry.base_root) == entry.base_root
            heads[netuid] = entry.new_root
        closed: dict[int, int] = {}
        for (netuid, _), _ in self.lineage.items():
            closed[netuid] = closed.get(netuid, 0) + 1
        assert dict(self.closed_rounds.items()) == closed
        for netuid, root in heads.items():
            assert self.model_root[netuid] == root
        for (netuid, number), root in self.checkpoints.items():
            assert self.lineage[netuid, number].new_root == root

    def _try_parameters(self) -> None:
        """Rounds name the versions 1, 2, …, each until the next; two in a row differ."""
        newest: dict[int, int] = {}
        for (netuid, number), current in sorted(self.rounds.items(), key=lambda stored: stored[0]):
            before = newest.get(netuid, 0)
            assert before <= current.parameters <= before + 1
            assert current.parameters
            entry = self.lineage.get(netuid, number)
            assert entry is None or entry.parameters == current.parameters
            newest[netuid] = current.parameters
        assert len(list(self.parameter_sets.items())) == sum(newest.values())
        for (netuid, version), numbers in self.parameter_sets.items():
            assert 0 < version <= newest[netuid]
            assert self.parameter_sets.get(netuid, version - 1) != numbers
