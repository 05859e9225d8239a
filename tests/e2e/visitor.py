"""An honest peer nobody knows, who greets a node now and then: how long must it wait to get in?"""

import socket
import threading
import time
from dataclasses import dataclass, field

from chain.network.transport.handshake import Greeting, Identity
from chain.network.transport.noise import NoiseError
from chain.network.transport.wire import LENGTH_SIZE
from tests.e2e.enemy import Dice, new_key
from tests.e2e.hosts import PEER_PORT, Host

PAUSE = 0.5
"""seconds between two visits"""
PATIENCE = 10.0
"""seconds in which it tries again before it gives up"""
RETRY = 0.2
REFUSED = (OSError, NoiseError, EOFError)


@dataclass
class Visitor:
    """Somebody new who greets a node now and then, in a thread, from a host of its own."""

    host: Host
    other: Host
    genesis: str
    waits: list[float] = field(default_factory=list)
    refused: int = 0

    def __enter__(self) -> "Visitor":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._over.wait(PAUSE):
            began, failed = time.monotonic(), 0
            while time.monotonic() - began < PATIENCE:
                try:
                    self.greet()
                except REFUSED:
                    failed += 1
                    time.sleep(RETRY)
                else:
                    self.waits.append(time.monotonic() - began)
                    break
            else:
                self.refused += 1

    def greet(self) -> None:
        """Pass the handshake and wait until the node says something: then it has let one in.

        Raises: one of REFUSED.
        """
        genesis = bytes.fromhex(self.genesis.removeprefix("0x"))
        greeting = Greeting(Identity.of(new_key(), Dice()), genesis, Dice(), initiator=True)
        with self.host.inside():
            peer = socket.create_connection((self.other.address, PEER_PORT), timeout=PATIENCE)
        with peer:
            while not greeting.is_done:
                if greeting.writes_next:
                    message = greeting.write()
                    peer.sendall(len(message).to_bytes(LENGTH_SIZE, "big") + message)
                else:
                    greeting.read(_block(peer))
            greeting.finish()[1].receives.decrypt(_block(peer))


def _block(peer: socket.socket) -> bytes:
    return _exactly(peer, int.from_bytes(_exactly(peer, LENGTH_SIZE), "big"))


def _exactly(peer: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = peer.recv(size - len(found))
        if not more:
            raise EOFError
        found += more
    return found
