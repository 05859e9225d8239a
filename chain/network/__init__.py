"""Peers: connections, what is said over them, and who may say how much."""
