"""Staking: bonds, nominations, eras, rewards and slashes."""
