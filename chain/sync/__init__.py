"""How blocks enter the chain."""
