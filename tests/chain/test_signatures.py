"""Verdicts are those of the cryptography, whatever is remembered and whoever verifies."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from chain.executor import Executor
from chain.keys.pair import KeyKind, Keypair
from chain.signatures import MANY, MAX_WORKERS, Signatures, workers_for
from chain.sync.importer import Importer
from runtime.frame.executive import BlockFault, BlockRejected
from runtime.primitives import crypto
from runtime.primitives.crypto import Claim, Ecdsa, Ed25519, MultiSignature, Sr25519
from runtime.primitives.types import AccountId
from tests.chain.chains import FIRST_SLOT, Chain

KINDS: dict[KeyKind, type[Ed25519 | Sr25519 | Ecdsa]] = {
    "ed25519": Ed25519,
    "sr25519": Sr25519,
    "ecdsa": Ecdsa,
}
WORKER_START = 60.0
"""seconds"""


class Counting:
    """The cryptography, counting how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, signature: MultiSignature, message: bytes, signer: AccountId) -> bool:
        self.asked += 1
        return crypto.verify(signature, message, signer)


def claim(number: int = 0, kind: KeyKind = "sr25519") -> Claim:
    """Return a true claim."""
    key, message = Keypair.from_suri("//Bob", kind), b"message %d" % number
    return Claim(KINDS[kind](key.sign(message)), message, AccountId(key.account))


def flipped(part: bytes) -> bytes:
    return bytes([part[0] ^ 1]) + part[1:]


def running_workers() -> list[psutil.Process]:
    """Return the workers, without the process that counts what multiprocessing shares."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # of an earlier pool, and ending
            if "spawn_main" in " ".join(each.cmdline()):
                found.append(each)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_true_claim_is_verified_once_and_no_other_profits(kind: KeyKind) -> None:
    counting = Counting()
    signatures = Signatures(verify=counting)
    good = claim(kind=kind)
    assert [signatures.verify(*good), signatures.verify(*good), counting.asked] == [True, True, 1]
    others = [
        good._replace(signature=replace(good.signature, _0=flipped(good.signature._0))),
        good._replace(message=flipped(good.message)),
        good._replace(message=good.message[:-1]),
        good._replace(signer=AccountId(flipped(good.signer))),
        *(good._replace(signature=made(good.signature._0)) for made in (Ed25519, Sr25519)),
    ]
    false = [each for each in others if each != good]
    for other in false + false:
        assert not signatures.verify(*other)
    assert counting.asked == 1 + 2 * len(false)  # what is false is never remembered


def test_the_least_recently_asked_for_is_forgotten() -> None:
    counting = Counting()
    signatures = Signatures(remembered=2, verify=counting)
    first, second, third = (claim(number) for number in range(3))
    for each in (first, second, first, third):
        assert signatures.verify(*each)
    assert counting.asked == 3
    assert signatures.verify(*first)
    assert counting.asked == 3
    assert signatures.verify(*second)
    assert counting.asked == 4


@pytest.mark.parametrize(
    ("wanted", "cores", "workers"),
    [("auto", 1, 0), ("auto", 2, 0), ("auto", 4, 2), ("auto", 64, MAX_WORKERS)],
)
def test_workers_need_spare_cores(wanted: str, cores: int, workers: int) -> None:
    assert workers_for(wanted, cores) == workers
    assert workers_for("3", cores) == 3


@pytest.fixture
def counting() -> Counting:
    """The node's own cryptography."""
    return Counting()


@pytest.fixture
def workers(counting: Counting) -> Iterator[Signatures]:
    """Two workers, up and running."""
    made = Signatures(workers=2, verify=counting)
    made.wait(WORKER_START)
    yield made
    processes = running_workers()
    made.close()
    psutil.wait_procs(processes, WORKER_START)  # the next test has its own


def test_workers_find_the_same_blocks_good_and_bad(
    tmp_path: Path, workers: Signatures, counting: Counting
) -> None:
    chain, other = Chain(tmp_path / "inline"), Chain(tmp_path / "workers")
    other.importer = Importer(other.store, Executor(workers), other.feed, other.clock)
    header, body = chain.build(FIRST_SLOT, tuple(chain.remark(nonce) for nonce in range(MANY + 1)))
    last = body[-1]
    bad = [*body[:-1], last.replace(last[40:50], flipped(last[40:50]))]  # in the signature
    refusals = []
    for each in (chain, other):
        with pytest.raises(BlockRejected) as refused:
            each.importer.import_foreign(header, bad)
        refusals.append((refused.value.fault, refused.value.detail))
        assert each.importer.import_foreign(header, body) == header.hash()
    why = f"extrinsic {MANY + 1}: Transaction has a bad signature"
    assert refusals == [(BlockFault.REFUSED, why)] * 2
    assert chain.snapshot() == other.snapshot()
    assert counting.asked == 2  # the bad one and the good one in its place; workers had the others
    chain.store.close()
    other.store.close()


def test_what_a_killed_worker_owes_is_verified_by_the_node(workers: Signatures, counting: Counting) -> None:
    claims = [claim(number) for number in range(MANY)]
    killed = running_workers()
    assert len(killed) == 2
    for each in killed:
        with suppress(psutil.NoSuchProcess):  # the pool ends the others when it sees one dead
            each.kill()
    psutil.wait_procs(killed)
    workers.expect(claims)
    assert all(workers.verify(*each) for each in claims)
    assert counting.asked == MANY
    workers.wait(WORKER_START)  # they are back
    others = [claim(number) for number in range(MANY, 2 * MANY)]
    workers.expect(others)
    assert all(workers.verify(*each) for each in others)
    assert counting.asked == MANY


def test_few_claims_are_no_work_for_workers(workers: Signatures, counting: Counting) -> None:
    claims = [claim(number) for number in range(MANY - 1)]
    workers.expect(claims)
    assert all(workers.verify(*each) for each in claims)
    assert counting.asked == MANY - 1


def test_closing_ends_the_workers_and_verification_goes_on(counting: Counting) -> None:
    signatures = Signatures(workers=1, verify=counting)
    signatures.wait(WORKER_START)
    processes = running_workers()
    signatures.close()
    ended, _ = psutil.wait_procs(processes, WORKER_START)
    assert len(ended) == len(processes) == 1
    signatures.expect([claim(number) for number in range(MANY)])
    assert signatures.verify(*claim())
    assert counting.asked == 1
