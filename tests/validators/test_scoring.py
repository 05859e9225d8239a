"""Where floats end: what a judge measured, as the integers it publishes."""

import math

from runtime.primitives.commitments import Score
from validators.scoring import Measured


def test_losses_become_micro_nats_and_the_own_drop_is_a_difference_of_drops() -> None:
    assert Measured(3, 5.0, 4.9).entry() == Score(3, 0, 5_000_000, 4_900_000, 0, 0)
    assert Measured(3, 5.0, 4.9, 5.2, 5.0).entry() == Score(3, 0, 5_000_000, 4_900_000, 0, 100_000)
    assert Measured(3, 5.0, 4.9, 5.2, 5.25).entry().own_drop == -150_000


def test_a_broken_model_is_as_bad_as_can_be_written() -> None:
    assert Measured(3, 5.0, math.nan, 5.0, math.inf).entry() == Score(3, 0, 5_000_000, 100_000_000, 0, 0)
    assert Measured(3, -1.0, 1e9).entry() == Score(3, 0, 0, 100_000_000, 0, 0)
