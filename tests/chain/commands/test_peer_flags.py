import argparse
import json
from dataclasses import replace

import pytest

from chain.commands import node, peer_flags
from chain.network.discovery.addresses import parse_address
from chain.network.transport.tcp import TcpConfig
from chain.spec import ChainSpec, SpecError

PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
HERE, THERE = f"/ip4/203.0.113.1/tcp/1/p2p/{PEER}", f"/dns/node.example.org/tcp/2/p2p/{PEER}"
LOCAL = ChainSpec.load("local")
LIVE = ChainSpec.parse(json.dumps(LOCAL.source | {"chainType": "Live"}), "live")


def config(*flags: str, spec: ChainSpec = LOCAL) -> TcpConfig | None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    node.describe(parser)
    return peer_flags.peers_of(parser.parse_args(flags), spec)


def test_a_node_has_no_way_to_peers_until_it_is_given_one() -> None:
    assert config() is None
    for flags in (["--port", "0"], ["--bootnodes", HERE], ["--reserved-nodes", HERE]):
        assert config(*flags) is not None


def test_where_nothing_is_said_peers_are_as_many_as_substrate_has_and_private_by_the_kind_of_chain() -> None:
    plain = TcpConfig("127.0.0.1", 30_333, out_peers=8, in_peers=64, allow_private=True)
    assert config("--port", "30333") == plain
    live = replace(plain, host="0.0.0.0", allow_private=False)
    assert config("--port", "30333", spec=LIVE) == live
    assert config("--port", "30333", "--allow-private-ip", spec=LIVE) == replace(live, allow_private=True)
    assert config("--port", "30333", "--no-private-ip") == replace(plain, allow_private=False)


def test_every_flag_is_heard_also_when_it_is_given_again() -> None:
    here, there = parse_address(HERE), parse_address(THERE)
    assert config(
        "--listen-addr", "/ip6/::/tcp/7", "--bootnodes", HERE, "--bootnodes", THERE, "--reserved-nodes", HERE,
        THERE, "--reserved-only", "--public-addr", THERE, "--out-peers", "0", "--in-peers", "128",
    ) == TcpConfig(
        "::", 7, (here, there), (here, there), reserved_only=True, out_peers=0, in_peers=128,
        public=(there,), allow_private=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--reserved-nodes", "/ip4/203.0.113.1/tcp/1"], "must end in /p2p/"),
        (["--public-addr", "nowhere"], "is no peer address"),
        (["--in-peers", "129"], "is not between 0 and 128"),
        (["--out-peers", "-1"], "is not between 0 and 128"),
        (["--no-private-ip", "--allow-private-ip"], "not allowed with"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(flags: list[str], why: str) -> None:
    with pytest.raises(argparse.ArgumentError, match=why):
        config(*flags)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--listen-addr", "/dns/node.example.org/tcp/1"], "must be an IP address of this machine"),
        (["--reserved-only"], "leaves no peers"),
    ],
)
def test_what_makes_no_sense_together_is_refused(flags: list[str], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        config(*flags)
