"""The optimiser of a round, fresh in each: AdamW, or Muon for all matrices and AdamW for the rest.

AdamW has to learn first how large gradients are, every round anew; Muon needs a mean of few directions.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter
from torch.optim import AdamW

from miners.parameters import MUON, PPM, TrainingParameters

BETAS = (0.9, 0.95)
"""AdamW's, as in the published runs of small Llamas."""
MOMENTUM = 0.95
"""Muon's, as published."""
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, as published: fast where singular values are small."""
ITERATIONS = 5
LEAST_NORM = 1e-7
LIKE_ADAMW = 0.2
"""Root mean square of a step in parts of the learning rate, AdamW's by experience (arXiv 2502.16982)."""


class InnerOptimiser:
    """Moves what is trained, step by step."""

    def __init__(self, trained: Sequence[Parameter], parameters: TrainingParameters) -> None:
        is_muon, self._decay = parameters.inner_optimizer == MUON, parameters.weight_decay_ppm / PPM
        self._all = trained
        self._matrices = [one for one in trained if is_muon and one.ndim == 2]
        self._means = [torch.zeros_like(one) for one in self._matrices]
        rest = [one for one in trained if not (is_muon and one.ndim == 2)]
        self._adamw = AdamW([{"params": rest}], lr=0.0, betas=BETAS, weight_decay=self._decay)

    def step(self, rate: float) -> None:
        """Take a step against the gradients, and forget them."""
        for group in self._adamw.param_groups:
            group["lr"] = rate
        self._adamw.step()
        for matrix, mean in zip(self._matrices, self._means, strict=True):
            self._move(matrix, mean, rate)
        for one in self._all:
            one.grad = None

    def state(self) -> dict[str, Any]:
        """Return what it knows, for who does more than a round with it; a copy."""
        return deepcopy(self._adamw.state_dict() | {"means": self._means})

    def load(self, state: dict[str, Any]) -> None:
        """Know what another one knew."""
        self._adamw.load_state_dict({name: state[name] for name in ("state", "param_groups")})
        for mean, before in zip(self._means, state.get("means", []), strict=True):
            mean.copy_(before)

    @torch.no_grad()
    def _move(self, matrix: Parameter, mean: Tensor, rate: float) -> None:
        """Take a step of Muon (Jordan 2024).

        In float32: torch's own rounds to bfloat16, which takes more than ten times as long on many CPUs.
        """
        assert matrix.grad is not None, "every matrix takes part in every step"
        mean.lerp_(matrix.grad, 1 - MOMENTUM)
        direction = orthogonal(matrix.grad.lerp(mean, MOMENTUM))  # Nesterov's
        matrix.mul_(1 - rate * self._decay)
        matrix.add_(direction, alpha=-rate * LIKE_ADAMW * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix of the same singular vectors, all of whose singular values are near one.

    Of one that processes have divided, every one of them computes the whole and keeps its part.
    """
    if isinstance(matrix, DTensor):
        whole = orthogonal(matrix.full_tensor())
        return distribute_tensor(whole, matrix.device_mesh, matrix.placements, src_data_rank=None)
    a, b, c = NEWTON_SCHULZ
    is_tall = matrix.shape[0] > matrix.shape[1]
    now = matrix.T if is_tall else matrix
    now = now / now.norm().clamp(min=LEAST_NORM)
    for _ in range(ITERATIONS):
        square = now @ now.T
        now = torch.addmm(now, torch.addmm(square, square, square, beta=b, alpha=c), now, beta=a)
    return now.T if is_tall else now
