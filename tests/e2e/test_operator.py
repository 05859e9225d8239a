"""An operator's ways: session keys over RPC, limits and policies from the command line."""

from pathlib import Path

import pytest

from tests.e2e.process import Refused, eventually, flags_of, running, write_spec

pytestmark = pytest.mark.e2e

ALICE = "0x88dc3417d5058ec4b4503e0c12ea1a0a89be200fe98922423d4334014fa6b0ee"


def test_rotated_keys_survive_a_restart_and_an_inserted_authority_authors(tmp_path: Path) -> None:
    spec, base = write_spec(tmp_path / "spec.json"), tmp_path / "base"
    keystore = tmp_path / "keys"
    flags = ["--chain", str(spec), "--base-path", str(base), "--validator", "--keystore-path", str(keystore)]
    with running(tmp_path / "log", *flags) as node:
        keys = node.rpc("author_rotateKeys")
        assert len(keys) == 2 + 2 * 64
        assert node.rpc("author_hasSessionKeys", keys)
        peer_id = node.rpc("system_localPeerId")
        assert "the keystore has 0 BABE keys, none of them of an authority" in node.output()
    chain = base / "chains" / "dev"
    assert (chain / "network" / "secret_ed25519").stat().st_size == 32
    files = sorted(each.name for each in keystore.iterdir())
    assert files == sorted([f"62616265{keys[2:66]}", f"6772616e{keys[66:]}"])
    with running(tmp_path / "log", *flags) as node:
        assert node.rpc("author_hasSessionKeys", keys)
        assert node.rpc("system_localPeerId") == peer_id
        assert node.number() == 0
        for key_type in ("babe", "gran"):
            assert not node.rpc("author_hasKey", ALICE, key_type)
            assert node.rpc("author_insertKey", key_type, "//Alice", ALICE) is None
        node.wait_height(2)
        eventually(lambda: node.finalized() >= 1, "a final block")


def test_flags_of_the_rpc_server_hold(tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "spec.json")
    limits = ["--rpc-methods", "safe", "--rpc-max-request-size", "1", "--rpc-disable-batch-requests"]
    secret = ["--node-key", f"{1:064x}"]
    with running(tmp_path / "log", *flags_of(spec), *limits, *secret) as node:
        with pytest.raises(Refused, match="RPC call is unsafe to be called externally"):
            node.rpc("author_rotateKeys")
        assert node.rpc("system_localPeerId") == "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
        assert node.post(b"[{}]")["error"]["code"] == -32005
        assert node.rpc("chain_getBlockHash", 0).startswith("0x")
