"""A market in which anybody does anything, and what must hold after every block.

    game = Game(judges=3)
    game.play(moves)            # each move is four numbers; what they mean depends on what there is

Three subnets stand at genesis: one is trained, one takes rows in the open, one takes sealed rows. One miner
works in each; more come and go. Meanwhile eras pass, people nominate, and validators offend.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from random import Random
from typing import Any, NamedTuple

from runtime.frame.declare import Root
from runtime.frame.errors import DispatchError
from runtime.pallets.incentive.messages import EmissionPaid, EmissionVested, EpochRun
from runtime.pallets.neurons.messages import NeuronRegistered, NeuronSlashed, PruneWarning
from runtime.pallets.staking.messages import Slashed
from runtime.pallets.staking.types import Staked, ValidatorPrefs
from runtime.pallets.subnets.numbers import BOUNDS, Hyperparameters, Parameter
from runtime.pallets.subnets.types import Kind, Setting
from runtime.pallets.weights import RevealMissed, WeightsCommitted, WeightsRevealed
from runtime.primitives.commitments import weights_commitment
from runtime.primitives.types import AccountId
from tests.runtime.pallets.staking.economy import ASY, N0, N1, N2, N3, Economy, account, hexed
from tests.runtime.pallets.staking.test_random import change

TRAINED, OPEN, SEALED = 1, 2, 3
NETUIDS = (TRAINED, OPEN, SEALED, 4, 5)
"""Root adds the last two later, maybe."""
MOST_SUBNETS = 5
SALT = b"s" * 32
RICH = 10**30
REWARD = 7_777_777_777
"""planck; no round number"""
NUMBERS = {
    "tempo": 7,
    "immunity_period": 9,
    "activity_cutoff": 60,
    "freeze_window": 1,
    "max_uids": 6,
    "burn_start": ASY,
    "burn_min": ASY // 10,
    "burn_max": 1000 * ASY,
    "burn_half_life": 60,
    "uid_bond": 50 * ASY,
    "weights_rate_limit": 2,
    "serving_rate_limit": 3,
    "vesting_rounds": 3,
}


class Move(NamedTuple):
    """Something somebody does: which of the deeds, and three numbers that choose the details."""

    deed: int
    who: int
    where: int
    what: int


class Ballot(NamedTuple):
    """What a judge keeps to open a row."""

    uids: list[int]
    values: list[int]


class Game:
    """The market, what its players remember, and a ledger of what was made, burned and sealed."""

    def __init__(self, judges: int, **numbers: int) -> None:
        stakes = tuple(2_000 + 700 * judge for judge in range(judges))
        self.stashes = [account(f"v{judge}") for judge in range(judges)]
        self.coldkeys = [*self.stashes, N0, N1, N2, N3]
        self.hotkeys = [account(f"hot{number}") for number in range(judges + 5)]
        seats = [
            {"hotkey": hexed(hotkey), "coldkey": hexed(coldkey)}
            for hotkey, coldkey in zip(self.hotkeys[: judges + 1], self.coldkeys, strict=False)
        ]
        kinds = {TRAINED: "Training", OPEN: "Inference", SEALED: "Inference"}
        subnets = {
            netuid: {
                "kind": kind,
                "owner": hexed(N3),
                "hyperparameters": NUMBERS | {"commit_reveal": int(netuid == SEALED)} | numbers,
            }
            for netuid, kind in kinds.items()
        }
        sections = {
            "constants": {
                "Incentive": {"BlockReward": REWARD, "MaxEpochsPerBlock": 1},
                "Subnets": {"MaxSubnets": MOST_SUBNETS},
            },
            "subnets": subnets,
            "neurons": dict.fromkeys(kinds, seats),
            "incentive": {netuid: list(range(judges)) for netuid in kinds},
        }
        self.economy = Economy(stakes, market=sections)
        self.ext = self.economy.ext
        self.economy.nominator(N0, 900, self.stashes[0])
        self.economy.nominator(N1, 700, self.stashes[0], self.stashes[-1])
        self.issued = self.economy.issuance() - REWARD  # block 1 is open
        self.ballots: dict[tuple[int, AccountId], list[Ballot]] = {}
        self.sealed: set[tuple[int, AccountId, int]] = set()
        self.done: dict[str, int] = {}

    @property
    def runtime(self) -> Any:
        """The open block."""
        return self.ext.runtime

    def play(self, moves: Iterable[Move]) -> None:
        """Let everything happen, and look after every block whether all is well."""
        for move in moves:
            deed = DEEDS[move.deed % len(DEEDS)]
            if deed is None:
                self.pass_blocks(1 + move.what % 5)
            else:
                deed(self, move)
        self.pass_blocks(1)

    def pass_blocks(self, count: int) -> None:
        """Close the open block, and the empty ones that follow."""
        for _ in range(count):
            self.check()
            self.economy.step()

    def attempt(self, who: Any, pallet: str, name: str, *arguments: Any) -> bool:
        """Make a call that may be refused; anything but a refusal ends the game."""
        try:
            self.ext.dispatch(who, pallet, name, *arguments)
        except DispatchError:
            return False
        self._count(name)
        return True

    def _count(self, what: str, times: int = 1) -> None:
        if times:
            self.done[what] = self.done.get(what, 0) + times

    # What must hold.

    def check(self) -> None:
        """Every planck is accounted for, no row without its neuron, each seal ends once."""
        self.runtime.try_state()
        events = self.ext.new_events()
        burned = sum(event.burned for event in events if isinstance(event, NeuronRegistered))
        burned += sum(event.bond + event.vesting for event in events if isinstance(event, NeuronSlashed))
        offended = any(isinstance(event, Slashed) for event in events)
        made = change(events)
        assert offended or made == REWARD - burned
        self.issued += made
        assert self.economy.issuance() == self.issued
        self._count("slash of a stash", offended)
        for event in events:
            if isinstance(event, EpochRun):
                assert event.emission == event.paid + event.carried
                self._count("epoch that paid" if event.paid else "epoch that carried")
            elif isinstance(event, EmissionVested | PruneWarning | NeuronSlashed):
                self._count(type(event).__name__)
            elif isinstance(event, EmissionPaid) and event.nominators:
                self._count("dividend that was shared")
        staking = self.runtime.staking
        owed = staking.pot_endowment + sum(staking.eras_unclaimed_reward.values())
        assert self.runtime.balances.free(staking.reward_account) == owed
        self._check_bonds()
        self._check_rows()
        self._check_seals(events)

    def _check_bonds(self) -> None:
        """Nothing is set aside but the bonds of those who hold a uid."""
        bonds = dict.fromkeys(self.coldkeys, 0)
        for _, neuron in self.runtime.neurons.neurons.items():
            bonds[neuron.coldkey] += neuron.bond
        assert {who: self.runtime.balances.reserved(who) for who in bonds} == bonds

    def _check_rows(self) -> None:
        neurons, weights, incentive = self.runtime.neurons, self.runtime.weights, self.runtime.incentive
        seats = {key: neuron.hotkey for key, neuron in neurons.neurons.items()}
        by_uid = (
            neurons.keys, weights.weights, weights.last_update, incentive.consensus, incentive.incentives,
            incentive.dividends, incentive.bonds, incentive.validator_permit, incentive.emission,
            incentive.vesting, neurons.holds, neurons.swaps,
        )  # fmt: skip
        for rows in by_uid:
            assert {key for key, _ in rows.items()} <= seats.keys()
        held = {(netuid, hotkey) for (netuid, _), hotkey in seats.items()}
        for rows in (neurons.uids, neurons.axons, neurons.identities, weights.weight_commits):
            assert {key for key, _ in rows.items()} <= held
        netuids = set(self.runtime.subnets.netuids())
        for by_netuid in (
            incentive.epoch_index,
            incentive.last_epoch,
            incentive.pots,
            neurons.burn,
            incentive.rounds_ended,
        ):
            assert set(by_netuid.keys()) <= netuids
        assert set(incentive.epoch_index.keys()) == set(incentive.last_epoch.keys())

    def _check_seals(self, events: list[Any]) -> None:
        """Every row that was sealed is opened or missed, once, in its epoch."""
        for event in events:
            if isinstance(event, WeightsCommitted):
                assert (event.netuid, event.hotkey, event.epoch) not in self.sealed
                self.sealed.add((event.netuid, event.hotkey, event.epoch))
            elif isinstance(event, WeightsRevealed | RevealMissed):
                self.sealed.remove((event.netuid, event.hotkey, event.epoch))
                self._count(type(event).__name__)
        pending = {
            (netuid, self.runtime.neurons.keys[netuid, uid], sealed.epoch)
            for netuid in self.runtime.subnets.netuids()
            for uid, commits in self.runtime.weights.pending(netuid).items()
            for sealed in commits
        }
        assert pending == self.sealed

    # What players do.

    def register(self, move: Move) -> None:
        """Take a seat, sometimes for too little money or under somebody else's key."""
        hotkey = _one(self.hotkeys, move.what)
        owner = self.runtime.neurons.coldkeys.get(hotkey)
        coldkey = owner if owner and move.who % 4 else _one(self.coldkeys, move.who)
        price = ASY if move.what % 7 == 0 else RICH
        self.attempt(coldkey, "Neurons", "burned_register", _one(NETUIDS, move.where), hotkey, price)

    def leave(self, move: Move) -> None:
        """Give a seat up, or try to give up that of another."""
        neuron = self._neuron(move)
        if neuron is not None:
            coldkey = neuron.coldkey if move.what % 4 else _one(self.coldkeys, move.what)
            self.attempt(coldkey, "Neurons", "deregister", _one(NETUIDS, move.where), neuron.hotkey)

    def swap(self, move: Move) -> None:
        """Go on under another hotkey."""
        neuron = self._neuron(move)
        if neuron is not None:
            new = _one(self.hotkeys, move.what)
            self.attempt(
                neuron.coldkey, "Neurons", "swap_hotkey", _one(NETUIDS, move.where), neuron.hotkey, new
            )

    def serve(self, move: Move) -> None:
        """Announce an endpoint."""
        netuid, hotkey = _one(NETUIDS, move.where), _one(self.hotkeys, move.who)
        self.attempt(hotkey, "Neurons", "serve_axon", netuid, f"http://192.0.1.{move.what % 200}:1", 1)

    def judge(self, move: Move) -> None:
        """Let most judges of the inference subnets open what is due, and seal or set a row anew."""
        for netuid in self.runtime.subnets.netuids():
            for place, uid in enumerate(self.runtime.incentive.permitted(netuid)):
                if netuid != TRAINED and move.who >> 2 * place & 3:
                    hotkey = self.runtime.neurons.keys[netuid, uid]
                    for ballot in self.ballots.get((netuid, hotkey), [])[-2:]:
                        self._unseal(hotkey, netuid, ballot)
                    self._seal(hotkey, netuid, move.what + place)
                    self._set(hotkey, netuid, move.what + place)

    def set_openly(self, move: Move) -> None:
        """Set a row in the open."""
        netuid = _one(NETUIDS, move.where)
        self._set(self._hotkey(netuid, move.who), netuid, move.what)

    def seal(self, move: Move) -> None:
        """Seal a row."""
        netuid = _one((SEALED, *NETUIDS), move.where)
        self._seal(self._hotkey(netuid, move.who), netuid, move.what)

    def unseal(self, move: Move) -> None:
        """Open one of the last rows: one's own or, rarely, somebody else's."""
        known = sorted(self.ballots)
        if known:
            netuid, hotkey = _one(known, move.where)
            ballot = _one(self.ballots[netuid, hotkey][-4:], move.what)
            self._unseal(hotkey if move.what % 16 else _one(self.hotkeys, move.who), netuid, ballot)

    def book(self, move: Move) -> None:
        """Put judges' rows as the rounds of a training subnet do."""
        present = [uid for uid, _ in self.runtime.neurons.listed(TRAINED)]
        for place, judge in enumerate(self.runtime.incentive.permitted(TRAINED)):
            if move.who >> 2 * place & 3:
                row = [(uid, move.what >> uid & 7) for uid in present if uid != judge]
                self.runtime.weights.put_row(TRAINED, judge, row, self.ext.number)

            self.runtime.incentive.end_round(TRAINED)

    def punish(self, move: Move) -> None:
        """Audit somebody: hold, let go, or slash."""
        netuid = _one(NETUIDS, move.where)
        listed = self.runtime.neurons.listed(netuid)
        if listed:
            (uid, neuron), neurons = _one(listed, move.who), self.runtime.neurons
            seat = netuid, uid, neuron.registered_at - (move.what % 7 == 6)
            audits: tuple[Callable[[], Any], ...] = (
                lambda: neurons.hold(*seat),
                lambda: neurons.release(*seat),
                lambda: neurons.slash(*seat, _one((1, 333_333, 1_000_000), move.what >> 2)),
            )
            _one(audits, move.what)()

    def _set(self, hotkey: AccountId, netuid: int, what: int) -> None:
        uids, values = self._row(netuid, hotkey, what)
        self.attempt(hotkey, "Weights", "set_weights", netuid, uids, values, 0)

    def _seal(self, hotkey: AccountId, netuid: int, what: int) -> None:
        """Seal a row for this epoch or, with bad luck, for the last one."""
        uids, values = self._row(netuid, hotkey, what)
        epoch = max(0, self.runtime.incentive.epochs_run(netuid) - (what % 5 == 0))
        commitment = weights_commitment(hotkey, netuid, epoch, uids, values, SALT, 0)
        if self.attempt(hotkey, "Weights", "commit_weights", netuid, commitment):
            self.ballots.setdefault((netuid, hotkey), []).append(Ballot(uids, values))

    def _unseal(self, hotkey: AccountId, netuid: int, ballot: Ballot) -> None:
        call = ("Weights", "reveal_weights", netuid, ballot.uids, ballot.values, SALT, 0)
        self.attempt(hotkey, *call)

    def tune(self, move: Move) -> None:
        """Change a number, within its bounds or just outside of them."""
        parameter = _one(TUNED, move.what)
        bounds = BOUNDS[parameter.name]
        small = range(max(bounds.least - 1, 0), min(bounds.least + 12, bounds.most + 1))
        usual = (asdict(Hyperparameters()) | NUMBERS)[parameter.name]
        value = _one((usual, usual, *small, bounds.most + 1), move.what >> 5)
        origin = Root() if move.who % 3 else _one(self.coldkeys, move.who)
        netuid = _one(NETUIDS, move.where)
        self.attempt(origin, "Subnets", "set_hyperparameter", netuid, parameter, value)

    def rule(self, move: Move) -> None:
        """Do as root what only root may: create, pause, unpause, hand over."""
        netuid, heir = _one(NETUIDS, move.where), _one(self.coldkeys, move.what)
        paused = sorted(self.runtime.subnets.paused.keys())
        calls: tuple[tuple[Any, ...], ...] = (
            ("create", _one(tuple(Kind), move.what), heir, SETTINGS),
            ("set_owner", netuid, heir),
            ("unpause", _one(paused, move.where)) if paused else ("pause", netuid),
        )
        self.attempt(Root(), "Subnets", *_one(calls, move.who))

    def stake(self, move: Move) -> None:
        """Bond and nominate, take back, set a commission, pay an era out."""
        person, stash = _one(self.coldkeys, move.who), _one(self.stashes, move.where)
        calls: tuple[tuple[Any, ...], ...] = (
            ("bond", (100 + move.what % 900) * ASY, Staked()),
            ("nominate", sorted({stash, self.stashes[0]})),
            ("nominate", [stash]),
            ("unbond", move.what % 500 * ASY),
            ("validate", ValidatorPrefs(move.what * 10**4, False)),
            ("payout_stakers", stash, max(0, self.economy.era - 1 - move.where % 2)),
        )
        self.attempt(person, "Staking", *_one(calls, move.what))

    def offend(self, move: Move) -> None:
        """Be caught at an offence, which takes a part of the stake."""
        self.economy.offend(_one(self.stashes, move.where), 1 + move.what % 30, N3)

    def spend(self, move: Move) -> None:
        """Give much away or, rarely, all that can be spent."""
        source, dest = _one(self.coldkeys, move.who), _one(self.coldkeys, move.what)
        if move.where % 4:
            self.attempt(source, "Balances", "transfer_keep_alive", dest, move.where * ASY)
        else:
            self.attempt(source, "Balances", "transfer_all", dest, False)

    def _hotkey(self, netuid: int, who: int) -> AccountId:
        """Return a hotkey, more often than not one that may judge."""
        judges = [self.runtime.neurons.keys[netuid, uid] for uid in self.runtime.incentive.permitted(netuid)]
        chosen: AccountId = _one(judges if judges and who % 4 else self.hotkeys, who >> 2)
        return chosen

    def _neuron(self, move: Move) -> Any:
        listed = self.runtime.neurons.listed(_one(NETUIDS, move.where))
        return _one(listed, move.who)[1] if listed else None

    def _row(self, netuid: int, hotkey: AccountId, what: int) -> tuple[list[int], list[int]]:
        """Return a row about who is there, or, one in eight, about anybody; three bits say what is said."""
        own = self.runtime.neurons.uid_of(netuid, hotkey)
        present = [uid for uid, _ in self.runtime.neurons.listed(netuid) if uid != own]
        uids = present if what % 8 else list(range(what % 9))
        values = [(what >> (3 + 2 * place) & 7) * 9362 for place in range(len(uids))]
        return uids, values[: len(uids) - (what % 64 == 8)]


def random_moves(seed: int, count: int) -> Iterator[Move]:
    """Yield moves that only a seed chooses."""
    chance = Random(seed)
    for _ in range(count):
        yield Move(*(chance.randrange(1 << 16) for _ in range(4)))


def _one(choices: Any, number: int) -> Any:
    return choices[number % len(choices)]


SETTINGS = [Setting(Parameter[name], value) for name, value in NUMBERS.items()]
TUNED = tuple(
    Parameter[name]
    for name in (
        "tempo", "freeze_window", "commit_reveal", "reveal_period", "max_uids", "max_permits",
        "immunity_period", "activity_cutoff", "kappa_ppm", "stake_cap_ppm", "owner_cut_ppm",
        "miners_share_ppm", "emission_share", "weights_rate_limit", "weights_version", "uid_bond", "burn_min",
        "consensus", "vesting_rounds",
    )
)  # fmt: skip
"""The numbers that rule seats, rows and epochs."""
DEEDS: tuple[Callable[[Game, Move], None] | None, ...] = (
    None, None, None, None, Game.judge, Game.judge, Game.judge, Game.judge, Game.book, Game.register,
    Game.register, Game.leave, Game.swap, Game.serve, Game.set_openly, Game.seal, Game.unseal, Game.tune,
    Game.rule, Game.spend, Game.stake, Game.stake, Game.stake, Game.offend,
    Game.punish,
)  # fmt: skip
"""What a move may be; None lets blocks pass."""
