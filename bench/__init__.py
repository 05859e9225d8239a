"""Measurements, one script each; every figure in the README comes from here."""
