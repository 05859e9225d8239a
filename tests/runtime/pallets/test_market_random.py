"""A market with 1 to 4 judges and 1 miner: it pays what it owes, by either function; no history breaks it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.pallets.incentive.messages import EmissionPaid, EpochRun
from runtime.primitives.commitments import weights_commitment
from tests.runtime.pallets.game import OPEN, REWARD, SALT, SEALED, TRAINED, Game, Move, random_moves

NUMBERS = st.integers(0, (1 << 16) - 1)
MOVES = st.lists(st.builds(Move, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=20, max_size=50)
JUDGES = pytest.mark.parametrize("judges", [1, 2, 3, 4])
FIRST_REVEAL, EPOCHS = 5, {SEALED: 11, OPEN: 12, TRAINED: 13}
"""Of a tempo of 7 blocks: the block after the first epoch of the sealed subnet, and the second epochs."""


@JUDGES
@pytest.mark.parametrize(("consensus", "miners_ppm"), [(0, 600_000), (1, 500_000)])
def test_judges_and_the_only_miner_are_paid(judges, consensus, miners_ppm):
    game = Game(judges, consensus=consensus)
    miner = judges
    sealed = {
        hotkey: weights_commitment(hotkey, SEALED, 0, [miner], [1], SALT, 0)
        for hotkey in game.hotkeys[:judges]
    }
    for hotkey, commitment in sealed.items():
        assert game.attempt(hotkey, "Weights", "commit_weights", SEALED, commitment)
    game.pass_blocks(9)
    for judge, hotkey in enumerate(sealed):
        assert game.attempt(hotkey, "Weights", "reveal_weights", SEALED, [miner], [1], SALT, 0)
        assert game.attempt(hotkey, "Weights", "set_weights", OPEN, [miner], [1], 0)
        game.runtime.weights.put_row(TRAINED, judge, [(miner, 1)], game.ext.number)
    for netuid, block in EPOCHS.items():
        game.pass_blocks(block - game.ext.number)
        events = game.ext.new_events()
        run = next(event for event in events if isinstance(event, EpochRun))
        payouts = [event for event in events if isinstance(event, EmissionPaid)]
        paid = {event.uid: (event.incentive, event.dividend) for event in payouts}
        assert (run.netuid, run.carried <= consensus * 20) == (netuid, True)  # yuma3 rounds each part down
        assert run.paid == sum(map(sum, paid.values())) >= block * REWARD * 8 // 30 - 23
        assert sorted(paid) == list(range(judges + 1))
        assert abs(paid[miner][0] - run.paid * miners_ppm // 1_000_000) <= 20
        assert all(paid[judge][1] > 0 == paid[judge][0] for judge in range(judges))
    game.check()


@JUDGES
def test_no_history_breaks_the_market(judges):
    @settings(max_examples=3, deadline=None)
    @given(MOVES)
    def played(moves):
        Game(judges).play(moves)

    played()


def test_histories_are_full_of_events():
    """`make market` plays long ones; bench/results/market.json has the last run."""
    missing = {
        "burned_register", "deregister", "swap_hotkey", "serve_axon", "set_weights", "commit_weights",
        "reveal_weights", "RevealMissed", "set_hyperparameter", "create", "pause", "unpause", "set_owner",
        "epoch that paid", "epoch that carried", "dividend that was shared", "payout_stakers", "nominate",
        "slash of a stash", "NeuronSlashed", "EmissionVested", "PruneWarning",
    }  # fmt: skip
    for seed in range(20):
        game = Game(2)
        game.play(random_moves(seed, count=150))
        missing -= game.done.keys()
        if not missing:
            return
    raise AssertionError(f"none of 20 histories has {missing}")
