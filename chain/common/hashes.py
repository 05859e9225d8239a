"""Hashes and addresses as people read them."""

SHOWN = 6
"""characters of either end of an address"""


def short(block: bytes) -> str:
    """Return both ends of a hash."""
    text = block.hex()
    return f"0x{text[:4]}…{text[-4:]}"


def ends(text: str) -> str:
    """Return both ends of an address, or of a hash that is text already."""
    return text if len(text) <= 2 * SHOWN + 1 else f"{text[:SHOWN]}…{text[-SHOWN:]}"
