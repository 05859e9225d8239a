"""Benches that nobody runs every day, at their smallest: they still know what they measure."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import audits, blobs


def figures(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *arguments: str
) -> dict[str, Any]:
    """Run a bench as a command, and return its figures."""
    written = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--json", str(written), *arguments])
    module.main()
    found: dict[str, Any] = json.loads(written.read_text())["figures"]
    return found


def test_audits_are_drawn_reported_and_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = figures(audits, monkeypatch, tmp_path, "--miners", "6", "--judges", "3")
    assert found["draw_blocks"] > 0
    assert found["missed_blocks"] > 0
    assert found["report_ms"] > 0


def test_blobs_are_refused_served_and_pushed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = figures(blobs, monkeypatch, tmp_path, "--requests", "20", "--mib", "1")
    assert list(found["server_cpu_us"]) == [
        "refused_for_another_server", "refused_signature", "served_signed", "served_stranger",
    ]  # fmt: skip
    assert found["push_ms"] > 0
    assert found["store_alone_ms"] > 0
