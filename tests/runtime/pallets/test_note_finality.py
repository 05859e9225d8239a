"""Grandpa.note_finality: a block may prove that one before it is final; voters earn points by it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

from runtime.frame.declare import Unsigned
from runtime.frame.errors import DispatchError
from runtime.frame.executive import BlockFault, BlockRejected, Executed
from runtime.frame.testing import Externalities
from runtime.pallets.grandpa import MAX_NOTED_HEADERS, POINTS, Error, NotedFinality, note_weight
from runtime.primitives.babe import SecondaryPlain, pre_digest_item
from runtime.primitives.grandpa import (
    Commit,
    GrandpaJustification,
    Precommit,
    SignedPrecommit,
    localized_payload,
)
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Digest, Header
from runtime.primitives.transaction import TransactionRejected
from runtime.primitives.types import ZERO_HASH, AccountId, Hash
from runtime.runtime import EXECUTIVE, AssayRuntime
from tests.runtime.bench import ALICE, ASY, AUTHOR_SEED, BOB, SLOT_MS, Chain, call, transfer

STAKES = {"ann": 10_000, "ben": 20_000, "cat": 30_000, "dan": 40_000}
"""ASY of the validators, and so their weights"""
WEIGHTS = {"ann": 10_000, "ben": 20_000, "cat": 29_999, "dan": 29_999}
"""What they weigh: of four nobody more than what may be faulty. 59,999 of the 89,998 finalise."""


def account(name: str) -> AccountId:
    return AccountId(blake2_256(name.encode()))


def signer(name: str) -> SigningKey:
    return SigningKey(blake2_256(f"grandpa of {name}".encode()))


def precommit(key: SigningKey, block: Hash, number: int, set_id: int = 0) -> SignedPrecommit:
    vote = Precommit(block, number)
    signature = key.sign(localized_payload(vote, 7, set_id)).signature
    return SignedPrecommit(vote, signature, bytes(key.verify_key))


def proof(
    keys: Sequence[SigningKey],
    block: Hash,
    number: int,
    *,
    set_id: int = 0,
    more: Sequence[SignedPrecommit] = (),
) -> GrandpaJustification:
    """Return the justification of round 7 by which these voters make a block final."""
    votes = [precommit(key, block, number, set_id) for key in keys]
    return GrandpaJustification(7, Commit(block, number, [*votes, *more]), [])


class Bench:
    """A chain of empty blocks with four validators; the next one is open."""

    def __init__(self) -> None:
        hexed = {name: "0x" + account(name).hex() for name in STAKES}
        grandpa = {name: "0x" + bytes(signer(name).verify_key).hex() for name in STAKES}
        self.config: dict[str, Any] = {
            "balances": {"balances": [[hexed[name], 10**6 * ASY] for name in STAKES]},
            "session": {
                "keys": [[hexed[name], {"babe": grandpa[name], "grandpa": grandpa[name]}] for name in STAKES]
            },
            "staking": {
                "validator_count": 4,
                "stakers": [[hexed[name], stake * ASY] for name, stake in STAKES.items()],
            },
        }
        self.ext = Externalities(AssayRuntime, genesis=self.config)
        self.ext.number = 0
        self.open()

    @property
    def runtime(self) -> AssayRuntime:
        bound: AssayRuntime = self.ext.runtime
        return bound

    def open(self) -> None:
        self.ext.open_block((pre_digest_item(SecondaryPlain(0, 1_000 + self.ext.number)),))

    def build(self, blocks: int) -> None:
        """Close so many blocks."""
        for _ in range(blocks):
            self.ext.close_block()
            self.open()

    def hash(self, number: int) -> Hash:
        return self.runtime.system.block_hash[number]

    def proof(self, names: str, number: int, **more: Any) -> GrandpaJustification:
        set_id = more.pop("set_id", self.runtime.grandpa.current_set_id.get())
        return proof(
            [signer(name) for name in names.split()], self.hash(number), number, set_id=set_id, **more
        )

    def note(self, justification: GrandpaJustification) -> None:
        self.ext.dispatch(Unsigned(), "Grandpa", "note_finality", justification)

    def refused(self, justification: GrandpaJustification) -> Any:
        """Say why a justification is not noted, and that no author would try to."""
        root = self.ext.state_root()
        with pytest.raises(DispatchError) as refusal:
            self.note(justification)
        assert self.ext.state_root() == root
        assert self.runtime.grandpa.create_inherent({"justification": justification.encode()}) is None
        return refusal.value.reason

    def points(self) -> dict[str, int]:
        """Return the reward points of the era; none of the blocks has been closed with its author's."""
        era = self.runtime.staking.active_era.get().index
        earned = self.runtime.staking.eras_reward_points[era].individual
        return {name: earned[account(name)] for name in STAKES if account(name) in earned}


def gained(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}


@pytest.fixture
def bench() -> Bench:
    """Twelve blocks are closed, the thirteenth is open."""
    made = Bench()
    made.build(12)
    return made


def share(name: str, blocks: int) -> int:
    return POINTS * blocks * WEIGHTS[name] // sum(WEIGHTS.values())


def test_each_voter_earns_by_its_weight_and_the_absent_nothing(bench: Bench) -> None:
    before = bench.points()
    bench.note(bench.proof("ben cat dan", 9))
    assert gained(before, bench.points()) == {name: share(name, 9) for name in ("ben", "cat", "dan")}
    assert bench.runtime.grandpa.noted_finality.get() == NotedFinality(9, 13)


def test_nobody_gains_by_leaving_votes_out(bench: Bench) -> None:
    """An era pays by shares: what the absent would have had is in the total, so that no share grows by it."""
    before = bench.runtime.staking.eras_reward_points[0].total
    bench.note(bench.proof("ben cat dan", 9))
    assert bench.runtime.staking.eras_reward_points[0].total == before + 9 * POINTS


def test_rounding_loses_nothing_from_note_to_note(bench: Bench) -> None:
    author = next(name for name in STAKES if account(name) == bench.runtime.session.validator_at(0))
    before = bench.points()
    bench.note(bench.proof("ann ben cat dan", 5))
    bench.build(10)
    bench.note(bench.proof("ann ben cat", 22))
    earned = {name: share(name, 22) for name in ("ann", "ben", "cat")} | {"dan": share("dan", 5)}
    earned[author] += 10 * POINTS  # as the author of ten blocks
    assert gained(before, bench.points()) == earned


def test_a_voter_with_two_votes_earns_nothing(bench: Bench) -> None:
    """Its weight counts for every block, as the round counts it; the header of the other vote comes along."""
    other = Header(bench.hash(9), 10, ZERO_HASH, ZERO_HASH, Digest([]))
    twice = precommit(signer("ann"), Hash(other.hash()), 10)
    before = bench.points()
    bench.note(replace(bench.proof("ann ben cat", 9, more=[twice]), votes_ancestries=[other]))
    assert gained(before, bench.points()) == {name: share(name, 9) for name in ("ben", "cat")}


def test_once_in_ten_blocks_and_only_upwards(bench: Bench) -> None:
    bench.note(bench.proof("ben cat dan", 9))
    for _ in range(9):
        bench.build(1)
        assert bench.refused(bench.proof("ben cat dan", 12)) is Error.TooSoonToNote
    bench.build(1)
    assert bench.refused(bench.proof("ben cat dan", 9)) is Error.NothingNew
    assert bench.refused(bench.proof("ben cat dan", 8)) is Error.NothingNew
    newest = bench.proof("ben cat dan", 22)
    assert bench.runtime.grandpa.create_inherent({"justification": newest.encode()}) == (
        "note_finality",
        (newest,),
    )
    bench.note(newest)
    assert bench.runtime.grandpa.noted_finality.get() == NotedFinality(22, 23)


def test_only_a_block_of_this_chain_is_noted(bench: Bench) -> None:
    keys = [signer(name) for name in STAKES]
    for block, number in (
        (Hash(b"x" * 32), 9),
        (bench.hash(9), 8),
        (bench.hash(0), 0),
        (ZERO_HASH, 13),
        (ZERO_HASH, 14),
    ):
        assert bench.refused(proof(keys, block, number)) is Error.NothingNew
    bench.note(bench.proof("ben cat dan", 12))  # the parent is one


def other_set(bench: Bench) -> GrandpaJustification:
    return bench.proof("ann ben cat dan", 9, set_id=1)


def two_of_four(bench: Bench) -> GrandpaJustification:
    return bench.proof("cat dan", 9)


def strangers(bench: Bench) -> GrandpaJustification:
    return bench.proof("cat dan eve", 9)


def the_same_vote_again(bench: Bench) -> GrandpaJustification:
    whole = bench.proof("ben cat dan", 9)
    return replace(
        whole, commit=replace(whole.commit, precommits=[*whole.commit.precommits, whole.commit.precommits[0]])
    )


def a_forged_vote(bench: Bench) -> GrandpaJustification:
    whole = bench.proof("cat dan", 9)
    forged = replace(whole.commit.precommits[0], id=bytes(signer("ben").verify_key))
    return replace(whole, commit=replace(whole.commit, precommits=[*whole.commit.precommits, forged]))


def nobody(bench: Bench) -> GrandpaJustification:
    return bench.proof("", 9)


def far_apart(bench: Bench) -> GrandpaJustification:
    headers = [Header(bench.hash(9), 10, ZERO_HASH, ZERO_HASH, Digest([]))]
    while len(headers) <= MAX_NOTED_HEADERS:
        headers.append(Header(headers[-1].hash(), headers[-1].number + 1, ZERO_HASH, ZERO_HASH, Digest([])))
    high = precommit(signer("ann"), headers[-1].hash(), headers[-1].number)
    return replace(bench.proof("ben cat dan", 9, more=[high]), votes_ancestries=headers)


@pytest.mark.parametrize(
    "make", [other_set, two_of_four, strangers, the_same_vote_again, a_forged_vote, nobody, far_apart]
)
def test_what_proves_nothing_is_refused(bench: Bench, make: Callable[[Bench], GrandpaJustification]) -> None:
    assert bench.refused(make(bench)) is Error.InvalidJustification
    bench.note(bench.proof("ben cat dan", 9))


def test_a_justification_that_does_not_decode_is_not_put_into_a_block(bench: Bench) -> None:
    for supplied in ({}, {"justification": None}, {"justification": b""}, {"justification": b"\xff" * 400}):
        assert bench.runtime.grandpa.create_inherent(supplied) is None


def test_after_a_change_only_the_voters_in_office_are_heard() -> None:
    """Blocks that the set before made final count with the first note of the next."""
    bench = Bench()
    while bench.runtime.grandpa.current_set_id.get() == 0:
        bench.build(1)
    handover = bench.runtime.system.number.get()
    for set_id in (0, 1):  # in the block between two sets nobody is in office
        early = bench.proof("ann ben cat dan", handover - 1, set_id=set_id)
        assert bench.refused(early) is Error.InvalidJustification
    bench.build(2)
    before = bench.points()
    assert bench.refused(bench.proof("ann ben cat dan", handover, set_id=0)) is Error.InvalidJustification
    bench.note(bench.proof("ann ben cat dan", handover + 1))
    assert gained(before, bench.points()) == {name: share(name, handover + 1) for name in STAKES}


def test_its_weight_grows_with_votes_and_headers(bench: Bench) -> None:
    small, large = bench.proof("cat dan", 9), far_apart(bench)
    runtime = bench.runtime
    difference = note_weight(runtime, large).ref_time - note_weight(runtime, small).ref_time
    assert difference == (len(large.votes_ancestries) + 2) * 100_000_000


# In blocks: a chain whose only validator is Alice.

SEED = SigningKey(AUTHOR_SEED)


def alice_chain() -> Chain:
    chain = Chain()
    for _ in range(12):
        chain.build()
    return chain


def drafted(
    chain: Chain, justification: GrandpaJustification | None, *extrinsics: bytes
) -> tuple[Executed, list[bytes]]:
    """Return the next block as its author builds it, who knows this justification."""
    execution = chain.open()
    supplied: dict[str, Any] = {"timestamp": (chain.slot + 1) * SLOT_MS}
    if justification is not None:
        supplied["justification"] = justification.encode()
    body = [*execution.inherents(supplied), *extrinsics]
    for each in body:
        assert execution.apply(each) is None
    return execution.finish(), body


def alices(chain: Chain, number: int) -> GrandpaJustification:
    return proof([SEED], chain.hashes[number], number)


def test_a_block_may_carry_a_note_and_need_not() -> None:
    chain = alice_chain()
    for justification, extrinsics in ((None, 1), (alices(chain, 11), 2), (alices(chain, 12), 1)):
        executed, body = drafted(chain, justification)
        assert len(body) == extrinsics
        assert chain.execute(executed.header, body).header == executed.header
        chain.adopt(executed)
    assert chain.runtime.grandpa.noted_finality.get() == NotedFinality(11, 14)


def refused_body(chain: Chain, header: Header, body: list[bytes]) -> BlockRejected:
    with pytest.raises(BlockRejected) as refused:
        chain.execute(header, body)
    return refused.value


def test_a_note_stands_once_behind_the_time_and_before_all_transactions() -> None:
    chain = alice_chain()
    paid = chain.sign(ALICE, transfer(BOB, ASY))
    executed, (stamp, note, _) = drafted(chain, alices(chain, 11), paid)
    for body in (
        [note, stamp, paid],
        [stamp, paid, note],
        [stamp, note, note, paid],
        [note, paid],
        [stamp, note, stamp],
    ):
        assert refused_body(chain, executed.header, body).fault is BlockFault.INHERENT
    assert refused_body(chain, executed.header, [stamp, paid]).fault is BlockFault.EXTRINSICS_ROOT


def test_a_note_that_proves_nothing_spoils_its_block() -> None:
    chain = alice_chain()
    executed, (stamp, _) = drafted(chain, alices(chain, 11))
    forged = proof([SigningKey(bytes(32))], chain.hashes[11], 11)
    for justification in (forged, alices(chain, 0), proof([SEED], chain.hashes[11], 11, set_id=3)):
        note = EXECUTIVE.format.bare(call("Grandpa", "note_finality", justification))
        assert refused_body(chain, executed.header, [stamp, note]).fault is BlockFault.REFUSED


def test_nobody_can_sign_a_note_or_submit_one() -> None:
    chain = alice_chain()
    inner = call("Grandpa", "note_finality", alices(chain, 11))
    for encoded in (chain.sign(ALICE, inner), EXECUTIVE.format.bare(inner)):
        with pytest.raises(TransactionRejected) as refused:
            EXECUTIVE.validate(chain.state, chain.head, encoded)
        assert refused.value.reason == "MandatoryValidation"
