"""Command lines from dataclasses: one frozen dataclass per program, each field one flag.

    @dataclass(frozen=True)
    class Config:
        url: str = "ws://127.0.0.1:9944"  # node to talk to           becomes --url, with this very help text

A field's trailing comment is its help, and the program's module docstring heads it. A field with the metadata
`POSITIONAL` has no flag; `from_` is --from; the module `model_import` is `assay model import`.
"""

import argparse
import inspect
import sys
import tokenize
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

C = TypeVar("C")

USAGE_ERROR = 2
"""Exit code of a wrong command line."""
POSITIONAL = {"positional": True}
"""Metadata of a field that is given by its place, without a flag."""


def start(room: str, arguments: Sequence[str]) -> int:
    """Run a program of a room, which the first argument names, and return its exit code.

    Its flags are read first: what does the work takes seconds to load.
    """
    name, *flags = arguments
    config = parse(import_module(f"{room}.commands.{name}").Config, flags)
    code: int = import_module(f"{room}.{name}").run(config)
    return code


def parse(config: type[C], arguments: Sequence[str] | None = None) -> C:
    """Return what a command line asks for; a wrong one ends the program with one line and code 2."""
    parser = parser_of(config)
    known, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown(unknown[0], parser))
    try:
        return config(**vars(known))
    except ValueError as problem:
        parser.error(str(problem))


def parser_of(config: type[Any]) -> argparse.ArgumentParser:
    """Return the argparse parser of a configuration dataclass."""
    module = sys.modules[config.__module__]
    name = module.__spec__.name if module.__spec__ else Path(module.__file__ or "program").stem
    parser = _OneLineParser(
        prog=f"assay {name.rpartition('.')[2].replace('_', ' ')}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    hints, comments = get_type_hints(config), _comments(config)
    for one in fields(config):
        _add_flag(parser, one, hints[one.name], comments.get(one.name, ""))
    return parser


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        self.exit(USAGE_ERROR, f"{self.prog}: {message}{end} Try `{self.prog} --help`.\n")


def _add_flag(parser: argparse.ArgumentParser, one: "Field[Any]", hint: Any, text: str) -> None:
    flag = f"--{one.name.rstrip('_').replace('_', '-')}"
    default = one.default_factory() if one.default_factory is not MISSING else one.default
    required = default is MISSING
    help_text = text.replace("%", "%%")
    if one.metadata == POSITIONAL:
        parser.add_argument(one.name, type=_kind(hint), metavar=METAVARS[_kind(hint)], help=help_text)
        return
    if hint is bool:
        action: Any = argparse.BooleanOptionalAction if default else "store_true"
        parser.add_argument(flag, action=action, default=default, help=help_text, dest=one.name)
        return
    if not required and default is not None:
        help_text = f"{help_text} [{default}]".lstrip()
    options: dict[str, Any] = {"required": required, "help": help_text, "dest": one.name}
    if not required:
        options["default"] = default
    if get_origin(hint) is Literal:
        parser.add_argument(flag, choices=get_args(hint), **options)
    elif get_origin(hint) is tuple:  # tuple[str, ...]: the flag may be repeated
        parser.add_argument(flag, action=_Collect, type=get_args(hint)[0], metavar="TEXT", **options)
    else:
        kind = _kind(hint)
        parser.add_argument(flag, type=kind, metavar=METAVARS[kind], **options)


class _Collect(argparse.Action):
    """Gathers a repeated flag into a tuple; the first use replaces the default."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: Any,
        option: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, (value,) if before is self.default else (*before, value))


METAVARS: dict[Any, str] = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}


def _kind(hint: Any) -> Any:
    """Return the converter of an annotation; `X | None` is X with a default of None."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType] or [hint]
    if len(kinds) != 1 or kinds[0] not in METAVARS:
        raise TypeError(f"no flag can be made of {hint!r}")
    return kinds[0]


def _unknown(argument: str, parser: argparse.ArgumentParser) -> str:
    flags = [option for action in parser._actions for option in action.option_strings]
    close = get_close_matches(argument.split("=")[0], flags, n=1)
    hint = f", did you mean {close[0]}?" if close else ""
    return f"unknown argument {argument}{hint}"


def _comments(config: type[Any]) -> dict[str, str]:
    """Return the trailing comment of each field's line, a base's unless the class has its own."""
    found: dict[str, str] = {}
    for each in reversed(config.__mro__[:-1]):
        found |= _comments_in(each)
    return found


def _comments_in(config: type[Any]) -> dict[str, str]:
    """Return those of the class alone; none when the source is not at hand."""
    try:
        lines = iter(inspect.getsource(config).splitlines(keepends=True))
    except OSError:
        return {}
    comments: dict[str, str] = {}
    first = ""
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        if token.type == tokenize.COMMENT and first:
            comments[first] = token.string.lstrip("# ")
        elif token.type in (tokenize.NEWLINE, tokenize.NL):
            first = ""
        elif token.type == tokenize.NAME and not first:
            first = token.string
    return comments
