"""The deterministic state machine: no I/O, no clock, no randomness, no floats."""
