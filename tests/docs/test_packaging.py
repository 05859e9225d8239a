"""What operators install: units and containers start what exists, with flags it has, shut in."""

import argparse
import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chain.commands import node
from chain.commands.network import WORKER_ENVIRONMENT
from chain.keys.node import parse_node_key, peer_id
from miners.commands import miner, provider
from miners.config import parser_of
from tests.docs.pages import ROOT
from tests.e2e.process import flags_of, free_ports, running, write_spec
from validators.commands import validator

PACKAGING = ROOT / "packaging"
UNITS = {"node": "node", "judge": "validator", "miner": "miner", "provider": "provider"}
"""role -> verb of the assay command"""
CONFIGS = {"validator": validator.Config, "miner": miner.Config, "provider": provider.Config}
EXPOSURE = 20
"""of 100: the most that systemd-analyze may find fault with"""


def parsed(verb: str, flags: list[str]) -> argparse.Namespace:
    """Return what a command makes of its flags; wrong ones fail the test."""
    if verb == "node":
        parser = argparse.ArgumentParser(exit_on_error=False)
        node.describe(parser)
    else:
        parser = parser_of(CONFIGS[verb])
    return parser.parse_args(flags)


def unit(role: str) -> configparser.ConfigParser:
    """Return a unit; a directive that stands twice fails the test."""
    found = configparser.ConfigParser(interpolation=None, strict=True)
    found.optionxform = str  # type: ignore[assignment]
    found.read_string((PACKAGING / f"assay-{role}.service").read_text())
    return found


@pytest.mark.parametrize("role", UNITS)
def test_a_unit_starts_its_program_with_flags_it_has(role: str) -> None:
    service, variable = unit(role)["Service"], f"ASSAY_{role.upper()}_FLAGS"
    program, command, *flags = shlex.split(service["ExecStart"])
    assert (program, command, flags.pop()) == ("/usr/bin/assay", UNITS[role], f"${variable}")
    (line,) = re.findall(rf"^{variable}=(.+)$", (PACKAGING / f"assay-{role}.env").read_text(), re.MULTILINE)
    found = parsed(UNITS[role], [*flags, *shlex.split(shlex.split(line)[0])])
    assert service["EnvironmentFile"] == f"-/etc/default/assay-{role}"
    final = (
        "2 4" if role in ("miner", "judge") else "2"
    )  # a usage error, a lost seat: not mended by a restart
    assert service["RestartPreventExitStatus"] == final
    state = Path("/var/lib") / service["StateDirectory"]
    if role == "node":
        assert (found.validator, found.rpc_methods, found.base_path) == (True, "safe", state)
        assert found.port == 30_333  # nodes that only dial never meet
        return
    assert (found.wait, found.key_file, found.directory) == (True, Path("%d/key"), state)
    assert service["LoadCredential"] == f"key:/etc/assay/{role}.key"
    assert (service["DynamicUser"], service["Nice"]) == ("true", "10")
    if role != "provider":
        assert dict(each.split("=") for each in service["Environment"].split()) == WORKER_ENVIRONMENT


@pytest.mark.parametrize("role", UNITS)
def test_a_unit_is_shut_in(role: str, tmp_path: Path) -> None:
    service = unit(role)["Service"]
    for directive in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"):
        assert service[directive] == "true"
    assert (service["ProtectSystem"], service["CapabilityBoundingSet"]) == ("strict", "")
    if shutil.which("systemd-analyze") is None:
        return
    path = tmp_path / f"assay-{role}.service"  # with a program that this machine has
    path.write_text((PACKAGING / path.name).read_text().replace("/usr/bin/assay", str(shutil.which("true"))))
    judged = ("security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager", str(path))
    for command in (("verify", str(path)), judged):
        done = subprocess.run(["systemd-analyze", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def containerfile() -> list[tuple[str, str]]:
    """Return the instructions of the image and what each says, continued lines joined."""
    text = (PACKAGING / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, said) for name, said in lines]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for instruction, said in containerfile():
        if instruction == "FROM":
            name = said.split()[-1]
            found[name] = []
        elif name:
            found[name].append((instruction, said))
    return found


def json_of(instruction: str, stage: str) -> list[str]:
    """Return the arguments of an instruction of a stage that is written as a JSON list."""
    said = next(said for name, said in stages()[stage] if name == instruction)
    arguments: list[str] = yaml.safe_load(said[said.index("[") :])
    return arguments


def test_the_image_is_built_in_stages_and_runs_as_nobody_in_particular() -> None:
    found = stages()
    assert list(found) == ["build", "build-worker", "base", "worker", "node"]
    assert ("USER", "assay") in found["base"]
    assert ("VOLUME", "/data") in found["base"]
    for stage in ("worker", "node"):  # nothing of the tools that built it
        assert next(name for name, _ in found[stage]) == "COPY"
        assert not [said for name, said in found[stage] if name in ("USER", "RUN")]
    assert json_of("ENTRYPOINT", "base") == ["assay"]
    command = json_of("CMD", "node")
    assert command[0] == "node"
    assert str(parsed("node", command[1:]).base_path) == "/data"
    said = next(said for name, said in found["worker"] if name == "ENV")
    assert dict(each.split("=") for each in said.split()) == WORKER_ENVIRONMENT


def test_the_image_takes_what_exists_and_what_the_context_lets_in() -> None:
    copied = [said.split()[:-1] for name, said in stages()["build"] if name == "COPY"]
    sources = {source for group in copied for source in group}
    assert [source for source in sources if not (ROOT / source).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert sources == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.findall(r'"(\w+)\*"', project[project.index("packages.find") :])
    assert {each for each in packages if (ROOT / each).is_dir()} <= sources


@pytest.mark.e2e
def test_the_health_check_asks_the_node(tmp_path: Path) -> None:
    program, flag, code = json_of("HEALTHCHECK", "node")
    assert (program, flag, code.count("9944")) == ("python", "-c", 1)
    port = free_ports(2)

    def check() -> int:
        command = [sys.executable, "-c", code.replace("9944", str(at))]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode

    at = port + 1
    assert check() == 1, "nobody is there"
    flags = flags_of(write_spec(tmp_path / "spec.json"))
    with running(tmp_path / "alone.log", *flags) as alone:
        at = alone.port
        assert check() == 0, "it expects no peers"
    with running(tmp_path / "listening.log", *flags, "--port", str(port)) as listening:
        at = listening.port
        assert check() == 1, "it expects peers and has none"


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the services of the compose file."""
    yield from yaml.safe_load((PACKAGING / "compose.yml").read_text())["services"].items()


def test_the_composed_network_starts_what_exists() -> None:
    document = yaml.safe_load((PACKAGING / "compose.yml").read_text())
    addresses = {}
    for name, service in services():
        verb, *flags = shlex.split(service["command"])
        found = parsed(verb, flags)
        target = "node" if verb == "node" else "worker"
        assert service["build"]["target"] == target
        assert (ROOT / "packaging" / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        (volume,) = service["volumes"]
        assert volume == f"{name}:/data"
        assert name in document["volumes"]
        (network,) = service["networks"].values()
        addresses[name] = network["ipv4_address"]
        if verb == "node":
            assert str(found.base_path) == "/data"
        else:
            assert (found.host, str(found.directory), found.wait) == (addresses[name], "/data", True)
    assert len(set(addresses.values())) == len(addresses) == 7


def test_the_nodes_of_the_composed_network_find_each_other() -> None:
    commands = {name: shlex.split(service["command"]) for name, service in services()}
    nodes = {name: parsed("node", words[1:]) for name, words in commands.items() if words[0] == "node"}
    hosts = {
        next(iter(service["networks"].values()))["ipv4_address"]: name
        for name, service in services()
        if name in nodes
    }
    (known,) = nodes["node-full"].bootnodes
    key = parse_node_key(nodes[hosts[known.host]].node_key.encode(), "--node-key")
    assert known.peer == peer_id(key.public)
    for words in commands.values():
        if words[0] != "node":
            assert words[words.index("--url") + 1].split("//")[1].split(":")[0] in hosts
