"""Where other nodes are: addresses, records that peers have signed, and the book that keeps them."""
