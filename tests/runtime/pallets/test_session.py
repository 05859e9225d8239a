"""Session: keys are claimed, queued and taken into office; whoever is disabled stays so long enough."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runtime.frame.errors import DispatchError, InvalidDigest
from runtime.frame.testing import assert_noop, assert_ok
from runtime.pallets.session import (
    Error,
    NewSession,
    Session,
    ValidatorDisabled,
    ValidatorReenabled,
)
from runtime.primitives import babe, grandpa
from runtime.primitives.authority_weights import UNIT, authority_weights, tolerated
from runtime.primitives.ss58 import account_of
from runtime.primitives.types import AccountId
from tests.runtime.bench import Chain, preset
from tests.runtime.pallets.session_bench import Bench, account, authority, keys, proof

FOUR = {"ann": 10, "ben": 10, "cat": 10, "dan": 10}


@pytest.fixture
def bench() -> Bench:
    """Ann and Ben in office; Cat and Dan are bonded, Cat is chosen but has no keys, Dan has some."""
    return Bench({"ann": 30, "ben": 20, "cat": 10, "dan": 0}, ["ann", "ben", "dan"])


# Genesis.


def test_genesis_of_the_presets_makes_stakers_with_keys_authorities() -> None:
    runtime, config = Chain().runtime, preset()
    ((stash, held),) = config["session"]["keys"]
    staked = dict(config["staking"]["stakers"])
    assert len(staked) == 2, "a staker without keys scores, but is no authority"
    assert runtime.session.validators.get() == [account_of(stash)]
    expected = [(bytes.fromhex(held["babe"][2:]), staked[stash] // UNIT)]
    assert runtime.babe.authorities.get() == runtime.babe.next_authorities.get() == expected
    assert runtime.grandpa.authorities.get() == expected
    assert runtime.system.account[account_of(stash)].consumers == 2  # its bond and its keys
    runtime.try_state()


def test_genesis_leaves_out_who_has_no_keys(bench: Bench) -> None:
    assert bench.heard == ["new 0", "new 1", "start 0", "genesis with 2"]
    assert bench.office() == [authority("ann", 30), authority("ben", 20)]
    session = bench.runtime.session
    assert (session.validator_at(0), session.validator_at(2)) == (account("ann"), None)
    assert session.queued_keys.get() == [(account("ann"), keys("ann")), (account("ben"), keys("ben"))]
    assert not session.queued_changed.get()


def test_a_key_is_listed_once_at_genesis() -> None:
    config = preset()
    held = config["session"]["keys"][0][1]
    both = [[stash, held] for stash, _ in config["staking"]["stakers"]]
    with pytest.raises(DispatchError) as refused:
        Chain(config | {"session": {"keys": both}})
    assert refused.value.reason == Error.DuplicatedKey


# Rotation.


def test_keys_come_into_office_two_rotations_later_with_their_weight(bench: Bench) -> None:
    bench.set_keys("cat")
    assert bench.next_session()[-1:] == [NewSession(1)]
    three = [authority("ann", 30), authority("ben", 20), authority("cat", 10)]
    assert bench.runtime.session.queued_keys.get() == [(each.stash, each.keys) for each in three]
    told = [(each.keys.babe, each.weight) for each in three]
    randomness = bench.runtime.babe.next_randomness.get()
    assert bench.babe_logs() == [babe.NextEpochData(told, randomness)]
    assert bench.office() == three[:2]
    bench.next_session()
    assert bench.office() == three


def test_the_order_of_a_rotation(bench: Bench) -> None:
    bench.choose(ben=20, cat=10)
    bench.forget()
    events = bench.next_session()
    assert bench.heard == ["end 0", "start 1", "new 2", "session 1 with 2, then 1"]
    assert events == [NewSession(1)]
    bench.forget()
    bench.next_session()
    assert bench.heard == ["end 1", "start 2", "new 3", "session 2 with 1, then 1, changed"]
    bench.forget()
    bench.next_session()
    assert bench.heard == ["end 2", "start 3", "new 4", "session 3 with 1, then 1"]


def test_keys_change_in_office(bench: Bench) -> None:
    bench.set_keys("ann", of="new ann")
    bench.next_session()
    assert bench.office()[0] == authority("ann", 30)
    bench.forget()
    bench.next_session()
    assert bench.office()[0] == authority("ann", 30, of="new ann")
    assert bench.heard[-1] == "session 2 with 2, then 2, changed"


def test_who_has_no_keys_any_more_leaves_and_weights_are_made_anew() -> None:
    bench = Bench({"ann": 90, "ben": 10, "cat": 10, "dan": 10}, list(FOUR))
    assert [each.weight for each in bench.office()] == [14, 10, 10, 10]
    assert_ok(bench.ext, account("dan"), "Session", "purge_keys")
    bench.next_session()
    bench.next_session()
    assert bench.office() == [authority("ann", 90), authority("ben", 10), authority("cat", 10)]


def test_nobody_with_keys_keeps_the_old_set(bench: Bench) -> None:
    bench.choose(cat=10)
    bench.next_session()
    assert_ok(bench.ext, account("ann"), "Session", "purge_keys")
    assert_ok(bench.ext, account("ben"), "Session", "purge_keys")
    for _ in range(4):
        bench.next_session()
        assert bench.office() == [authority("ann", 30), authority("ben", 20)]
    bench.set_keys("ben")
    bench.next_session()
    bench.next_session()
    assert bench.office() == [authority("ben", 20)]


def test_a_session_ends_with_its_epoch() -> None:
    chain = Chain()
    chain.build()
    before = chain.build(slot=chain.slot + 29)
    entered = chain.build(slot=chain.slot + 1)
    assert [record.event for record in before.events if isinstance(record.event, NewSession)] == []
    assert [record.event for record in entered.events if isinstance(record.event, NewSession)] == [
        NewSession(1)
    ]
    assert chain.runtime.session.current_index.get() == 1


# Keys.


def test_new_keys_free_the_old_ones(bench: Bench) -> None:
    session = bench.runtime.session
    assert session.owner_of(b"gran", keys("ann").grandpa) == account("ann")
    bench.set_keys("ann", of="new ann")
    assert session.owner_of(b"gran", keys("ann").grandpa) is None
    assert session.owner_of(b"babe", keys("new ann").babe) == account("ann")
    bench.set_keys("ben", of="ann")
    assert session.owner_of(b"gran", keys("ann").grandpa) == account("ben")
    assert bench.runtime.system.account[account("ann")].consumers == 1


def test_keys_of_another_are_refused(bench: Bench) -> None:
    ext, ben = bench.ext, account("ben")
    assert_noop(ext, ben, "Session", "set_keys", keys("ann"), b"", error=Error.DuplicatedKey)
    mixed = [keys("ann").babe, keys("new ben").grandpa]
    assert_noop(ext, ben, "Session", "set_keys", type(keys("ann"))(*mixed), b"", error=Error.DuplicatedKey)


def test_only_the_bonded_have_keys(bench: Bench) -> None:
    stranger = account("stranger")
    assert_noop(
        bench.ext, stranger, "Session", "set_keys", keys("stranger"), b"", error=Error.NoAssociatedValidatorId
    )
    assert_noop(bench.ext, stranger, "Session", "purge_keys", error=Error.NoKeys)


def test_an_account_that_is_not_there_has_no_keys() -> None:
    bench = Bench({"ann": 1, "eve": 0}, ["ann"], poor=["eve"])
    assert_noop(bench.ext, account("eve"), "Session", "set_keys", keys("eve"), b"", error=Error.NoAccount)


def test_keys_hold_the_account_and_purging_lets_go(bench: Bench) -> None:
    dan = account("dan")
    assert bench.runtime.system.account[dan].consumers == 1
    assert_ok(bench.ext, dan, "Session", "purge_keys")
    assert bench.runtime.system.account[dan].consumers == 0
    assert bench.runtime.session.owner_of(b"babe", keys("dan").babe) is None
    assert_noop(bench.ext, dan, "Session", "purge_keys", error=Error.NoKeys)


@pytest.mark.parametrize(
    "shown",
    [
        proof("cat", account("ben")),
        proof("ben", account("cat")),
        proof("cat", account("cat"))[:-1],
        proof("cat", account("cat")) + b"\0",
        proof("cat", account("cat"))[64:] * 2,
    ],
)
def test_a_proof_that_is_shown_must_hold(bench: Bench, shown: bytes) -> None:
    call = (account("cat"), "Session", "set_keys", keys("cat"), shown)
    assert_noop(bench.ext, *call, error=Error.InvalidProof)
    bench.set_keys("cat", shown=proof("cat", account("cat")))
    assert bench.runtime.session.next_keys[account("cat")] == keys("cat")


def test_who_holds_keys_takes_them_back_from_who_claimed_them(bench: Bench) -> None:
    bench.set_keys("dan", of="cat")
    cat = account("cat")
    assert_noop(bench.ext, cat, "Session", "set_keys", keys("cat"), b"", error=Error.DuplicatedKey)
    bench.set_keys("cat", shown=proof("cat", cat))
    bench.runtime.try_state()
    session = bench.runtime.session
    assert (session.next_keys[cat], session.next_keys.get(account("dan"))) == (keys("cat"), None)
    assert session.owner_of(b"babe", keys("cat").babe) == cat
    assert bench.runtime.system.account[account("dan")].consumers == 0


# Disabling.


def test_the_disabled_do_not_author_until_others_are_planned() -> None:
    bench = Bench(FOUR, list(FOUR))
    bench.next_session()
    session: Session = bench.runtime.session
    assert session.disable(account("cat"))
    assert bench.ext.new_events()[-1] == ValidatorDisabled(account("cat"))
    assert bench.babe_logs()[-1] == babe.OnDisabled(2)
    assert bench.grandpa_logs() == [grandpa.OnDisabled(2)]
    bench.choose(**FOUR)
    bench.next_session()  # session 2: planned before Cat was disabled
    assert bench.runtime.session.is_disabled(2)
    assert bench.babe_logs()[-1] == babe.OnDisabled(2)
    with pytest.raises(InvalidDigest, match="authority 2 is disabled and must not author"):
        bench.next_block(author=2)


def test_a_set_planned_later_is_enabled() -> None:
    bench = Bench(FOUR, list(FOUR))
    assert bench.runtime.session.disable(account("cat"))
    for _ in range(3):  # the manager plans nothing new
        assert ValidatorReenabled(account("cat")) not in bench.next_session()
        assert bench.runtime.session.disabled_validators.get() == [2]
    bench.choose(dan=10, cat=10, ben=10, ann=10)
    bench.next_session()
    assert bench.runtime.session.disabled_validators.get() == [2]
    assert bench.next_session() == [ValidatorReenabled(account("cat")), NewSession(5)]
    assert bench.runtime.session.disabled_validators.get() == []


def test_places_follow_who_is_disabled() -> None:
    bench = Bench(FOUR | {"eve": 10}, [*FOUR, "eve"])
    assert bench.runtime.session.disable(account("cat"))
    assert_ok(bench.ext, account("ann"), "Session", "purge_keys")
    bench.next_session()
    assert bench.runtime.session.disabled_validators.get() == [2]
    bench.next_session()
    assert bench.runtime.session.disabled_validators.get() == [1]


@pytest.mark.parametrize(("count", "bearable"), [(1, 0), (2, 0), (3, 0), (4, 1), (6, 1), (7, 2)])
def test_never_so_many_that_finality_stops(count: int, bearable: int) -> None:
    names = [f"v{number}" for number in range(count)]
    bench = Bench(dict.fromkeys(names, 10), names)
    assert [bench.runtime.session.disable(account(name)) for name in names] == [
        index < bearable for index in range(count)
    ]
    bench.runtime.try_state()


def test_nobody_is_disabled_twice_or_out_of_office() -> None:
    bench = Bench(FOUR | {"eve": 0}, [*FOUR, "eve"])
    session = bench.runtime.session
    assert [session.disable(account(name)) for name in ("ann", "ann", "eve")] == [True, False, False]
    assert session.disabled_since.get() == [(account("ann"), 0)]


# Any history.

NAMES = ("ann", "ben", "cat", "dan", "eve")
NOBODY = 9
"""The index of an author who cannot be disabled."""
names = st.sampled_from(NAMES)


class Histories(RuleBasedStateMachine):
    """Keys come and go, sets are planned, sessions pass; a slow model says who is in office."""

    @initialize()
    def begin(self) -> None:
        self.bench = Bench(dict.fromkeys(NAMES, 10), NAMES[:2])
        self.held = {name: name for name in NAMES[:2]}
        self.plan = dict.fromkeys(NAMES, 10)
        self.chosen: dict[str, int] | None = None
        self.office = self.queued = self.expected()

    def expected(self) -> list[tuple[AccountId, object, int]]:
        keyed = [name for name in self.plan if name in self.held]
        weights = authority_weights([self.plan[name] * UNIT for name in keyed])
        return [(account(n), keys(self.held[n]), w) for n, w in zip(keyed, weights, strict=True)]

    @rule(name=names, of=names)
    def set_keys(self, name: str, of: str) -> None:
        if of in self.held.values() and self.held.get(name) != of:
            with pytest.raises(DispatchError):
                self.bench.set_keys(name, of=of)
        else:
            self.bench.set_keys(name, of=of)
            self.held[name] = of

    @rule(name=names, of=names)
    def prove_keys(self, name: str, of: str) -> None:
        self.bench.set_keys(name, of=of, shown=proof(of, account(name)))
        self.held = {other: held for other, held in self.held.items() if held != of} | {name: of}

    @rule(name=names)
    def purge(self, name: str) -> None:
        if name in self.held:
            self.bench.ext.dispatch(account(name), "Session", "purge_keys")
            del self.held[name]

    @rule(stakes=st.dictionaries(names, st.integers(1, 50), max_size=5))
    def choose(self, stakes: dict[str, int]) -> None:
        self.bench.choose(**stakes)
        self.chosen = stakes

    @rule(name=names)
    def disable(self, name: str) -> None:
        session = self.bench.runtime.session
        done = session.disable(account(name))
        assert not done or session.is_disabled(session.validators.get().index(account(name)))

    @rule(skipped=st.integers(0, 2))
    def rotate(self, skipped: int) -> None:
        self.bench.next_session(author=NOBODY, skipped=skipped)
        self.office = self.queued
        if self.chosen is not None and any(name in self.held for name in self.chosen):
            self.plan = self.chosen
        self.chosen = None
        self.queued = self.expected() or self.office

    @invariant()
    def office_is_as_planned(self) -> None:
        if not hasattr(self, "bench"):
            return
        session = self.bench.runtime.session
        stashes, weights = session.validators.get(), session.weights.get()
        assert list(zip(stashes, weights, strict=True)) == [(who, weight) for who, _, weight in self.office]
        assert self.bench.runtime.babe.authorities.get() == [
            (held.babe, weight)
            for _, held, weight in self.office  # type: ignore[attr-defined]
        ]
        assert session.queued_keys.get() == [(who, held) for who, held, _ in self.queued]
        assert session.queued_weights.get() == [weight for _, _, weight in self.queued]
        missing = sum(weights[index] for index in session.disabled_validators.get())
        assert missing <= tolerated(weights)
        self.bench.check()


Histories.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
test_any_history = Histories.TestCase
