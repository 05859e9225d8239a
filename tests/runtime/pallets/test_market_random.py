"""Random histories of a market with 1 to 4 judges: money, seats, rows and seals stay in order throughout."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.pallets.game import Game, Move

NUMBERS = st.integers(0, (1 << 16) - 1)
MOVES = st.lists(st.builds(Move, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=20, max_size=60)


@pytest.mark.parametrize("judges", [1, 2, 3, 4])
def test_no_history_breaks_the_market(judges):
    @settings(max_examples=8, deadline=None)
    @given(MOVES)
    def played(moves):
        Game(judges).play(moves)

    played()
