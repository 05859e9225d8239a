"""Hashes as people read them."""


def short(block: bytes) -> str:
    """Return both ends of a hash."""
    text = block.hex()
    return f"0x{text[:4]}…{text[-4:]}"
