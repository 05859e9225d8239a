"""Real clients, unchanged and pinned, against one real node: every check of the matrix, client by client.

The programs of the four clients run at once, each with accounts of its own; a test is a check of one client.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface

from chain.keys.pair import Keypair as OurKeypair
from tests.e2e.matrix import CHECKS, CLIENTS, LIMITS, PROOF_KEYS, Facts, made_by
from tests.e2e.process import NodeProcess

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
ASI_PYTHON = HERE / "asi" / ".venv" / "bin" / "python"
NODE_MODULES = HERE / "node" / "node_modules"
COMMANDS: dict[str, list[str]] = {
    "psi": [sys.executable, "psi/client.py"],
    "asi": [str(ASI_PYTHON), "asi/client.py"],
    "pjs": ["node", "node/pjs.js"],
    "papi": ["node", "node/papi.js"],
}
KNOWN = (
    ["second", "third", "delegate", "pauper", "multisig", "batches", "crowd", "fees"]
    + [f"transfers//{scheme}" for scheme in ("sr25519", "ed25519", "ecdsa")]
)  # fmt: skip
"""accounts of the client that brings no keys of its own"""
BURST = 8
"""extrinsics submitted at once: they fill two blocks at most, and one of these has half of them"""
DEADLINE = 150.0
"""seconds a program may take on a busy machine"""


def missing(client: str) -> str | None:
    """Say what this machine lacks for a client."""
    if client == "asi" and not ASI_PYTHON.exists():
        return "async-substrate-interface: make clients"
    if client in ("pjs", "papi"):
        if shutil.which("node") is None:
            return "node"
        named = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
        if absent := [name for name in named if not (NODE_MODULES / name).is_dir()]:
            return f"{' and '.join(absent)}: make clients"
    return None


def furnish(client: SubstrateInterface) -> str:
    """Put something into maps that are empty at genesis; return a final block of several extrinsics."""
    ferdie, alice, bob = (Keypair.create_from_uri(f"//{name}") for name in ("Ferdie", "Alice", "Bob"))
    others = sorted(f"0x{each.public_key.hex()}" for each in (alice, bob))
    approval = {
        "threshold": 2,
        "other_signatories": others,
        "maybe_timepoint": None,
        "call_hash": "0x" + "01" * 32,
        "max_weight": {"ref_time": 10**9, "proof_size": 10**4},
    }
    announcement = {"real": ferdie.ss58_address, "call_hash": "0x" + "02" * 32}
    right = {"delegate": alice.ss58_address, "proxy_type": "Any", "delay": 5}
    rows = [
        (ferdie, "Multisig", "approve_as_multi", approval),
        (ferdie, "Proxy", "add_proxy", right),
        (alice, "Proxy", "announce", announcement),
    ]
    for signer, pallet, name, arguments in rows:
        extrinsic = client.create_signed_extrinsic(client.compose_call(pallet, name, arguments), signer)
        receipt = client.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        assert receipt.is_success, receipt.error_message
    remark, first = (
        client.compose_call("System", "remark", {"remark": "0x00"}),
        client.get_account_nonce(ferdie.ss58_address),
    )
    burst = [client.create_signed_extrinsic(remark, ferdie, nonce=first + each) for each in range(BURST)]
    for extrinsic in burst[:-1]:
        client.submit_extrinsic(extrinsic)
    last = client.submit_extrinsic(burst[-1], wait_for_finalization=True).block_hash
    before = client.get_block_header(last)["header"]["parentHash"]
    return max((last, before), key=lambda block: len(client.get_block(block)["extrinsics"]))


def order_for(client: str, node: NodeProcess, at: str) -> str:
    """Return what a program is told, as JSON."""
    named = {"payer": CLIENTS[client].payer} | {name: f"//{client}//{name}" for name in KNOWN}
    pairs = {name: OurKeypair.from_suri(uri, "sr25519") for name, uri in named.items()}
    seeds = {kind: OurKeypair.from_suri(f"//{client}//{kind}", kind) for kind in ("ed25519", "ecdsa")}
    order = {
        "url": f"ws://127.0.0.1:{node.port}",
        "at": at,
        "payer": CLIENTS[client].payer,
        "proof_keys": PROOF_KEYS,
        "pairs": {name: [pair.public.hex(), pair.secret.hex()] for name, pair in pairs.items()},
        "seeds": {kind: "0x" + pair.secret.hex() for kind, pair in seeds.items()},
    }
    return json.dumps(order)


@dataclass
class Findings:
    """What each client's program found."""

    facts: Facts
    printed: dict[str, dict[str, Any]]

    def of(self, client: str) -> dict[str, Any]:
        """Return a client's findings; skips where it is not installed."""
        if (lack := missing(client)) is not None:
            pytest.skip(f"needs {lack}")
        printed = self.printed[client]
        assert "failed" not in printed, printed["failed"]
        return printed

    def judge(self, client: str, check: str) -> None:
        """Judge what a client found.

        Raises: AssertionError.
        """
        found = self.of(client)[check]
        assert not isinstance(found, dict) or "failed" not in found, found["failed"]
        CHECKS[check](found, replace(self.facts, client=client))


def end_of(program: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return what a program printed, or why it failed."""
    try:
        printed, complaints = program.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        program.kill()
        printed, complaints = program.communicate()
        return {"failed": f"not done in {DEADLINE} s\n" + printed + complaints}
    if program.returncode:
        return {"failed": printed + complaints}
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.fixture(scope="module")
def findings(node: NodeProcess) -> Iterator[Findings]:
    """The findings of all clients."""
    node.wait_height(3)
    with SubstrateInterface(url=f"ws://127.0.0.1:{node.port}", auto_discover=False) as interface:
        facts = Facts(node, furnish(interface), interface)
        programs = {
            client: subprocess.Popen(
                [*command, order_for(client, node, facts.at)],
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for client, command in COMMANDS.items()
            if missing(client) is None
        }
        yield Findings(facts, {client: end_of(program) for client, program in programs.items()})


@pytest.mark.parametrize("check", made_by("psi"))
def test_substrate_interface(findings: Findings, check: str) -> None:
    findings.judge("psi", check)


@pytest.mark.parametrize("check", made_by("asi"))
def test_async_substrate_interface(findings: Findings, check: str) -> None:
    findings.judge("asi", check)


@pytest.mark.node
@pytest.mark.parametrize("check", made_by("pjs"))
def test_polkadot_js(findings: Findings, check: str) -> None:
    findings.judge("pjs", check)


@pytest.mark.node
@pytest.mark.parametrize("check", made_by("papi"))
def test_papi(findings: Findings, check: str) -> None:
    findings.judge("papi", check)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_program_makes_the_checks_that_the_matrix_says(findings: Findings, client: str) -> None:
    assert set(findings.of(client)) == set(made_by(client))


def test_reasons_are_given_for_checks_that_exist() -> None:
    named = [check for client in CLIENTS.values() for check in client.cannot]
    assert [check for check in [*named, *(check for _, check in LIMITS)] if check not in CHECKS] == []
    assert [client for client, _ in LIMITS if client not in CLIENTS] == []
