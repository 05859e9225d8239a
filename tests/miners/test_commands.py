"""The command lines of miners, judges and providers: read before anything is loaded that takes its time."""

import os
import subprocess
import sys

import pytest

from tests.gates.sources import ROOT

PROGRAMS = [("miners", "miner"), ("validators", "validator"), ("miners", "provider")]
WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys(("torch", "transformers", "numpy", "aiohttp", "substrateinterface")))
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""runs a module; imports of what takes its time fail"""


def answer(room: str, program: str, flag: str) -> tuple[int, str, str]:
    """Return exit code, output and errors of a program that cannot load what does its work."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, room, program, flag],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("room", "program"), PROGRAMS)
def test_help_and_refusals_load_nothing_that_takes_its_time(room: str, program: str) -> None:
    code, said, error = answer(room, program, "--help")
    assert (code, error) == (0, "")
    assert said.startswith(f"usage: assay {program} [-h] ")
    assert answer(room, program, "--netuid=-1") == (
        2, "", f"assay {program}: --netuid is -1, must be 0 to 65535. Try `assay {program} --help`.\n"
    )  # fmt: skip


@pytest.mark.parametrize(("room", "program"), PROGRAMS)
def test_a_right_command_line_loads_it(room: str, program: str) -> None:
    code, _, error = answer(room, program, "--wait")
    assert code == 1
    assert "halted; None in sys.modules" in error.splitlines()[-1]
