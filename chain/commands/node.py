"""Run a node: keep the chain, serve JSON-RPC, author and finalise with --validator.

assay node --dev                     one authority, temporary data, funded accounts
assay node --chain local --alice     the local chain's authority
"""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from chain.commands import password as passwords
from chain.commands.failure import USAGE, Failure
from chain.commands.ports import ensure_free
from chain.consensus.guard import GuardError
from chain.executor import RuntimeMissing
from chain.keystore import KeystoreError
from chain.logs import LogSpecError, set_up
from chain.node import Node, NodeConfig
from chain.rpc.door import DEFAULT_ORIGINS
from chain.rpc.server import RpcConfig
from chain.spec import ChainSpec, SpecError
from chain.storage.db import StorageError
from chain.storage.pruning import NAMED, Pruning

DEVELOPMENT_KEYS = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
EXPECTED = (StorageError, GuardError, KeystoreError, RuntimeMissing, OSError)
"""What may end a node without being its own bug; each says in one line what to do."""
MAX_CONNECTIONS = 65_536
"""what --rpc-max-connections may be; sockets run out far below"""
DEFAULT_BASE = Path.home() / ".local" / "share" / "assay"


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags; names are Substrate's."""
    chain = parser.add_mutually_exclusive_group()
    chain.add_argument(
        "--dev",
        action="store_true",
        help="--chain dev --alice --tmp --rpc-cors all --state-pruning archive",
    )
    chain.add_argument(
        "--chain", metavar="ID|FILE", default="local", help="dev, local, or a chain specification"
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument("-d", "--base-path", type=Path, metavar="PATH", help=f"data directory [{DEFAULT_BASE}]")
    data.add_argument("--tmp", action="store_true", help="temporary data, deleted on exit")
    parser.add_argument(
        "--state-pruning",
        type=_pruning,
        metavar="MODE",
        help="whose states stay: archive (all blocks'), archive-canonical (final blocks'), or N "
        "(of N blocks below the final one); fixed when the database is made, only N may change [256]",
    )
    parser.add_argument(
        "--blocks-pruning",
        type=_pruning,
        metavar="MODE",
        help="the same for bodies and justifications [archive-canonical]",
    )
    keys = parser.add_mutually_exclusive_group()
    for name in DEVELOPMENT_KEYS:
        keys.add_argument(
            f"--{name}", action="store_true", help=f"--validator with //{name.title()}'s session keys"
        )
    parser.add_argument("--validator", action="store_true", help="author and vote with the keystore's keys")
    passwords.describe(parser)
    parser.add_argument("--name", help="the node's name in logs and metrics")
    parser.add_argument(
        "--rpc-port", type=_port, default=9944, metavar="PORT", help="HTTP and WebSocket [9944]"
    )
    parser.add_argument("--rpc-external", action="store_true", help="listen on all interfaces")
    parser.add_argument(
        "--rpc-cors", metavar="ORIGINS", help="web pages that may call: comma-separated, or all"
    )
    parser.add_argument("--rpc-max-connections", type=_count, default=100, metavar="COUNT", help="[100]")
    parser.add_argument("--prometheus-port", type=_port, default=9615, metavar="PORT", help="metrics [9615]")
    parser.add_argument("--no-prometheus", action="store_true", help="serve no metrics")
    parser.add_argument("-l", "--log", default="info", metavar="TARGET=LEVEL,...", help="log levels [info]")
    parser.add_argument("--detailed-log-output", action="store_true", help="show level and target")
    parser.add_argument("--log-json", action="store_true", help="one JSON object per log line")


def run(parsed: argparse.Namespace) -> int:
    """Run the node until it is told to stop."""
    try:
        set_up(
            parsed.log, detailed=parsed.detailed_log_output or parsed.log != "info", as_json=parsed.log_json
        )
        config = _config(parsed)
    except (SpecError, LogSpecError) as problem:
        raise Failure(str(problem), USAGE) from problem
    ensure_free(config.rpc.host, config.rpc.port, "--rpc-port")
    if config.prometheus_port is not None:
        ensure_free(config.rpc.host, config.prometheus_port, "--prometheus-port")
    try:
        asyncio.run(_serve(config))
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    except EXPECTED as problem:
        raise Failure(str(problem)) from problem
    except ExceptionGroup as group:
        expected, bugs = group.split(EXPECTED)
        if expected is None or bugs is not None:
            raise
        raise Failure(str(_first(expected))) from group
    return 0


async def _serve(config: NodeConfig) -> None:
    """Run until SIGINT or SIGTERM; both clean up, also while the node opens."""
    running = asyncio.current_task()
    assert running is not None, "a coroutine runs in a task"
    for stop in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stop, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with Node.open(config) as node:
            await node.run()


def _first(problem: BaseException) -> BaseException:
    """Return what a group of exceptions began with."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def _config(parsed: argparse.Namespace) -> NodeConfig:
    spec = ChainSpec.load("dev" if parsed.dev else parsed.chain)
    authority = next((name.title() for name in DEVELOPMENT_KEYS if getattr(parsed, name)), None)
    if parsed.dev and authority is None:
        authority = "Alice"
    if authority and not spec.is_test_chain:
        raise SpecError(
            f"--{authority.lower()} is for Development and Local chains, {spec.id} is {spec.chain_type}"
        )
    password = passwords.read(parsed)
    if authority and password is not None:
        raise SpecError(f"--{authority.lower()} is a key without password; leave the password flags out")
    temporary = parsed.tmp or (parsed.dev and parsed.base_path is None)
    origins = ("all",) if parsed.dev else DEFAULT_ORIGINS
    if parsed.rpc_cors is not None:
        origins = tuple(parsed.rpc_cors.split(","))
    states = parsed.state_pruning or (NAMED["archive"] if parsed.dev else None)
    host = "0.0.0.0" if parsed.rpc_external else "127.0.0.1"
    return NodeConfig(
        spec=spec,
        base_path=None if temporary else parsed.base_path or DEFAULT_BASE,
        name=parsed.name or authority or "assay-node",
        authority=f"//{authority}" if authority else None,
        password=password,
        validator=parsed.validator or authority is not None,
        state_pruning=states,
        blocks_pruning=parsed.blocks_pruning,
        rpc=RpcConfig(
            host=host, port=parsed.rpc_port, max_connections=parsed.rpc_max_connections, origins=origins
        ),
        prometheus_port=None if parsed.no_prometheus else parsed.prometheus_port,
    )


def _pruning(text: str) -> Pruning:
    try:
        return Pruning.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (0 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= MAX_CONNECTIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and {MAX_CONNECTIONS}")
    return int(text)
