"""A node whose disk takes no more: it stops with one line, and goes on where it was once there is room."""

import resource
import signal
from pathlib import Path

import pytest

from tests.e2e.process import DEADLINE, eventually, flags_of, running, write_spec

pytestmark = pytest.mark.e2e

REFUSED = 1
ROOM = 40_000
"""bytes that the log may still grow"""


def test_a_node_that_cannot_write_stops_and_goes_on_later(tmp_path: Path) -> None:
    spec, base = write_spec(tmp_path / "spec.json"), tmp_path / "base"
    database = base / "chains" / "dev" / "db"
    with running(tmp_path / "log", *flags_of(spec, base)) as node:
        eventually(lambda: node.finalized() > 1, "finality", DEADLINE)
        final = node.rpc("chain_getFinalizedHead")
        log = max(database.glob("*.log"), key=lambda path: int(path.stem))
        limit = log.stat().st_size + ROOM
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (limit, limit))
        assert node.wait() == REFUSED
        *lines, last = node.output().splitlines()
        assert last.startswith("assay: the database cannot be written: ")
        assert "Traceback" not in node.output()
        imported = [line.split("#")[1].split()[0] for line in lines if "🏆 Imported #" in line]
    acknowledged = int(imported[-1])
    assert acknowledged >= 2
    with running(tmp_path / "later", *flags_of(spec, base)) as node:
        assert node.number() >= acknowledged
        assert node.rpc("chain_getBlockHash", node.number(final)) == final
        node.wait_height(acknowledged + 2)
        eventually(lambda: node.finalized() > acknowledged, "finality", DEADLINE)
        node.signal(signal.SIGTERM)
        assert node.wait() == 0
