"""Receipts: a miner signs what it hands out, and judges take a payload from its miner with a receipt only.

    Assay-Receipt    SCALE(digest, blake2-256 of the bytes, length u32, sr25519 signature) as 264 hex digits

With GET it comes in the answer's head, with PUT in the request's. It is about the whole payload, whatever
part of it is sent. A receipt that says that other bytes than the revealed ones were sent is evidence against
the miner; where it says that these are the bytes and others come, they are thrown away.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from miners.blobs.signing import Signer
from miners.files import write_whole
from runtime.primitives.hashing import blake2_256
from runtime.primitives.receipts import RECEIPT, Receipt, statement
from runtime.primitives.scale import DecodeError
from runtime.primitives.types import AccountId, Hash

log = logging.getLogger("blobs")

HEADER = "Assay-Receipt"
DIGITS = 2 * 132
_HEX = frozenset("0123456789abcdef")
_FOLDER = "receipts"


class BadReceipt(Exception):
    """A payload came without a receipt that counts; one line says why."""


@dataclass(frozen=True, slots=True)
class Owed:
    """Whose receipt must come with a payload: this miner's, for this round."""

    genesis: bytes
    netuid: int
    round: int
    miner: bytes

    def read(self, text: str | None, digest: bytes) -> Receipt:
        """Return the receipt of a payload asked by this digest; it need not say that it was delivered.

        Raises: BadReceipt.
        """
        receipt = _read(text)
        if receipt.digest != digest:
            raise BadReceipt(f"the receipt is for 0x{receipt.digest.hex()[:8]}…")
        miner, genesis = AccountId(self.miner), Hash(self.genesis)
        if not receipt.is_signed_by(miner, genesis, self.netuid, self.round):
            raise BadReceipt(f"the receipt is not signed by its miner for round {self.round}")
        return receipt


Witness = Callable[[Owed, Receipt], None]
"""Hears every receipt that a miner has signed, true or false."""


def ignore(owed: Owed, receipt: Receipt) -> None:
    """Hear nothing."""


def _read(text: str | None) -> Receipt:
    if text is None:
        raise BadReceipt(f"no {HEADER} came with it")
    if len(text) != DIGITS or not _HEX.issuperset(text):
        raise BadReceipt(f"{HEADER} is not {DIGITS} lower-case hex digits")
    try:
        receipt: Receipt = RECEIPT.decode(bytes.fromhex(text))
    except DecodeError as problem:  # unreachable: every such string is one
        raise BadReceipt(str(problem)) from problem
    return receipt


def sign(signer: Signer, netuid: int, round: int, digest: bytes, served: bytes) -> Receipt:
    """Return a receipt for bytes that are handed out under a digest."""
    sent = Hash(blake2_256(served))
    asked, hotkey, genesis = Hash(digest), AccountId(signer.hotkey), Hash(signer.genesis_hash)
    message = statement(genesis, netuid, round, hotkey, asked, sent, len(served))
    return Receipt(asked, sent, len(served), signer.sign(message))


class Receipts:
    """The receipts of one miner, on disk for as long as it serves the payloads."""

    def __init__(self, home: Path, signer: Signer, netuid: int) -> None:
        self._home = home / _FOLDER
        self._signer = signer
        self._netuid = netuid
        self._texts: dict[bytes, tuple[int, str]] = {}
        for path in sorted(self._home.glob("*")):
            self._load(path)

    def write(self, round: int, digest: bytes, served: bytes) -> None:
        """Sign what is handed out in a round; when this returns, the receipt survives a crash."""
        self._home.mkdir(exist_ok=True)
        text = RECEIPT.encode(sign(self._signer, self._netuid, round, digest, served)).hex()
        write_whole(self._home / f"{round:08d}-{digest.hex()}", text.encode())
        self._texts[digest] = round, text

    def find(self, digest: bytes) -> str | None:
        """Return the header's value for a payload."""
        found = self._texts.get(digest)
        return found[1] if found else None

    def forget_before(self, round: int) -> None:
        """Delete the receipts of earlier rounds."""
        for digest, (number, _) in list(self._texts.items()):
            if number < round:
                del self._texts[digest]
                (self._home / f"{number:08d}-{digest.hex()}").unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        number, _, digest = path.name.partition("-")
        try:
            text = path.read_text()
            if _read(text).digest.hex() == digest:
                self._texts[bytes.fromhex(digest)] = int(number), text
                return
        except (OSError, ValueError, BadReceipt) as problem:
            log.debug("%s is no receipt: %s", path, problem)
        path.unlink(missing_ok=True)  # of a crash; the next reveal writes another
