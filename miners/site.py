"""Where a worker keeps and serves its blobs, and what of its command line makes no sense."""

from dataclasses import dataclass
from pathlib import Path

from runtime.primitives.addresses import is_url

LAST_PORT = 65_535
LAST_NETUID = 65_535
MOST_THREADS = 1_024
MOST_GIB = 1_000_000
MOST_URL = 128
"""bytes; Neurons takes no longer one"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a worker keeps and serves its blobs, as its operator says."""

    directory: Path | None  # a temporary one if not given
    host: str  # to listen on
    port: int  # to listen on; 0 takes a free one
    public_url: str | None = None  # announced instead of host and port
    quota: float = 10.0  # GiB of payloads on disk
    prometheus_port: int | None = None  # for metrics; 0 takes a free one, None serves none
    prometheus_external: bool = False  # on all interfaces instead of 127.0.0.1
    resumes: bool = False  # the directory must hold what an earlier life of this worker left


def check_site(site: Site) -> None:
    """Refuse a quota or an address that make no sense.

    Raises: ValueError.
    """
    if not 0 < site.quota <= MOST_GIB:
        raise ValueError(f"--blob-quota is {site.quota:g}, must be above 0 and at most {MOST_GIB} GiB")
    check_public_url(site.public_url)


def check_public_url(url: str | None) -> None:
    """Refuse an address that the chain would not take.

    Raises: ValueError.
    """
    if url is None:
        return
    if not is_url(url) or len(url) > MOST_URL:
        raise ValueError(f"--public-url is {url!r}, must be http:// or https:// and a host")


def check_numbers(netuid: int, port: int, threads: int, prometheus_port: int | None = None) -> None:
    """Refuse flags that make no sense.

    Raises: ValueError.
    """
    for flag, number, least, most in (
        ("--netuid", netuid, 0, LAST_NETUID),
        ("--port", port, 0, LAST_PORT),
        ("--threads", threads, 1, MOST_THREADS),
        ("--prometheus-port", prometheus_port or 0, 0, LAST_PORT),
    ):
        if not least <= number <= most:
            raise ValueError(f"{flag} is {number}, must be {least} to {most}")
