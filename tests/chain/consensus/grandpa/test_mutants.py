"""Deliberately broken voters: each must break a rule in a schedule that the real one passes."""

from collections.abc import Callable

import pytest

from chain.consensus.grandpa import round as round_module
from chain.consensus.grandpa import voter as voter_module
from chain.consensus.grandpa.effects import Save, VoterRecord
from chain.consensus.grandpa.round import Counted, Round, RoundState
from chain.consensus.grandpa.voter import Due, Voter
from runtime.primitives.grandpa import Block, Commit, Precommit, Prevote, SignedMessage, SignedPrecommit
from tests.chain.consensus.grandpa import scenarios
from tests.chain.consensus.grandpa.network import GENESIS, Broken, Network

Scenario = Callable[..., Network]


@pytest.mark.parametrize("scenario", scenarios.SCHEDULES, ids=lambda each: each.__name__)
def test_the_real_voter_passes_every_schedule(scenario: Scenario) -> None:
    assert scenario().final[1] > 5


def test_simple_majority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven voters, two twins: four on each side are more than half."""
    monkeypatch.setattr(round_module, "supermajority", lambda total: total // 2 + 1)
    with pytest.raises(Broken, match="4 of 7 finalise"):
        scenarios.split_brain()


class IgnoresEstimate(Voter):
    """Votes for the best chain above the last final block, whatever the last round may have finalised."""

    @property
    def _estimate(self) -> Block:
        return self._current.base


class PrecommitsAnything(Voter):
    """Precommits the ghost also where it lacks the estimate."""

    def _may_precommit(self, state: RoundState) -> bool:
        return Due.PRECOMMIT in self._due


def test_ignoring_the_estimate() -> None:
    with pytest.raises(Broken, match="conflicts"):
        scenarios.hidden_finality(voter_type=IgnoresEstimate)


def test_precommitting_without_the_estimate() -> None:
    """That the estimate must be final before the next round keeps even this one safe, in this schedule."""
    with pytest.raises(Broken, match="without the estimate"):
        scenarios.hidden_finality(voter_type=PrecommitsAnything, watches_estimates=True)
    assert scenarios.hidden_finality(watches_estimates=True).final[1] > 5


class ForgetsVotes(Voter):
    """Saves nothing."""

    def _save(self) -> Save:
        return Save(VoterRecord.fresh(self.set_id, GENESIS))


def test_forgetting_the_votes() -> None:
    with pytest.raises(Broken, match="votes twice"):
        scenarios.crashes(voter_type=ForgetsVotes, guarded=False)


def test_signing_without_a_guard() -> None:
    """The crash comes between the signature and the record of it."""
    with pytest.raises(Broken, match="votes twice"):
        scenarios.crashes(guarded=False)


class PassesChanges(Voter):
    """Votes for the best block, whoever votes there."""

    def _highest_vote(self, start: Block) -> Block:
        return self._chain.best_containing(start[0]) or start


def test_voting_past_a_set_change() -> None:
    with pytest.raises(Broken, match="past the set change"):
        scenarios.set_changes(voter_type=PassesChanges)


class CountsTwice(Round):
    """Adds the weight of a voter each time its vote comes."""

    def add(self, vote: SignedMessage) -> Counted:
        """Count a vote."""
        counted = super().add(vote)
        if counted is Counted.NOTHING and isinstance(vote.message, Prevote | Precommit):
            phase = 0 if isinstance(vote.message, Prevote) else 1
            self._graph.add(self._node(vote), phase, self.voters.weights[vote.id])
            self._ballots[phase].seen += self.voters.weights[vote.id]
            self._state = None
        return counted

    def commit(self) -> Commit | None:
        """Return what is believed to be proof."""
        target = self.precommit_ghost()
        votes = [
            SignedPrecommit(vote.message, vote.signature, vote.id)
            for vote in self.votes()
            if isinstance(vote.message, Precommit)
        ]
        return None if target is None else Commit(target[0], target[1], votes)


def test_counting_a_voter_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four on each side: reminders of a vote must not make a third voter."""
    monkeypatch.setattr(voter_module, "Round", CountsTwice)
    with pytest.raises(Broken, match="2 of 4 finalise"):
        scenarios.even_split()


def test_believing_any_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voter_module, "proven", lambda commit, voters, chain: commit)
    with pytest.raises(Broken, match="1 of 4 finalise"):
        scenarios.false_commit()
