"""A runtime upgrade with real processes: a real client schedules it; one node has it, another lacks it.

The next version is a package of its own, in a directory that only some nodes look into.
"""

import asyncio
import inspect
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface

from chain.client import Chain
from runtime.runtime import VERSION
from tests.e2e.process import DEADLINE, NodeProcess, eventually, flags_of, free_port, run, write_spec
from tests.runtime import next_version

pytestmark = pytest.mark.e2e

ALICE = Keypair.create_from_uri("//Alice")
OLD, NEW = VERSION.spec_version, next_version.NEXT_VERSION.spec_version
NOTICE = 16
"""blocks between the scheduling and the switch"""


def packaged(directory: Path) -> dict[str, str]:
    """Make a package with the next version; return the environment in which a node finds it."""
    name = "assay_runtime_next"
    described = directory / f"{name}-{NEW}.dist-info"
    described.mkdir(parents=True)
    (directory / f"{name}.py").write_text(inspect.getsource(next_version))
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {NEW}\n")
    (described / "entry_points.txt").write_text(f"[assay.runtimes]\nnext = {name}:NATIVE\n")
    paths = [str(directory), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def started(log: Path, *flags: str, port: int, environment: dict[str, str]) -> Iterator[NodeProcess]:
    """Run a node that answers, and end it."""
    node = NodeProcess(log, *flags, port=port, environment=environment)
    try:
        yield node.wait_up()
    finally:
        node.stop()


def manifest(spec: Path, environment: dict[str, str]) -> str:
    """Return what the command says to schedule."""
    done = run("build-manifest", "--chain", str(spec), **environment)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["specVersion"] == NEW
    return str(made["code"])


@contextmanager
def connected(node: NodeProcess) -> Iterator[SubstrateInterface]:
    """Return the real client, with the metadata of the best block read."""
    client = SubstrateInterface(url=node.url.replace("http", "ws"), auto_discover=False)
    try:
        client.init_runtime()
        yield client
    finally:
        client.close()


def send(client: SubstrateInterface, call: Any) -> None:
    """Have //Alice make a call, and wait until it is in a block."""
    signed = client.create_signed_extrinsic(call, ALICE)
    receipt = client.submit_extrinsic(signed, wait_for_inclusion=True)
    assert receipt.is_success, receipt.error_message


def schedule(node: NodeProcess, code: str) -> int:
    """Have the client schedule the upgrade as root; return the height it was given."""
    with connected(node) as client:
        at = node.number() + NOTICE
        call = client.compose_call("System", "schedule_upgrade", {"at": at, "code": code})
        send(client, client.compose_call("Sudo", "sudo", {"call": call}))
        scheduled = client.query("System", "ScheduledUpgrade").value
    assert (scheduled["at"], scheduled["code"]) == (at, bytes.fromhex(code[2:]).decode())
    return at


class Beside:
    """What goes on in a thread of its own; the test waits for it to begin, and for what it found."""

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[["Beside"], list[int]]) -> None:
        self.began, self.ends = threading.Event(), threading.Event()
        self._found = pool.submit(work, self)
        assert self.began.wait(DEADLINE), "it did not begin"

    def found(self) -> list[int]:
        """End it and return what it found."""
        self.ends.set()
        return self._found.result(DEADLINE)


def versions_told(node: NodeProcess, told: Beside) -> list[int]:
    """Subscribe to the runtime's version; return what is told until the new one is."""
    versions: list[int] = []

    def on_version(message: dict[str, Any], *_: Any) -> list[int] | None:
        versions.append(message["params"]["result"]["specVersion"])
        told.began.set()
        return versions if versions[-1] == NEW else None

    with connected(node) as client:
        client.rpc_request("state_subscribeRuntimeVersion", [], result_handler=on_version)
    return versions


def work(node: NodeProcess, worker: Beside) -> list[int]:
    """Submit one call after the other as a miner or judge does; return the heights that took them.

    The last one is submitted after the end was asked for.
    """

    async def submit() -> list[int]:
        heights = []
        async with Chain.connect(node.url.replace("http", "ws"), "//Bob") as chain:
            is_last = False
            while not is_last:
                is_last = worker.ends.is_set()
                heights.append((await chain.submit("System.remark", remark="0x00")).block.number)
                worker.began.set()
        return heights

    return asyncio.run(submit())


def version_at(node: NodeProcess, number: int) -> int:
    block = node.rpc("chain_getBlockHash", number)
    return int(node.rpc("state_getRuntimeVersion", block)["specVersion"])


def test_a_node_that_has_the_next_version_goes_on_with_it(tmp_path: Path) -> None:
    spec, environment = write_spec(tmp_path / "spec.json"), packaged(tmp_path / "package")
    code = manifest(spec, environment)
    log, flags = tmp_path / "log", flags_of(spec)
    with (
        started(log, *flags, port=free_port(), environment=environment) as node,
        ThreadPoolExecutor(2) as pool,
    ):
        node.wait_height(1)
        told, worker = Beside(pool, partial(versions_told, node)), Beside(pool, partial(work, node))
        at = schedule(node, code)
        assert told.found() == [OLD, NEW]
        node.wait_height(at)
        assert [version_at(node, number) for number in (at - 2, at - 1, at)] == [OLD, NEW, NEW]
        metadata = [
            node.rpc("state_getMetadata", node.rpc("chain_getBlockHash", number))
            for number in (at - 2, at - 1, at)
        ]
        assert [b"Kudos".hex() in each for each in metadata] == [False, True, True]
        logs = node.rpc("chain_getHeader", node.rpc("chain_getBlockHash", at - 1))["digest"]["logs"]
        assert "0x08" in logs
        with connected(node) as client:
            send(client, client.compose_call("Kudos", "praise", {"whom": ALICE.ss58_address}))
            assert client.query("Kudos", "Praises", [ALICE.ss58_address]).value == 1
            assert client.query("Kudos", "Since").value == at
            assert client.query("Kudos", "CameFrom").value == OLD
        sent = worker.found()
        assert sent[0] < at < sent[-1]
        eventually(lambda: node.finalized() > at, "finality under the next version")


def test_a_node_that_lacks_it_stops_before_the_height_and_resumes_with_it(tmp_path: Path) -> None:
    spec, environment = write_spec(tmp_path / "spec.json"), packaged(tmp_path / "package")
    code, base, log = manifest(spec, environment), tmp_path / "base", tmp_path / "log"
    port = free_port()
    with started(log, *flags_of(spec, base), port=port, environment={}) as node:
        node.wait_height(1)
        at = schedule(node, code)
        assert node.wait() == 1
        printed = node.output()
    advice = (
        f"this chain needs version {NEW} of runtime assay, this node has [{OLD}]: "
        "install a newer assay-chain, or the package with that runtime, and start again; nothing is lost"
    )
    assert f"This node will stop after block #{at - 1}" in printed
    assert printed.splitlines()[-1].startswith(f"assay: stopped after block #{at - 1} ")
    assert printed.splitlines()[-1].endswith(advice)
    assert "Traceback" not in printed
    again = run("node", "--rpc-port", str(port), "--no-prometheus", *flags_of(spec, base))
    assert (again.returncode, again.stderr.splitlines()[-1].endswith(advice)) == (1, True)
    with started(log, *flags_of(spec, base), port=port, environment=environment) as node:
        node.wait_height(at + 1)
        assert [version_at(node, number) for number in (at - 2, at - 1, at)] == [OLD, NEW, NEW]
        eventually(lambda: node.finalized() > at, "finality under the next version")


def test_a_package_that_does_not_load_is_named_in_one_line(tmp_path: Path) -> None:
    spec, environment = write_spec(tmp_path / "spec.json"), packaged(tmp_path / "package")
    (tmp_path / "package" / "assay_runtime_next.py").write_text("import nothing_of_that_name\n")
    done = run("build-manifest", "--chain", str(spec), "--version", str(NEW), **environment)
    assert (done.returncode, done.stderr) == (
        1,
        "runtime 'next' (assay_runtime_next:NATIVE) does not load and is left out: "
        "No module named 'nothing_of_that_name'\n"
        f"assay: 0 runtimes of version {NEW} are installed, of [{OLD}]: install the package with that "
        "runtime, and no other build of it\n",
    )
