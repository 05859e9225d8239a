"""Consensus values of a training subnet."""

import pytest

from miners.layout import ModelConfig, layout, parameters_of
from miners.parameters import BOUNDS, TrainingParameters


def test_the_flat_map_of_integers_round_trips() -> None:
    parameters = TrainingParameters(model=ModelConfig(hidden=64, heads=2), top_k=64)
    assert TrainingParameters.from_integers(parameters.to_integers()) == parameters
    assert TrainingParameters.from_integers({"tempo": 20}) == TrainingParameters()
    assert all(isinstance(number, int) for number in parameters.to_integers().values())


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
    ],
)
def test_a_value_out_of_range_is_named(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        TrainingParameters.from_integers(numbers)
    assert str(refusal.value) == message


def test_the_default_model_has_the_published_size() -> None:
    assert parameters_of(ModelConfig()) == 869_504


def test_tensors_lie_end_to_end_in_name_order() -> None:
    tensors = layout(ModelConfig())
    assert [one.name for one in tensors] == sorted(one.name for one in tensors)
    assert [one.offset for one in tensors[1:]] == [one.offset + one.size for one in tensors[:-1]]


def test_a_model_too_large_for_one_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 2147483648 are supported"):
        layout(ModelConfig(hidden=65_536, heads=64, layers=8))
