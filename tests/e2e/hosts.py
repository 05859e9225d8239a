"""Several machines on this one: network namespaces, each with an address, on a switch of their own.

Needs root and `ip netns`. The addresses are public ones in different groups (11.N.0.1), so that a node treats
its peers as it would on real machines; the switch is a namespace itself, and nothing leads out of it. Cutting
two hosts apart drops what they send each other without a word, as a cable does.
"""

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chain.commands.network import SPEC_FILE, write_spec
from chain.keys.node import peer_id, read_node_key
from tests.e2e.process import NodeProcess, eventually

PEER_PORT, RPC_PORT = 30_333, 9_944
NAMES = ("Alice", "Bob", "Charlie", "Dave")
SLOT_MS = 1_000
PATIENCE = 90.0
"""seconds; slots of the absent pass, too, and the machine may be busy"""
_NOWHERE = "02:00:00:00:de:ad"
"""a hardware address that nobody has"""
_NEW_NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@functools.cache
def missing() -> str | None:
    """Return what this machine lacks for hosts; None where nothing is missing."""
    if shutil.which("ip") is None:
        return "`ip` of iproute2"
    if os.geteuid() != 0:
        return "root"
    name = f"assay-{os.getpid()}-probe"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "a kernel that allows network namespaces"
    _ip([f"netns del {name}"])
    return None


@dataclass(frozen=True, slots=True)
class Host:
    """One machine: its namespace and its address."""

    name: str
    address: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be on this host: sockets that this thread opens, and processes that it starts, are there."""
        with ExitStack() as opened:
            home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            opened.callback(os.close, home)
            there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
            opened.callback(os.close, there)
            _enter(there)
            try:
                yield
            finally:
                _enter(home)


@dataclass
class Switch:
    """A switch and the hosts on it."""

    hosts: list[Host] = field(default_factory=list)
    _lent: dict[str, Host] = field(default_factory=dict)
    _cuts: set[tuple[Host, Host]] = field(default_factory=set)

    def __post_init__(self) -> None:
        global _switches
        _switches += 1
        self._name = f"assay-{os.getpid()}-{_switches}"
        _ip([f"netns add {self._name}", f"-n {self._name} link add hub type bridge"])
        _ip([f"-n {self._name} link set hub up"])

    def add(self, group: int | None = None) -> Host:
        """Plug one more host in: in an address group (a /16) of its own, or in a given one."""
        number = len(self.hosts) + 1
        address = f"11.{number}.0.1" if group is None else f"11.{group}.0.{number}"
        host = Host(f"{self._name}-{number}", address)
        _ip([f"netns add {host.name}"])
        self.hosts.append(host)
        _ip(
            [
                f"link add eth0 netns {host.name} type veth peer name port{number} netns {self._name}",
                f"-n {host.name} addr add {address}/8 dev eth0",
                f"-n {host.name} link set lo up",
                f"-n {host.name} link set eth0 up",
                f"-n {self._name} link set port{number} master hub up",
                *(_way(host, network, owner) for network, owner in self._lent.items()),
            ]
        )
        return host

    def lend(self, host: Host, network: str) -> None:
        """Give a host every address of a network, as IP/BITS; the others know the way there."""
        self._lent[network] = host
        _ip(_way(each, network, host) for each in self.hosts)

    def cut(self, some: Iterable[Host], others: Iterable[Host]) -> None:
        """Lose everything that hosts of one side send to hosts of the other, in both directions."""
        sides = list(some), list(others)
        pairs = {(a, b) for a in sides[0] for b in sides[1]}
        pairs |= {(b, a) for a, b in pairs}
        _ip(f"-n {a.name} neigh replace {b.address} lladdr {_NOWHERE} dev eth0" for a, b in pairs)
        self._cuts |= pairs

    def heal(self) -> None:
        """Undo every cut."""
        _ip(f"-n {a.name} neigh del {b.address} dev eth0" for a, b in self._cuts)
        self._cuts.clear()

    def close(self) -> None:
        """Remove the switch and its hosts."""
        for name in [*(host.name for host in self.hosts), self._name]:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


_switches = 0


class HostNode(NodeProcess):
    """One `assay node` on a host."""

    def __init__(self, host: Host, log: Path, *flags: str, listens: bool = True) -> None:
        self.host = host
        listen = ("--listen-addr", f"/ip4/{host.address}/tcp/{PEER_PORT}") if listens else ()
        with host.inside():
            super().__init__(log, *listen, *flags, port=RPC_PORT)

    def post(self, body: bytes) -> Any:
        """Send any bytes as a request, from the node's own host."""
        with self.host.inside():
            return super().post(body)


@dataclass
class Network:
    """Validators on hosts of their own; all know the first one, by its address."""

    home: Path
    switch: Switch
    names: tuple[str, ...] = NAMES
    slot_ms: int = SLOT_MS
    hosts: dict[str, Host] = field(default_factory=dict)
    nodes: dict[str, HostNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        write_spec(self.home, self.names, self.slot_ms)
        for name in self.names:
            self.hosts[name] = self.switch.add()
            self.key_file(name).write_text(os.urandom(32).hex())

    @property
    def spec(self) -> Path:
        """The chain's specification."""
        return self.home / SPEC_FILE

    def key_file(self, name: str) -> Path:
        """Return the file of a node key."""
        return self.home / f"{name}.key"

    def address(self, name: str) -> str:
        """Return where a validator is reached."""
        public = read_node_key(self.key_file(name)).public
        return f"/ip4/{self.hosts[name].address}/tcp/{PEER_PORT}/p2p/{peer_id(public)}"

    def start(self, name: str, *flags: str) -> HostNode:
        """Start a validator with its own directory and key; it keeps them when it is started again."""
        return self._started(
            name,
            f"--{name.lower()}",
            "--node-key-file", str(self.key_file(name)),
            *self.bootnodes(but=name),
            *flags,
        )  # fmt: skip

    @contextmanager
    def joined(self, name: str, *flags: str, listens: bool = True, alone: bool = False) -> Iterator[HostNode]:
        """Have a full node on a host of its own for a while; it may not answer yet, nor dial if `alone`."""
        self.hosts[name] = self.switch.add()
        node = self._started(name, *([] if alone else self.bootnodes()), *flags, listens=listens)
        try:
            yield node
        finally:
            self.nodes.pop(name).stop()

    def bootnodes(self, but: str = "") -> list[str]:
        """Return the flag that names the first validator, unless that is the one asked about."""
        return [] if but == self.names[0] else ["--bootnodes", self.address(self.names[0])]

    def _started(self, name: str, *flags: str, listens: bool = True) -> HostNode:
        common = ("--chain", str(self.spec), "--base-path", str(self.home / name), "--name", name)
        node = HostNode(self.hosts[name], self.home / f"{name}.log", *common, *flags, listens=listens)
        self.nodes[name] = node
        return node

    def kill(self, name: str) -> None:
        """End a node as a power cut would."""
        self.nodes.pop(name).kill()

    def await_final(self, height: int, *names: str) -> None:
        """Wait until nodes, all by default, have finalised a height."""
        for name in names or tuple(self.nodes):
            node = self.nodes[name]
            eventually(lambda node=node: node.finalized() >= height, f"#{height} final at {name}", PATIENCE)  # type: ignore[misc]

    def agree(self) -> int:
        """Assert that all nodes have the same final block at the lowest final height, and return that."""
        height = min(node.finalized() for node in self.nodes.values())
        blocks = {name: node.rpc("chain_getBlockHash", height) for name, node in self.nodes.items()}
        assert len(set(blocks.values())) == 1, (height, blocks)
        return height

    def complaints(self) -> list[str]:
        """Return what any node has logged that it never should."""
        return [
            f"{path.stem}: {line}"
            for path in sorted(self.home.glob("*.log"))
            for line in path.read_text().splitlines()
            if "Traceback" in line or "report this" in line or "is a bug" in line
        ]

    def stop(self) -> None:
        """End every node."""
        for node in self.nodes.values():
            node.stop()


@contextmanager
def network(home: Path, names: tuple[str, ...] = NAMES, slot_ms: int = SLOT_MS) -> Iterator[Network]:
    """Make hosts with validators that answer; remove all of it afterwards."""
    with ExitStack() as opened:
        switch = Switch()
        opened.callback(switch.close)
        made = Network(home, switch, names, slot_ms)
        opened.callback(made.stop)
        for name in names:
            made.start(name)
        for node in made.nodes.values():
            eventually(node.is_up, f"an answer of {node.log.stem}", PATIENCE)
        yield made


def _way(host: Host, network: str, owner: Host) -> str:
    """Return how a host is told where a network is: by a route, as neighbours are few to the kernel."""
    if host == owner:
        return f"-n {host.name} route add local {network} dev lo"
    return f"-n {host.name} route add {network} via {owner.address}"


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no way into the network namespace")


def _ip(commands: Iterable[str]) -> None:
    """Run `ip` once for each command.

    Raises: subprocess.CalledProcessError.
    """
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)
