"""One connection to a node that outlives the node's restarts, and notices when another chain comes back.

    answer = await connection.ask(lambda node: node.get_block_hash(0))

py-substrate-interface is synchronous, so one worker thread asks; a silent node cannot hold up the end.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ssl import SSLError
from typing import TypeVar
from urllib.parse import urlsplit

from scalecodec.exceptions import InvalidScaleTypeValueException, RemainingScaleBytesNotEmptyException
from substrateinterface import SubstrateInterface
from substrateinterface.exceptions import BlockNotFound, SubstrateRequestException
from websocket import (
    WebSocketAddressException,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketTimeoutException,
)

log = logging.getLogger("client")

logging.getLogger("websocket").setLevel(logging.CRITICAL)  # what it reports is raised, and told here
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)
"""between attempts to reach a node that was reachable before; the last one repeats"""
CONNECT_SECONDS = 5
"""for a node to take a connection and greet"""
ANSWER_SECONDS = 30
"""before a silent node counts as unreachable"""
GOODBYE_SECONDS = 0.5
"""for a node to answer the end of a connection"""
ODD_ATTEMPTS = 4
"""answers that make no sense before giving up; a node that is just starting may give one"""
HASH_DIGITS = 66
"""0x and 32 bytes"""
MOST_TEXT = 200
"""characters of somebody else's error message that are shown"""
CONNECTION_PROBLEMS = (WebSocketException, OSError, EOFError, json.JSONDecodeError)
"""What the library raises when a node goes away; it reads the end of a stream as empty JSON."""
ODD_ANSWERS = (
    SubstrateRequestException,
    BlockNotFound,
    RemainingScaleBytesNotEmptyException,
    InvalidScaleTypeValueException,
    NotImplementedError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What the library raises when it cannot make sense of an answer."""

T = TypeVar("T")


class NodeFailure(Exception):
    """The node is of no use to this program; one line says why and what to do."""


class Unreachable(NodeFailure):
    """No node answers at the address."""


class Silent(Unreachable):
    """Nothing answers there."""

    def __init__(self, url: str, why: object) -> None:
        self.why = brief(why)
        super().__init__(
            f"no node answers at {url} ({self.why}): start one with `assay node --dev`, or give --url"
        )


class NoAddress(Unreachable):
    """The text is no address of a node."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"{url[:MOST_TEXT]!r} is no node's address: give --url ws://HOST:PORT or wss://HOST:PORT"
        )


class NoNode(Unreachable):
    """Something answers there, but not as a node does."""

    def __init__(self, url: str, what: str) -> None:
        super().__init__(f"what answers at {url} {what}: give a node's address with --url")


class Unanswered(NodeFailure):
    """The node answers, but not what was asked."""

    def __init__(self, url: str, why: object) -> None:
        super().__init__(f"the node at {url} gives no usable answer ({brief(why)}): see the node's log")


class WrongChain(NodeFailure):
    """The node at the address keeps another chain than the one that is wanted."""


class Connection:
    """Owns the worker thread and the socket."""

    def __init__(self, url: str, *, gives_up: bool = False) -> None:
        self.url = url
        self.made = 0  # how often a connection was made so far
        self._gives_up = gives_up  # on a node that was lost, instead of waiting until it is back
        self.genesis = ""  # 0x-prefixed hash of block 0, the same for all of them
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chain")
        self._interface: SubstrateInterface | None = None
        self._seen = (0, "")  # the highest finalised block
        self._checked_over = self._warned_over = 0  # which connection was found to keep it, or to lag

    async def open(
        self, *, waits: bool = False, recognises: Callable[[SubstrateInterface], bool] | None = None
    ) -> None:
        """Connect for the first time, to an Assay chain; `waits` for a node that does not answer yet.

        `recognises` says whether it is one, by its metadata unless told otherwise.

        Raises: Unreachable, WrongChain.
        """
        attempt = 0
        while True:
            try:
                return await self._open(recognises or keeps_training)
            except Silent as silent:
                if not waits:
                    raise
                if attempt == 0:
                    log.info("no node answers at %s yet (%s): waiting for it", self.url, silent.why)
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1

    async def _open(self, recognises: Callable[[SubstrateInterface], bool]) -> None:
        """Connect for the first time, in one attempt.

        Raises: Unreachable, WrongChain.
        """
        if not _is_address(self.url):
            raise NoAddress(self.url)
        strange = f"what answers at {self.url} keeps no Assay chain: give an Assay node's address with --url"
        try:
            is_ours = await self._in_worker(lambda: recognises(self._connected()))
        except json.JSONDecodeError as problem:
            raise WrongChain(strange) from problem
        except CONNECTION_PROBLEMS as problem:
            raise _unreachable(self.url, problem) from problem
        except ODD_ANSWERS as problem:
            raise WrongChain(strange) from problem
        if not is_ours:
            raise WrongChain(strange)

    async def ask(self, ask: Callable[[SubstrateInterface], T]) -> T:
        """Ask the node; reconnect as often as it takes, with a line in the log when it starts and ends.

        Raises: WrongChain; Unanswered when it keeps answering something else; Unreachable if it gives up.
        """
        attempt, odd = 0, 0
        while True:
            try:
                answer = await self._in_worker(lambda: ask(self._connected()))
            except CONNECTION_PROBLEMS as problem:
                if self._gives_up:
                    raise _unreachable(self.url, problem) from problem
                if attempt == odd:
                    why = brief(problem)
                    log.warning("lost the node at %s (%s): retrying until it is back", self.url, why)
            except ODD_ANSWERS as problem:
                odd += 1
                if odd == ODD_ATTEMPTS:
                    raise Unanswered(self.url, problem) from problem
            else:
                if attempt > odd:
                    log.info("the node at %s is back", self.url)
                return answer
            await self._in_worker(self._disconnect)
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1

    def check_history(self, node: SubstrateInterface, number: int, block: str) -> None:
        """Notice a node that came back without what it had finalised.

        Raises: WrongChain.
        """
        highest, known = self._seen
        if number < highest:
            if self._warned_over != self.made:
                advice = "it is catching up, or its data was deleted"
                log.warning("the node at %s is at #%d, it was at #%d: %s", self.url, number, highest, advice)
            self._warned_over = self.made
            return
        if self._checked_over != self.made:
            if known and node.get_block_hash(highest) != known:
                raise WrongChain(
                    f"the node at {self.url} came back with another block #{highest} than the one it had "
                    "finalised, so its data was deleted: start again with another --directory"
                )
            self._checked_over = self.made
        self._seen = number, block

    async def close(self) -> None:
        """End the connection; a node that is silent cannot hold us up."""
        interface = self._interface
        closed = asyncio.get_running_loop().run_in_executor(self._worker, self._disconnect)
        self._worker.shutdown(wait=False)
        await asyncio.wait({closed}, timeout=GOODBYE_SECONDS)
        if interface is not None and not closed.done():
            interface.websocket.abort()  # wakes the worker
        await asyncio.wait({closed}, timeout=CONNECT_SECONDS)

    async def _in_worker(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _connected(self) -> SubstrateInterface:
        """Return the connection, a new one where the last was lost.

        Raises: WrongChain when the node has changed its chain.
        """
        if self._interface is None:
            self._interface = SubstrateInterface(
                self.url, ss58_format=42, auto_discover=False, auto_reconnect=False,
                ws_options={"timeout": CONNECT_SECONDS},
            )  # fmt: skip
            genesis = self._interface.get_block_hash(0)
            if not isinstance(genesis, str) or len(genesis) != HASH_DIGITS:
                raise ValueError(f"block 0 has the hash {genesis!r}")
            self._interface.websocket.settimeout(ANSWER_SECONDS)
            self.genesis = self.genesis or genesis
            if genesis != self.genesis:
                raise WrongChain(
                    f"the node at {self.url} came back with another chain (genesis {genesis[:10]}…, it was "
                    f"{self.genesis[:10]}…): start again with another --directory"
                )
            self.made += 1
        return self._interface

    def _disconnect(self) -> None:
        interface, self._interface = self._interface, None
        if interface is not None:
            with suppress(*CONNECTION_PROBLEMS):
                interface.close()


def keeps_training(node: SubstrateInterface) -> bool:
    """Say whether a node's chain has the pallet of our rounds."""
    return any(pallet.name == "Training" for pallet in node.get_metadata().pallets)


def serves_subnets(node: SubstrateInterface) -> bool:
    """Say whether a node has the methods about subnets; much quicker than to read its metadata."""
    return "subnet_metagraph" in node.rpc_request("rpc_methods", [])["result"]["methods"]


def _unreachable(url: str, problem: Exception) -> Unreachable:
    """Say what it was that a first connection met with."""
    match problem:
        case WebSocketBadStatusException():
            return NoNode(url, f"speaks HTTP and takes no WebSocket (status {problem.status_code})")
        case WebSocketAddressException() | WebSocketConnectionClosedException() | WebSocketTimeoutException():
            return Silent(url, problem)
        case WebSocketException():
            return NoNode(url, f"speaks no HTTP ({brief(problem)})")
        case SSLError():
            return NoNode(url, f"speaks no TLS this machine trusts ({brief(problem)})")
    return Silent(url, problem)


def brief(problem: object) -> str:
    """Return what is wrong in one line; the library appends whole HTTP answers."""
    text = " ".join(str(problem).split("-+-+-")[0].split())
    return text[:MOST_TEXT] or type(problem).__name__


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
