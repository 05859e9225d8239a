"""What the training benches share: models by size, the text everybody trains on, and where runs are kept.

A run that was stopped goes on where it stood: its state lies in a folder, under a name made of its settings.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miners.data import Corpus, Window, assignment, build_corpus, held_out, standard_library
from miners.layout import ModelConfig
from miners.model import use_threads
from miners.parameters import TrainingParameters
from miners.shards import tokens_of

CACHE = Path(__file__).parent / ".cache"
SIZES = {
    "tiny": ModelConfig(hidden=16, layers=1, heads=2, feed_forward=32, sequence=16),
    "mini": ModelConfig(hidden=32, layers=1, heads=2, feed_forward=64, sequence=32),
    "small": ModelConfig(hidden=64, layers=2, heads=4, feed_forward=176, sequence=64),
    "1M": ModelConfig(),
    "10M": ModelConfig(hidden=320, layers=8, heads=5, feed_forward=864),
    "50M": ModelConfig(hidden=512, layers=16, heads=8, feed_forward=1_408, sequence=256),
}
"""Llamas over bytes, from what a test can train to what needs a GPU."""

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Text:
    """A corpus in memory, read as miners and judges read it."""

    corpus: Corpus

    def cut(self, windows: Sequence[Window], batch_size: int, span: int) -> list[Tokens]:
        """Return windows as tokens, int64 [batch, span] each."""
        texts = [self.corpus.shards[window.shard.digest] for window in windows]
        tokens = tokens_of(texts, windows, span)
        return [tokens[at : at + batch_size] for at in range(0, len(tokens), batch_size)]

    def batches(
        self, windows: Sequence[Window], batch_size: int, parameters: TrainingParameters
    ) -> list[Tokens]:
        """Return windows as tokens, int64 [batch, sequence + 1] each."""
        return self.cut(windows, batch_size, parameters.model.sequence + 1)

    def assigned(self, beacon: bytes, hotkey: bytes, parameters: TrainingParameters) -> list[Tokens]:
        """Return what a miner trains on in a round."""
        windows = assignment(beacon, hotkey, self.corpus.manifest, parameters)
        return self.batches(windows, parameters.batch_size, parameters)

    def held_out(self, parameters: TrainingParameters, count: int) -> Tokens:
        """Return public text that nobody trains on, int64 [count, sequence + 1]."""
        windows = held_out(self.corpus.manifest, parameters, count)
        return self.batches(windows, count, parameters)[0]


def read_text(root: Path | None = None) -> Text:
    """Return the text below a directory; that of the running Python by default."""
    return Text(build_corpus(root or standard_library()))


def beacon(*named: object) -> bytes:
    """Return randomness for something that has a name, 32 bytes; the same on every machine."""
    return blake2b(json.dumps([str(each) for each in named]).encode(), digest_size=32).digest()


def hotkey(number: int) -> bytes:
    """Return the key of a miner, 32 bytes."""
    return beacon("hotkey", number)


def key_of(settings: Mapping[str, object]) -> str:
    """Return a file name for a run with these settings."""
    return blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def flags_of(made: ArgumentParser, state: str, size: str = "1M") -> ArgumentParser:
    """Add the flags of the training benches."""
    made.add_argument("--size", choices=SIZES, default=size, help=f"of the model [{size}]")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="to train on [cpu]")
    made.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="to multiply in [fp32]")
    made.add_argument("--threads", type=int, default=1, help="of torch [1]")
    made.add_argument("--seeds", type=int, default=3, help="how many runs, from seed 0 on [3]")
    made.add_argument("--text", type=Path, help="directory of Python files [the standard library]")
    made.add_argument("--state", type=Path, default=CACHE / state, help="where unfinished runs are kept")
    return made


def changes(wanted: Sequence[str], known: Collection[str]) -> dict[str, int]:
    """Read --set NAME=NUMBER."""
    pairs = [each.partition("=") for each in wanted]
    unknown = [name for name, _, _ in pairs if name not in known]
    if unknown:
        raise SystemExit(f"--set knows {', '.join(known)}, not {unknown[0]}")
    return {name: int(number) for name, _, number in pairs}


def begin(given: Namespace) -> Text:
    """Prepare torch and the folder of the runs, and read the text."""
    use_threads(given.threads)
    given.state.mkdir(parents=True, exist_ok=True)
    return read_text(given.text)


def say(line: str) -> None:
    """Tell whoever waits; the figures alone go to the standard output."""
    print(line, file=sys.stderr, flush=True)


def put_aside(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write arrays; the file is whole or absent."""
    written = path.with_suffix(".new")
    with written.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    written.replace(path)
