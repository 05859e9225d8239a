"""Finality: justifications, and the votes this node casts."""
