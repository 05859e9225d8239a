"""Train on the text the chain assigns, publish the update, get paid.

assay miner --key //Miner3                          join the local network
assay miner --key-file PATH --url ws://HOST:PORT    with a key that no list of processes shows

One assignment is one paid unit of work.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from miners.site import Site, check_numbers, check_site

MOST_ASY = 1_000_000_000
"""no chain of this kind has more"""

Cheat = Literal["honest", "noise", "sign_flip", "copy", "stale", "nan", "oversized", "garbage", "mismatch"]
"""the names of miners/attacks.py"""


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob an operator may turn; what is trained, and how, is the subnet's to say."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str = "//Miner1"  # secret URI of the hotkey
    key_file: Path | None = None  # file with that secret in its first line; nobody else can see it there
    netuid: int = 1  # subnet to work in
    max_price: float = 5.0  # ASY; do not register above this burn
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU when there is one
    threads: int = 1  # CPU threads of torch
    directory: Path | None = None  # where model and blobs are kept; a temporary directory if not given
    host: str = "127.0.0.1"  # address to serve blobs on
    port: int = 0  # port to serve blobs on; 0 takes a free one
    public_url: str | None = None  # where others reach that port; http://HOST:PORT if not given
    blob_quota: float = 10.0  # GiB of disk for payloads
    prometheus_port: int | None = None  # serve metrics on this port of 127.0.0.1; 0 takes a free one
    prometheus_external: bool = False  # serve metrics on all interfaces
    wait: bool = False  # wait for a node that does not answer yet, instead of ending with code 3
    cheat: Cheat = "honest"  # how to cheat, to see the judges at work

    def __post_init__(self) -> None:
        check_numbers(self.netuid, self.port, self.threads, self.prometheus_port)
        check_site(self.site())
        if not 0 <= self.max_price <= MOST_ASY:
            raise ValueError(f"--max-price is {self.max_price}, must be 0 to {MOST_ASY}")

    def site(self) -> Site:
        """Return where this worker keeps and serves its blobs."""
        return Site(
            self.directory, self.host, self.port, self.public_url, self.blob_quota, self.prometheus_port,
            self.prometheus_external,
        )  # fmt: skip
