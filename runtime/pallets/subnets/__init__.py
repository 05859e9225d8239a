"""Subnets: what each market is for, who owns it, and the numbers that rule it."""
