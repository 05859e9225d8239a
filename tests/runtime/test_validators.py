"""The way into office on the real runtime: bond, validate, set keys; then BABE, GRANDPA and wallets agree."""

from runtime.pallets.grandpa import NewAuthorities
from runtime.pallets.staking.types import Staked, ValidatorPrefs
from runtime.primitives.babe import CONSENSUS_LOG, NextEpochData
from runtime.primitives.grandpa import CONSENSUS_LOG as GRANDPA_LOG
from runtime.primitives.grandpa import Change, ScheduledChange
from runtime.primitives.header import BABE_ENGINE, GRANDPA_ENGINE, Consensus
from runtime.primitives.session import SessionKeys
from tests.runtime.bench import ALICE, ASY, BOB, CAROL, Block, Chain, Key, call

EPOCH = 30
NEW = (ALICE, BOB, CAROL)
"""None of them is at stake in the presets, whose //Alice and //Bob are other accounts."""
BOND = 5_000 * ASY


def keys_of(key: Key) -> SessionKeys:
    """Return session keys nobody has to sign with."""
    return SessionKeys(key.account, bytes(reversed(key.account)))


def join(chain: Chain, key: Key) -> None:
    """Become a candidate."""
    calls = [
        call("Staking", "bond", BOND, Staked()),
        call("Staking", "validate", ValidatorPrefs()),
        call("Session", "set_keys", keys_of(key), b""),
    ]
    block = chain.build(*(chain.sign(key, each, nonce=at) for at, each in enumerate(calls)))
    assert [str(each) for each in block.errors if each] == []


def next_session(chain: Chain) -> Block:
    """Build the first block of the next session, after a few more of this one."""
    for _ in range(3):
        chain.build()
    babe = chain.runtime.babe
    block = chain.build(slot=babe.genesis_slot.get() + (babe.epoch_index.get() + 1) * EPOCH)
    chain.runtime.try_state()
    return block


def told(block: Block, engine: bytes) -> list[bytes]:
    """Return a block's messages to a consensus engine."""
    return [log._1 for log in block.header.digest.logs if isinstance(log, Consensus) and log._0 == engine]


def test_a_new_validator_comes_into_office() -> None:
    chain = Chain()
    chain.build()
    genesis = chain.runtime.babe.authorities.get()
    for key in NEW:
        join(chain, key)
    announced: list[tuple[bytes, int]] = []
    for _ in range(8):
        block = next_session(chain)
        runtime = chain.runtime
        (log,) = told(block, BABE_ENGINE)
        if announced:
            assert runtime.babe.authorities.get() == announced
        announced = CONSENSUS_LOG.decode(log).authorities
        assert CONSENSUS_LOG.decode(log) == NextEpochData(announced, runtime.babe.next_randomness.get())
        voters = runtime.grandpa.authorities.get()
        assert [weight for _, weight in voters] == [w for _, w in runtime.babe.authorities.get()]
        if len(voters) > 1:
            break
    assert told(block, GRANDPA_ENGINE) == [GRANDPA_LOG.encode(ScheduledChange(Change(voters, 0)))]
    assert [e.event for e in block.events if isinstance(e.event, NewAuthorities)] == [NewAuthorities(voters)]
    assert runtime.grandpa.current_set_id.get() > 0
    stakes = dict(zip(runtime.session.validators.get(), runtime.session.weights.get(), strict=True))
    assert {stakes[key.account] for key in NEW} == {5_000}
    assert sum(stakes.values()) == 15_000 + min(genesis[0][1], 3 * 5_000 // 2 - 1)  # the cap of four
    for key in NEW:
        at = runtime.session.validators.get().index(key.account)
        assert (runtime.babe.authorities.get()[at][0], voters[at][0]) == (
            keys_of(key).babe,
            keys_of(key).grandpa,
        )


def test_a_foreign_node_executes_the_change_alike() -> None:
    chain = Chain()
    chain.build()
    for key in NEW:
        join(chain, key)
    while chain.runtime.session.current_index.get() < 3:
        next_session(chain)
    babe = chain.runtime.babe
    slot = babe.genesis_slot.get() + (babe.epoch_index.get() + 1) * EPOCH
    executed, body, _ = chain.draft(slot=slot)
    assert told(Block(executed.header, body, [], []), GRANDPA_ENGINE)
    again = chain.execute(executed.header, body, now_ms=slot * 2_000)
    assert again.changes == executed.changes
