"""The process that holds an experiment tracker; `miners/tracking.py` starts it and writes to it.

    python -m miners.tracker trackio < lines

The first line says what the run is called, each further one has the numbers of a round.
"""

import json
import signal
import sys
from importlib import import_module


def main(name: str) -> None:
    """Hand each line of standard input to the tracker, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tracker = import_module(name)
    run = json.loads(sys.stdin.readline())
    same = {"id": run["name"]} if name == "wandb" else {}  # trackio goes on by project and name
    tracker.init(project=run["project"], name=run["name"], config=run["config"], resume="allow", **same)
    for line in sys.stdin:
        entry = json.loads(line)
        tracker.log(entry["values"], step=entry["step"])
    tracker.finish()


if __name__ == "__main__":
    main(sys.argv[1])
