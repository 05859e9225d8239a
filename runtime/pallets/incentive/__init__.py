"""Incentive: how scores become emission."""
