"""Any history of stakes, candidates and session keys on the real runtime: all agree who is in office."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runtime.pallets.staking.types import Staked, ValidatorPrefs
from runtime.primitives.authority_weights import authority_weights, tolerated
from runtime.primitives.session import SessionKeys
from runtime.primitives.types import Id
from tests.runtime.bench import ASY, RICH, Chain, Key, call, configuration
from tests.runtime.pallets.session_bench import section

EPOCH = 30
keys = st.sampled_from(RICH)
amounts = st.integers(1, 6_000).map(lambda whole: whole * ASY)


def session_keys(at: int) -> SessionKeys:
    """Return one of some pairs of keys."""
    return SessionKeys(bytes([at] * 32), bytes([at + 9] * 32))


class Histories(RuleBasedStateMachine):
    """Four accounts do whatever they like, and some are in office; refused calls are part of it."""

    @initialize(stakes=st.lists(amounts, max_size=len(RICH)))
    def begin(self, stakes: list[int]) -> None:
        config = configuration()
        listed = [("0x" + key.account.hex(), stake) for key, stake in zip(RICH, stakes, strict=False)]
        held = [[who, section(session_keys(at))] for at, (who, _) in enumerate(listed)]
        config["staking"] = config["staking"] | {"stakers": [*config["staking"]["stakers"], *listed]}
        config["session"] = {"keys": [*config["session"]["keys"], *held]}
        self.chain = Chain(config)
        self.chain.build()

    def tries(self, key: Key, pallet: str, name: str, *arguments: Any) -> None:
        self.chain.build(self.chain.sign(key, call(pallet, name, *arguments)))

    @rule(key=keys, amount=amounts)
    def bond(self, key: Key, amount: int) -> None:
        self.tries(key, "Staking", "bond", amount, Staked())

    @rule(key=keys)
    def validate(self, key: Key) -> None:
        self.tries(key, "Staking", "validate", ValidatorPrefs())

    @rule(key=keys, at=st.integers(0, 5))
    def stand(self, key: Key, at: int) -> None:
        """Bond, validate and set keys at once."""
        self.bond(key, 5_000 * ASY)
        self.validate(key)
        self.set_keys(key, at)

    @rule(key=keys, whom=keys)
    def nominate(self, key: Key, whom: Key) -> None:
        self.tries(key, "Staking", "nominate", [Id(whom.account)])

    @rule(key=keys)
    def chill(self, key: Key) -> None:
        self.tries(key, "Staking", "chill")

    @rule(key=keys, amount=amounts)
    def unbond(self, key: Key, amount: int) -> None:
        self.tries(key, "Staking", "unbond", amount)

    @rule(key=keys)
    def withdraw(self, key: Key) -> None:
        self.tries(key, "Staking", "withdraw_unbonded", 0)

    @rule(key=keys, at=st.integers(0, 5))
    def set_keys(self, key: Key, at: int) -> None:
        self.tries(key, "Session", "set_keys", session_keys(at), b"")

    @rule(key=keys)
    def purge_keys(self, key: Key) -> None:
        self.tries(key, "Session", "purge_keys")

    @rule(skipped=st.sampled_from([0, 0, 0, 1, 5]), blocks=st.integers(0, 3), sessions=st.integers(1, 4))
    def pass_sessions(self, skipped: int, blocks: int, sessions: int) -> None:
        """Let time go by, with few blocks or none."""
        for _ in range(sessions):
            for _ in range(blocks):
                self.chain.build()
            babe = self.chain.runtime.babe
            epoch = babe.epoch_index.get() + 1 + skipped
            self.chain.build(slot=babe.genesis_slot.get() + epoch * EPOCH)
            self.everybody_agrees()

    @invariant()
    def everybody_agrees(self) -> None:
        if not hasattr(self, "chain"):
            return
        runtime = self.chain.runtime
        runtime.try_state()
        session, babe, grandpa = runtime.session, runtime.babe, runtime.grandpa
        weights = session.weights.get()
        assert len(weights) == len(session.validators.get()) > 0
        assert weights == [weight for _, weight in babe.authorities.get()]
        assert weights == [weight for _, weight in grandpa.authorities.get()]
        assert len(weights) < 4 or max(weights) <= tolerated(weights)
        planned = dict(session.planned.get())
        stakes = [planned[stash] for stash, _ in session.queued_keys.get()]
        assert session.queued_weights.get() == authority_weights(stakes)
        era = runtime.staking.active_era.find()
        assert era is not None
        for stash in session.validators.get():
            assert runtime.staking.eras_stakers_overview.get(era.index, stash) is not None


Histories.TestCase.settings = settings(max_examples=6, stateful_step_count=40)
test_any_history = Histories.TestCase
