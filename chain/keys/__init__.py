"""Keys: pairs, and where those of a node lie."""
