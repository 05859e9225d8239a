"""Scripts that nobody runs every day still find what they import, and say what they can do."""

import importlib
import logging
import pkgutil
import sys
from collections.abc import Iterator

import pytest

import bench

STARTED_BY_OTHERS = {"load": "bench.network_load hands it a plan"}
"""Programs that nobody types: they have no flags."""


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """Let other tests see what is logged: some scripts silence their process first of all."""
    before = logging.root.manager.disable
    yield
    logging.disable(before)


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(bench.__path__)])
def test_it_loads_and_has_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = importlib.import_module(f"bench.{name}")
    assert script.__doc__
    if not hasattr(script, "main") or name in STARTED_BY_OTHERS:
        return
    monkeypatch.setattr(sys, "argv", [f"bench.{name}", "--help"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 0
    assert script.__doc__.splitlines()[0] in capsys.readouterr().out
