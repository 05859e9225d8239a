"""One node for all end-to-end tests that do not harm it, and @polkadot/api to ask it with."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.process import NodeProcess, flags_of, printed, running, write_spec

NODE_DIRECTORY = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node of a chain with short slots; it must not have complained when all tests are over."""
    home = tmp_path_factory.mktemp("node")
    spec = write_spec(home / "spec.json")
    with running(home / "log", *flags_of(spec), "--state-pruning", "archive") as process:
        process.wait_height(1)
        yield process
        complaints = [
            line for line in process.output().splitlines() if "Traceback" in line or "this is a bug" in line
        ]
        assert complaints == [], process.output()


@pytest.fixture(scope="session")
def polkadot_js() -> Callable[..., dict[str, object]]:
    """Run a script of tests/e2e/node and return the JSON it prints; skips where the client is missing."""
    if shutil.which("node") is None:
        pytest.skip("needs node")
    clients = json.loads((NODE_DIRECTORY / "package.json").read_text())["dependencies"]
    missing = [name for name in clients if not (NODE_DIRECTORY / "node_modules" / name).is_dir()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: npm ci --prefix tests/e2e/node")
    return lambda *command: printed("node", *command, within=NODE_DIRECTORY)
