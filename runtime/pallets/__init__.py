"""One pallet per module; runtime/runtime.py names them all."""
