"""Who authors a block, what makes it valid, what makes it final, and the guard of the keys."""
