"""Consensus values of a training subnet."""

import pytest

from miners.layout import ModelConfig, layout, parameters_of
from miners.parameters import BOUNDS, TrainingParameters
from runtime.pallets.subnets.numbers import Hyperparameters
from runtime.pallets.training.parameters import MADE_OF


def test_the_flat_map_of_integers_round_trips() -> None:
    parameters = TrainingParameters(model=ModelConfig(hidden=64, heads=2), top_k=64)
    assert TrainingParameters.from_integers(parameters.to_integers()) == parameters
    assert TrainingParameters.from_integers({"tempo": 20}) == TrainingParameters()
    assert all(isinstance(number, int) for number in parameters.to_integers().values())


def test_a_round_is_made_of_all_of_them() -> None:
    judged = {"overlap_ppm", "tolerance_ppm", "ema_ppm"}
    assert {each.name for each in MADE_OF} == set(TrainingParameters().to_integers()) | judged


def test_the_defaults_are_those_of_a_new_subnet() -> None:
    ours = TrainingParameters().to_integers()
    assert {name: getattr(Hyperparameters(), name) for name in ours} == ours


def test_every_integer_has_bounds_that_its_default_meets() -> None:
    assert set(TrainingParameters().to_integers()) == set(BOUNDS) | set(ModelConfig().__slots__)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"inner_steps": 0}, "inner_steps is 0, must be 1 to 1000"),
        ({"top_k": 5_000}, "top_k is 5000, must be at most chunk (4096)"),
        ({"warmup_steps": 21}, "warmup_steps is 21, must be at most inner_steps (20)"),
        ({"hidden": 1 << 20}, "hidden is 1048576, must be 1 to 65536"),
        ({"heads": 3}, "hidden (128) must be a multiple of twice heads (3)"),
        ({"kv_heads": 3}, "heads (4) must be a multiple of kv_heads (3)"),
        ({"tie_embeddings": 2}, "tie_embeddings is 2, must be 0 to 1"),
        ({"tokenizer": 1}, "tokenizer is 1, must be 0 to 0"),
    ],
)
def test_a_value_out_of_range_is_named(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        TrainingParameters.from_integers(numbers)
    assert str(refusal.value) == message


def test_a_round_of_few_steps_raises_the_learning_rate_within_them() -> None:
    parameters = TrainingParameters()
    assert parameters.in_round(20) == parameters
    short = parameters.in_round(3)
    assert (short.inner_steps, short.warmup_steps) == (3, 3)


def test_the_default_model_has_the_published_size() -> None:
    assert parameters_of(ModelConfig()) == 869_504


def test_shared_heads_and_tied_embeddings_take_no_place() -> None:
    shapes = {one.name: one.shape for one in layout(ModelConfig(kv_heads=1, tie_embeddings=1))}
    assert shapes["model.layers.0.self_attn.k_proj.weight"] == (32, 128)
    assert shapes["model.layers.0.self_attn.q_proj.weight"] == (128, 128)
    assert "lm_head.weight" not in shapes


def test_tensors_lie_end_to_end_in_name_order() -> None:
    tensors = layout(ModelConfig())
    assert [one.name for one in tensors] == sorted(one.name for one in tensors)
    assert [one.offset for one in tensors[1:]] == [one.offset + one.size for one in tensors[:-1]]


def test_a_model_too_large_for_one_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 2147483648 are supported"):
        layout(ModelConfig(hidden=65_536, heads=64, layers=8))
