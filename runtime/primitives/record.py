"""Records: frozen dataclasses with slots that are made quickly.

A dataclass that is frozen makes its instances by one `object.__setattr__` for each field, looked up by name;
here each field's slot is set by the slot's own setter, looked up once. Nothing else differs. A transfer makes
some thirty records, and making them so takes half the time.
"""

from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Declare a frozen dataclass with slots."""
    made = dataclass(frozen=True, slots=True)(cls)
    if _is_plain(made):
        setattr(made, "__init__", _constructor(made))  # noqa: B010
    return made


def _is_plain(cls: type) -> bool:
    """Say whether making an instance is nothing but setting its fields to what is given, or to a default."""
    return not hasattr(cls, "__post_init__") and all(
        each.init and not each.kw_only and each.default_factory is MISSING for each in _fields(cls)
    )


def _constructor(cls: type) -> Any:
    """Return an `__init__` with the parameters of the dataclass's own."""
    names = [each.name for each in _fields(cls)]
    known: dict[str, Any] = {f"_set_{name}": getattr(cls, name).__set__ for name in names}
    known |= {f"_default_{each.name}": each.default for each in _fields(cls) if each.default is not MISSING}
    parameters = [f"{name}=_default_{name}" if f"_default_{name}" in known else name for name in names]
    body = "; ".join(f"_set_{name}(self, {name})" for name in names) or "pass"
    exec(f"def __init__(self, {', '.join(parameters)}): {body}", known)  # as dataclasses makes its own
    made = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _fields(cls: Any) -> tuple[Field[Any], ...]:
    return fields(cls)
