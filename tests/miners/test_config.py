"""Command lines made from dataclasses."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from miners.commands import model_import
from miners.config import POSITIONAL, parse, parser_of


@dataclass(frozen=True, slots=True)
class Config:
    """Knobs of a program."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    rounds: int = 3  # rounds, 100 % of them
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to train
    mirrors: tuple[str, ...] = ("http://one",)  # may be repeated
    data_directory: Path | None = None  # where blobs go
    json: bool = False  # print JSON

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise ValueError("rounds must not be negative")


@dataclass(frozen=True)
class Required:
    """A program that cannot guess."""

    key: str  # whose key


@dataclass(frozen=True)
class Placed:
    """A program with an argument that has no flag, and a flag that is a word of Python."""

    directory: Path = field(metadata=POSITIONAL)  # what to read
    from_: int = 1  # where to begin
    is_loud: bool = False  # say much


def test_a_place_and_a_word_of_python() -> None:
    assert parse(Placed, ["d", "--from", "7", "--is-loud"]) == Placed(Path("d"), 7, True)
    assert parse(Placed, ["d"]) == Placed(Path("d"))
    with pytest.raises(SystemExit):
        parse(Placed, [])


def test_a_module_of_two_words_is_a_command_of_two() -> None:
    assert parser_of(model_import.Config).prog == "assay model import"


def test_defaults_need_no_flags() -> None:
    assert parse(Config, []) == Config()


def test_every_kind_of_field_has_its_flag() -> None:
    line = ["--url", "x", "--rounds=7", "--device", "cpu", "--mirrors", "a", "--mirrors", "b"]
    line += ["--data-directory", "/d", "--json"]
    assert parse(Config, line) == Config("x", 7, "cpu", ("a", "b"), Path("/d"), True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--ulr", "x"], "unknown argument --ulr, did you mean --url?"),
        (["--zzz"], "unknown argument --zzz"),
        (["stray"], "unknown argument stray"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--rounds", "-1"], "rounds must not be negative"),
        (["--url"], "argument --url: expected one argument"),
    ],
)
def test_a_wrong_line_is_one_line_and_code_2(
    line: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(Config, line)
    said = capsys.readouterr()
    assert (end.value.code, said.out) == (2, "")
    end = "" if message.endswith("?") else "."
    assert said.err == f"assay test config: {message}{end} Try `assay test config --help`.\n"


def test_a_required_field_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(Required, ["--key", "//Alice"]) == Required("//Alice")
    with pytest.raises(SystemExit):
        parse(Required, [])
    assert "the following arguments are required: --key" in capsys.readouterr().err


def test_help_repeats_the_comments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(Config, ["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    for text in (
        "Command lines made from",
        "node to talk to [ws://127.0.0.1:9944]",
        "rounds, 100 % of them [3]",
    ):
        assert text in said
