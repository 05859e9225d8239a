"""A chain of one's own: its validators and nobody else, or one line that says what is wrong."""

import json
from pathlib import Path

import pytest

from chain.cli import main
from chain.commands.seats import Seat
from chain.executor import Executor
from chain.spec import ChainSpec
from runtime.frame.testing import MemoryState
from runtime.primitives import ss58

PEER = "/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
SEATS = [Seat.of(name) for name in ("Dave", "Eve", "Ferdie")]


def flags(*seats: Seat) -> list[str]:
    """Return the flags that name validators."""
    return [word for seat in seats for word in ("--validator", f"{seat.stash},{seat.babe},{seat.grandpa}")]


def built(capsys: pytest.CaptureFixture[str], *arguments: str) -> ChainSpec:
    """Return the specification that a command prints."""
    assert main(["build-spec", *arguments]) == 0
    return ChainSpec.parse(capsys.readouterr().out, "printed")


def test_a_chain_of_ones_own_has_these_validators_and_no_known_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bootnode = f"/dns4/boot.example.org/tcp/30333{PEER}"
    spec = built(capsys, "--id", "mine", *flags(*SEATS), "--bootnode", bootnode)
    assert (spec.id, spec.chain_type, spec.source["bootNodes"]) == ("mine", "Live", [bootnode])
    config = spec.genesis["runtimeGenesis"]["config"]
    assert [account for account, _ in config["balances"]["balances"]] == [seat.stash for seat in SEATS]
    assert {config["sudo"]["key"], config["subnets"]["1"]["owner"]} == {SEATS[0].stash}
    voters, _ = Executor().grandpa_set(MemoryState(spec.state()))
    assert {f"0x{public.hex()}" for public, _ in voters} == {seat.grandpa for seat in SEATS}
    alice = Seat.of("Alice")
    assert alice.stash not in json.dumps(spec.source)
    assert alice.babe not in json.dumps(spec.source)


def test_raw_and_hex_keys_make_the_same_chain(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    by_hex = [Seat(f"0x{ss58.decode(seat.stash)[1].hex()}", seat.babe, seat.grandpa) for seat in SEATS]
    readable = built(capsys, "--id", "mine", *flags(*SEATS))
    raw = built(capsys, "--id", "mine", "--raw", *flags(*by_hex))
    assert raw.state() == readable.state()
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(readable.source))
    assert built(capsys, "--chain", str(path), "--raw").state() == raw.state()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--id", "mine"], "a chain of your own needs --id and 1 to 100 times --validator"),
        (flags(SEATS[0]), "a chain of your own needs --id and 1 to 100 times --validator"),
        (["--id", "a chain", *flags(SEATS[0])], "--id is no chain specification: id must be 1 to 64 of "),
        (["--id", "mine", *flags(SEATS[0], SEATS[0])], "two --validator have the same stash key: "),
        (["--id", "mine", "--validator", "x"], "argument --validator: 'x' is not STASH,BABE,GRANDPA"),
        (["--id", "mine", "--validator", "x,y,z"], "argument --validator: 'x' is no address and no 0x-"),
        (["--id", "mine", "--validator", "0x00,0x00,0x00"], "argument --validator: '0x00' is no public key"),
        (["--bootnode", "/ip4/192.0.2.1/tcp/1"], "argument --bootnode: '/ip4/192.0.2.1/tcp/1' must end in"),
    ],
)  # fmt: skip
def test_what_makes_no_chain_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["build-spec", *arguments])
    except SystemExit as ended:
        code = ended.code  # type: ignore[assignment]
    assert code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
