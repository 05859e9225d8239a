"""The commands of operate.md that make a chain on three hosts, run on three addresses of one machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, block
from tests.e2e.process import NodeProcess, eventually, free_ports

pytestmark = pytest.mark.e2e

OPERATE = ROOT / "docs" / "operate.md"
SECTION = "## A chain of your own on three hosts"
STEPS = ("1. On every host", "2. On one of them", "3. On every host", "4. Start all three")
"""What stands before each block."""
PATIENCE = 120
"""seconds a step may take on a busy machine"""
HOSTS = (1, 2, 3)


@dataclass(frozen=True)
class Host:
    """One of the three: a directory, and an address of its own on the loopback interface."""

    number: int
    home: Path
    said: str  # by step 1, on standard error

    def public(self) -> dict[str, str]:
        """Return what replaces the names of this host's public values."""
        names = {"STASH": ("stash.json", "ss58Address"), "BABE": ("babe.json", "publicKey")}
        names |= {"GRANDPA": ("grandpa.json", "publicKey")}
        found = {name: self._of(file, key) for name, (file, key) in names.items()}
        return {f"{name}_{self.number}": value for name, value in (found | {"PEER": self.said}).items()}

    def _of(self, file: str, key: str) -> str:
        found: str = json.loads((self.home / file).read_text())[key]
        return found


def shell(step: int, home: Path, replaced: dict[str, str]) -> str:
    """Run the block of a step in a directory, and return what it says on standard error."""
    text = commands(step)
    for name, value in replaced.items():
        assert name in text
        text = text.replace(name, value)
    function = f'assay() {{ "{sys.executable}" -m chain "$@"; }}\nset -eu\n'
    done = subprocess.run(
        ["bash", "-c", function + text], cwd=home, capture_output=True, text=True, timeout=PATIENCE,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, text + done.stderr
    return done.stderr.strip()


def commands(step: int) -> str:
    """Return the block of a step, as one who copies it gets it."""
    text = OPERATE.read_text()
    assert SECTION in text
    lines = block(OPERATE, "", STEPS[step - 1]).splitlines()
    return "\n".join(line.removeprefix("   ") for line in lines)


@contextmanager
def started(host: Host, ports: int) -> Iterator[NodeProcess]:
    """Run the command of step 4 on a host, with ports of its own as the three share a machine."""
    words = commands(4).replace("\\\n", " ").split()
    assert words[:2] == ["assay", "node"]
    replaced = {"192.0.2.1": f"127.0.0.{host.number}", "30333": str(ports), "host-1": f"host-{host.number}"}
    flags = " ".join(words[2:])
    for name, value in replaced.items():
        assert name in flags
        flags = flags.replace(name, value)
    own = [
        str(host.home / word) if word in ("chain.json", "data", "node.key", "password") else word
        for word in flags.split()
    ]
    node = NodeProcess(host.home / "log", *own)
    try:
        yield node.wait_up()
    finally:
        node.stop()


def test_three_hosts_make_a_chain(tmp_path: Path) -> None:
    def own_keys(number: int) -> Host:
        home = tmp_path / f"host-{number}"
        home.mkdir()
        return Host(number, home, shell(1, home, {}))

    with ThreadPoolExecutor() as at_once:
        hosts = list(at_once.map(own_keys, HOSTS))
    ports = free_ports(1)
    values = {name: value for host in hosts for name, value in host.public().items()}
    values |= {f"192.0.2.{number}": f"127.0.0.{number}" for number in HOSTS} | {"30333": str(ports)}
    shell(2, hosts[0].home, values)
    for host in hosts[1:]:
        (host.home / "chain.json").write_text((hosts[0].home / "chain.json").read_text())
    with ThreadPoolExecutor() as at_once:
        list(at_once.map(lambda host: shell(3, host.home, {}), hosts))
    with started(hosts[0], ports) as a, started(hosts[1], ports) as b, started(hosts[2], ports) as c:
        nodes = (a, b, c)
        eventually(lambda: a.rpc("system_health")["peers"] == 2, "three that know each other", PATIENCE)
        eventually(lambda: min(node.finalized() for node in nodes) >= 2, "finality", PATIENCE)
        assert len({node.rpc("chain_getBlockHash", 2) for node in nodes}) == 1
        assert [node.rpc("system_chainType") for node in nodes] == ["Live"] * 3
