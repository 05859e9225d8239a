"""Flags that make no sense are refused before anything starts."""

import socket
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.cli import main
from chain.commands.network import Ports
from chain.commands.ports import outgoing
from chain.commands.up import VALIDATORS
from chain.commands.weights import scaled
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
        (["register", "--key", "//A", "--max-price", "-1"], "--max-price is -1, must be 0 to 1000000000"),
        (
            ["register", "--key", "//A", "--hotkey", ALICE[:-1]],
            f"--hotkey {ALICE[:-1]} is no address: ",
        ),
        (["register", "--key-file", "/no/such"], "cannot read the secret's file: [Errno 2] No such file"),
        (["stake", "bond", "0", "--key", "//A"], "the amount is 0, must be above 0 ASY"),
        (["stake", "bond", "all", "--key", "//A"], "the amount is all, must be above 0 ASY"),
        (["stake", "unbond", "1e3", "--key", "//A"], "the amount is 1e3, must be 0 to 1000000000 ASY"),
        (["stake", "bond", "0." + 13 * "1", "--key", "//A"], f"the amount is 0.{13 * '1'}, must be 0 to"),
        (["stake", "show", "5x"], "the account 5x is no address: "),
        (["stake", "show"], "name an account, or give --key"),
        (["nominate", "--key", "//A"], "give validators' addresses, or --none, or --list"),
        (["nominate", ALICE, "--none", "--key", "//A"], "give validators' addresses, or --none, or --list"),
        (["nominate", ALICE], "give the key that signs: --key or --key-file"),
        (["nominate", "5x", "--key", "//A"], "the validator 5x is no address: "),
        (
            ["audit", "prove", "1", "--out", "/"],
            "--out / cannot be written: name a file in a directory that you",
        ),
        (["audit", "prove", "1", "--out", "/no/such"], "--out /no/such cannot be written: name a file in a"),
        (["metagraph", "--uid", "65536"], "--uid is 65536, must be 0 to 65535"),
        (["weights", "show", "--netuid", "-1"], "--netuid is -1, must be 0 to 65535"),
        (["weights", "set", "--key", "//A"], "give the row as UID=WEIGHT entries, or with --file"),
        (["weights", "set", "1=1", "--file", "x", "--key", "//A"], "give the row as UID=WEIGHT entries, or"),
        (["weights", "set", "1024=1", "--key", "//A"], "'1024' is no uid (0 to 1023): write UID=WEIGHT"),
        (["weights", "set", "1", "--key", "//A"], "the weight of uid 1 is '', which is no number"),
        (["weights", "set", "1=1e9", "--key", "//A"], "the weight of uid 1 is '1e9', which is no number"),
        (["weights", "set", "1=1/0", "--key", "//A"], "the weight of uid 1 is '1/0', which is no number"),
        (["weights", "set", "1=-1", "--key", "//A"], "the weight of uid 1 is -1, must be 0 or more"),
        (["weights", "set", "1=1", "1=2", "--key", "//A"], "uid 1 is listed twice: list it once"),
        (
            ["weights", "set", "--file", "/no/such", "--key", "//A"],
            "--file /no/such cannot be read as JSON: ",
        ),
    ],
)
def test_a_usage_error_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"assay: {said}")


def test_who_comes_from_btcli_is_told_our_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["register", "--key", "//A", "--wallet.name", "x", "--subtensor.network", "local"])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.endswith(
        "--wallet.name --subtensor.network (btcli's; here it is --key or --key-file and --url). "
        "Try `assay register --help`."
    )


def test_a_phrase_without_quotes_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["register", "--key", *("bottom", "drive", "obey")])
    assert (ended.value.code, capsys.readouterr().err) == (
        2,
        "assay register: unrecognized arguments: 2 words too many (a phrase wants quotes). "
        "Try `assay register --help`.\n",
    )


@pytest.mark.parametrize(
    "text", ["[1, 2]", "{}", '{"1": {"2": 3}}', '{"1": null}', "3", '[["1", "2"]]', "{nonsense", "[" * 20_000]
)
def test_a_row_in_a_file_is_one_object(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = tmp_path / "row.json"
    row.write_text(text)
    assert main(["weights", "set", "--file", str(row), "--key", "//A"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"assay: --file {row} ")


@pytest.mark.parametrize(
    ("text", "more", "code", "said"),
    [
        ("//Alice\nnotes\n", (), 3, "no node answers at ws://127.0.0.1:1 "),
        ("", (), 2, "{} must begin with a secret URI"),
        ('{"secretKeyUri": "//Alice"}', (), 3, "no node answers at ws://127.0.0.1:1 "),
        ('{"encoded": "x"}', (), 2, "{} is an export of polkadot.js: give its password with "),
        ('{"encoded": "x"}', ("--password-filename", "{}"), 2, "{}: "),
        ("0x" + 64 * "1", ("--password-filename", "{}"), 2, "a password goes with a phrase, not with a seed"),
    ],
)
def test_keys_come_from_files(
    text: str, more: tuple[str, ...], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text(text)
    flags = [each.format(key) for each in more]
    assert main(["register", "--key-file", str(key), "--url", "ws://127.0.0.1:1", *flags]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("assay: " + said.format(key))


@given(st.dictionaries(st.integers(0, 1_023), st.fractions(0, 10**9), min_size=1, max_size=40))
def test_a_row_keeps_its_proportions(weights: dict[int, Fraction]) -> None:
    row = scaled(weights)
    assert list(row) == sorted(weights)
    largest = max(weights.values())
    if largest <= 65_535 and all(weight.denominator == 1 for weight in weights.values()):
        assert row == weights
    else:
        assert max(row.values()) == (65_535 if largest else 0)
        assert all(abs(row[uid] - weights[uid] * 65_535 / largest) <= Fraction(1, 2) for uid in row)


@pytest.mark.parametrize("command", ["metagraph", "weights show", "stake show " + ALICE, "nominate --list"])
def test_who_does_not_answer_has_a_code_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--url", "ws://127.0.0.1:1"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("assay: no node answers at ws://127.0.0.1:1 ")


def test_a_key_that_is_none_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["register", "--key", "not a SURI"]) == 2
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
