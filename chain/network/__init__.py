"""What goes on between peers, above whatever transport carries it."""
