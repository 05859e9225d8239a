"""Amounts of the native token as people write them."""

PLANCK = 10**12
"""planck per ASY"""


def asy(amount: int | str) -> str:
    """Return planck as ASY, without superfluous zeros."""
    whole, rest = divmod(int(amount), PLANCK)
    decimals = f"{rest:012d}".rstrip("0")
    return f"{whole:,}.{decimals}" if decimals else f"{whole:,}"
