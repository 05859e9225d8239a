"""The `assay` command: one verb per job; programs of other rooms start as `python -m ...`.

Exit codes: 0 ok, 1 refused or failed, 2 usage, 3 unreachable, 4 a worker's seat is lost,
130 interrupted, 141 nobody reads on.
This module imports next to nothing: a command is loaded when it is its turn.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from chain.commands.failure import USAGE, Failure, of_files, printable
from chain.version import VERSION

COMMANDS = {
    "up": "start a local network and show it work",
    "node": "run a node",
    "register": "register a hotkey in a subnet",
    "stake": "bond stake, unbond and withdraw it, have rewards paid, show it",
    "nominate": "back validators with bonded stake",
    "weights": "show and set what a judge thinks neurons are worth",
    "metagraph": "show subnets and their neurons",
    "rounds": "show the rounds of a training subnet",
    "audit": "prove and check what the trail of a chain holds",
    "key": "make, show and store keys",
    "init-guard": "let keys whose record is lost sign again, after a silence",
    "build-spec": "print a chain specification",
    "build-manifest": "print what names a runtime in an upgrade",
    "chain-info": "say what a node's database holds",
    "checkpoint": "print a block that newcomers may trust",
    "check-block": "verify and execute a stored block again",
    "export-blocks": "write blocks to a file",
    "import-blocks": "verify, execute and store blocks from a file",
    "revert": "take unfinalised blocks back",
    "purge-chain": "delete a node's database, not its keys",
    "bench": "measure this program on this machine",
}
PROGRAMS = {
    "miner": ("miners", "train on what the chain assigns, publish updates, get paid"),
    "validator": ("validators", "judge the miners' updates, beside a node"),
    "provider": ("miners", "serve the training text by hash"),
    "model export": ("miners", "write a subnet's model for transformers"),
    "model import": ("miners", "check a model that a subnet is to begin with"),
    "model found": ("miners", "name the model that a subnet begins with"),
    "audit replay": ("miners", "derive every model of a subnet again"),
    "audit scores": ("validators", "compute every published score again"),
}
"""the room of each, which has a module of its name, and its flags in `commands`"""
GROUPS = {"model": "take a model out of a subnet, or bring one"}
"""First words of programs that are no command of their own; of one that is, `describe` returns the verbs."""
BTCLI = {"--wallet": "--key or --key-file", "--subtensor": "--url", "--network": "--url"}
"""Flags of Bittensor's command, by how they begin, and ours."""
ROOMS = ("runtime", "chain", "miners", "validators", "genesis")
INTERRUPTED = 130
READER_GONE = 141
"""as of a program that SIGPIPE ended"""
HERE = Path(__file__).resolve().parent.parent
DESCRIPTION = """A proof-of-stake chain that pays miners for AI work which judges have checked.

assay up                a whole network on this machine, to see it work; Ctrl-C ends it
assay node --dev        a single node for your own programs
assay COMMAND --help    what a command does, and its flags
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with a usage error."""
        print(f"{self.prog}: {message}. Try `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals that know no `…`
    try:
        _refuse_shadowed_rooms()
        for words in (2, 1):
            name = " ".join(given[:words])
            if name in PROGRAMS:
                return _start_program(PROGRAMS[name][0], [name.replace(" ", "_"), *given[words:]])
        if given and given[0] in COMMANDS:
            command = load(given[0])
            code: int = command.run(_parsed(_parser({given[0]: command}), given))
            sys.stdout.flush()
            return code
        _parser({}).parse_args(given)  # explains itself, or what is wrong
    except Failure as failure:
        print(f"assay: {printable(str(failure))}", file=sys.stderr)
        return failure.code
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for what the interpreter still flushes
        return READER_GONE
    except OSError as problem:
        told = of_files(problem)
        if told is None:
            raise
        print(f"assay: {told}", file=sys.stderr)
        return told.code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def load(command: str) -> ModuleType:
    """Return the module of a command, with `describe` and `run`; SIGINT ends the program meanwhile."""
    previous = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # an import may swallow exceptions
    try:
        return import_module(f"chain.commands.{command.replace('-', '_')}")
    finally:
        signal.signal(signal.SIGINT, previous)


def _parsed(parser: Parser, given: Sequence[str]) -> argparse.Namespace:
    """Return a command's flags; of one that it does not have, its own help is the place to look."""
    parsed, unknown = parser.parse_known_args(given)
    if unknown:
        parser.prog = f"{parser.prog} {given[0]}"
        flags = [each.partition("=")[0] for each in unknown if each.startswith("-")]
        what = " ".join(flags) or f"{len(unknown)} words too many (a phrase wants quotes)"  # and stays secret
        ours = [flag for theirs, flag in BTCLI.items() if any(each.startswith(theirs) for each in unknown)]
        hint = f" (btcli's; here it is {' and '.join(ours)})" if ours else ""
        parser.error(f"unrecognized arguments: {what}{hint}")
    return parsed


def _parser(loaded: dict[str, ModuleType]) -> Parser:
    """Return a parser that knows all commands, and the flags of those that are loaded."""
    parser = Parser(
        prog="assay", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"assay {VERSION}")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    groups: dict[str, Any] = {}
    for name, summary in COMMANDS.items():
        module = loaded.get(name)
        verb = verbs.add_parser(
            name,
            help=summary,
            description=None if module is None else module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if module is not None:
            groups[name] = module.describe(verb)
    for name, summary in GROUPS.items():
        groups[name] = verbs.add_parser(name, help=summary).add_subparsers(required=True, metavar="VERB")
    for name, (_, described) in PROGRAMS.items():
        group, _, last = name.rpartition(" ")
        if groups.get(group):
            groups[group].add_parser(last, help=described)
        elif not group:
            verbs.add_parser(name, help=described)
    return parser


def _start_program(room: str, arguments: list[str]) -> int:
    """Become another room's program."""
    if find_spec("torch") is None:
        raise Failure("this program needs torch: pip install '.[ai]' in its repository")
    os.execv(sys.executable, [sys.executable, "-m", room, *arguments])


def _refuse_shadowed_rooms() -> None:
    """Refuse to start when another package answers to one of our import names (PyPI has a `validators`)."""
    for room in ROOMS:
        found = find_spec(room)
        origin = Path(found.origin).resolve() if found and found.origin else None
        if origin is None or HERE not in origin.parents:
            raise Failure(
                f"the import name {room!r} belongs to {origin}, not to assay: uninstall that package"
            )
