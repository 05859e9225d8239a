"""Who holds a port, with a holder that opens and closes files all the while."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from chain.commands.failure import Failure
from chain.commands.ports import ensure_free


@pytest.fixture
def busy_files() -> Iterator[None]:
    """Keep this process opening and closing files."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            held = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]
            for each in held:
                os.close(each)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.mark.usefixtures("busy_files")
def test_a_holder_whose_files_come_and_go_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for _ in range(50):
            with pytest.raises(Failure, match=rf"^port {port} is taken by .*\(process {os.getpid()}\): stop"):
                ensure_free("127.0.0.1", port, "--rpc-port")


def test_a_port_of_another_machine_is_not_called_taken() -> None:
    said = r"^cannot listen on 192\.0\.2\.1, port 30333 \(.*\): choose another with --listen-addr$"
    with pytest.raises(Failure, match=said):
        ensure_free("192.0.2.1", 30_333, "--listen-addr")


def test_an_ip6_port_is_looked_at() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with pytest.raises(Failure, match=rf"^port {port} is taken by "):
            ensure_free("::1", port, "--listen-addr")
    ensure_free("::1", port, "--listen-addr")
