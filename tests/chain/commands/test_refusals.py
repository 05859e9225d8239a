"""Flags that make no sense are refused before anything starts."""

import socket

import pytest

from chain.cli import main
from chain.commands.network import Ports
from chain.commands.ports import outgoing
from chain.commands.up import VALIDATORS
from tests.e2e.process import free_ports

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "--miners", "9"], "--miners is 9, must be 1 to 8"),
        (["up", "--rounds", "0"], "--rounds is 0, must be 1 or more"),
        (["up", "--exit"], "--exit needs --rounds N"),
        (["up", "--port-base", "65535"], "--port-base is 65535, must be 1 to 65510"),
        (["register", "--key", "//A", "--netuid", "70000"], "--netuid is 70000, must be 0 to 65535"),
        (["register", "--key", "//A", "--max-price", "nan"], "--max-price is nan, must be 0 to 1000000000"),
        (["register", "--key", "//A", "--max-price", "-1"], "--max-price is -1.0, must be 0 to 1000000000"),
        (
            ["register", "--key", "//A", "--hotkey", ALICE[:-1]],
            f"--hotkey {ALICE[:-1]} is no address: ",
        ),
    ],
)
def test_a_usage_error_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"assay: {said}")


def test_a_key_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "--key", "not a SURI"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("assay: --key names no key: ")


def test_every_port_of_the_network_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    count = len(Ports.at(0).taken_by(len(VALIDATORS), 2))
    base = free_ports(count)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", base + count - 1))
        holder.listen()
        assert main(["up", "--port-base", str(base)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"port {base + count - 1} is taken" in line


def test_ports_of_outgoing_connections_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    first, last = outgoing().start, outgoing().stop - 1
    for base in (first, first - 1, last):
        assert main(["up", "--port-base", str(base)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"assay: --port-base is {base}, must keep out of {first} to {last}: ")
