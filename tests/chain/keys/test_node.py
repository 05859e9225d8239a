"""The node's key among peers, against ids that libp2p and Substrate publish."""

from pathlib import Path

import pytest

from chain.env_real import RealDisk, RealRng
from chain.keys.node import NodeKeyError, load_node_key, parse_node_key, peer_id

ONE = "0000000000000000000000000000000000000000000000000000000000000001"
ONE_ID = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
"""the node key and id that Substrate's documentation of --node-key and bootnodes uses"""


def test_the_id_of_the_key_that_everybody_knows() -> None:
    assert peer_id(parse_node_key(ONE.encode(), "--node-key").public) == ONE_ID


@pytest.mark.parametrize("content", [bytes.fromhex(ONE), ONE.encode(), f"0x{ONE}\n".encode()])
def test_a_file_may_be_raw_or_hex(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "secret_ed25519").write_bytes(content)
    assert peer_id(load_node_key(RealDisk(tmp_path), RealRng()).public) == ONE_ID


def test_a_new_key_is_kept_as_substrate_keeps_it(tmp_path: Path) -> None:
    made = load_node_key(RealDisk(tmp_path), RealRng())
    assert load_node_key(RealDisk(tmp_path), RealRng()) == made
    assert (tmp_path / "secret_ed25519").read_bytes() == made.secret
    assert (tmp_path / "secret_ed25519").stat().st_mode & 0o777 == 0o600
    assert peer_id(made.public).startswith("12D3KooW")
    assert len(peer_id(made.public)) == 52


@pytest.mark.parametrize("content", [b"", b"00", b"x" * 64, ONE.encode() + b"00", bytes(31), b"\xff" * 64])
def test_what_is_no_key_is_said_without_repeating_it(content: bytes) -> None:
    with pytest.raises(NodeKeyError) as refused:
        parse_node_key(content, "--node-key")
    assert str(refused.value) == (
        "--node-key holds no node key: it must be 32 bytes or 64 hexadecimal digits; "
        "`assay key generate-node-key` makes one"
    )
