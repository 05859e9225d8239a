"""Is a port free, and if not, who holds it."""

import contextlib
import errno
import os
import socket
from pathlib import Path

from chain.commands.failure import Failure

LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp"""
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def ensure_free(host: str, port: int, flag: str) -> None:
    """Refuse a port that somebody listens on, or that this machine or user cannot have; 0 is any free one.

    Raises: Failure.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            raise Failure(_why_not(host, port, flag, problem)) from problem


def _why_not(host: str, port: int, flag: str, problem: OSError) -> str:
    if problem.errno != errno.EADDRINUSE:
        return f"cannot listen on {host}, port {port} ({problem.strerror}): choose another with {flag}"
    holder = _holder(port)
    by = f" by {holder}" if holder else ""
    return f"port {port} is taken{by}: stop that program, or choose another with {flag}"


def outgoing() -> range:
    """Return the ports that the system gives to outgoing connections, where Linux tells us."""
    try:
        first, last = OUTGOING.read_text().split()
    except OSError:
        return range(0)
    return range(int(first), int(last) + 1)


def _holder(port: int) -> str | None:
    """Return the name and id of the process that listens on a port, where Linux tells us."""
    inodes = {f"socket:[{inode}]" for inode in _listening(port)}
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # the process is gone, or not ours to look into
            if any(_leads_to(each) in inodes for each in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().split(b"\0")
                words = " ".join(part.decode(errors="replace") for part in command[:4]).strip()
                return f"{words} (process {process.name})"
    return None


def _leads_to(link: Path) -> str:
    """Return what a file descriptor stands for; nothing when it was closed since it was listed."""
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def _listening(port: int) -> list[str]:
    found = []
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.append(fields[9])
    return found
