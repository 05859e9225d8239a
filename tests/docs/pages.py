"""Reading the documents: their code blocks, and the files and tests they name."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pages() -> list[Path]:
    """Return every document."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def block(page: Path, language: str, after: str = "") -> str:
    """Return the first code block of a language behind a text."""
    text = page.read_text()
    found = re.search(rf"```{language}\n(.*?)```", text[text.index(after) :], re.DOTALL)
    assert found, f"{page.name} has no {language} block after {after!r}"
    return found[1]
