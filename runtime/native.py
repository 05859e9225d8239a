"""A version of the runtime as the node holds it: what executes blocks, what answers, what tells it apart.

    class NextRuntime(AssayRuntime):
        system = System.at(0, version=NEXT_VERSION)
        kudos = Kudos.at(50, system=system)

    NATIVE = NativeRuntime(Executive(NextRuntime, EXTENSIONS), NEXT_VERSION, SERVED)

A package offers it to nodes through the entry-point group `assay.runtimes` (docs/operate.md).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from runtime.frame.api import ApiNotFound, ApiSpec, FunctionSpec
from runtime.frame.executive import Executive
from runtime.frame.metadata.v14 import metadata
from runtime.frame.state import EmptyState, Overlay, State
from runtime.primitives.hashing import blake2_256
from runtime.primitives.header import Header
from runtime.primitives.manifest import Manifest
from runtime.primitives.scale import Codec, DecodeError, Input
from runtime.primitives.types import Hash
from runtime.primitives.version import RuntimeVersion
from runtime.runtime import AssayRuntime


@dataclass(frozen=True)
class NativeRuntime:
    """One version: its pallets and checks, its name, the runtime APIs it serves."""

    executive: Executive
    version: RuntimeVersion
    apis: tuple[ApiSpec, ...]

    @cached_property
    def fingerprint(self) -> Hash:
        """The hash of its metadata on no chain: another build of the same version has another one."""
        described = metadata(self.executive.runtime(Overlay(EmptyState())), self.executive.extensions)
        return Hash(blake2_256(described))

    def manifest(self, preset: str) -> Manifest:
        """Return what lies under `:code` of a chain that runs this version."""
        version = self.version
        return Manifest(
            self.fingerprint, preset, version.spec_name, version.spec_version, version.transaction_version
        )

    def reading(self, state: State) -> AssayRuntime:
        """Return its pallets bound to a state, as the next block will find it."""
        return cast(AssayRuntime, self.executive.runtime.reading(state))

    def answer(self, state: State, header: Header, name: str, argument: bytes) -> bytes:
        """Call a runtime API on the state of a block.

        Raises: ApiNotFound, ApiTrap, DecodeError.
        """
        function = self.functions.get(name)
        if function is None:
            raise ApiNotFound(name)
        source = Input(argument)
        arguments = [each.read(source) for each in function.inputs]
        if source.left():
            raise DecodeError(f"{source.left()} bytes are left over after the arguments of {name}")
        bound = function.declared(self, self.reading(state), state, header)
        return function.output.encode(function.spec.run(bound, *arguments))

    @cached_property
    def functions(self) -> "dict[str, Function]":
        """The functions of all runtime APIs, by the names they are called by."""
        codecs = self.executive.runtime.codecs
        return {
            f"{api.name}_{each.name}": Function(
                api.declared,
                each,
                [codecs.of(annotation) for _, annotation in each.inputs],
                codecs.of(each.output),
            )
            for api in self.apis
            for each in api.functions
        }


@dataclass(frozen=True, slots=True)
class Bound:
    """What every API has: the version, its pallets bound to the state of a block, and that block's header."""

    native: NativeRuntime
    runtime: AssayRuntime
    state: State
    header: Header


@dataclass(frozen=True, slots=True)
class Function:
    """A function with its codecs compiled."""

    declared: type
    spec: FunctionSpec
    inputs: list[Codec[Any]]
    output: Codec[Any]
