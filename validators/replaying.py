"""Replays in a process of its own, at the lowest priority: judging comes first, and nothing waits for it.

    python -m validators.replaying [--device auto] [--threads 1]

It reads a line for each replay, {"folder": ..., "least": PPM}, and answers each with one, {"problem": null or
why it did not come to an end}; the folder holds

    drawn.json, before.json       numbers of the round and of the model
    drawn.base  .below  .tokens   int32 words, those of the model below an adapter, int64 [sequences, length]
    drawn.payload  .memory        as the miner served them; no memory is an empty one
    finding.json                  what came of it, and then nothing is done again

A miner may train in either precision, and the chain does not know which: what does not come out in the one is
trained in the other as well. It ends with its standard input, also amid a replay: then nobody waits for it.
"""

import argparse
import json
import os
import queue
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import bfloat16

from miners.device import use_device
from miners.files import Damaged, number_in, read_whole, write_whole
from miners.layout import ModelConfig, parameters_of
from miners.model import TrainingDiverged, choose_device, choose_precision, train
from miners.parameters import TrainingParameters
from miners.shards import Tokens
from miners.weights import Floats, MasterWeights
from validators.replay import Finding, Work, audit

DRAWN, BEFORE = "drawn", "before"
FINDING = "finding.json"
STDIN, STDOUT, STDERR = range(3)
MOST_PROBLEM = 1_000
"""characters of why a replay failed; the other end reads no line without an end"""
NICE = 19
"""The lowest priority there is."""


def write(
    folder: Path, name: str, parameters: TrainingParameters, base: MasterWeights, tokens: Tokens
) -> None:
    """Write what a miner was given in a round: int64 [sequences, sequence + 1] and a model; numbers last."""
    write_whole(folder / f"{name}.base", base.to_bytes())
    if base.base is not None:
        write_whole(folder / f"{name}.below", base.base.to_bytes())
    write_whole(folder / f"{name}.tokens", tokens.astype("<i8").tobytes())
    write_whole(folder / f"{name}.json", json.dumps(parameters.to_integers()).encode())


def read(folder: Path, name: str) -> Work | None:
    """Return a round, or None where the audit needs none of this name."""
    if not (folder / f"{name}.json").exists():
        return None
    parameters = read_whole(folder / f"{name}.json", TrainingParameters.from_integers)
    shape, below = parameters.model, folder / f"{name}.below"
    under = _words(below, shape.whole(), None) if below.exists() else None
    base = _words(folder / f"{name}.base", shape, under)
    tokens = np.fromfile(folder / f"{name}.tokens", dtype="<i8").astype(np.int64)
    rows = tokens.reshape(-1, shape.sequence + 1)
    size = parameters.batch_size
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    blob = (folder / f"{name}.payload").read_bytes()
    return Work(parameters, base, batches, blob, _memory(folder / f"{name}.memory", shape))


def conclude(folder: Path, finding: Finding) -> None:
    """Write what came of a replay; when this returns, it survives a crash."""
    write_whole(folder / FINDING, json.dumps(asdict(finding)).encode())


def found(folder: Path) -> Finding | None:
    """Return what a replay has shown, if it has ended."""
    try:
        return read_whole(folder / FINDING, _finding)
    except (FileNotFoundError, Damaged):
        return None


def _finding(kept: Any) -> Finding:
    finding = Finding(**kept)
    if not isinstance(finding.fault, str):
        raise TypeError("its fault is no text")
    return Finding(number_in(finding.overlap_ppm), finding.fault, number_in(finding.drift_ppm))


def replay(folder: Path, device: str, least_ppm: int) -> None:
    """Train what lies in a folder until it passes, and leave the best finding there.

    Raises: TrainingDiverged, OSError, ValueError when that is not whole.
    """
    drawn, before = read(folder, DRAWN), read(folder, BEFORE)
    if drawn is None:
        raise FileNotFoundError(f"{folder} holds no round to replay")
    best: Finding | None = None
    for precision in precisions(device):
        finding = audit(drawn, before, partial(train, device=device, precision=precision))
        best = max((each for each in (best, finding) if each), key=lambda it: (not it.fault, it.overlap_ppm))
        if best.passes(least_ppm):
            break
    assert best is not None, "every device has a precision"
    conclude(folder, best)


def precisions(device: str) -> list[str]:
    """Return what a device multiplies in, what a miner takes by itself first."""
    place = choose_device(device)
    first = "bf16" if choose_precision("auto", place) is bfloat16 else "fp32"
    has_both = first == "bf16" or place.type == "cpu"
    return [first, *({"fp32", "bf16"} - {first})] if has_both else [first]


def main(arguments: Sequence[str]) -> None:
    """Replay what is asked for, at the lowest priority, until nobody asks any more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    with suppress(OSError):  # some units forbid it
        os.nice(NICE)
    answers = os.fdopen(os.dup(STDOUT), "w")
    os.dup2(STDERR, STDOUT)  # whatever a library prints is no answer
    asked = queue.SimpleQueue[bytes]()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    use_device(given.device, given.threads)
    while True:
        job = json.loads(asked.get())
        problem = attempt(Path(job["folder"]), given.device, job["least"])
        print(json.dumps({"problem": problem}), file=answers, flush=True)


def attempt(folder: Path, device: str, least_ppm: int) -> str | None:
    """Replay, and return why that did not come to an end."""
    try:
        replay(folder, device, least_ppm)
    except (TrainingDiverged, OSError, ValueError, RuntimeError) as problem:  # torch's own are the last
        return f"{type(problem).__name__}: {problem}"[:MOST_PROBLEM]
    return None


def _words(path: Path, shape: ModelConfig, below: MasterWeights | None) -> MasterWeights:
    return MasterWeights(shape, np.fromfile(path, dtype="<i4").astype(np.int32), below)


def _memory(path: Path, shape: ModelConfig) -> Floats:
    if not path.exists():
        return np.zeros(parameters_of(shape), dtype=np.float32)
    return np.fromfile(path, dtype="<f4").astype(np.float32)


def _listen(asked: "queue.SimpleQueue[bytes]") -> None:
    """Hand on every line; end the program with standard input, whose other end is gone then."""
    pending = b""
    with suppress(OSError):
        while got := os.read(STDIN, 4_096):  # not by sys.stdin: its lock, held at the end, aborts the program
            *lines, pending = (pending + got).split(b"\n")
            for line in lines:
                asked.put(line)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
