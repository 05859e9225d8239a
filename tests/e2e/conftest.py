"""One node for all end-to-end tests that do not harm it."""

from collections.abc import Iterator

import pytest

from tests.e2e.process import NodeProcess, flags_of, running, write_spec


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
