"""The rooms import each other in one direction; pyproject.toml says which."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.gates.sources import ROOT

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def test_the_import_contracts_hold() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    answer = subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"Contracts: {len(contracts)} kept, 0 broken." in answer.stdout
