"""Division that rounds half to even, for whole int64 vectors; numpy's own `//` rounds down.

numpy wraps on overflow without a word, so callers state the bound of what they pass.
"""

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def divide_half_even(numerator: Int64s, denominator: Int64s | int) -> Int64s:
    """Return numerator / denominator, exact halves to the even neighbour. Denominators are positive.

    Invariant: twice the denominator fits int64.
    """
    if numerator.dtype != np.int64:
        raise TypeError(f"numerator is {numerator.dtype}, must be int64")
    divisor = np.asarray(denominator, dtype=np.int64)
    quotient, remainder = np.divmod(numerator, divisor)  # remainder in [0, denominator)
    twice = 2 * remainder
    up = (twice > divisor) | ((twice == divisor) & ((quotient & 1) == 1))
    rounded: Int64s = quotient + up
    return rounded
