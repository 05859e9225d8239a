"""Whole chains of several validators: primary slots, skipped epochs, and what differs from fork to fork."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest

from chain.common.errors import BlockFlaw, InvalidBlock
from chain.consensus.slots import seal
from chain.keys.pair import Keypair
from runtime.primitives.babe import is_primary_header, pre_digest_of
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import Hash
from runtime.runtime import AssayRuntime
from tests.chain.chains import FIRST_SLOT, SLOT_MS, SPENDER
from tests.chain.validators import Validator, grow, play, session_key, validators

FOUR = {"Alice": 50_000, "Bob": 30_000, "Charlie": 15_000, "Dave": 5_000}
QUARTER = {"epochConfig": {"c": [1, 4], "allowed_slots": "PrimaryAndSecondaryVRFSlots"}}


def chain_of(party: Validator) -> list[Hash]:
    """Return the best chain."""
    store = party.chain.store
    return [store.hash_at(number) or store.genesis_hash for number in range(store.best_number + 1)]


async def test_every_slot_has_one_author_and_all_agree(tmp_path: Path) -> None:
    with validators(tmp_path, FOUR) as parties:
        history = await play(parties, range(FIRST_SLOT, FIRST_SLOT + 24))
        assert [len(headers) for headers in history] == [1] * 24
        assert not any(is_primary_header(header) for [header] in history)
        assert len({party.chain.store.best for party in parties}) == 1
        assert parties[0].chain.store.best_number == 24
        indices = {pre_digest_of(header).authority_index for [header] in history}
        assert len(indices) >= 3  # the smallest has one slot in twenty


async def test_with_primary_slots_forks_are_short_and_the_primary_wins(tmp_path: Path) -> None:
    with validators(tmp_path, FOUR, QUARTER) as parties:
        history = await play(parties, range(FIRST_SLOT, FIRST_SLOT + 36))
        assert all(headers for headers in history)
        forked = [headers for headers in history if len(headers) > 1]
        primaries = [header for headers in history for header in headers if is_primary_header(header)]
        assert len(forked) > 3
        assert 3 < len(primaries) < 20  # 9 slots are expected to have one
        best = {party.chain.store.best for party in parties}
        weights = {party.chain.store.chain_weight(party.chain.store.best) for party in parties}
        assert len(weights) == 1, "they may differ in the last block only, by whose came first"
        assert len(best) <= 2
        on_chain = set(chain_of(parties[0]))
        for headers in history[:-2]:
            won = [header for header in headers if is_primary_header(header)]
            if won:
                assert any(header.hash() in on_chain for header in won), "a primary block outweighs others"


@pytest.mark.parametrize("skipped", [1, 3])
async def test_after_skipped_epochs_what_was_announced_for_the_first_applies(
    tmp_path: Path, skipped: int
) -> None:
    with validators(tmp_path, FOUR, slots=10) as parties:
        await play(parties, range(FIRST_SLOT, FIRST_SLOT + 12))  # two slots into epoch 1
        alice = parties[0].chain
        announced = _announced(parties[0], alice.store.best)
        later = FIRST_SLOT + 20 + skipped * 10 + 3
        history = await play(parties, range(later, later + 12))
        assert [len(headers) for headers in history] == [1] * 12
        first = alice.store.state_at(history[0][0].hash())
        now, _, _ = alice.executor.current_epoch(first)
        assert (now.index, now.authorities, now.randomness) == (2 + skipped, *announced)
        assert len({party.chain.store.best for party in parties}) == 1
        assert alice.store.best_number == 24


def _announced(party: Validator, block: Hash) -> tuple[list[tuple[bytes, int]], bytes]:
    """Return authorities and randomness that a block's chain has announced for the next epoch."""
    chain = party.chain
    epoch = chain.executor.epoch(chain.store.state_at(block), 5, FIRST_SLOT + 10_000)
    return list(epoch.authorities), epoch.randomness


async def test_forks_across_an_epoch_have_their_own_randomness(tmp_path: Path) -> None:
    """The outputs gathered differ by fork, so leaders do: each header is judged by its own parent's state."""
    end = FIRST_SLOT + 30
    with validators(tmp_path, FOUR, slots=10) as parties:
        await play(parties, range(FIRST_SLOT, FIRST_SLOT + 5))
        chain = parties[0].chain
        root, chain.clock.ms = chain.store.best, end * SLOT_MS
        left = grow(parties, root, range(FIRST_SLOT + 5, end))
        right = grow(parties, root, range(FIRST_SLOT + 6, end))
        ours, theirs = _announced(parties[0], left), _announced(parties[0], right)
        assert ours[0] == theirs[0]
        assert ours[1] != theirs[1]
        _check_own_parents_only(parties, left, right, end)


async def test_forks_may_have_other_authorities(tmp_path: Path) -> None:
    """On one fork //Bob has changed his keys: there the new one authors, on the other the old one."""
    end, new = FIRST_SLOT + 40, session_key("Bob//2")
    with validators(tmp_path, FOUR, slots=10) as parties:
        await play(parties, range(FIRST_SLOT, FIRST_SLOT + 5))
        chain = parties[0].chain
        root, chain.clock.ms = chain.store.best, end * SLOT_MS
        keys = SessionKeys(new.public, new.public)
        change = chain.signed(AssayRuntime.call("Session", "set_keys", keys, b""), 0, SPENDER)
        with_new = [*parties, _with_key(parties[1], new)]
        left = grow(with_new, root, range(FIRST_SLOT + 5, end), change)
        right = grow(parties, root, range(FIRST_SLOT + 6, end))
        authors = {
            fork: dict(chain.executor.current_epoch(chain.store.state_at(fork))[0].authorities)
            for fork in (left, right)
        }
        assert authors[left].keys() ^ authors[right].keys() == {new.public, parties[1].key.public}
        _check_own_parents_only(with_new, left, right, end)


def _with_key(party: Validator, key: Keypair) -> Validator:
    """Return a validator on the same chain with another key."""
    other = copy(party)
    other.key = key
    return other


def _check_own_parents_only(parties: list[Validator], left: Hash, right: Hash, slot: int) -> None:
    """Blocks of a slot on two forks are good where they are, and nowhere else."""
    chain = parties[0].chain
    chain.clock.ms = slot * SLOT_MS
    built = [next(made for each in parties if (made := each.build(slot, fork))) for fork in (left, right)]
    moved = replace(built[0][0].unsealed()[0], parent_hash=right, number=built[1][0].number)
    author = next(each for each in parties if each.build(slot, left))
    with pytest.raises(InvalidBlock) as refused:
        chain.importer.import_foreign(moved.sealed(seal(moved, author.key)), built[0][1])
    assert refused.value.reason in (BlockFlaw.BAD_SEAL, BlockFlaw.BAD_VRF, BlockFlaw.WRONG_AUTHOR)
    for header, body in built:
        assert chain.importer.import_foreign(header, body) == header.hash()
