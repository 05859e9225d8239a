"""What the documents say of the code is so: generated parts, files, tests, links, error lines, figures."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from bench import table
from tests.docs import generate
from tests.docs.pages import ROOT, pages

ROOMS = ("runtime", "chain", "miners", "validators", "genesis", "bench", "tests")
IN_PROGRESS = frozenset({"runtime/pallets/claims.py", "tests/runtime/pallets/test_claims.py"})
"""Files that docs/pallet.md tells the reader to write."""


def test_generated_parts_are_current() -> None:
    found = [path.relative_to(ROOT).as_posix() for path in generate.stale()]
    assert found == [], "run: python -m tests.docs.generate --update"


def test_the_table_of_measured_numbers_is_current() -> None:
    readme = table.README.read_text()
    assert table.with_table(readme) == readme, "run: python -m bench.table --update"


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_named_files_and_tests_exist(page: Path) -> None:
    text = page.read_text()
    named = re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w./-]*)", text)
    missing = [name for name in named if not exists(name)]
    for path, test in re.findall(r"`(tests/[\w./]+\.py)::(\w+)`", text):
        if not re.search(rf"^(async )?def {test}\b", (ROOT / path).read_text(), re.MULTILINE):
            missing.append(f"{path}::{test}")
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        if not (page.parent / link).exists():
            missing.append(link)
    assert missing == []


def exists(name: str) -> bool:
    """Say whether a file or directory of the repository is named rightly."""
    return name in IN_PROGRESS or (ROOT / name).exists()


def test_the_tree_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    tree = text[text.index("## Where things are") :].split("```")[1]
    room, found = "", []
    for line in tree.strip().splitlines():
        name = line.split()[0]
        room = name if not line.startswith(" ") else room
        found.append(name if name == room else room + name)
    assert [name for name in found if not (ROOT / name).exists()] == []
    assert len(found) > 15


def test_every_room_is_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert [
        room for room in ("genesis", "runtime", "chain", "miners", "validators") if f"**{room}/**" not in text
    ] == []


def test_every_error_line_is_in_the_code() -> None:
    """`…` stands for what the code fills in; the words between are string constants of the code."""
    text = (ROOT / "docs" / "operate.md").read_text()
    rows = text[text.index("| the line says") :].split("\n\n")[0].splitlines()[2:]
    quoted = [part for row in rows for part in re.findall(r"`([^`]+)`", row.split("|")[1])]
    pieces = [piece for line in quoted for piece in line.split("…") if piece.strip()]
    assert [piece for piece in pieces if not any(piece.strip() in text for text in constants())] == []
    assert len(rows) > 15


@cache
def constants() -> tuple[str, ...]:
    """Return every string constant of the programs, those of f-strings piece by piece."""
    found: list[str] = []
    for room in ("runtime", "chain", "miners", "validators"):
        for path in sorted((ROOT / room).rglob("*.py")):
            nodes = ast.walk(ast.parse(path.read_text()))
            found += [
                node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return tuple(found)


def test_decisions_are_numbered_and_shaped_alike() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name
        assert len(path.read_text().splitlines()) <= 60, path.name
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [path.name for path in records if path.name not in index] == []
