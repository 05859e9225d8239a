"""Neurons: who works in a subnet, under which uid, and at what price one joins."""
