"""What the `assay` command says to mistakes: one line, and an exit code that means something."""

import errno
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from chain.cli import COMMANDS, PROGRAMS, main
from chain.commands.failure import of_files
from runtime.apis import NATIVE
from runtime.runtime import VERSION

USAGE, REFUSED = 2, 1
QUIET = ("--tmp", "--alice", "--rpc-port", "0", "--no-prometheus")
LEVELS = "is not one of error, warn, info, debug, trace"
GENESIS = "the genesis of dev is malformed"


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Leave the root logger as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def ending(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command; return its exit code and the one line it leaves on standard error."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = int(ended.code or 0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return code, captured.err.removesuffix("\n")


@pytest.mark.parametrize("name", [*COMMANDS, *PROGRAMS])
def test_help_lists_every_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    *group, last = name.split()
    with pytest.raises(SystemExit):
        main([*group, "--help"])
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("    ")]
    assert told.count(last) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("model", "assay model: the following arguments are required: VERB. Try `assay model --help`."),
        ("node --bogus", "assay node: unrecognized arguments: --bogus. Try `assay node --help`."),
        ("node --rpc-port 65536", "assay node: argument --rpc-port: '65536' is no port (0 to 65535). Try "
         "`assay node --help`."),
        ("node --dev --signature-workers 99", "assay node: argument --signature-workers: '99' is neither "
         "auto nor 0 to 8. Try `assay node --help`."),
        ("node --dev --rpc-max-connections 0", "assay node: argument --rpc-max-connections: '0' is not "
         "between 1 and 65536. Try `assay node --help`."),
        ("node --dev --rpc-max-response-size 1025", "assay node: argument --rpc-max-response-size: '1025' is "
         "not between 1 and 1024. Try `assay node --help`."),
        ("node --dev --node-key 12", "assay: --node-key holds no node key: it must be 32 bytes or 64 "
         "hexadecimal digits; `assay key generate-node-key` makes one"),
        ("node --dev --node-key-file /no/such", "assay: cannot read the node key: [Errno 2] No such file or "
         "directory: '/no/such'"),
        ("node --dev -l nonsense", f"assay: log level 'nonsense' {LEVELS}"),
        ("node --dev -l babe=", f"assay: log level '' {LEVELS}"),
        ("node --chain /no/such.json", "assay: cannot read chain '/no/such.json': [Errno 2] No such file or "
         "directory: '/no/such.json'; give dev, local or a JSON file"),
        ("build-spec --chain nowhere", "assay: cannot read chain 'nowhere': [Errno 2] No such file or "
         "directory: 'nowhere'; give dev, local or a JSON file"),
        ("up --rounds 3", "assay: --rounds says when --exit ends the run; add --exit"),
        ("key inspect nonsense",
         "assay: the phrase is not 12 to 24 English BIP-39 words with a valid checksum"),
        ("key inspect 0x12", "assay: a seed is 0x and 64 hexadecimal digits"),
        ("key inspect //Alice -x", "assay key: unrecognized arguments: -x. Try `assay key --help`."),
        ("key", "assay key: the following arguments are required: VERB. Try `assay key --help`."),
    ],
)  # fmt: skip
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: str, line: str) -> None:
    assert ending(capsys, *arguments.split()) == (USAGE, line)


def test_a_development_authority_has_no_password(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pass word\n")
    code, said = ending(capsys, "node", "--dev", "--password-filename", str(tmp_path / "password"))
    assert (code, said) == (
        USAGE, "assay: --alice is a key without password; leave the password flags out"
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "generate-node-key", "--file", "/dev/null/x/key"),
        ("node", "--base-path", "/dev/null/x", *QUIET[1:]),
    ],
)
def test_a_place_that_cannot_be_used_is_said(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, said = ending(capsys, *arguments)
    why = "cannot be used (Not a directory): name a place where this user may write, on a disk that has room"
    assert (code, said.startswith("assay: /dev/null/x"), said.endswith(why)) == (REFUSED, True, True), said


def test_a_full_disk_without_a_name_is_said() -> None:
    said = str(of_files(OSError(errno.ENOSPC, "No space left on device")))
    assert said.startswith("writing failed (No space left on device): name a place where this user may write")
    assert of_files(OSError("a connection was reset")) is None


def test_an_empty_key_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    words = "assay: an empty secret URI names no key"
    assert ending(capsys, "key", "inspect", "") == (USAGE, words)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"{nonsense",
         "is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[" * 100_000, "is not JSON: maximum recursion depth exceeded while decoding a JSON array from a "
         "unicode string"),
        (b"[]", "is no chain specification: it must be a JSON object"),
        (b"{}", "is no chain specification: name must be a text"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_specification(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: bytes, rule: str
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_bytes(text)
    assert ending(capsys, "node", "--chain", str(spec), *QUIET) == (USAGE, f"assay: {spec} {rule}")


def test_a_file_that_is_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_bytes(b"\xff\xfe")
    code, line = ending(capsys, "node", "--chain", str(spec), *QUIET)
    assert code == USAGE
    assert line.startswith(f"assay: cannot read chain '{spec}': 'utf-8' codec can't decode")


def config_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the pallets' sections."""
    config: dict[str, Any] = spec["genesis"]["runtimeGenesis"]["config"]
    return config


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda spec: config_of(spec).pop("session"),
         "the genesis of dev makes no chain: it has no BABE authorities"),
        (lambda spec: config_of(spec)["constants"]["Babe"].update(ExpectedBlockTime=0),
         "the genesis of dev makes no chain: Babe.ExpectedBlockTime is below 100 ms"),
        (lambda spec: config_of(spec)["constants"]["Babe"].update(EpochDuration=0),
         "the genesis of dev makes no chain: Babe.EpochDuration is 0"),
        (lambda spec: config_of(spec).update(balanses={}),
         f"{GENESIS}: ValueError('no pallet is called balanses')"),
        (lambda spec: config_of(spec)["constants"].update(Bape={}),
         f"{GENESIS}: ValueError('no pallet is called Bape')"),
        (lambda spec: config_of(spec)["constants"]["Babe"].update(Nope=1), f"{GENESIS}: KeyError('Nope')"),
        (lambda spec: config_of(spec)["sudo"].update(key="5Gxx"),
         f"{GENESIS}: Ss58Error('an address holds 35 bytes, not 3')"),
        (lambda spec: spec.update(genesis={"raw": {"top": []}}),
         f"{GENESIS}: AttributeError(\"'list' object has no attribute 'items'\")"),
        (lambda spec: spec.update(genesis={"raw": {"top": {"0xzz": "0x"}}}),
         f"{GENESIS}: ValueError('non-hexadecimal number found in fromhex() arg at position 0')"),
        (lambda spec: spec.update(genesis={"raw": {"top": {"0x" + "ab" * 256: "0x"}}}),
         f"the genesis of dev has a key of 256 bytes, 0x{'ab' * 16}…: nodes give each other states with keys "
         "of at most 255 bytes, so leave it out"),
    ],
)  # fmt: skip
def test_a_genesis_that_makes_no_chain(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], None],
    words: str,
) -> None:
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    edit(spec)
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    assert ending(capsys, "node", "--chain", str(path), *QUIET) == (USAGE, f"assay: {words}")


def test_a_runtime_this_node_lacks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = json.loads(files("genesis").joinpath("dev.json").read_text())
    manifest = replace(NATIVE.manifest("dev"), spec_version=7).encode().hex()
    spec["genesis"] = {"raw": {"top": {"0x" + b":code".hex(): "0x" + manifest}}}
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))
    words = (
        f"assay: this chain needs version 7 of runtime assay, this node has [{VERSION.spec_version}]: "
        "install a newer assay-chain, or the package with that runtime, and start again; nothing is lost"
    )
    assert ending(capsys, "node", "--chain", str(path), *QUIET) == (REFUSED, words)


def test_a_preset_printed_raw_is_a_specification(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["build-spec", "--chain", "dev", "--raw"]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "raw.json"
    path.write_text(printed)
    assert main(["build-spec", "--chain", str(path), "--raw"]) == 0
    assert capsys.readouterr().out == printed


def test_who_reads_no_further_and_a_full_disk_are_no_bugs() -> None:
    spec = [sys.executable, "-m", "chain", "build-spec", "--chain", "dev"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone, open("/dev/full", "wb") as full:
        ended = [
            subprocess.run(spec, stdout=where, stderr=subprocess.PIPE, text=True) for where in (gone, full)
        ]
    assert [each.returncode for each in ended] == [141, 1]
    assert ended[0].stderr == ""
    assert ended[1].stderr.startswith("assay: writing failed (No space left on device): ")
    assert ended[1].stderr.count("\n") == 1
