"""The code blocks of the README, run as they stand (but for the port) against a real node."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.amounts import PLANCK
from chain.commands.network import SPEC_FILE, Ports
from chain.commands.screen import Row, header
from chain.keys.pair import Keypair
from chain.version import VERSION
from runtime.primitives import ss58
from tests.docs.pages import ROOT, block
from tests.e2e.process import NodeProcess, assay, eventually, flags_of, running, write_spec

pytestmark = pytest.mark.e2e

README = ROOT / "README.md"
JAVASCRIPT = ROOT / "tests" / "e2e" / "node"
NODE = re.compile(r"(node-\w+) +(ws://\S+) +process (\d+)")
ACCOUNT = re.compile(r"//(\w+) +\S+ +([\d,]+) ASY +(.+)")
URL = "ws://127.0.0.1:9944"
PATIENCE = 60
"""seconds a block of the README may take on a busy machine"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with short slots."""
    home = tmp_path_factory.mktemp("readme")
    with running(home / "log", *flags_of(write_spec(home / "spec.json"))) as process:
        process.wait_height(1)
        yield process


def code(language: str, node: NodeProcess) -> str:
    """Return the README's block of a language, talking to this node."""
    text = block(README, language)
    assert URL in text
    return text.replace(URL, f"ws://127.0.0.1:{node.port}")


def run(*command: str, **options: object) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_the_python_transfer(node: NodeProcess, tmp_path: Path) -> None:
    script = tmp_path / "transfer.py"
    script.write_text(code("python", node))
    first, second = run(sys.executable, str(script)).splitlines()
    assert first.startswith("success 0x")
    assert second.startswith("Bob has ")
    assert len(script.read_text().strip().splitlines()) <= 12


@pytest.mark.node
def test_the_javascript_transfer(node: NodeProcess) -> None:
    if shutil.which("node") is None or not (JAVASCRIPT / "node_modules" / "@polkadot" / "api").is_dir():
        pytest.skip("needs node and @polkadot/api: npm ci --prefix tests/e2e/node")
    printed = run("node", "--input-type=module", "-e", code("js", node), cwd=JAVASCRIPT)
    assert printed.splitlines()[-1].startswith("Bob has ")


def test_a_miner_joins(node: NodeProcess, tmp_path: Path) -> None:
    words = block(README, "", "**4. Join as a third miner.**").split()
    assert words == ["assay", "miner", "--key", "//Miner3"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        miner = subprocess.Popen(
            [*assay(*words[1:]), "--url", f"ws://127.0.0.1:{node.port}", "--directory", str(tmp_path)],
            stdout=output, stderr=output, stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        eventually(lambda: "serving blobs at http://" in log.read_text(), "a joined miner", PATIENCE)
        miner.send_signal(signal.SIGINT)
        assert miner.wait(PATIENCE) == 0, log.read_text()
    finally:
        miner.kill()
        miner.wait()
    assert (
        "registered 5HipECoTgvusTYknA6sUvTR8xPReygF5p9RJQuHoDun16Ev2 in subnet 1 as uid 2" in log.read_text()
    )


def test_the_screen_has_todays_header() -> None:
    shown = block(README, "", "## What you see").splitlines()
    home = shown[0].split("   ", 2)[2]
    found = [ACCOUNT.search(line) for line in shown]
    rows = [
        Row(each[1], address(each[1]), int(each[2].replace(",", "")) * PLANCK, each[3])
        for each in found
        if each
    ]
    nodes = [(each[1], each[2], int(each[3])) for line in shown if (each := NODE.search(line))]
    spec = Path(home.split()[2].removesuffix(",")) / SPEC_FILE
    expected = header(VERSION, home, spec, Ports.at(None, 4), nodes, rows).text.splitlines()
    assert len(nodes) == 4
    assert len(rows) == 7
    assert shown[: len(expected)] == expected


def address(name: str) -> str:
    """Return the address of a development account."""
    return ss58.encode(Keypair.from_suri(f"//{name}", "sr25519").public)
