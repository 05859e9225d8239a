"""Records are dataclasses in all but the time it takes to make one."""

import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from inspect import signature

import pytest

from runtime.primitives.record import record


@record
class Point:
    """Two numbers and a name."""

    x: int
    y: int = 2
    name: str = "p"


@dataclass(frozen=True, slots=True)
class Peer:
    """The same, made by dataclasses alone."""

    x: int
    y: int = 2
    name: str = "p"


@record
class Empty:
    """Nothing."""


@record
class Listed:
    """What takes more than setting fields."""

    items: list[int] = field(default_factory=list)


@record
class Even:
    """What looks at its fields."""

    x: int

    def __post_init__(self) -> None:
        """Refuse what is odd."""
        if self.x % 2:
            raise ValueError(self.x)


def test_a_record_is_what_a_dataclass_would_be() -> None:
    made = Point(1, name="q")
    assert (made.x, made.y, made.name) == (1, 2, "q")
    assert made == Point(1, 2, "q") != Point(1)
    assert hash(made) == hash((1, 2, "q"))
    assert repr(made) == "Point(x=1, y=2, name='q')"
    assert replace(made, y=3) == Point(1, 3, "q")
    assert asdict(made) == {"x": 1, "y": 2, "name": "q"}
    assert pickle.loads(pickle.dumps(made)) == made
    assert [each.name for each in fields(Point)] == ["x", "y", "name"]
    assert list(signature(Point).parameters) == list(signature(Peer).parameters)
    assert Empty() == Empty()


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((1, 2, "p", 3), {}), ((1,), {"z": 2}), ((1,), {"x": 2})]
)
def test_a_record_takes_what_a_dataclass_takes(given: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError) as ours:
        Point(*given, **named)  # type: ignore[arg-type]
    with pytest.raises(TypeError) as theirs:
        Peer(*given, **named)  # type: ignore[arg-type]
    assert str(ours.value).replace("Point", "Peer") == str(theirs.value)


def test_nobody_changes_a_record() -> None:
    made = Point(1)
    with pytest.raises(FrozenInstanceError):
        made.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made.x
    with pytest.raises((AttributeError, TypeError)):
        made.other = 2  # type: ignore[attr-defined]
    assert made == Point(1)


def test_what_a_class_does_beyond_setting_its_fields_is_done() -> None:
    first, second = Listed(), Listed()
    first.items.append(1)
    assert (first.items, second.items) == ([1], [])
    assert Even(2).x == 2
    with pytest.raises(ValueError, match="3"):
        Even(3)
