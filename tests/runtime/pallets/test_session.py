"""Session: validators by stash, and a new session told once."""

from runtime.pallets.session import NewSession, SessionKeys
from runtime.primitives.ss58 import account_of
from tests.runtime.bench import Chain, preset


def test_genesis_lists_validators_in_the_order_of_the_authorities() -> None:
    session, ((stash, keys),) = Chain().runtime.session, preset()["session"]["keys"]
    assert session.validators.get() == [account_of(stash)]
    babe, grandpa = (bytes.fromhex(keys[name][2:]) for name in ("babe", "grandpa"))
    assert session.next_keys[account_of(stash)] == SessionKeys(babe, grandpa)
    assert (session.validator_at(0), session.validator_at(1)) == (account_of(stash), None)


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
