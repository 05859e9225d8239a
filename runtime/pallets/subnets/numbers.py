"""The numbers that rule a subnet: their names, defaults and bounds, and which contradict each other."""

import enum
from dataclasses import dataclass, fields, replace
from typing import Annotated, get_type_hints

from runtime.primitives.shapes import struct, u8, u16, u32, u64
from runtime.primitives.types import Balance, Ppm

PPM = 1_000_000
"""Parts per million in one."""
ASY = 10**12
"""planck in one ASY"""
MOST_UIDS = 1024
"""No subnet may have more uids: an epoch must fit into a block."""
MOST_BALANCE = 10**24
"""planck; a bound on amounts, far from the edge of u128"""
LEAST_PRICE = 10
"""planck; from nothing no price rises, however many register."""
MOST_BLOCKS = 10**7
"""A bound on durations, in blocks."""


@dataclass(frozen=True)
class Within:
    """The bounds of a hyperparameter, both inclusive."""

    least: int
    most: int


@struct("pallet_subnets::types::Hyperparameters")
class Hyperparameters:
    """The numbers that rule a subnet; blocks and planck; the defaults are the live network's."""

    tempo: Annotated[u32, Within(3, 50_400)] = 360
    immunity_period: Annotated[u32, Within(0, MOST_BLOCKS)] = 7_200
    activity_cutoff: Annotated[u32, Within(1, MOST_BLOCKS)] = 5_000
    freeze_window: Annotated[u32, Within(1, 1_000)] = 10
    max_uids: Annotated[u16, Within(1, MOST_UIDS)] = 256
    max_permits: Annotated[u16, Within(1, 128)] = 64
    kappa_ppm: Annotated[Ppm, Within(PPM // 2, PPM)] = PPM // 2
    stake_cap_ppm: Annotated[Ppm, Within(1, PPM)] = 200_000
    bonds_moving_average_ppm: Annotated[Ppm, Within(0, PPM)] = 900_000
    owner_cut_ppm: Annotated[Ppm, Within(0, 100_000)] = 0
    miners_share_ppm: Annotated[Ppm, Within(0, PPM)] = 600_000
    emission_share: Annotated[u32, Within(0, PPM)] = 1  # of the sum over all subnets
    burn_start: Annotated[Balance, Within(LEAST_PRICE, MOST_BALANCE)] = 10 * ASY
    burn_min: Annotated[Balance, Within(LEAST_PRICE, MOST_BALANCE)] = ASY
    burn_max: Annotated[Balance, Within(LEAST_PRICE, MOST_BALANCE)] = 10_000 * ASY
    burn_half_life: Annotated[u32, Within(1, MOST_BLOCKS)] = 360
    uid_bond: Annotated[Balance, Within(0, MOST_BALANCE)] = 100 * ASY
    train_window: Annotated[u32, Within(3, 50_400)] = 200
    reveal_window: Annotated[u32, Within(3, 50_400)] = 10
    score_commit_window: Annotated[u32, Within(3, 50_400)] = 40
    score_reveal_window: Annotated[u32, Within(3, 50_400)] = 10
    attest_window: Annotated[u32, Within(3, 50_400)] = 10
    max_payload_bytes: Annotated[u32, Within(128, 1 << 30)] = 65_536
    weights_rate_limit: Annotated[u32, Within(0, MOST_BLOCKS)] = 100
    serving_rate_limit: Annotated[u32, Within(0, MOST_BLOCKS)] = 50
    weights_version: Annotated[u64, Within(0, (1 << 64) - 1)] = 0  # least version_key of set_weights
    # How a training subnet trains: names and bounds of miners.parameters and miners.layout.
    inner_steps: Annotated[u32, Within(1, 1_000)] = 20
    batch_size: Annotated[u32, Within(1, 4_096)] = 4
    learning_rate_ppm: Annotated[Ppm, Within(1, PPM)] = 2_000
    warmup_steps: Annotated[u32, Within(0, 1_000)] = 8
    weight_decay_ppm: Annotated[Ppm, Within(0, PPM)] = 100_000
    clip_norm_ppm: Annotated[Ppm, Within(1, 1_000 * PPM)] = PPM
    chunk: Annotated[u32, Within(16, 65_536)] = 4_096
    top_k: Annotated[u32, Within(1, 65_536)] = 128
    beta_ppm: Annotated[Ppm, Within(0, PPM)] = 800_000
    outer_learning_rate_ppm: Annotated[Ppm, Within(1, 4 * PPM)] = PPM
    support_floor_ppm: Annotated[Ppm, Within(0, PPM)] = 500_000
    norm_clip_ppm: Annotated[Ppm, Within(1, 100 * PPM)] = PPM
    evaluation_sequences: Annotated[u32, Within(1, 65_536)] = 64
    # The shape of the model.
    vocabulary: Annotated[u32, Within(256, 1 << 20)] = 256
    hidden: Annotated[u32, Within(2, 16_384)] = 128
    layers: Annotated[u32, Within(1, 256)] = 4
    heads: Annotated[u32, Within(1, 256)] = 4
    feed_forward: Annotated[u32, Within(1, 65_536)] = 352
    sequence: Annotated[u32, Within(1, 65_536)] = 128
    # How its epochs turn scores into pay.
    consensus: Annotated[u8, Within(0, 1)] = 0  # the epoch's function: 0 median, 1 yuma3
    commit_reveal: Annotated[u8, Within(0, 1)] = 1  # 1: rows are committed, then revealed; 0: set in the open
    reveal_period: Annotated[u32, Within(1, 10)] = 1  # epochs from a commit to its reveal
    bonds_penalty_ppm: Annotated[Ppm, Within(0, PPM)] = PPM  # of what exceeds the consensus earns no bond
    vesting_rounds: Annotated[u32, Within(0, 100)] = 40  # over which what a miner earned becomes its own
    stake_threshold: Annotated[Balance, Within(0, MOST_BALANCE)] = 0  # a validator with less does not count
    # How its rounds are checked; windows are rounds.
    audit_rate_ppm: Annotated[Ppm, Within(0, PPM)] = 50_000  # chance that a payload is trained once more
    newcomer_rounds: Annotated[u32, Within(0, 1_000)] = 10  # a miner's first ones, audited in full
    audit_window: Annotated[u32, Within(1, 100)] = 3  # within which an audit is reported
    overlap_ppm: Annotated[Ppm, Within(0, PPM)] = 900_000  # least share of equal indices that passes an audit
    tolerance_ppm: Annotated[Ppm, Within(0, PPM)] = 20_000  # of a measurement that a jury measures again
    challenge_window: Annotated[u32, Within(1, 100)] = 2  # within which a score may be challenged
    checkpoint_rounds: Annotated[u32, Within(1, 10_000)] = 50  # closed ones from a checkpoint to the next
    inner_steps_start: Annotated[u32, Within(0, 1_000)] = 0  # inner_steps of the first round; 0: no warm-up
    warmup_rounds: Annotated[u32, Within(0, 10_000)] = 0  # closed ones until inner_steps is what it says
    ema_ppm: Annotated[Ppm, Within(0, PPM - 1)] = 800_000  # what a score's moving average keeps
    # The shape of the model, continued.
    kv_heads: Annotated[u32, Within(0, 256)] = 0  # 0: as many as heads
    rope_theta: Annotated[u32, Within(1, 1 << 31)] = 10_000
    tie_embeddings: Annotated[u8, Within(0, 1)] = 0
    norm_eps_e9: Annotated[u32, Within(1, 10**9)] = 1_000  # 1e-6
    tokenizer: Annotated[u8, Within(0, 0)] = 0  # 0: bytes
    lora_rank: Annotated[u32, Within(0, 1_024)] = 0  # 0: the whole model is trained
    # How a training subnet trains, continued.
    inner_optimizer: Annotated[u8, Within(0, 1)] = 0  # 0: AdamW; 1: Muon for matrices

    def longest_round(self) -> int:
        """Return how many blocks a training round takes when every window runs to its end."""
        scoring = self.score_commit_window + self.score_reveal_window
        return self.train_window + self.reveal_window + scoring + self.attest_window


class Parameter(enum.Enum):
    """The names of the hyperparameters; the numbers are what users sign, so they never change."""

    __scale_path__ = "pallet_subnets::types::Parameter"

    tempo = 0
    immunity_period = 1
    activity_cutoff = 2
    freeze_window = 3
    max_uids = 4
    max_permits = 5
    kappa_ppm = 6
    stake_cap_ppm = 7
    bonds_moving_average_ppm = 8
    owner_cut_ppm = 9
    miners_share_ppm = 10
    emission_share = 11
    burn_start = 12
    burn_min = 13
    burn_max = 14
    burn_half_life = 15
    uid_bond = 16
    train_window = 17
    reveal_window = 18
    score_commit_window = 19
    score_reveal_window = 20
    attest_window = 21
    max_payload_bytes = 22
    weights_rate_limit = 23
    serving_rate_limit = 24
    weights_version = 25
    inner_steps = 26
    batch_size = 27
    learning_rate_ppm = 28
    warmup_steps = 29
    weight_decay_ppm = 30
    clip_norm_ppm = 31
    chunk = 32
    top_k = 33
    beta_ppm = 34
    outer_learning_rate_ppm = 35
    support_floor_ppm = 36
    norm_clip_ppm = 37
    evaluation_sequences = 38
    vocabulary = 39
    hidden = 40
    layers = 41
    heads = 42
    feed_forward = 43
    sequence = 44
    consensus = 45
    commit_reveal = 46
    reveal_period = 47
    bonds_penalty_ppm = 48
    vesting_rounds = 49
    stake_threshold = 50
    audit_rate_ppm = 51
    newcomer_rounds = 52
    audit_window = 53
    overlap_ppm = 54
    tolerance_ppm = 55
    challenge_window = 56
    checkpoint_rounds = 57
    inner_steps_start = 58
    warmup_rounds = 59
    ema_ppm = 60
    kv_heads = 61
    rope_theta = 62
    tie_embeddings = 63
    norm_eps_e9 = 64
    tokenizer = 65
    lora_rank = 66
    inner_optimizer = 67


FIXED = frozenset(
    {
        "vocabulary", "hidden", "layers", "heads", "feed_forward", "sequence", "kv_heads", "rope_theta",
        "tie_embeddings", "norm_eps_e9", "tokenizer", "lora_rank",
    }
)  # fmt: skip
"""A model keeps its shape: these are set when the subnet is created, never after."""
ROOT_ONLY = frozenset(
    {"emission_share", "tempo", "max_uids", "max_permits", "stake_cap_ppm", "stake_threshold"}
)
"""What an owner could use against other subnets, or to judge alone: shares, work for every block, votes."""


def _bounds() -> dict[str, Within]:
    hints = get_type_hints(Hyperparameters, include_extras=True)
    return {
        field.name: next(mark for mark in hints[field.name].__metadata__ if isinstance(mark, Within))
        for field in fields(Hyperparameters)
    }


BOUNDS = _bounds()
"""Least and most of each hyperparameter, by name."""


def in_bounds(parameter: Parameter, value: int) -> bool:
    """Say whether a value lies within the bounds of its hyperparameter."""
    bounds = BOUNDS[parameter.name]
    return bounds.least <= value <= bounds.most


def contradiction(chosen: Hyperparameters) -> str | None:
    """Say which two values cannot stand together, or None."""
    rules = {
        "burn_min is above burn_max": chosen.burn_min <= chosen.burn_max,
        "top_k is above chunk": chosen.top_k <= chosen.chunk,
        "warmup_steps is above inner_steps": chosen.warmup_steps <= chosen.inner_steps,
        "freeze_window is above half the tempo": 2 * chosen.freeze_window <= chosen.tempo,
        "activity_cutoff is below tempo": chosen.activity_cutoff >= chosen.tempo,
        "hidden is no multiple of 2 * heads": chosen.hidden % (2 * chosen.heads) == 0,
        "inner_steps_start is above inner_steps": chosen.inner_steps_start <= chosen.inner_steps,
        "heads is no multiple of kv_heads": chosen.heads % (chosen.kv_heads or chosen.heads) == 0,
    }
    return next((problem for problem, holds in rules.items() if not holds), None)


def problem_with(chosen: Hyperparameters) -> str | None:
    """Say what is wrong with a set of hyperparameters, or None."""
    for name, bounds in BOUNDS.items():
        value = getattr(chosen, name)
        if not bounds.least <= value <= bounds.most:
            return f"{name} is {value}, must be {bounds.least} to {bounds.most}"
    return contradiction(chosen)


def with_value(chosen: Hyperparameters, parameter: Parameter, value: int) -> Hyperparameters:
    """Return a set of hyperparameters with one changed."""
    return replace(chosen, **{parameter.name: value})
