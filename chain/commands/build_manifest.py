"""Print the manifest that System.schedule_upgrade takes: an installed runtime, named for a chain.

assay build-manifest --chain local                     the newest runtime installed here
assay build-manifest --chain spec.json --version 102
"""

import argparse
import json

from chain.commands.failure import USAGE, Failure
from chain.runtimes import installed
from chain.spec import ChainSpec, SpecError
from runtime.primitives.manifest import CODE_KEY, Manifest, ManifestError


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--chain", metavar="ID|FILE", default="local", help="dev, local, or a file [local]")
    parser.add_argument("--version", type=int, metavar="NUMBER", help="its spec_version [the newest]")


def run(parsed: argparse.Namespace) -> int:
    """Print the manifest, as text and as the call's argument."""
    try:
        code = ChainSpec.load(parsed.chain).state().get(CODE_KEY) or b""
        preset = Manifest.decode(code).preset
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    except ManifestError as problem:
        raise Failure(f"the genesis of {parsed.chain} names no runtime: {problem}") from problem
    runtimes = installed()
    wanted = runtimes.versions[-1] if parsed.version is None else parsed.version
    offered = runtimes.of_version(wanted)
    if len(offered) != 1:
        raise Failure(
            f"{len(offered)} runtimes of version {wanted} are installed, of {runtimes.versions}: "
            "install the package with that runtime, and no other build of it"
        )
    manifest = offered[0].manifest(preset).encode()
    print(json.dumps({"specVersion": wanted, "manifest": manifest.decode(), "code": f"0x{manifest.hex()}"}))
    return 0
