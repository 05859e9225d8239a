"""Start a local network of real processes: validators (a node and a judge each), miners, a data provider.

assay up                       four validators, two miners, a provider, until Ctrl-C; leaves nothing behind
assay up -n 1                  one validator, for small machines: half the memory
assay up --rounds 3 --exit     for scripts: ends with 0 after three rounds and a payout
assay up --keep ./net          keep data, logs and ./net/chain.json, the chain's specification
"""

import argparse
import asyncio
import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chain.client import Chain
from chain.commands.failure import USAGE, Failure
from chain.commands.network import LATE_NICENESS, SPEC_FILE, Member, Network, Ports, members, write_spec
from chain.commands.ports import ensure_free, outgoing
from chain.commands.screen import Line, Row, Screen, header
from chain.connection import NodeFailure, Unreachable
from chain.keys.pair import Keypair
from chain.spec import SpecError
from chain.version import VERSION
from runtime.primitives import ss58

VALIDATORS = ("Alice", "Bob", "Charlie", "Dave")
SLOT_MS = 2_000
LAG = 5
"""blocks between best and final that are worth a line"""
LAG_SECONDS = 6.0
"""between two such lines"""
MOST_MINERS = 8
"""development accounts //Miner1 to //Miner8"""
NETUID = 1
LAST_PORT = 65_535
START_SECONDS = 60
"""a node that does not answer this long after its start is given up"""
LOAD_SECONDS = 180.0
"""workers that are not ready by then are not waited for"""
LATE_SECONDS = 20.0
"""so long miners have the cores to load torch, if they need it: the first judges' work comes after theirs"""
MEMORY_MIB = {"node": 60, "judge": 400, "miner": 420, "provider": 100}
"""what a process takes for itself, by role; measured with the presets' model"""
INTERRUPTED = 130
"""exit code of a run that was told to stop before --exit was satisfied"""
GUARD_SECONDS = 0.5
"""between two looks at the processes"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "-n", "--validators", type=int, choices=range(1, len(VALIDATORS) + 1), default=len(VALIDATORS),
        help=f"staked validators, a node and a judge each; 1 for small machines [{len(VALIDATORS)}]",
    )  # fmt: skip
    parser.add_argument(
        "--miners", type=int, default=2, metavar="COUNT", help=f"miners, 1 to {MOST_MINERS} [2]"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="with --exit: end after N rounds and a payout"
    )
    parser.add_argument(
        "--exit", action="store_true", help="end by itself, with code 0, once --rounds is reached"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="with --exit: give up after this long"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep data, logs and the specification, chain.json, in this directory",
    )
    parser.add_argument(
        "--port-base", type=int, metavar="PORT", help="take ports from here on instead of the usual ones"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per event; amounts in planck"
    )


def run(parsed: argparse.Namespace) -> int:
    """Run the network until Ctrl-C, or as --exit says."""
    _check(parsed)
    ports = Ports.at(parsed.port_base, parsed.validators)
    for port in ports.taken_by(parsed.validators, parsed.miners):
        ensure_free("127.0.0.1", port, "--port-base")
    try:
        with contextlib.ExitStack() as opened:
            network = Network(_home(parsed, opened))
            opened.callback(network.stop)
            stopped = INTERRUPTED if parsed.exit else 0  # a script must not take half a run for a whole one
            return asyncio.run(_until_stopped(_watch(parsed, ports, network), stopped))
    except BrokenPipeError:  # nobody reads us any more: `assay up | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (NodeFailure, SpecError) as problem:
        raise Failure(str(problem)) from problem


def _home(parsed: argparse.Namespace, opened: contextlib.ExitStack) -> Path:
    """Return where data and logs go.

    Raises: Failure.
    """
    if parsed.keep is None:
        made = Path(tempfile.mkdtemp(prefix="assay-up-"))
        opened.push(lambda kind, problem, trace: _discard(made, problem))
        return made
    home: Path = parsed.keep.resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Failure(
            f"--keep {home} cannot be used ({problem.strerror}): choose another directory"
        ) from problem
    return home


def _discard(home: Path, problem: BaseException | None) -> None:
    """Leave nothing behind, except the logs that a failure points to."""
    if not isinstance(problem, Failure | NodeFailure):
        shutil.rmtree(home, ignore_errors=True)


def _check(parsed: argparse.Namespace) -> None:
    if not 1 <= parsed.miners <= MOST_MINERS:
        raise Failure(f"--miners is {parsed.miners}, must be 1 to {MOST_MINERS}", USAGE)
    if parsed.rounds is not None and parsed.rounds < 1:
        raise Failure(f"--rounds is {parsed.rounds}, must be 1 or more", USAGE)
    if parsed.timeout is not None and parsed.timeout <= 0:
        raise Failure(f"--timeout is {parsed.timeout:g}, must be above 0", USAGE)
    if parsed.exit and not parsed.rounds:
        raise Failure("--exit needs --rounds N", USAGE)
    for flag, given in (("--rounds", parsed.rounds), ("--timeout", parsed.timeout)):
        if given is not None and not parsed.exit:
            raise Failure(f"{flag} says when --exit ends the run; add --exit", USAGE)
    last = LAST_PORT - len(Ports.at(0).taken_by(len(VALIDATORS), MOST_MINERS))
    if parsed.port_base is not None and not 1 <= parsed.port_base <= last:
        raise Failure(f"--port-base is {parsed.port_base}, must be 1 to {last}", USAGE)
    if parsed.port_base is not None:
        _check_outgoing(parsed)
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise Failure("miners and judges need torch and transformers: pip install '.[ai]' in the repository")


def _check_outgoing(parsed: argparse.Namespace) -> None:
    """Refuse ports that the system gives to outgoing connections: one may have it when a node starts."""
    taken = outgoing()
    wanted = Ports.at(parsed.port_base, parsed.validators).taken_by(parsed.validators, parsed.miners)
    if any(port in taken for port in wanted) and Ports.at(None).rpc not in taken:
        raise Failure(
            f"--port-base is {parsed.port_base}, must keep out of {taken.start} to {taken.stop - 1}: "
            "this system gives those ports to outgoing connections", USAGE,
        )  # fmt: skip


async def _until_stopped(watching: Coroutine[Any, Any, int], stopped: int) -> int:
    """Return the code of the run; Ctrl-C, or the end of the terminal, ends it with `stopped`."""
    task = asyncio.ensure_future(watching)
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(stop, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        print("\nstopping", file=sys.stderr, flush=True)
        return stopped


async def _watch(parsed: argparse.Namespace, ports: Ports, network: Network) -> int:
    """Start everything, then show blocks and deaths until one of the two says that it is over."""
    logging.getLogger("client").setLevel(logging.ERROR)  # a node that is gone has a line on the screen
    validators = VALIDATORS[: parsed.validators]
    miners = [f"Miner{number}" for number in range(1, parsed.miners + 1)]
    write_spec(network.home, validators, SLOT_MS)
    listed = members(ports, validators, miners, network.home)
    nodes = listed[: len(validators)]
    roles = f"{len(nodes)} nodes, {len(nodes)} judges, {len(miners)} miners, a data provider"
    greeting = f"assay {VERSION}   starting {len(listed)} processes: {roles}"
    _show(parsed, Line("starting", greeting, {"home": str(network.home), "processes": len(listed)}))
    _warn_of_memory(parsed, listed)
    for node in nodes:
        network.start(node)
    async with _connected(ports.url(), network) as chain:
        screen = Screen(NETUID, network.home / f"judge-{validators[0].lower()}" / "rounds.jsonl")
        rows = [await _row(chain, name, validators) for name in (*validators, *miners, "Provider")]
        joiners = [f"Miner{number}" for number in range(1, MOST_MINERS + 1)]  # also from other terminals
        screen.name_accounts({_address(name): name for name in (*validators, *joiners, "Provider")})
        running = [
            (node.name, ports.url(at), network.running[node.name].pid) for at, node in enumerate(nodes)
        ]
        kept = f"data in {network.home}" + ("" if parsed.keep else ", deleted on exit (--keep DIR to keep)")
        _show(parsed, header(VERSION, kept, network.home / SPEC_FILE, ports, running, rows))
        first = (await chain.finalized_head()).number + 1
    names = [node.name for node in nodes]
    tasks = (
        asyncio.ensure_future(_follow(parsed, ports, network, names, screen, first)),
        asyncio.ensure_future(start_workers(parsed, network, listed, screen)),
        asyncio.ensure_future(watch_processes(parsed, network, listed, screen)),
    )
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def start_workers(
    parsed: argparse.Namespace, network: Network, listed: list[Member], screen: Screen
) -> int:
    """Start the workers, and tell when those of a role are ready; each takes seconds to load torch."""
    workers = [each for each in listed if each.role != "node"]
    loading = f"⏳ {len(workers)} workers start; once miners have loaded torch, the first round opens"
    _show(parsed, screen.timed(Line("loading", loading, {"processes": len(workers)})))
    late = [each for each in workers if each.niceness == LATE_NICENESS]
    miners = [each for each in workers if each.role != "judge"]
    for member in workers:
        if member not in late:
            network.start(member)
    await _settled(network, miners, LATE_SECONDS)
    for member in late:
        network.start(member)
    for group in (miners, [each for each in workers if each.role == "judge"]):
        ready = await _settled(network, group, LOAD_SECONDS)
        if ready:
            _show(parsed, screen.timed(Line("ready", f"✅ ready: {', '.join(ready)}", {"names": ready})))
    return await asyncio.Future()


async def _settled(network: Network, group: list[Member], seconds: float) -> list[str]:
    """Wait until each of these processes works or has ended, or time is up; return who works."""
    until = time.monotonic() + seconds
    while True:
        if all(network.has_settled(member) for member in group) or time.monotonic() > until:
            return [member.name for member in group if network.is_ready(member)]
        await asyncio.sleep(GUARD_SECONDS)


async def _follow(
    parsed: argparse.Namespace, ports: Ports, network: Network, nodes: list[str], screen: Screen, first: int
) -> int:
    """Show what the first node that runs tells; when it ends, go on with another."""
    screen.next_block = first
    while (name := network.first_alive(nodes)) is not None:
        with contextlib.suppress(Unreachable):
            async with Chain.connect(ports.url(nodes.index(name)), f"//{VALIDATORS[0]}") as chain:
                telling = (
                    asyncio.ensure_future(_show_blocks(parsed, chain, screen)),
                    asyncio.ensure_future(_show_lag(parsed, chain, network, name, screen)),
                )
                try:
                    await asyncio.wait(telling, return_when=asyncio.FIRST_COMPLETED)
                    if telling[0].done():
                        return telling[0].result()
                finally:
                    for task in telling:
                        task.cancel()
                    await asyncio.gather(*telling, return_exceptions=True)
        await asyncio.sleep(GUARD_SECONDS)
    return await asyncio.Future()  # the guard says that all nodes have ended


async def _show_blocks(parsed: argparse.Namespace, chain: Chain, screen: Screen) -> int:
    """Show what happens in finalised blocks, until --exit is satisfied."""
    async for head in chain.finalized():
        for number in range(screen.next_block, head.number + 1):
            block = await chain.block_at(number)
            if block is not None:
                for line in await screen.lines(chain, block):
                    _show(parsed, line)
            screen.next_block = number + 1
        done = screen.progress.rounds >= (parsed.rounds or 0) and screen.progress.epochs_paid > 0
        if parsed.exit and done:
            rounds, epochs = screen.progress.rounds, screen.progress.epochs_paid
            kept = {"rounds": rounds, "epochs_paid": epochs}
            _show(parsed, Line("done", f"done: {rounds} rounds closed, {epochs} epochs paid", kept))
            return 0
    raise AssertionError("the stream of finalised blocks does not end")


async def _show_lag(
    parsed: argparse.Namespace, chain: Chain, network: Network, node: str, screen: Screen
) -> None:
    """Say so while finality waits for validators, until the node that tells it has ended."""
    told = time.monotonic()
    while True:
        await asyncio.sleep(GUARD_SECONDS)
        if network.first_alive([node]) is None:
            return
        if time.monotonic() - told < LAG_SECONDS:
            continue
        told, best, final = time.monotonic(), await chain.best_number(), (await chain.finalized_head()).number
        if best - final >= LAG:
            text = f"⏳ best #{best}, final #{final}: finality waits for more than two thirds of the stake"
            _show(parsed, screen.timed(Line("waiting", text, {"best": best, "finalized": final})))


async def watch_processes(
    parsed: argparse.Namespace, network: Network, listed: list[Member], screen: Screen
) -> int:
    """Tell of each member that ends, once, and how to start it again; one node that runs is a network.

    Raises: Failure when no node is left, or --timeout has passed.
    """
    started = time.monotonic()
    nodes = [member.name for member in listed if member.role == "node"]
    commands = {member.name: shlex.join((sys.executable, *member.arguments)) for member in listed}
    while True:
        for name, code, last in network.newly_dead():
            log = f"(log: {network.log_of(name)})"
            if network.first_alive(nodes) is None:
                which = "the node" if len(nodes) == 1 else f"the last node, {name},"
                raise Failure(f"{which} ended with code {code}: {last}   {log}")
            how = f"ended with code {code}" if code >= 0 else f"was killed by signal {-code}; its last line"
            again = f"\n    start it again, in another terminal: {commands[name]}"
            kept = {"name": name, "code": code, "command": commands[name]}
            _show(parsed, screen.timed(Line("ended", f"⚠️  {name} {how}: {last}   {log}{again}", kept)))
        if parsed.exit and parsed.timeout and time.monotonic() - started > parsed.timeout:
            closed = f"{screen.progress.rounds} of {parsed.rounds} rounds closed"
            raise Failure(f"{closed} within {parsed.timeout:.0f} s; the logs are in {network.home}")
        await asyncio.sleep(GUARD_SECONDS)


def _warn_of_memory(parsed: argparse.Namespace, listed: list[Member]) -> None:
    """Say so where this machine has too little memory, as far as Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return
    free = next((int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:")), None)
    needed = sum(MEMORY_MIB[member.role] for member in listed)
    if free is not None and free < needed:
        text = f"⚠️  {free:,} MiB of memory are free, these processes take {needed:,}: -n 1 takes least"
        _show(parsed, Line("little_memory", text, {"free_mib": free, "needed_mib": needed}))


@contextlib.asynccontextmanager
async def _connected(url: str, network: Network) -> AsyncIterator[Chain]:
    """Connect to the node that has just been started, as soon as it answers."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        for _, code, last in network.newly_dead():
            raise Failure(f"the node ended with code {code} before it answered: {last}")
        try:
            async with Chain.connect(url, f"//{VALIDATORS[0]}") as chain:
                yield chain
                return
        except Unreachable as problem:
            if time.monotonic() > deadline:
                raise Failure(f"the node did not answer within {START_SECONDS} s") from problem
            await asyncio.sleep(0.2)


async def _row(chain: Chain, name: str, validators: tuple[str, ...]) -> Row:
    address = _address(name)
    balance = (await chain.query("System.Account", address))["data"]["free"]
    if name in validators:
        return Row(name, address, balance, "validator, root" if name == validators[0] else "validator")
    return Row(name, address, balance, "data provider" if name == "Provider" else "miner")


def _address(name: str) -> str:
    """Return the address of a development account."""
    return ss58.encode(Keypair.from_suri(f"//{name}", "sr25519").public)


def _show(parsed: argparse.Namespace, line: Line) -> None:
    print(line.to_json() if parsed.json else line.text, flush=True)
