"""What a validator's own database tells its guard at start."""

from pathlib import Path

import pytest

from chain.consensus.guard import Guard
from chain.consensus.guard_records import GuardError, SlotRecord, VoteRecord
from chain.consensus.slots import pre_hash
from chain.env_real import RealDisk
from chain.service.recall import recall
from runtime.primitives.grandpa import Precommit
from runtime.primitives.types import Hash
from tests.chain.chains import ALICE, FIRST_SLOT, Chain, justified


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A chain of three blocks of //Alice's, two of them final, and a fork that is higher in slots."""
    made = Chain(tmp_path / "db")
    blocks = [made.grow(FIRST_SLOT + number) for number in range(3)]
    header = made.store.header(blocks[1])
    assert header is not None
    made.importer.finalize(blocks[1], justified(header, 7).encode())
    made.grow(FIRST_SLOT + 9, parent=blocks[1])
    return made


def guard_of(directory: Path, *, lenient: bool = False) -> Guard:
    """Return a guard that knows //Alice's keys and nothing that they have signed."""
    guard = Guard.open(RealDisk(directory), lenient=lenient)
    guard.admit_author(ALICE.public)
    guard.admit_voter(ALICE.public)
    guard.put_to_work(ALICE.public)
    return guard


def test_a_guard_that_knows_less_than_the_database_signs_nothing(chain: Chain, tmp_path: Path) -> None:
    guard = guard_of(tmp_path / "guard")
    recall(chain.store, chain.executor, guard)
    assert guard.stale
    with pytest.raises(GuardError, match="is older than what its keys have signed"):
        guard.sign_seal(ALICE, FIRST_SLOT + 100, Hash(bytes(32)))


def test_a_guard_that_knows_it_all_is_not_alarmed(chain: Chain, tmp_path: Path) -> None:
    guard = guard_of(tmp_path / "guard")
    head = next(leaf for leaf in chain.store.leaves() if leaf != chain.store.best)
    header, final = chain.store.header(head), chain.store.header(chain.store.finalized)
    assert header is not None
    assert final is not None
    guard.sign_vote(ALICE, Precommit(final.hash(), final.number), 7, 0)
    guard.sign_seal(ALICE, FIRST_SLOT + 9, Hash(pre_hash(header.unsealed()[0])))
    recall(chain.store, chain.executor, guard)
    assert not guard.stale


def test_votes_alone_are_enough_to_find_an_old_copy(chain: Chain, tmp_path: Path) -> None:
    guard = guard_of(tmp_path / "guard")
    guard.sign_seal(ALICE, FIRST_SLOT + 50, Hash(bytes(32)))
    recall(chain.store, chain.executor, guard)
    assert guard.stale


@pytest.mark.parametrize("lenient", [False, True])
def test_keys_that_listen_and_those_of_test_chains_learn_from_it(
    chain: Chain, tmp_path: Path, lenient: bool
) -> None:
    guard = guard_of(tmp_path / "guard", lenient=lenient)
    if not lenient:
        guard.begin_silence([ALICE.public], [ALICE.public], 60)
    recall(chain.store, chain.executor, guard)
    assert not guard.stale
    head = chain.store.header(max(chain.store.leaves(), key=lambda leaf: leaf != chain.store.best))
    assert head is not None
    assert guard.last_slot(ALICE.public) == SlotRecord(FIRST_SLOT + 9, Hash(pre_hash(head.unsealed()[0])))
    assert guard.last_vote(ALICE.public) == VoteRecord(0, 7, 3)


def test_others_keys_are_none_of_its_business(chain: Chain, tmp_path: Path) -> None:
    guard = Guard.open(RealDisk(tmp_path / "guard"))
    guard.admit_author(ALICE.public)  # not at work: its node authors nothing
    recall(chain.store, chain.executor, guard)
    assert not guard.stale
