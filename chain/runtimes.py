"""The runtimes this node can execute: the one it is built with, and those that installed packages offer.

    [project.entry-points."assay.runtimes"]
    next = "assay_runtime_102:NATIVE"        a runtime.native.NativeRuntime

A state's `:code` manifest says which one is wanted. The version alone does not do: another build of the same
version would lead to other states, so the hash of the metadata must be the manifest's, too.
"""

import logging
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from chain.common.errors import RuntimeMissing
from runtime.apis import NATIVE
from runtime.native import NativeRuntime
from runtime.primitives.manifest import Manifest, ManifestError

log = logging.getLogger("runtime")

GROUP = "assay.runtimes"
MAX_KNOWN = 64
"""manifests remembered with their runtime; a chain has one per upgrade"""


class Runtimes:
    """Native runtimes, found by manifest."""

    def __init__(self, natives: Iterable[NativeRuntime]) -> None:
        self._natives = list(natives)
        self._known: dict[bytes, NativeRuntime] = {}

    @property
    def versions(self) -> list[int]:
        """Return the spec_versions there are, lowest first."""
        return sorted({native.version.spec_version for native in self._natives})

    def of_version(self, spec_version: int) -> list[NativeRuntime]:
        """Return the builds there are of a version."""
        return [native for native in self._natives if native.version.spec_version == spec_version]

    def find(self, code: bytes) -> NativeRuntime:
        """Return the runtime that a `:code` names.

        Raises: RuntimeMissing.
        """
        known = self._known.get(code)
        if known is None:
            known = self._choose(code)
            kept = list(self._known.items())[1 - MAX_KNOWN :]
            self._known = {**dict(kept), code: known}  # a new one, since threads may be reading
        return known

    def lacks(self, code: bytes) -> str | None:
        """Say what is missing to execute what a `:code` names, and what to do; None when nothing is."""
        try:
            self.find(code)
        except RuntimeMissing as problem:
            return str(problem)
        return None

    def _choose(self, code: bytes) -> NativeRuntime:
        try:
            wanted = Manifest.decode(code)
        except ManifestError as problem:
            raise RuntimeMissing(_advice("a runtime its state does not name", self.versions)) from problem
        builds = [each for each in self._natives if _names(each) == (wanted.spec_name, wanted.spec_version)]
        for native in builds:
            if native.fingerprint == wanted.metadata:
                return native
        if builds:
            found, asked = f"0x{builds[0].fingerprint.hex()}", f"0x{wanted.metadata.hex()}"
            raise RuntimeMissing(
                f"this chain runs version {wanted.spec_version} of runtime {wanted.spec_name} with metadata "
                f"{asked}, this node has a build with metadata {found}: install the chain's own build and "
                "start again; nothing is lost"
            )
        raise RuntimeMissing(
            _advice(f"version {wanted.spec_version} of runtime {wanted.spec_name}", self.versions)
        )


@cache
def installed() -> Runtimes:
    """Return what this installation offers; a package that does not load is named and left out."""
    offered = [_load(point) for point in entry_points(group=GROUP)]
    return Runtimes([NATIVE, *(native for native in offered if native is not None)])


def _load(point: EntryPoint) -> NativeRuntime | None:
    package = f"runtime {point.name!r} ({point.value})"
    try:
        native = point.load()
    except (ImportError, AttributeError) as problem:
        log.error("%s does not load and is left out: %s", package, problem)
        return None
    if not isinstance(native, NativeRuntime):
        log.error("%s is left out: it is %s, not a NativeRuntime", package, type(native).__name__)
        return None
    return native


def _names(native: NativeRuntime) -> tuple[str, int]:
    return native.version.spec_name, native.version.spec_version


def _advice(named: str, versions: list[int]) -> str:
    return (
        f"this chain needs {named}, this node has {versions}: "
        "install a newer assay-chain, or the package with that runtime, and start again; nothing is lost"
    )
