"""Run a node: keep the chain, serve JSON-RPC, author and finalise with --validator.

assay node --dev                     one authority, temporary data, funded accounts
assay node --chain local --alice     the local chain's authority
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import uvloop

from chain.checkpoints import Checkpoint, CheckpointError
from chain.commands import password as passwords
from chain.commands import peer_flags
from chain.commands.failure import USAGE, Failure, of_files
from chain.commands.places import DEFAULT_BASE
from chain.commands.ports import ensure_free
from chain.common.errors import RuntimeMissing, StorageError, SyncRefused
from chain.consensus.guard_records import GuardError
from chain.keys.keystore import KeystoreError
from chain.keys.node import NodeKeyError, parse_node_key, read_node_key
from chain.keys.pair import Keypair
from chain.node import NodeConfig, Service
from chain.rpc.door import DEFAULT_ORIGINS
from chain.rpc.policy import RpcMethods
from chain.rpc.server import RpcConfig
from chain.signatures import MAX_WORKERS, workers_for
from chain.spec import ChainSpec, SpecError
from chain.storage.pruning import NAMED, Pruning
from chain.sync.bootstrap import SyncMode
from chain.telemetry.logs import LogSpecError, set_up

log = logging.getLogger("node")

DEVELOPMENT_KEYS = ("alice", "bob", "charlie", "dave", "eve", "ferdie")
EXPECTED = (StorageError, GuardError, KeystoreError, NodeKeyError, RuntimeMissing, SyncRefused, OSError)
"""What may end a node without being its own bug; each says in one line what to do."""
MAX_COUNT = 65_536
"""what a number of connections, messages or requests may be; sockets run out far below"""
DEFAULTS = RpcConfig()
MIB = 1 << 20
MAX_MIB = 1024
"""largest request or response that may be asked for; each is in memory as a whole"""
GC_THRESHOLDS = (50_000, 20, 20)
"""objects, rounds, rounds; Python's are for programs that make few objects"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags; names are Substrate's."""
    _describe_chain(parser.add_argument_group("chain and data"))
    _describe_identity(parser.add_argument_group("identity"))
    peer_flags.describe(parser.add_argument_group("peers"))
    _describe_rpc(parser.add_argument_group("JSON-RPC"))
    _describe_output(parser.add_argument_group("work and output"))


def _describe_chain(group: argparse._ArgumentGroup) -> None:
    chain = group.add_mutually_exclusive_group()
    chain.add_argument(
        "--dev", action="store_true",
        help="--chain dev --alice --tmp --rpc-cors all --state-pruning archive",
    )  # fmt: skip
    chain.add_argument(
        "--chain", metavar="ID|FILE", default="local", help="dev, local, or a chain specification [local]"
    )
    data = group.add_mutually_exclusive_group()
    data.add_argument("-d", "--base-path", type=Path, metavar="PATH", help=f"data directory [{DEFAULT_BASE}]")
    data.add_argument("--tmp", action="store_true", help="temporary data, deleted on exit")
    group.add_argument(
        "--state-pruning", type=_pruning, metavar="MODE",
        help="whose states stay: archive (all blocks'), archive-canonical (final blocks'), or N "
        "(of N blocks below the final one); fixed when the database is made, only N may change [256]",
    )  # fmt: skip
    group.add_argument(
        "--blocks-pruning", type=_pruning, metavar="MODE",
        help="the same for bodies and justifications [archive-canonical]",
    )  # fmt: skip
    group.add_argument(
        "--sync", choices=get_args(SyncMode), default="full",
        help="how a node without blocks gets to the head: full (every block is executed), fast (all headers, "
        "then the newest state), warp (proofs of who votes, then the newest state) [full]",
    )  # fmt: skip
    group.add_argument(
        "--checkpoint", type=_checkpoint, metavar="NUMBER:HASH:SETID",
        help="a final block to trust, as `assay checkpoint` prints it: no chain beside it is followed",
    )  # fmt: skip


def _describe_identity(group: argparse._ArgumentGroup) -> None:
    keys = group.add_mutually_exclusive_group()
    for name in DEVELOPMENT_KEYS:
        keys.add_argument(
            f"--{name}", action="store_true", help=f"--validator with //{name.title()}'s session keys"
        )
    group.add_argument("--validator", action="store_true", help="author and vote with the keystore's keys")
    passwords.describe(group)
    group.add_argument(
        "--keystore-path", type=Path, metavar="PATH", help="session keys [keystore in the data directory]"
    )
    group.add_argument("--name", help="the node's name in logs and metrics")
    identity = group.add_mutually_exclusive_group()
    identity.add_argument(
        "--node-key", metavar="HEX", help="secret key among peers; others on this machine can see it"
    )
    identity.add_argument(
        "--node-key-file", type=Path, metavar="PATH",
        help="file with that key, raw or hex [network/secret_ed25519 in the data directory]",
    )  # fmt: skip


def _describe_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--signature-workers", type=_workers, default="auto", metavar="COUNT|auto",
        help="processes that verify signatures; auto takes cores beyond the second [auto]",
    )  # fmt: skip
    group.add_argument(
        "--prometheus-port", type=peer_flags.port, default=9615, metavar="PORT", help="metrics [9615]"
    )
    group.add_argument("--prometheus-external", action="store_true", help="serve metrics on all interfaces")
    group.add_argument("--no-prometheus", action="store_true", help="serve no metrics")
    group.add_argument("-l", "--log", default="info", metavar="TARGET=LEVEL,...", help="log levels [info]")
    group.add_argument("--detailed-log-output", action="store_true", help="show level and target")
    group.add_argument("--disable-log-color", action="store_true", help="no colours, even on a terminal")
    group.add_argument("--log-json", action="store_true", help="one JSON object per log line")


def _describe_rpc(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rpc-port", type=peer_flags.port, default=9944, metavar="PORT", help="HTTP and WebSocket [9944]"
    )
    group.add_argument("--rpc-external", action="store_true", help="listen on all interfaces")
    group.add_argument(
        "--rpc-cors", metavar="ORIGINS", help="web pages that may call: comma-separated, or all"
    )
    group.add_argument(
        "--rpc-methods", choices=get_args(RpcMethods), default=DEFAULTS.methods,
        help="auto serves unsafe methods, such as author_rotateKeys, on a loopback address only [auto]",
    )  # fmt: skip
    limits = (
        ("--rpc-max-connections", "COUNT", DEFAULTS.max_connections, "connections"),
        ("--rpc-max-request-size", "MIB", DEFAULTS.max_request // MIB, "largest request, MiB"),
        ("--rpc-max-response-size", "MIB", DEFAULTS.max_response // MIB, "largest response, MiB"),
        (
            "--rpc-max-subscriptions-per-connection", "COUNT", DEFAULTS.max_subscriptions,
            "subscriptions of one connection",
        ),
        (
            "--rpc-message-buffer-capacity-per-connection", "COUNT", DEFAULTS.max_queued_messages,
            "messages that wait for a client that does not read, before it is cut off",
        ),
        ("--rpc-max-batch-request-len", "COUNT", DEFAULTS.max_batch, "requests in one batch"),
    )  # fmt: skip
    for flag, unit, default, words in limits:
        most = MAX_MIB if unit == "MIB" else MAX_COUNT
        group.add_argument(
            flag, type=_up_to(most), default=default, metavar=unit, help=f"{words} [{default}]"
        )
    group.add_argument("--rpc-disable-batch-requests", action="store_true", help="refuse batches")


def run(parsed: argparse.Namespace) -> int:
    """Run the node until it is told to stop."""
    try:
        set_up(
            parsed.log,
            detailed=parsed.detailed_log_output or parsed.log != "info",
            as_json=parsed.log_json,
            colour=sys.stderr.isatty() and not parsed.disable_log_color,
        )
        config = _config(parsed)
    except (SpecError, LogSpecError, NodeKeyError) as problem:
        raise Failure(str(problem), USAGE) from problem
    ensure_free(config.rpc.host, config.rpc.port, "--rpc-port")
    if config.prometheus_port is not None:
        ensure_free(config.prometheus_host, config.prometheus_port, "--prometheus-port")
    if config.peers is not None and config.peers.port is not None:
        flag = "--port" if parsed.listen_addr is None else "--listen-addr"
        ensure_free(config.peers.host, config.peers.port, flag)
    if config.peers is None and not config.validator:
        log.warning(
            "⚠️ This node neither talks to peers nor authors, so its chain stands still: give --port and "
            "--bootnodes, or --dev for a chain of its own"
        )
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config))
    except SpecError as problem:
        raise Failure(str(problem), USAGE) from problem
    except EXPECTED as problem:
        raise _failure(problem) from problem
    except ExceptionGroup as group:
        expected, bugs = group.split(EXPECTED)
        if expected is None or bugs is not None:
            raise
        raise _failure(_first(expected)) from group
    return 0


async def _serve(config: NodeConfig) -> None:
    """Run until SIGINT or SIGTERM; both clean up, also while the node opens."""
    running = asyncio.current_task()
    assert running is not None, "a coroutine runs in a task"
    for stop in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stop, _stop, running)
    with contextlib.suppress(asyncio.CancelledError):
        async with Service.open(config) as service:
            _settle_memory()
            await service.run()


def _stop(running: asyncio.Task[None]) -> None:
    log.info("Stopping: a signal told this node to")
    running.cancel()


def _settle_memory() -> None:
    """Spare the garbage collector what lives as long as the node, and most of its rounds over the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _failure(problem: BaseException) -> Failure:
    told = of_files(problem) if isinstance(problem, OSError) else None
    return told or Failure(str(problem))


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
        signature_workers=workers_for(parsed.signature_workers),
        validator=parsed.validator or authority is not None,
        state_pruning=states,
        blocks_pruning=parsed.blocks_pruning,
        node_key=_node_key(parsed),
        rpc=_rpc_config(parsed, host, origins),
        prometheus_port=None if parsed.no_prometheus else parsed.prometheus_port,
        prometheus_host="0.0.0.0" if parsed.prometheus_external else "127.0.0.1",
        keystore_path=parsed.keystore_path,
        peers=peer_flags.peers_of(parsed, spec),
        sync=parsed.sync,
        checkpoint=parsed.checkpoint,
    )


def _checkpoint(text: str) -> Checkpoint:
    try:
        return Checkpoint.parse(text)
    except CheckpointError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _pruning(text: str) -> Pruning:
    try:
        return Pruning.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem


def _rpc_config(parsed: argparse.Namespace, host: str, origins: tuple[str, ...]) -> RpcConfig:
    return RpcConfig(
        host=host,
        port=parsed.rpc_port,
        methods=parsed.rpc_methods,
        origins=origins,
        max_connections=parsed.rpc_max_connections,
        max_request=parsed.rpc_max_request_size * MIB,
        max_response=parsed.rpc_max_response_size * MIB,
        max_batch=0 if parsed.rpc_disable_batch_requests else parsed.rpc_max_batch_request_len,
        max_subscriptions=parsed.rpc_max_subscriptions_per_connection,
        max_queued_messages=parsed.rpc_message_buffer_capacity_per_connection,
    )


def _node_key(parsed: argparse.Namespace) -> Keypair | None:
    """Return the node key that the flags speak of; None leaves it to the node's directory.

    Raises: NodeKeyError.
    """
    if parsed.node_key is not None:
        return parse_node_key(parsed.node_key.encode(), "--node-key")
    if parsed.node_key_file is None:
        return None
    return read_node_key(parsed.node_key_file)


def _up_to(most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and {most}")
        return int(text)

    return count


def _workers(text: str) -> str:
    if text != "auto" and not (text.isdecimal() and int(text) <= MAX_WORKERS):
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor 0 to {MAX_WORKERS}")
    return text
