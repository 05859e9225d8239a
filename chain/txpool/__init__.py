"""Waiting transactions."""
