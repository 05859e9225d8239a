"""The project's own Python files, for the gates."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("runtime", "chain", "miners", "validators", "genesis", "tests", "bench")


def sources(*rooms: str) -> Iterator[Path]:
    """Yield every Python file of these rooms, sorted."""
    for room in rooms:
        yield from sorted(path for path in (ROOT / room).rglob("*.py") if "node_modules" not in path.parts)


def name_of(path: Path) -> str:
    """Return a path as people write it."""
    return path.relative_to(ROOT).as_posix()
