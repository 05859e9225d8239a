"""One miner on several processes: rank 0 talks to the chain, all of them train (torchrun, FSDP2).

    torchrun --nproc-per-node 8 -m miners.miner --key //Miner1

    with crew(device) as team:                  None where there is only one process
        team.train(weights, batches, ...)       rank 0: hands the work to all and returns what came of it
        team.help(device, precision)            the others: until rank 0 ends

Each holds a part of every parameter and of the optimiser, and trains on a part of every batch. The update is
put together from the parts before it is compressed, so its bytes do not tell how many made it. When one is
lost, the others end with one line, and nothing is committed.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import LlamaForCausalLM

from miners.layout import parameters_of
from miners.model import Tokens, Trained, TrainingDiverged, choose_device, train
from miners.parameters import TrainingParameters
from miners.weights import MasterWeights

log = logging.getLogger("miner")

STEP_SECONDS = 300
"""One exchange between processes while they train; a longer silence means that one is lost."""
IDLE_DAYS = 365
"""Between two assignments, which the chain hands out when it likes."""
END = 0
"""Length of the next work's numbers, when there is none."""


class CrewLost(Exception):
    """A process of this miner is gone, and with it a part of the model."""


@contextmanager
def crew(device: str) -> Iterator["Crew | None"]:
    """Meet the other processes that torchrun has started, if it has.

    Raises: CrewLost.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield None
        return
    place = choose_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with _told("the processes of this miner did not meet"):
        dist.init_process_group(
            "nccl" if place.type == "cuda" else "gloo", timeout=timedelta(seconds=STEP_SECONDS)
        )
        made = Crew(place)
    try:
        yield made
    finally:
        if not made.is_busy:  # otherwise somebody waits for what will not come, and this would, too
            made.end()
            dist.destroy_process_group()


class Crew:
    """The processes of one miner."""

    def __init__(self, place: torch.device) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._place = place
        self._mesh: DeviceMesh = init_device_mesh(place.type, (self.size,))
        self._talk = dist.new_group(backend="gloo", timeout=timedelta(days=IDLE_DAYS))
        self.is_busy = False  # training, or lost while training

    def train(
        self,
        weights: MasterWeights,
        batches: Sequence[Tokens],
        parameters: TrainingParameters,
        device: str,
        precision: str,
    ) -> Trained:
        """Train with the others, as rank 0.

        Raises: TrainingDiverged, CrewLost.
        """
        with _told("another process of this miner is lost"), self._busy():
            self._send(weights, batches, parameters)
            return train(weights, batches, parameters, device, precision, self)

    def help(self, device: str, precision: str) -> None:
        """Train what rank 0 hands out, until it ends.

        Raises: CrewLost.
        """
        with _told("another process of this miner is lost"):
            while (work := self._receive()) is not None:
                with suppress(TrainingDiverged), self._busy():  # rank 0 meets it, too, and says so
                    train(*work, device, precision, self)

    def end(self) -> None:
        """Tell the others, as rank 0, that nothing comes any more."""
        if self.rank == 0:
            with suppress(RuntimeError):  # they are gone already
                self._share(torch.tensor([END, 0, 0, 0]))

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Mark a training; one that breaks off in the middle leaves the others in the middle of theirs."""
        self.is_busy = True
        try:
            yield
        except TrainingDiverged:  # all of them end here
            self.is_busy = False
            raise
        self.is_busy = False

    # What a training asks.

    def divide(self, model: LlamaForCausalLM) -> None:
        """Leave each process a part of every parameter; a layer is whole only while it is computed."""
        for layer in model.get_submodule(_layers_in(model)).children():
            fully_shard(layer, mesh=self._mesh)
        fully_shard(model, mesh=self._mesh)

    def part(self, batch: Tensor) -> tuple[Tensor, float]:
        """Return every so many-th sequence, and its share; who has none counts another's for nothing."""
        mine = batch[self.rank :: self.size]
        share = self.size * len(mine) / len(batch)
        return (mine if len(mine) else batch[:1]), share

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over the processes."""
        total = value.clone()
        dist.all_reduce(total)
        return total / self.size

    # How work is handed on: numbers, weights, tokens.

    def _send(
        self, weights: MasterWeights, batches: Sequence[Tokens], parameters: TrainingParameters
    ) -> None:
        numbers = torch.frombuffer(
            bytearray(json.dumps(parameters.to_integers()).encode()), dtype=torch.uint8
        )
        rows = [len(batch) for batch in batches]
        tokens = torch.from_numpy(np.concatenate(batches))
        words = [weights.words] if weights.base is None else [weights.words, weights.base.words]
        self._share(torch.tensor([len(numbers), len(words), len(rows), tokens.shape[1]]))
        models = [torch.from_numpy(each.copy()) for each in words]
        for content in (numbers, *models, torch.tensor(rows), tokens):
            self._share(content)

    def _receive(self) -> tuple[MasterWeights, list[Tokens], TrainingParameters] | None:
        length, models, batches, width = self._share(torch.zeros(4, dtype=torch.int64)).tolist()
        if length == END:
            return None
        numbers = json.loads(bytes(self._share(torch.empty(length, dtype=torch.uint8)).tolist()))
        chosen = TrainingParameters.from_integers(numbers)
        shapes = [chosen.model, chosen.model.whole()][:models]
        words = [
            self._share(torch.empty(parameters_of(shape), dtype=torch.int32)).numpy() for shape in shapes
        ]
        rows = self._share(torch.empty(batches, dtype=torch.int64)).tolist()
        tokens = self._share(torch.empty((sum(rows), width), dtype=torch.int64)).numpy()
        below = MasterWeights(shapes[1], words[1]) if models > 1 else None
        weights = MasterWeights(chosen.model, words[0], below)
        return weights, np.split(tokens, np.cumsum(rows)[:-1]), chosen

    def _share(self, content: Tensor) -> Tensor:
        """Give what rank 0 has to everybody."""
        dist.broadcast(content, src=0, group=self._talk)
        return content


def _layers_in(model: LlamaForCausalLM) -> str:
    """Return the name of the list of layers, however many wrappers the model has."""
    names: list[str] = [name for name, _ in model.named_modules()]
    return next(name for name in names if name.rpartition(".")[2] == "layers")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say in one line what torch says in many.

    Raises: CrewLost.
    """
    try:
        yield
    except RuntimeError as problem:
        line = str(problem).strip().partition("\n")[0].partition(". ")[0]
        raise CrewLost(f"{what} ({line}): nothing was committed; start them all again") from problem
