"""Deliberately broken nodes: each must break a promise in a schedule that the real node passes.

The broken voter alone is in tests/chain/consensus/grandpa/test_mutants.py; here it is whole nodes: guards,
importers, voters with a disk and a network around them.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chain.consensus import slots
from chain.consensus.grandpa import driver as driver_module
from chain.consensus.grandpa import round as round_module
from chain.consensus.grandpa import said
from chain.consensus.grandpa import voter as voter_module
from chain.consensus.grandpa.commits import Worth
from chain.consensus.grandpa.driver import Driver
from chain.consensus.grandpa.effects import Effect
from chain.consensus.grandpa.round import Counted, Round
from chain.consensus.grandpa.voter import Voter
from chain.consensus.guard import Guard, VoteRecord
from chain.keys.pair import Keypair
from chain.sync import importer
from runtime.primitives import grandpa
from runtime.primitives.grandpa import Block, Commit, Precommit, Prevote, SignedMessage, SignedPrecommit
from runtime.primitives.types import Hash
from tests.sim.env import Life, SimDisk, SimLock
from tests.sim.machine import Backup, Machine
from tests.sim.schedules import SCHEDULES

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_real_node_passes_every_schedule(schedule: str) -> None:
    outcome = SCHEDULES[schedule].play()
    assert outcome.broken == []
    assert outcome.height > 5


def simple_majority(patch: Patch) -> None:
    """More than half finalises."""
    for module in (grandpa, round_module):
        patch.setattr(module, "supermajority", lambda total: total // 2 + 1)


def guard_forgets_votes(patch: Patch) -> None:
    """What was voted is remembered, but not on disk."""
    write = Guard._write

    def forgetful(self: Guard, records: Any) -> None:
        if records.votes.keys() != self._records.votes.keys() or records.slots != self._records.slots:
            write(self, replace(records, votes=dict.fromkeys(records.votes, VoteRecord())))
        self._records = records

    patch.setattr(Guard, "_write", forgetful)


def guard_in_the_chain_database(patch: Patch) -> None:
    """A backup holds the guard, too, and whoever restores one restores both."""
    back_up, restore = Machine.back_up, Machine.restore
    guards: dict[int, dict[str, bytes]] = {}

    def whole(self: Machine) -> Backup:
        made = back_up(self)
        guards[id(made)] = dict(self.files["guard"].content)
        kept.append(made)  # so that no other gets its id
        return made

    def restored(self: Machine, backup: Backup) -> None:
        restore(self, backup)
        self.files["guard"].content = dict(guards[id(backup)])

    kept: list[Backup] = []
    patch.setattr(Machine, "back_up", whole)
    patch.setattr(Machine, "restore", restored)


def unsynced_guard(patch: Patch) -> None:
    """Small files are written, but the disk has them only some writes later."""
    write, start = SimDisk.replace, Machine.start
    written: dict[tuple[int, str], list[bytes]] = {}

    def lazily(self: SimDisk, name: str, content: bytes) -> None:
        write(self, name, content)
        written.setdefault((id(self._files), name), []).append(content)

    def after_the_power_was_gone(self: Machine) -> None:
        for files in (self.files["guard"], self.files["grandpa"]):
            for name in files.content:
                files.content[name] = written[id(files), name][-UNSYNCED:][0]
        start(self)

    patch.setattr(SimDisk, "replace", lazily)
    patch.setattr(Machine, "start", after_the_power_was_gone)


def lock_free_guard(patch: Patch) -> None:
    """Nobody keeps a second process away from the guard."""
    patch.setattr(SimDisk, "lock", lambda self, name: SimLock(Life()))


def guard_forgets_slots(patch: Patch) -> None:
    """Any header may be sealed."""

    def seal(self: Guard, keypair: Keypair, slot: int, pre_hash: Hash) -> bytes:
        return keypair.sign(pre_hash)

    patch.setattr(Guard, "sign_seal", seal)


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


def counts_a_voter_twice(patch: Patch) -> None:
    """A vote counts as often as it is shown, and such a proof is believed."""
    patch.setattr(driver_module, "check_voters", lambda *_: None)
    patch.setattr(driver_module, "worth_of", lambda *_: Worth.PROOF)
    for module in (round_module, voter_module):
        patch.setattr(module, "Round", CountsTwice)
    patch.setattr(importer, "verify_justification", lambda *_: None)


def votes_past_a_set_change(patch: Patch) -> None:
    """The best block is voted for, whoever votes there."""

    def highest(self: Voter, start: Block) -> Block:
        return self._chain.best_containing(start[0]) or start

    patch.setattr(Voter, "_highest_vote", highest)


def believes_any_commit(patch: Patch) -> None:
    """Whoever says that a block is final is right."""
    patch.setattr(driver_module, "check_voters", lambda *_: None)
    patch.setattr(driver_module, "worth_of", lambda *_: Worth.PROOF)
    patch.setattr(voter_module, "proven", lambda commit, voters, chain: commit)
    patch.setattr(importer, "verify_justification", lambda *_: None)


def imports_from_any_author(patch: Patch) -> None:
    """A sealed block is a good block, whoever's turn it is."""
    patch.setattr(slots, "_check_claim", lambda *_: None)


def says_everything_once(patch: Patch) -> None:
    """Votes that got lost are not said again."""
    patch.setattr(Voter, "_remind", lambda self: list[Effect]())


def keeps_signed_votes_to_itself(patch: Patch) -> None:
    """What the guard has signed before a crash is not said afterwards."""
    patch.setattr(Driver, "_cast_before", lambda self, cast: None)


def remembers_one_vote(patch: Patch) -> None:
    """Of what a key has said, only the last survives the loss of the chain."""
    patch.setattr(said, "KEPT", 1)


UNSYNCED = 6
"""writes that a disk may owe"""
MUTANTS: list[tuple[Callable[[Patch], None], str, str]] = [
    (simple_majority, "split_brain", r"finalises block \d+ with \d+ of \d+"),
    (counts_a_voter_twice, "false_commit", r"finalises block \d+ with \d+ of \d+"),
    (believes_any_commit, "false_commit", r"finalises block \d+ with \d+ of \d+"),
    (guard_forgets_votes, "relapses", r"has signed a second (prevote|precommit|proposal)"),
    (guard_in_the_chain_database, "relapses", r"has signed a second (prevote|precommit|proposal)"),
    (unsynced_guard, "blackouts", r"has (signed|sealed) a second|finality stays away"),
    (lock_free_guard, "two_processes", r"has (signed|sealed) a second"),
    (guard_forgets_slots, "clocks_set_back", r"has sealed a second block in slot \d+"),
    (votes_past_a_set_change, "voters_change_under_a_cut", r"votes in set \d+ for block \d+ of set \d+"),
    (imports_from_any_author, "usurper", r"imports block \d+, which nobody sealed"),
    (keeps_signed_votes_to_itself, "unsaid_prevote", r"finality stays away"),
    (remembers_one_vote, "forgotten_prevotes", r"finality stays away"),
    (says_everything_once, "silence", r"finality stays away"),
]
"""A mutant, the schedule that is its end, and how that ends."""


@pytest.mark.parametrize(("mutant", "schedule", "end"), MUTANTS, ids=[each[0].__name__ for each in MUTANTS])
def test_a_broken_node_breaks_a_promise(
    mutant: Callable[[Patch], None], schedule: str, end: str, monkeypatch: Patch
) -> None:
    mutant(monkeypatch)
    outcome = SCHEDULES[schedule].play()
    assert outcome.broken, f"{mutant.__name__} survives {schedule}"
    assert re.search(end, outcome.broken[0]), outcome.broken[0]
