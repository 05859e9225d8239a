"""The trail of updates: sealed commits, reveals, the mountain range over them, and evidence."""
