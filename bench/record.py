"""What every benchmark does with its figures: print them as JSON, and write them where it is told to."""

import argparse
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the flags all benchmarks share."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    made.add_argument(
        "--machine",
        default=f"{os.cpu_count()} cores",
        metavar="TEXT",
        help="what kind of machine this is, without its name",
    )
    return made


def finish(name: str, figures: Mapping[str, object], given: argparse.Namespace) -> None:
    """Print the figures of a run and, with --json, keep them."""
    document = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": given.machine,
        "figures": dict(figures),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


def resident_mib(process: int | str = "self", *, peak: bool = False) -> int:
    """Return how much memory a process has resident, or the most that it has had."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) >> 10
    raise OSError("the kernel does not tell how much memory is resident")
