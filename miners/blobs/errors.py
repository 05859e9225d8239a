"""Why a blob could not be had or handed over; each is one line that names the blob and the server."""


class BlobError(Exception):
    """A blob could not be had; one line says why. The subclass is the kind of failure."""

    def __init__(self, digest: bytes, url: str, reason: str) -> None:
        super().__init__(f"blob 0x{digest.hex()[:8]}… from {url}: {reason}")
        self.digest = digest
        self.url = url
        self.reason = reason


class BlobUnreachable(BlobError):
    """Nobody answered, or the answer was not the blob."""


class BlobNotServed(BlobUnreachable):
    """The server answered, and not with the blob."""


class BlobBusy(BlobNotServed):
    """The server has it, perhaps, and serves others first."""


class BlobOversized(BlobError):
    """The server sends more than may be accepted."""


class BlobTruncated(BlobError):
    """The server stopped before the length it promised."""


class BlobMismatch(BlobError):
    """The bytes do not have the hash they were asked by."""


class BlobRefused(BlobError):
    """A server does not take a blob; it said why."""

    def __init__(self, digest: bytes, url: str, status: int, reason: str) -> None:
        super().__init__(digest, url, f"answered {status}: {reason}")
        self.is_for_now = status in (404, 408, 429, 503)  # the reveal is not known there yet, or it is busy


class StoreFull(Exception):
    """The disk quota leaves no room; one line says how much is used and how to get more."""
