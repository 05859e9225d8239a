"""The project's own Python files, for the gates."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("runtime", "chain", "miners", "validators", "genesis", "tests", "bench")
INSTALLED = {"node_modules", ".venv"}
"""Directories with other people's code."""


def sources(*rooms: str) -> Iterator[Path]:
    """Yield every Python file of these rooms, sorted."""
    for room in rooms:
        found = (ROOT / room).rglob("*.py")
        yield from sorted(path for path in found if not INSTALLED & set(path.parts))


def name_of(path: Path) -> str:
    """Return a path as people write it."""
    return path.relative_to(ROOT).as_posix()
