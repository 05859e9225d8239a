"""Training subnets: the phase machine of rounds and the lineage of models."""
