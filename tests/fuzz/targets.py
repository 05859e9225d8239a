"""All targets: every decoder that turns foreign bytes into values."""

from functools import cache

from tests.fuzz import (
    grandpa_targets,
    network_targets,
    node_targets,
    offence_targets,
    peer_targets,
    rpc_targets,
    runtime_targets,
    state_targets,
    wire_targets,
    worker_targets,
)
from tests.fuzz.engine import Target


@cache
def all_targets() -> dict[str, Target]:
    """Return the targets by name."""
    modules = (
        runtime_targets,
        offence_targets,
        node_targets,
        grandpa_targets,
        network_targets,
        wire_targets,
        peer_targets,
        state_targets,
        worker_targets,
        rpc_targets,
    )
    return {target.name: target for module in modules for target in module.targets()}


def leave() -> None:
    """Stop the nodes that targets have started in this process."""
    rpc_targets.leave()
    network_targets.leave()
