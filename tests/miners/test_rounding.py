"""Division that rounds half to even."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miners.rounding import divide_half_even

NUMERATORS = st.integers(-(1 << 62), 1 << 62)
DENOMINATORS = st.integers(1, 1 << 61)


@given(st.lists(st.tuples(NUMERATORS, DENOMINATORS), min_size=1, max_size=20))
def test_equals_pythons_own_rounding_of_fractions(pairs: list[tuple[int, int]]) -> None:
    above, below = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    assert divide_half_even(above, below).tolist() == [round(Fraction(a, b)) for a, b in pairs]


def test_halves_go_to_the_even_neighbour() -> None:
    halves = np.array([-5, -3, -1, 1, 3, 5], dtype=np.int64)
    assert divide_half_even(halves, 2).tolist() == [-2, -2, 0, 0, 2, 2]


def test_another_type_is_refused_because_numpy_would_wrap_or_become_float() -> None:
    with pytest.raises(TypeError, match="numerator is int32, must be int64"):
        divide_half_even(np.zeros(1, dtype=np.int32), 2)  # type: ignore[arg-type]
