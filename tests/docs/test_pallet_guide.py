"""The pallet of docs/pallet.md is a pallet, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT, block

GUIDE = ROOT / "docs" / "pallet.md"
METADATA = """
from claims import Claims
from runtime.frame.metadata.v14 import metadata
from runtime.frame.pallet import spec_of
from test_claims import bench
described = metadata(bench().runtime, ())
spec = spec_of(Claims)
print(*([each.name for each in group] for group in (spec.calls, spec.storage, spec.constants)))
print(all(word in described for word in (b"Claims", b"ClaimDeposit", b"AlreadyClaimed", b"Dropped")))
"""


def test_the_guide_runs(tmp_path: Path) -> None:
    names = re.findall(r"<!-- file: (\S+) -->", GUIDE.read_text())
    assert names == ["claims.py", "test_claims.py"]
    for name in names:
        text = block(GUIDE, "python", f"<!-- file: {name} -->")
        (tmp_path / name).write_text(text.replace("runtime.pallets.claims", "claims"))
    tested = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", str(tmp_path))
    assert "3 passed" in tested
    described = run(tmp_path, "-c", METADATA)
    assert described.splitlines() == ["['claim', 'drop'] ['Claims'] ['ClaimDeposit']", "True"]


def run(directory: Path, *arguments: str) -> str:
    """Run Python where the guide's files lie, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={"PYTHONPATH": f"{directory}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
