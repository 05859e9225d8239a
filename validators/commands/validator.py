"""Check the miners' work and score it; the node beside this process secures the chain.

assay validator --url ws://127.0.0.1:9944 --key //Alice

Scores are committed before they are revealed, so no judge can copy another's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from miners.site import Site, check_numbers, check_site


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob an operator may turn; what is judged, and how, is the subnet's to say."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str = "//Alice"  # secret URI of the hotkey
    key_file: Path | None = None  # file with that secret in its first line; nobody else can see it there
    netuid: int = 1  # subnet to judge
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU when there is one
    threads: int = 1  # CPU threads of torch
    directory: Path | None = None  # where model, blobs and journal are kept; temporary if not given
    host: str = "127.0.0.1"  # address to serve mirrored blobs on
    port: int = 0  # port to serve mirrored blobs on; 0 takes a free one
    public_url: str | None = None  # where others reach that port; http://HOST:PORT if not given
    blobs: Literal["recent", "archive"] = "recent"  # archive keeps what did not enter the model, too
    blob_quota: float = 100.0  # GiB of disk for payloads
    prometheus_port: int | None = None  # serve metrics on this port of 127.0.0.1; 0 takes a free one
    prometheus_external: bool = False  # serve metrics on all interfaces
    wait: bool = False  # wait for a node that does not answer yet, instead of ending with code 3

    def __post_init__(self) -> None:
        check_numbers(self.netuid, self.port, self.threads, self.prometheus_port)
        check_site(self.site())

    def site(self) -> Site:
        """Return where this worker keeps and serves its blobs."""
        return Site(
            self.directory, self.host, self.port, self.public_url, self.blob_quota, self.prometheus_port,
            self.prometheus_external,
        )  # fmt: skip
