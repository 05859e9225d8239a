"""BABE: epochs, announcements and randomness against a slow model, skipped epochs included."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.declare import Root
from runtime.frame.errors import BadOrigin
from runtime.frame.executive import BlockRejected
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.babe import BabeEpochConfiguration, Error
from runtime.pallets.session import NewSession
from runtime.primitives.babe import (
    CONSENSUS_LOG,
    V1,
    AllowedSlots,
    NextConfigData,
    NextEpochData,
    Primary,
    SecondaryPlain,
    VrfSignature,
    pre_digest_item,
    pre_digest_of,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import BABE_ENGINE, Consensus, Digest, Header
from runtime.primitives.vrf import proof_to_hash
from runtime.runtime import EXECUTIVE
from tests.runtime.bench import FIRST_SLOT, Block, Chain
from tests.runtime.pallets.session_bench import Bench, account, keys

EPOCH = 30


def output_of(header: Header) -> bytes:
    digest = pre_digest_of(header)
    assert not isinstance(digest, SecondaryPlain)
    proof = digest.vrf_signature.to_proof()
    assert proof is not None
    return proof_to_hash(proof)


def announced(header: Header) -> list[NextEpochData]:
    messages = [log for log in header.digest.logs if isinstance(log, Consensus) and log._0 == BABE_ENGINE]
    return [CONSENSUS_LOG.decode(message._1) for message in messages]


class Model:
    """The rules of the epochs, from the list of all blocks so far."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, bytes]] = []

    def entered(self) -> list[tuple[int, bytes, bytes]]:
        """Return (epoch, randomness, randomness of the next), oldest first."""
        first = self.blocks[0][0]
        known = [(0, bytes(32), bytes(32))]
        gathered: list[bytes] = []
        for slot, output in self.blocks:
            epoch = (slot - first) // EPOCH
            if epoch > known[-1][0]:
                current = known[-1][2]
                pieces = b"".join(each[:32] for each in gathered)
                known.append(
                    (epoch, current, blake2_256(current + (epoch + 1).to_bytes(8, "little") + pieces))
                )
                gathered = []
            gathered.append(output)
        return known

    def accumulator(self) -> bytes:
        value = bytes(32)
        for _, output in self.blocks:
            value = blake2_256(value + output)
        return value


def follow(chain: Chain, model: Model, gap: int) -> Block:
    block = chain.build(slot=chain.slot + gap)
    model.blocks.append((chain.slot, output_of(block.header)))
    return block


@settings(max_examples=12)
@given(st.lists(st.sampled_from([1, 2, 7, 29, 30, 31, 61, 95]), min_size=1, max_size=12))
def test_epochs_and_randomness_follow_the_model(gaps: list[int]) -> None:
    chain, model = Chain(), Model()
    for gap in gaps:
        entered = len(model.entered()) if model.blocks else 0
        block = follow(chain, model, gap)
        babe, session = chain.runtime.babe, chain.runtime.session
        epoch, randomness, upcoming = model.entered()[-1]
        assert (babe.epoch_index.get(), babe.randomness.get(), babe.next_randomness.get()) == (
            epoch,
            randomness,
            upcoming,
        )
        assert babe.beacon(b"x") == blake2_256(b"x" + model.accumulator())
        fresh = len(model.entered()) > entered
        assert announced(block.header) == [NextEpochData(babe.authorities.get(), upcoming)] * fresh
        assert session.current_index.get() == len(model.entered()) - 1
        sessions = [record.event for record in block.events if isinstance(record.event, NewSession)]
        assert sessions == [NewSession(session.current_index.get())] * (fresh and len(model.blocks) > 1)
        gathered = [babe.under_construction[at] for at in range(babe.segment_index.get())]
        first = model.blocks[0][0]
        assert gathered == [out[:32] for slot, out in model.blocks if (slot - first) // EPOCH == epoch]
        assert len(list(babe.under_construction.keys())) == len(gathered)


def test_block_one_opens_epoch_zero_in_its_own_slot() -> None:
    chain = Chain()
    chain.build(slot=777_777)
    babe = chain.runtime.babe
    assert (babe.genesis_slot.get(), babe.current_slot.get(), babe.epoch_index.get()) == (777_777, 777_777, 0)
    now, then = babe.current_epoch(), babe.next_epoch()
    assert (now.epoch_index, now.start_slot, now.duration) == (0, 777_777, EPOCH)
    assert (then.epoch_index, then.start_slot, then.duration) == (1, 777_807, EPOCH)


def test_the_author_is_who_the_pre_digest_names() -> None:
    chain = Chain()
    chain.build()
    runtime = chain.runtime
    assert (runtime.babe.author_index(), runtime.babe.authority_weights()) == (0, [10_000])
    assert runtime.authorship.author_of_block() == runtime.session.validators.get()[0]


def test_an_author_beyond_the_list_is_nobody() -> None:
    chain = Chain()
    log = pre_digest_item(SecondaryPlain(9, FIRST_SLOT))
    execution = EXECUTIVE.open(chain.state, 1, chain.head.hash(), Digest([log]))
    assert execution.runtime.babe.author_index() == 9  # type: ignore[attr-defined]
    assert execution.runtime.authorship.author_of_block() is None  # type: ignore[attr-defined]


def test_a_block_without_a_pre_digest_has_no_author_and_no_slot() -> None:
    chain = Chain()
    chain.build()
    execution = EXECUTIVE.open(chain.state, 2, chain.head.hash(), Digest([]))
    babe: Any = execution.runtime.babe  # type: ignore[attr-defined]
    assert (babe.author_index(), babe.current()) == (None, None)


@pytest.mark.parametrize("slot", [0, FIRST_SLOT - 500, 2**64 - 1])
def test_any_slot_is_survived(slot: int) -> None:
    chain = Chain()
    chain.build()
    log = pre_digest_item(Primary(0, slot, VrfSignature(b"\x58" + b"\x66" * 31, bytes(64))))
    with pytest.raises(BlockRejected):
        chain.execute(replace(chain.head, parent_hash=chain.head.hash(), number=2, digest=Digest([log])), [])


def test_configuration_is_the_genesis_one() -> None:
    found = Chain().runtime.babe.configuration()
    assert (found.slot_duration, found.epoch_length, found.c, len(found.authorities)) == (
        2_000,
        EPOCH,
        (0, 1),
        1,
    )


def test_what_was_announced_applies_however_many_epochs_are_skipped() -> None:
    bench = Bench({"ann": 30, "ben": 20, "cat": 0}, ["ann", "ben", "cat"])
    bench.choose(cat=50, ben=20)
    bench.next_session()
    babe = bench.runtime.babe
    announced = NextEpochData([(keys("cat").babe, 50), (keys("ben").babe, 20)], babe.next_randomness.get())
    assert bench.babe_logs() == [announced]
    bench.next_session(skipped=4)
    babe = bench.runtime.babe
    assert (babe.epoch_index.get(), bench.runtime.session.current_index.get()) == (6, 2)
    assert (babe.authorities.get(), babe.randomness.get()) == (announced.authorities, announced.randomness)
    assert (babe.current_epoch().epoch_index, babe.current_epoch().start_slot) == (6, 1_060)
    assert bench.runtime.session.validators.get() == [account("cat"), account("ben")]


def test_sessions_are_counted_without_skipped_epochs() -> None:
    bench = Bench({"ann": 1}, ["ann"])
    sessions = {0: 0}
    for skipped in (0, 3, 0, 0, 7, 1, 0):
        bench.next_session(skipped=skipped)
        sessions[bench.runtime.babe.epoch_index.get()] = bench.runtime.session.current_index.get()
    assert list(sessions) == [0, 1, 5, 6, 7, 15, 17, 18]
    babe = bench.runtime.babe
    assert {epoch: babe.session_at(epoch) for epoch in sessions} == sessions
    assert babe.session_at(19) == 8
    assert babe.skipped_epochs.get() == [(5, 2), (15, 5), (17, 6)]


def test_only_so_many_gaps_are_remembered() -> None:
    bench = Bench({"ann": 1}, ["ann"])
    for _ in range(103):
        bench.next_session(skipped=1)
    gaps = bench.runtime.babe.skipped_epochs.get()
    assert gaps == [(2 * session, session) for session in range(4, 104)]


QUARTER = V1((1, 4), AllowedSlots.PrimaryAndSecondaryVRFSlots)


def test_a_planned_configuration_is_announced_and_then_applies() -> None:
    bench = Bench({"ann": 1}, ["ann"])
    before = bench.runtime.babe.epoch_config.get()
    assert_ok(bench.ext, Root(), "Babe", "plan_config_change", QUARTER)
    after = BabeEpochConfiguration((1, 4), AllowedSlots.PrimaryAndSecondaryVRFSlots)
    seen = []
    for _ in range(3):
        bench.next_session()
        babe = bench.runtime.babe
        told = [log for log in bench.babe_logs() if isinstance(log, NextConfigData)]
        seen.append((told, babe.current_epoch().config, babe.next_epoch().config, babe.configuration().c))
    assert seen == [
        ([NextConfigData(QUARTER)], before, after, (0, 1)),
        ([], after, after, (1, 4)),
        ([], after, after, (1, 4)),
    ]


@pytest.mark.parametrize(
    ("c", "allowed"),
    [
        ((1, 0), AllowedSlots.PrimaryAndSecondaryVRFSlots),
        ((5, 4), AllowedSlots.PrimaryAndSecondaryVRFSlots),
        ((1, 4), AllowedSlots.PrimarySlots),
        ((1, 4), AllowedSlots.PrimaryAndSecondaryPlainSlots),
    ],
)
def test_configurations_that_make_no_chain_are_refused(c: tuple[int, int], allowed: AllowedSlots) -> None:
    bench = Bench({"ann": 1}, ["ann"])
    config = V1(c, allowed)
    assert_noop(bench.ext, Root(), "Babe", "plan_config_change", config, error=Error.InvalidConfiguration)
    assert_noop(bench.ext, account("ann"), "Babe", "plan_config_change", QUARTER, error=BadOrigin())
