"""How a pallet is declared, dispatched, described to clients and tested."""
