"""In full CI a test that is skipped for want of something is a failed one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gates.sources import ROOT

TEST_FILE = """
import pytest

@pytest.mark.skip(reason="no node here")
def test_client(): ...

@pytest.mark.gpu
def test_device():
    pytest.skip("no GPU here")

@pytest.mark.xfail
def test_expected():
    assert False
"""


@pytest.mark.parametrize(
    ("promise", "outcome"), [("1", "1 skipped, 1 xfailed, 1 error"), ("", "2 skipped, 1 xfailed")]
)
def test_full_ci_fails_what_it_skips(promise: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "test_skips.py").write_text(TEST_FILE)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu\n")
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", str(tmp_path)],
        env={**os.environ, "ASSAY_CI": promise},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert outcome in answer.stdout, answer.stdout + answer.stderr
