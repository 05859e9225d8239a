"""Historical: a root for every session a bond answers for, and for no other."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame.base import Runtime
from runtime.frame.declare import constant
from runtime.frame.errors import NoError
from runtime.frame.pallet import Pallet
from runtime.frame.testing import Externalities
from runtime.pallets.historical import MAX_PRUNED, Historical
from runtime.pallets.system import System
from runtime.primitives.membership import Identification, session_root
from runtime.primitives.session import BABE_KEY, GRANDPA_KEY, Authority, SessionKeys
from runtime.primitives.shapes import u32
from runtime.primitives.version import RuntimeVersion
from tests.runtime.primitives.test_membership import members

PER_ERA, BONDED = 2, 3
KEPT = PER_ERA * (BONDED + 1)
"""sessions before the current one"""


def validators(count: int, salt: bytes = b"") -> list[Authority]:
    return [
        Authority(each.stash, SessionKeys(each.babe, each.grandpa), each.weight)
        for each in members(count, salt)
    ]


class Bonds(Pallet[None, NoError]):
    """How long bonds answer."""

    sessions_per_era: u32 = constant(PER_ERA)
    bonding_duration: u32 = constant(BONDED)


class Small(Runtime):
    """System, bonds and Historical."""

    system = System.at(0, version=RuntimeVersion("small", "small", 1, 1, 0, [], 1, 1))
    bonds = Bonds.at(7)
    historical = Historical.at(8, staking=bonds)


def after(sessions: list[bytes]) -> Externalities:
    """Return a chain with these sessions, each with the set its salt makes."""
    ext = Externalities(Small)
    first, *others = sessions
    ext.runtime.historical.on_genesis_session(validators(4, first))
    for index, salt in enumerate(others, 1):
        ext.runtime.historical.on_new_session(index, True, validators(4, salt), [])
        ext.runtime.try_state()
    return ext


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=20))
@settings(max_examples=30)
def test_the_sessions_a_bond_answers_for_have_their_roots(salts: list[bytes]) -> None:
    historical = after(salts).runtime.historical
    roots = {at: (session_root(members(4, salt)), 4) for at, salt in enumerate(salts)}
    first = max(0, len(salts) - 1 - KEPT)
    assert historical.stored_range.get() == (first, len(salts))
    kept = {at: root for at, root in roots.items() if at >= first}
    assert dict(historical.historical_sessions.items()) == kept


def test_a_proof_made_in_its_session_holds_until_the_session_is_forgotten() -> None:
    ext = after([b"a"])
    historical, owner = ext.runtime.historical, members(4, b"a")[2]
    babe, grandpa = (
        historical.prove(kind, key) for kind, key in ((BABE_KEY, owner.babe), (GRANDPA_KEY, owner.grandpa))
    )
    assert historical.prove(BABE_KEY, owner.grandpa) is None
    whole = Identification(owner.stash, 3, 10)
    for index in range(1, KEPT + 2):
        assert historical.check_proof(BABE_KEY, owner.babe, babe) == whole
        assert historical.check_proof(GRANDPA_KEY, owner.grandpa, grandpa) == whole
        historical.on_new_session(index, True, validators(4, b"b"), [])
        assert historical.prove(BABE_KEY, owner.babe) is None
    assert historical.check_proof(BABE_KEY, owner.babe, babe) is None


def test_a_proof_is_of_one_session_and_one_count() -> None:
    historical, owner = after([b"a", b"b", b"a"]).runtime.historical, members(4, b"a")[0]
    proof = historical.prove(BABE_KEY, owner.babe)
    assert proof.session == 2
    assert historical.check_proof(BABE_KEY, owner.babe, replace(proof, session=0)) is not None
    for wrong in (replace(proof, session=1), replace(proof, session=3), replace(proof, validator_count=5)):
        assert historical.check_proof(BABE_KEY, owner.babe, wrong) is None
    assert [historical.is_future(session) for session in (0, 2, 3, 2**32 - 1)] == [False, False, True, True]


def test_a_shortened_bonding_duration_is_caught_up_with_a_few_at_a_time() -> None:
    ext = after([b"a"] * (KEPT + 1))
    historical = ext.runtime.historical
    historical.staking.bonding_duration = 0
    firsts = []
    for index in range(KEPT + 1, KEPT + 5):
        historical.on_new_session(index, False, validators(4, b"a"), [])
        firsts.append(historical.stored_range.get()[0])
        ext.runtime.try_state()
    assert firsts == [MAX_PRUNED, KEPT + 2 - PER_ERA, KEPT + 3 - PER_ERA, KEPT + 4 - PER_ERA]
