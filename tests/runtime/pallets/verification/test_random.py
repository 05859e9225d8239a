"""Random judges, jurors, challengers and leavers: every planck is accounted for, and nobody is wronged."""

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import DispatchError
from runtime.pallets.neurons.messages import NeuronRegistered, NeuronSlashed
from runtime.pallets.verification.types import (
    AuditDrawn,
    AuditFailed,
    AuditLapsed,
    AuditPassed,
    ChallengeDismissed,
    ChallengeLapsed,
    ChallengeUpheld,
    MinerEvicted,
    MinerSlashed,
    MinerWithheld,
    ScoreChallenged,
    Seat,
    Verdict,
)
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from tests.runtime.pallets.test_training_random import EVERYBODY, JUDGES, MINERS, act, attempt
from tests.runtime.pallets.training_bench import ASY, NETUID, STRANGER
from tests.runtime.pallets.verification.court import ENOUGH, Court

CLAIMED, OTHER = (5_500_000, 5_400_000, 1_000_000), (5_500_000, 5_499_000, 1_000_000)
PLAYERS = JUDGES + MINERS


class Trial(Court):
    """A court in which anybody does anything, and a ledger beside it."""

    def __init__(self, **numbers: int) -> None:
        super().__init__(JUDGES, MINERS, stakes=[1_000, 1_500, 700], authorities=4, **numbers)
        self.start()
        self.issued = self.issuance() - ASY  # before the block that is open
        self.open_audits: set[tuple[int, Any]] = set()
        self.open_challenges: set[tuple[int, int, Any]] = set()
        self.done = dict[str, int]()
        self.seats = dict[int, Seat]()  # at the end of the block before

    def issuance(self) -> int:
        """Return everybody's money, planck."""
        total: int = self.runtime.balances.total_issuance.get()
        return total

    def close(self, author: int) -> None:
        """Look at what happened in the open block, and open the next."""
        events = self.ext.new_events()
        burned = sum(each.burned for each in events if isinstance(each, NeuronRegistered))
        burned += sum(each.bond + each.vesting for each in events if isinstance(each, NeuronSlashed))
        burned += sum(each.burnt for each in events if isinstance(each, MinerWithheld | ChallengeDismissed))
        assert self.issuance() == self.issued + ASY - burned
        self.issued = self.issuance()
        for each in events:
            self.note(each)
        for uid in self.withheld():
            assert [self.points(judge, uid) for judge in range(JUDGES)] == [0] * JUDGES
        self.seats = {uid: self.seat(uid) for uid, _ in self.runtime.neurons.listed(NETUID)}
        self.ext.close_block()
        self.ext.open_block((pre_digest_item(SecondaryPlain(author, self.ext.number + 1)),))
        if not self.now % 4:
            self.runtime.try_state()

    def withheld(self) -> list[int]:
        """Return whose pay is withheld."""
        return [
            uid for (_, uid), standing in self.runtime.verification.standings.items() if standing.withheld
        ]

    def points(self, judge: int, uid: int) -> int:
        """Return what a judge's book of this epoch gives who holds a uid now."""
        tally, since = (
            self.runtime.verification.tallies.get(NETUID, judge),
            self.runtime.incentive.last_epoch_block(NETUID),
        )
        listed = tally.points if tally and tally.since == since else []
        return sum(each.points for each in listed if each.uid == uid)

    def note(self, event: Any) -> None:
        """Every audit and challenge that is opened ends once; who is slashed was condemned by two."""
        name = type(event).__name__
        self.done[name] = self.done.get(name, 0) + 1
        if isinstance(event, AuditDrawn):
            self.open_audits.add((event.round, event.miner))
        elif isinstance(event, AuditPassed | AuditFailed):
            self.open_audits.remove((event.round, event.miner))
        elif isinstance(event, AuditLapsed):
            self.open_audits.discard((event.round, event.miner))
        elif isinstance(event, ScoreChallenged):
            assert (event.round, event.judge, event.miner) not in self.open_challenges
            self.open_challenges.add((event.round, event.judge, event.miner))
        elif isinstance(event, ChallengeUpheld | ChallengeDismissed | ChallengeLapsed):
            self.open_challenges.remove((event.round, event.judge, event.miner))
        if isinstance(event, AuditFailed):
            self.condemned = [report.judge for report in event.reports if report.verdict is Verdict.Failed]
        if isinstance(event, MinerSlashed):
            assert len(set(self.condemned)) == 2
        if isinstance(event, MinerEvicted):
            doubted = [
                audit.miner
                for _, audit in self.runtime.verification.audits.under(NETUID)
                if any(report.verdict is Verdict.Failed for report in audit.reports)
            ]
            assert self.seats[event.uid] not in doubted

    # What players do.

    def report_due(self, which: int, what: int) -> None:
        """Let a judge report what it is asked for."""
        due = [
            key for key, audit in self.runtime.verification.audits.under(NETUID) if audit.judge is not None
        ]
        if due:
            round, miner = due[which % len(due)]
            judge = self.runtime.verification.audits[NETUID, round, miner].judge.uid
            verdict = (Verdict.Passed, Verdict.Failed, Verdict.Failed, Verdict.Unavailable)[what % 4]
            said = ENOUGH if verdict is Verdict.Passed else 0
            key = self.runtime.neurons.keys.get(NETUID, judge) or STRANGER
            attempt(self, key, "Verification", "report_audit", round, miner, verdict, said)

    def meddle(self, which: int, what: int) -> None:
        """Let somebody report on something."""
        who = (*self.judges, *self.miners, STRANGER)[which % (PLAYERS + 1)]
        about = (max(1, self.number - what % 3), self.miners[what % MINERS])
        attempt(self, who, "Verification", "report_audit", *about, Verdict.Failed, what % 2)

    def doubt(self, which: int, what: int) -> None:
        """Challenge some score."""
        who = (*self.miners, *self.judges, STRANGER)[which % (PLAYERS + 1)]
        about = (max(1, self.number - what % 4), what // 4 % JUDGES, self.miners[what % MINERS])
        attempt(self, who, "Verification", "challenge_score", *about)

    def vote_due(self, which: int, what: int) -> None:
        """Let a juror vote, perhaps twice."""
        cases = [entry for entry in self.runtime.verification.challenges.under(NETUID) if entry[1].jurors]
        if cases:
            key, challenge = cases[which % len(cases)]
            juror = challenge.jurors[what % len(challenge.jurors)].uid
            hotkey = self.runtime.neurons.keys.get(NETUID, juror) or STRANGER
            measured = CLAIMED if what & 8 else OTHER
            attempt(self, hotkey, "Verification", "vote_challenge", *key, *measured)

    def leave(self, which: int, what: int) -> None:
        """Let a miner or a judge go."""
        player = which % PLAYERS
        hotkey = (*self.judges, *self.miners)[player]
        uid = self.runtime.neurons.uid_of(NETUID, hotkey)
        if uid is not None and (player >= JUDGES or what % 8 == 0):
            owner = self.runtime.neurons.neuron(NETUID, uid).coldkey
            attempt(self, owner, "Neurons", "deregister", hotkey)

    def join(self, which: int, what: int) -> None:
        """Let somebody come, or come back."""
        who = (*self.miners, STRANGER)[which % (MINERS + 1)]
        attempt(self, who, "Neurons", "burned_register", who, 1_000 * ASY)

    def swap(self, which: int, what: int) -> None:
        """Let a miner go on under a stranger's key."""
        miner = self.miners[which % MINERS]
        attempt(self, miner, "Neurons", "swap_hotkey", miner, STRANGER)

    def convict(self, which: int, what: int) -> None:
        """Slash somebody for another reason, as evidence does."""
        uid = self.runtime.neurons.uid_of(NETUID, self.miners[which % MINERS])
        if uid is not None:
            seat = self.seat(uid)
            self.runtime.neurons.slash(NETUID, uid, seat.registered_at, (1_000_000, 300_000)[what % 2])

    def halt(self, which: int, what: int) -> None:
        """Pause the subnet, or go on."""
        paused = self.runtime.subnets.is_paused(NETUID)
        try:
            self.ext.dispatch(Root(), "Subnets", "unpause" if paused else "pause", NETUID)
        except DispatchError:
            return


DEEDS: tuple[Callable[[Trial, int, int], None], ...] = (
    Trial.report_due, Trial.report_due, Trial.report_due, Trial.vote_due, Trial.vote_due, Trial.vote_due,
    Trial.doubt, Trial.doubt, Trial.meddle, Trial.leave, Trial.join, Trial.swap, Trial.convict, Trial.halt,
)  # fmt: skip

presence = st.sampled_from((EVERYBODY, EVERYBODY, EVERYBODY, None)).flatmap(
    lambda mask: st.integers(0, EVERYBODY) if mask is None else st.just(mask)
)
deeds = st.lists(
    st.tuples(st.integers(0, len(DEEDS) - 1), st.integers(0, 60), st.integers(0, 60)), max_size=3
)
histories = st.lists(st.tuples(presence, deeds), min_size=20, max_size=40)
numbers = st.fixed_dictionaries(
    {
        "audit_rate_ppm": st.sampled_from((1, 500_000, 1_000_000)),
        "newcomer_rounds": st.integers(0, 2),
        "audit_window": st.integers(1, 2),
        "vesting_rounds": st.sampled_from((0, 3, 40)),
        "tempo": st.sampled_from((7, 30)),
    }
)


def play(history: list[tuple[int, list[tuple[int, int, int]]]], chosen: dict[str, int]) -> Trial:
    """Play a whole history."""
    trial = Trial(**chosen)
    for present, done in history:
        for actor in range(PLAYERS):
            if present >> actor & 1:
                act(trial, actor)
        for deed, which, what in done:
            DEEDS[deed](trial, which, what)
        trial.close(author=trial.now % 4)
    return trial


@settings(max_examples=8)
@given(histories, numbers)
def test_every_planck_is_accounted_for_and_everything_opened_ends_once(
    history: list[tuple[int, list[tuple[int, int, int]]]], chosen: dict[str, int]
) -> None:
    play(history, chosen)


def test_the_trial_reaches_what_it_is_for() -> None:
    """Given a long history without chance in who is present, then every kind of end is met."""
    dice, done = Random(8), dict[str, int]()
    for seed in range(2):
        history = [
            (
                EVERYBODY,
                [(dice.randrange(9), dice.randrange(60), dice.randrange(60)) for _ in range(seed % 2 + 1)],
            )
            for _ in range(90)
        ]
        found = play(
            history, {"audit_rate_ppm": 1_000_000, "audit_window": 1, "vesting_rounds": 40, "tempo": 7}
        )
        done = {name: done.get(name, 0) + found.done.get(name, 0) for name in {*done, *found.done}}
    wanted = {
        "AuditPassed", "AuditFailed", "AuditMissed", "MinerWithheld", "MinerSlashed", "ScoreChallenged",
        "ChallengeUpheld", "ChallengeDismissed", "ChallengeLapsed",
    }  # fmt: skip
    assert wanted <= done.keys()
