"""Metadata: what clients read of a runtime, versions 14 and 15."""
