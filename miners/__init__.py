"""Miners, and the definition of the work they are paid for: data, model, payload, aggregation."""
