"""Scripts that nobody runs every day still find what they import."""

import importlib
import pkgutil

import pytest

import bench


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(bench.__path__)])
def test_it_loads(name: str) -> None:
    assert importlib.import_module(f"bench.{name}").__doc__
