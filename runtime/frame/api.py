"""How a runtime API is declared: a class is an API, its public methods are the functions.

    class AccountNonceApi(Bound):
        def account_nonce(self, account: AccountId) -> Nonce: ...

Names and types of arguments and result are said in the signature only; what answers calls and metadata V15
both read them here. Source: sp_api::decl_runtime_apis.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, get_type_hints

from runtime.primitives.shapes import wire_name


class ApiNotFound(KeyError):
    """The runtime has no such API."""


class ApiTrap(Exception):
    """The runtime has such an API, but it cannot answer from state alone."""


@dataclass(frozen=True)
class FunctionSpec:
    """One function: its arguments with their types in order, its result, its documentation."""

    name: str
    inputs: tuple[tuple[str, Any], ...]
    output: Any
    docs: str
    run: Callable[..., Any]


@dataclass(frozen=True)
class ApiSpec:
    """One API and the class that declares it."""

    name: str
    functions: tuple[FunctionSpec, ...]
    docs: str
    declared: type


def api_of(declared: type) -> ApiSpec:
    """Return what an API class declares."""
    methods = [method for method in vars(declared).values() if isinstance(method, FunctionType)]
    functions = tuple(_function(method) for method in methods if not method.__name__.startswith("_"))
    return ApiSpec(declared.__name__, functions, inspect.getdoc(declared) or "", declared)


def _function(method: FunctionType) -> FunctionSpec:
    hints = get_type_hints(method, include_extras=True)
    _, *parameters = inspect.signature(method).parameters
    inputs = tuple((wire_name(each), hints[each]) for each in parameters)
    return FunctionSpec(method.__name__, inputs, hints["return"], inspect.getdoc(method) or "", method)
