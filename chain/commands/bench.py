"""Measure this program on this machine; a measurement runs from its repository and prints JSON.

assay bench                            what there is to measure
assay bench runtime                    run one of them
assay bench loss_gap --seeds 1         with flags of its own; `assay bench NAME --help` lists them
"""

import argparse
import ast
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from chain.commands.failure import USAGE, Failure
from chain.commands.talk import table

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "bench"


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument("name", nargs="?", metavar="NAME", help="measurement to run [list them]")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its own flags")


def run(parsed: argparse.Namespace) -> int:
    """List the measurements, or become one of them."""
    if not ROOM.is_dir():
        raise Failure("measurements are in the repository, not in the package: clone it and run `make setup`")
    known = dict(_measurements())
    if parsed.name is None:
        print(json.dumps(known) if parsed.json else table(("<NAME", "<measures"), list(known.items())))
        return 0
    if parsed.name not in known:
        raise Failure(f"there is no measurement {parsed.name}: `assay bench` lists them", USAGE)
    return _become(parsed.name, parsed.arguments)


def _become(name: str, arguments: list[str]) -> NoReturn:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    os.execve(sys.executable, [sys.executable, "-m", f"bench.{name}", *arguments], environment)


def _measurements() -> Iterator[tuple[str, str]]:
    """Yield name and first line of every script; none is loaded, as that takes torch."""
    for path in sorted(ROOM.glob("*.py")):
        text = path.read_text()
        if '__name__ == "__main__"' in text and path.stem != "table":
            yield path.stem, (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
