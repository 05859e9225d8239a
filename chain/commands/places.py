"""Where commands look for a node's data unless told otherwise."""

from pathlib import Path

DEFAULT_BASE = Path.home() / ".local" / "share" / "assay"
