"""Finality across sets of voters: each block by the voters in charge of it, with a proof that stays."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chain.commands.block_files import SignedBlock, read_binary, read_json, write_binary, write_json
from chain.keys.pair import Keypair
from chain.service.ledger import Ledger
from chain.storage.pruning import Pruning
from chain.storage.store import ChainStore
from chain.sync.importer import Importer
from runtime.frame.base import Call
from runtime.frame.pallet import constant_key
from runtime.primitives.grandpa import (
    CONSENSUS_LOG,
    Flaw,
    GrandpaJustification,
    JustificationError,
    ScheduledChange,
    changes_voters,
    decode_justification,
    verify_justification,
)
from runtime.primitives.header import GRANDPA_ENGINE, Consensus, Header
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import Hash
from runtime.runtime import AssayRuntime
from tests.chain.chains import ALICE, FIRST_SLOT, Chain, justified, spec_with_slots

ROOT = Keypair.from_suri("//Alice", "sr25519")
EPOCH = 4
"""slots"""
SHORT_EPOCHS = {constant_key("Babe", "EpochDuration"): EPOCH.to_bytes(8, "little")}
FIRST_CHANGE, SECOND_CHANGE = 9, 17
"""blocks that bring the second and the third voter, when the keys change in blocks 2 and 10"""
DELAY = 2
"""blocks between a forced change and its force"""
VOTERS = [ALICE, Keypair.from_suri("//Voter//1", "ed25519"), Keypair.from_suri("//Voter//2", "ed25519")]


@dataclass
class Handing:
    """A chain whose one voter changes its key in blocks 2 and 10."""

    path: Path
    stalls: bool = False  # root gives the first voter up in block 6
    chain: Chain = field(init=False)
    blocks: list[Hash] = field(init=False)

    def __post_init__(self) -> None:
        self.chain = Chain(self.path, also=SHORT_EPOCHS)
        self.blocks = [self.chain.store.genesis_hash]

    def grow(self, height: int) -> "Handing":
        """Build blocks up to a height."""
        while len(self.blocks) <= height:
            number = len(self.blocks)
            calls = {2: self.set_key(VOTERS[1]), 10: self.set_key(VOTERS[2])}
            if self.stalls:
                calls[6] = self.give_up()
            extrinsics = ()
            if number in calls:
                nonce = sum(earlier < number for earlier in calls)
                extrinsics = (self.chain.signed(calls[number], nonce, ROOT),)
            self.blocks.append(self.chain.grow(FIRST_SLOT + number, extrinsics))
        return self

    def set_key(self, voter: Keypair) -> Call:
        """Return the call that changes the GRANDPA key of the one validator."""
        keys = SessionKeys(ALICE.public, voter.public)
        return AssayRuntime.call("Session", "set_keys", keys, b"")

    def give_up(self) -> Call:
        """Return root's word that the voters are lost: the next change is in force after two blocks."""
        call = AssayRuntime.call("Grandpa", "note_stalled", DELAY, 0)
        return AssayRuntime.call("Sudo", "sudo", call)

    def header(self, number: int) -> Header:
        """Return the header at a height."""
        header = self.chain.store.header(self.blocks[number])
        assert header is not None
        return header

    def proof(self, number: int, voter: int, set_id: int | None = None) -> GrandpaJustification:
        """Return the proof of a height by one of the voters."""
        return justified(self.header(number), 1, voter if set_id is None else set_id, VOTERS[voter])

    def finalize(self, number: int, voter: int, set_id: int | None = None) -> list[Hash]:
        """Make a height final by one of the voters."""
        proof = self.proof(number, voter, set_id)
        return self.chain.importer.finalize(self.blocks[number], proof.encode())

    def flaw(self, number: int, voter: int, set_id: int | None = None) -> Flaw:
        """Return why a proof is refused; nothing changes by it."""
        final = self.chain.store.finalized
        with pytest.raises(JustificationError) as refused:
            self.finalize(number, voter, set_id)
        assert self.chain.store.finalized == final
        return refused.value.flaw


@pytest.fixture
def handing(tmp_path: Path) -> Iterator[Handing]:
    """A chain of 20 blocks with two changes of the voter, nothing of it final."""
    made = Handing(tmp_path / "chain").grow(20)
    yield made
    made.chain.store.close()


def test_each_block_is_final_by_the_voters_in_charge_of_it(handing: Handing) -> None:
    assert [number for number in range(1, 21) if changes_voters(handing.header(number))] == [9, 17]
    assert handing.flaw(5, voter=1, set_id=0) is Flaw.TOO_LITTLE_WEIGHT
    assert handing.flaw(5, voter=0, set_id=1) is Flaw.BAD_SIGNATURE
    assert handing.finalize(5, voter=0) == handing.blocks[1:6]
    assert handing.flaw(10, voter=0) is Flaw.BEYOND_CHANGE
    assert handing.flaw(10, voter=1) is Flaw.BEYOND_CHANGE
    assert handing.finalize(FIRST_CHANGE, voter=0) == handing.blocks[6:10]
    assert handing.flaw(10, voter=0, set_id=0) is Flaw.BAD_SIGNATURE
    assert handing.flaw(10, voter=0, set_id=1) is Flaw.TOO_LITTLE_WEIGHT
    assert handing.flaw(20, voter=2) is Flaw.BEYOND_CHANGE
    assert handing.finalize(SECOND_CHANGE, voter=1) == handing.blocks[10:18]
    assert handing.finalize(20, voter=2) == handing.blocks[18:]


def test_a_change_is_seen_from_above_it_until_it_is_final(handing: Handing) -> None:
    sets, expected = handing.chain.importer.sets, [None] * 9 + [9] * 12
    assert [sets.next_change(block) for block in handing.blocks] == expected
    handing.finalize(FIRST_CHANGE, voter=0)
    assert [sets.next_change(block) for block in handing.blocks] == [None] * 17 + [17] * 4
    handing.finalize(SECOND_CHANGE, voter=1)
    assert [sets.next_change(block) for block in handing.blocks] == [None] * 21
    assert sets.next_change(Hash(bytes(32))) is None


def test_changes_are_those_of_a_fork(tmp_path: Path) -> None:
    """A fork from below block 2, a slot later: its sessions begin a block earlier, and its key stays."""
    handing = Handing(tmp_path / "chain").grow(12)
    chain, sets = handing.chain, handing.chain.importer.sets
    fork = handing.blocks[:2]
    for number in range(2, 13):
        fork.append(chain.grow(FIRST_SLOT + number + 1, parent=fork[-1]))
    assert (sets.next_change(handing.blocks[12]), sets.next_change(fork[12])) == (FIRST_CHANGE, 8)
    header = chain.store.header(fork[8])
    assert header is not None
    chain.importer.finalize(fork[8], justified(header, 1).encode())
    voters, set_id = sets.current()
    assert ([public for public, _ in voters], set_id) == ([ALICE.public], 1)
    assert chain.store.header(handing.blocks[12]) is None
    chain.store.close()


def test_the_ledger_hands_over_with_the_final_block(handing: Handing) -> None:
    chain, told = handing.chain, []
    ledger = Ledger(chain.store, chain.importer, lambda blocks, proof: told.append(len(blocks)))
    seen = []
    for number, voter in ((FIRST_CHANGE, 0), (SECOND_CHANGE, 1), (20, 2)):
        found = ledger.voters()
        assert found is not None
        seen.append(([public for public, _ in found[0]], found[1], ledger.next_change(chain.store.best)))
        ledger.finalize(handing.proof(number, voter))
    assert seen == [([VOTERS[0].public], 0, 9), ([VOTERS[1].public], 1, 17), ([VOTERS[2].public], 2, None)]
    assert told == [9, 8, 3]


def test_a_restart_knows_who_votes_and_where_sets_ended(handing: Handing) -> None:
    handing.finalize(FIRST_CHANGE, voter=0)
    handing.finalize(12, voter=1)
    store = handing.chain.store
    ends = [store.set_end(number) for number in (0, 9, 10, 12)]
    store.close()
    handing.chain.store = again = ChainStore.open(handing.path, {**spec_with_slots().state(), **SHORT_EPOCHS})
    importer = Importer(again, handing.chain.executor, handing.chain.feed, handing.chain.clock)
    importer.recover()
    assert ends == [again.set_end(number) for number in (0, 9, 10, 12)] == [9, 9, None, None]
    assert importer.sets.next_change(again.best) == SECOND_CHANGE
    (public, _), *others = importer.sets.current()[0]
    assert (public, others, importer.sets.current()[1]) == (VOTERS[1].public, [], 1)


def test_the_proofs_of_changes_stay_and_lead_from_genesis_to_the_last_set(tmp_path: Path) -> None:
    """All other proofs and bodies are pruned; each set is verified by the one before."""
    handing = Handing(tmp_path / "chain")
    store = handing.chain.store
    store.close()
    genesis = {**spec_with_slots().state(), **SHORT_EPOCHS}
    store = handing.chain.store = ChainStore.open(tmp_path / "pruned", genesis, blocks=Pruning(1))
    chain = handing.chain
    chain.importer = Importer(store, chain.executor, chain.feed, chain.clock)
    for number in range(1, 24):
        handing.grow(number)
        handing.finalize(number, (number > FIRST_CHANGE) + (number > SECOND_CHANGE))
    kept = [number for number in range(1, 24) if store.justification(handing.blocks[number]) is not None]
    assert kept == [9, 17, 22, 23]
    voters, set_id = chain.executor.grandpa_set(store.state_at(store.finalized))
    assert set_id == 2
    known, known_id = [(ALICE.public, 1)], 0
    for number in kept[:2]:
        proof = decode_justification(store.justification(handing.blocks[number]) or b"")
        verify_justification(proof, known, known_id, (handing.blocks[number], number))
        (said,) = [
            CONSENSUS_LOG.decode(log._1)
            for log in handing.header(number).digest.logs
            if isinstance(log, Consensus) and log._0 == GRANDPA_ENGINE
        ]
        assert isinstance(said, ScheduledChange)
        known, known_id = said._0.next_authorities, known_id + 1
    assert (known, known_id) == (voters, set_id)
    store.close()


def in_charge(handing: Handing) -> tuple[list[bytes], int]:
    """Return the voters above the final block, and their set."""
    voters, set_id = handing.chain.importer.sets.current()
    return [public for public, _ in voters], set_id


def test_a_forced_change_is_in_force_once_the_best_chain_is_there(tmp_path: Path) -> None:
    """The first voter finalises nothing any more; the second takes over above genesis and goes on."""
    handing = Handing(tmp_path / "chain", stalls=True)
    force, seen = FIRST_CHANGE + DELAY, []
    for height in range(8, 20):
        seen.append(in_charge(handing.grow(height)))
    first, second = ([VOTERS[0].public], 0), ([VOTERS[1].public], 1)
    assert seen == [first] * (force - 8) + [second] * (20 - force)
    assert handing.flaw(5, voter=0) is Flaw.BAD_SIGNATURE
    assert handing.flaw(20 - 1, voter=1) is Flaw.BEYOND_CHANGE
    handing.finalize(5, voter=1)
    assert in_charge(handing) == second
    handing.finalize(SECOND_CHANGE, voter=1)
    assert in_charge(handing) == ([VOTERS[2].public], 2)
    handing.finalize(19, voter=2)
    handing.chain.store.close()


def test_a_forced_change_is_that_of_the_best_chain(tmp_path: Path) -> None:
    handing = Handing(tmp_path / "chain", stalls=True).grow(12)
    assert in_charge(handing)[1] == 1
    chain, block = handing.chain, handing.blocks[4]
    for number in range(5, 14):
        block = chain.grow(FIRST_SLOT + number + 1, parent=block)
    assert chain.store.best == block
    assert in_charge(handing) == ([VOTERS[0].public], 0)
    chain.store.close()


FINAL = {5: 0, FIRST_CHANGE: 0, 12: 1, SECOND_CHANGE: 1, 20: 2}


def exported(handing: Handing) -> list[SignedBlock]:
    """Return the whole chain with the proofs that were stored."""
    store, found = handing.chain.store, []
    for number in range(1, 21):
        block = handing.blocks[number]
        body = store.body(block)
        assert body is not None
        found.append(SignedBlock(handing.header(number), body, store.justification(block)))
    return found


@pytest.mark.parametrize("left_out", [None, FIRST_CHANGE])
def test_a_file_carries_the_proofs_of_several_sets(
    handing: Handing, tmp_path: Path, left_out: int | None
) -> None:
    for number, voter in FINAL.items():
        handing.finalize(number, voter)
    signed = exported(handing)
    binary, text = io.BytesIO(), io.BytesIO()
    write_binary(binary, len(signed), iter(signed))
    write_json(text, len(signed), iter(signed))
    binary.seek(0)
    text.seek(0)
    assert list(read_binary(binary)) == list(read_json(text)) == signed
    other = Chain(tmp_path / "other", handing.chain.clock, also=SHORT_EPOCHS)
    for each in signed:
        number, block = each.header.number, each.header.hash()
        other.importer.import_foreign(each.header, each.body)
        if each.justification is None or number == left_out:
            continue
        if left_out is not None and number > left_out:
            with pytest.raises(JustificationError, match="which is not final"):
                other.importer.finalize(block, each.justification)
        else:
            other.importer.finalize(block, each.justification)
    assert other.store.finalized_number == (20 if left_out is None else 5)
    other.store.close()
