"""What a worker needs before it has a uid: numbers, a directory, a port."""

import socket
from pathlib import Path

import pytest

from miners import joining
from miners.blobs.store import BlobStore
from miners.joining import (
    CHAIN_FILE,
    CannotJoin,
    bind,
    claim,
    ensure_computable,
    ensure_reachable,
    secret_of,
    serving,
)
from miners.layout import ModelConfig


def test_a_directory_serves_one_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with claim("miner", home) as mine:
        assert mine == home
        with pytest.raises(CannotJoin) as refused, claim("miner", home):
            pass
        assert str(refused.value) == (
            f"another process works in {home}: stop it, or choose another with --directory"
        )
    with claim("miner", home):
        assert home.is_dir()


def test_a_temporary_directory_is_gone_afterwards() -> None:
    with claim("miner", None) as home:
        (home / "file").write_text("")
    assert not home.exists()


def test_resuming_needs_something_to_go_on_with(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for where, reason in ((None, "no --directory is given"), (home, f"{home} holds no work of before")):
        with pytest.raises(CannotJoin) as refused, claim("miner", where, resumes=True):
            pass
        assert str(refused.value) == (
            f"nothing to resume: {reason}; name the directory of before, or leave --resume out"
        )
    assert not home.exists()
    with claim("miner", home) as mine:
        bind(mine, b"\x01" * 32, 1)
    with claim("miner", home, resumes=True) as again:
        assert again == home


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotJoin) as refused, claim("miner", tmp_path / "file" / "home"):
        pass
    assert str(refused.value) == (
        f"{tmp_path}/file/home cannot be used (Not a directory): choose another with --directory"
    )


def test_a_directory_belongs_to_one_subnet_of_one_chain(tmp_path: Path) -> None:
    bind(tmp_path, b"\x11" * 32, 1)
    bind(tmp_path, b"\x11" * 32, 1)
    for genesis, netuid in ((b"\x22" * 32, 1), (b"\x11" * 32, 2)):
        with pytest.raises(CannotJoin, match="belongs to another chain or subnet"):
            bind(tmp_path, genesis, netuid)
    (tmp_path / CHAIN_FILE).write_text("{")
    with pytest.raises(CannotJoin, match=r"chain\.json is damaged"):
        bind(tmp_path, b"\x11" * 32, 1)


def test_an_address_that_nobody_else_reaches_is_not_announced() -> None:
    ensure_reachable("http://127.0.0.1:8101", is_live=False)
    ensure_reachable("https://judge.example/blobs", is_live=True)
    for url, is_live, why in (
        (
            "http://127.0.0.1:8101",
            True,
            "127.0.0.1 is no public address, and a live chain's neurons have one",
        ),
        ("http://0.0.0.0:8101", False, "http://0.0.0.0:8101 is every address of this machine"),
        ("http://[::]:8101", False, "http://[::]:8101 is every address of this machine"),
    ):
        with pytest.raises(CannotJoin) as refused:
            ensure_reachable(url, is_live=is_live)
        assert str(refused.value) == f"{why}: say with --public-url where others reach this worker"


def test_a_missing_library_is_said_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "find_spec", lambda name: None)
    ensure_computable(ModelConfig())
    with pytest.raises(CannotJoin, match=r"which takes peft: pip install '\.\[lora\]' in the repository$"):
        ensure_computable(ModelConfig(lora_rank=4))


def test_a_secret_on_the_command_line_is_said_unless_everybody_knows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret_of("//Eve", None)
    secret_of("//Eve", Path(__file__))
    assert caplog.messages == []
    secret_of("0x" + "07" * 32, None)
    assert caplog.messages == [
        "--key shows its secret in the list of processes: put it into a file for --key-file"
    ]


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(CannotJoin, match=f"blobs cannot be served at 127.0.0.1:{port} "):
            async with serving(BlobStore(tmp_path), "127.0.0.1", port):
                pass


def test_a_secret_comes_from_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("//Dave \nanything else\n")
    assert secret_of("//Eve", path) == "//Dave"
    assert secret_of("//Eve", None) == "//Eve"
    path.write_text('{"secretPhrase": "//Ferdie"}')
    assert secret_of("//Eve", path) == "//Ferdie"
    for text in ("", "\n", "x" * 1_025):
        path.write_text(text)
        with pytest.raises(CannotJoin, match="must begin with a secret URI of 1 to 1024 characters"):
            secret_of("//Eve", path)
    path.write_bytes(b"\xff")
    for missing in (path, tmp_path / "none"):
        with pytest.raises(CannotJoin, match="--key-file: cannot read the secret's file: "):
            secret_of("//Eve", missing)
