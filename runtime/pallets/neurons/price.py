"""The price of a seat: each registration raises it, time lets it fall."""

from runtime.pallets.subnets.numbers import PPM, Hyperparameters
from runtime.primitives.types import Balance

PRICE_STEP_PPM = 1_260_000
"""Each registration raises the price by this factor: three of them double it."""
MOST_HALVINGS = 128
"""No price of u128 survives more."""


def decayed(price: Balance, elapsed: int, half_life: int) -> Balance:
    """Return a price after so many blocks: halved every half-life, on a straight line in between."""
    halvings, rest = divmod(elapsed, half_life)
    halved = price >> min(halvings, MOST_HALVINGS)
    return halved - halved * rest // (2 * half_life)


def raised(price: Balance, chosen: Hyperparameters) -> Balance:
    """Return a price after one more registration."""
    return clamped(price * PRICE_STEP_PPM // PPM, chosen)


def clamped(price: Balance, chosen: Hyperparameters) -> Balance:
    """Return the price that is nearest within the subnet's bounds."""
    return min(max(price, chosen.burn_min), chosen.burn_max)
