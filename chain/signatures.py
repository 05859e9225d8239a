"""Signatures verified once: whoever asks again for a claim that was found true pays a lookup.

    signatures = Signatures(workers_for("auto"))
    signatures.verify(signature, message, signer)    what pool, author and importer give to the runtime
    signatures.expect(claims)                        many at once, before a block is executed

Only true claims are remembered, by a digest of all they consist of, so the verdicts are those of
runtime.primitives.crypto whatever is remembered, forgotten, or verified elsewhere. Worker processes verify
what is expected, while the block is executed, where there are cores to spare; what they do not find true is
verified when it is asked for.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from hashlib import blake2b

from runtime.primitives import crypto
from runtime.primitives.crypto import Claim, Ecdsa, Ed25519, MultiSignature, Sr25519, Verify
from runtime.primitives.types import AccountId

log = logging.getLogger("signatures")

REMEMBERED = 32_768
"""claims; some 4 MB, four pools full"""
BATCH = 64
"""claims a worker gets at once; sending fewer costs as much as verifying them"""
MANY = 2 * BATCH
"""claims from which on workers pay"""
PATIENCE = 5.0
"""seconds a worker may take for what takes milliseconds"""
SPARED_CORES = 2
"""for the node itself and whatever else the machine does"""
MAX_WORKERS = 8
"""more than one process can keep busy"""

_KINDS = {Ed25519: b"\x00", Sr25519: b"\x01", Ecdsa: b"\x02"}


class Signatures:
    """Verifies claims and remembers the true ones; `close` ends the workers."""

    def __init__(
        self, workers: int = 0, remembered: int = REMEMBERED, verify: Verify = crypto.verify
    ) -> None:
        self._known: dict[bytes, None] = {}  # least recently asked for first
        self._remembered = remembered
        self._verify = verify
        self._count = workers
        self._workers: ProcessPoolExecutor | None = None
        self._greeted: list[Future[list[bool]]] = []
        self._expected: dict[bytes, tuple[Future[list[bool]], int]] = {}  # batch and place in it
        if workers:
            self._start()

    @property
    def has_workers(self) -> bool:
        """Whether it pays to say what is coming."""
        return self._count > 0

    def verify(self, signature: MultiSignature, message: bytes, signer: AccountId) -> bool:
        """Say whether the signer signed exactly this message."""
        digest = _digest(signature, message, signer)
        if digest in self._known:
            del self._known[digest]
        elif not (self._answered(digest) or self._verify(signature, message, signer)):
            return False
        self._remember(digest)
        return True

    def expect(self, claims: Iterable[Claim]) -> None:
        """Have verified what will be asked for soon, where workers make that faster; returns at once.

        What was expected before and never asked for is forgotten.
        """
        self._expected.clear()
        if self._workers is None or not all(each.done() for each in self._greeted):
            return
        fresh = {digest: claim for claim in claims if (digest := _digest(*claim)) not in self._known}
        if len(fresh) < MANY:
            return
        digests = list(fresh)
        try:
            for start in range(0, len(digests), BATCH):
                batch = digests[start : start + BATCH]
                answer = self._workers.submit(verdicts, [fresh[each] for each in batch])
                self._expected |= {digest: (answer, at) for at, digest in enumerate(batch)}
        except BrokenProcessPool as problem:
            self._start_again(problem)

    def wait(self, seconds: float) -> None:
        """Wait for the workers to be up."""
        wait(self._greeted, seconds)

    def close(self) -> None:
        """End the workers; what is asked for afterwards is verified here."""
        self._count = 0
        self._expected.clear()
        self._stop()

    def _remember(self, digest: bytes) -> None:
        self._known[digest] = None
        if len(self._known) > self._remembered:
            del self._known[next(iter(self._known))]

    def _answered(self, digest: bytes) -> bool:
        """Say whether a worker found a claim true; all start again where one of them fails."""
        found = self._expected.pop(digest, None)
        if found is None:
            return False
        answer, at = found
        try:
            return answer.result(PATIENCE)[at]
        except (BrokenProcessPool, CancelledError, TimeoutError) as problem:
            self._start_again(problem)
            return False

    def _start_again(self, problem: BaseException) -> None:
        log.warning("a signature worker failed (%r): verifying without it, starting again", problem)
        self._expected.clear()
        self._stop()
        self._start()

    def _start(self) -> None:
        """Start all workers; they inherit that Ctrl-C is none of their business."""
        context = multiprocessing.get_context("spawn")
        self._workers = ProcessPoolExecutor(self._count, context, end_with_parent)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # making the pool lifts any mask
        try:
            self._greeted = [self._workers.submit(verdicts, []) for _ in range(self._count)]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stop(self) -> None:
        workers, self._workers = self._workers, None
        if workers is None:
            return
        processes = list(workers._processes.values())
        workers.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def workers_for(wanted: str, cores: int | None = None) -> int:
    """Return how many workers a machine gets: so many, or "auto" for the cores to spare."""
    if wanted != "auto":
        return int(wanted)
    spare = (cores or len(os.sched_getaffinity(0))) - SPARED_CORES
    return max(0, min(spare, MAX_WORKERS))


def verdicts(claims: Sequence[Claim]) -> list[bool]:
    """Verify a batch; runs in a worker."""
    return [crypto.verify(*claim) for claim in claims]


def end_with_parent() -> None:
    """Make a worker end when the node is gone, however that went."""
    threading.Thread(target=_outlive, daemon=True).start()


def _outlive() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os._exit(0)


def _digest(signature: MultiSignature, message: bytes, signer: AccountId) -> bytes:
    """Return what stands for a claim: its parts but the last have one length for each kind."""
    parts = signer + _KINDS[type(signature)] + signature._0 + message
    return blake2b(parts, digest_size=32).digest()
