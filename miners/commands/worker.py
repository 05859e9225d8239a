"""The flags that a miner and a judge have in common."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from miners.site import Site, check_numbers, check_site


@dataclass(frozen=True, slots=True)
class Worker:
    """Every knob that both have; each says its own default where it needs another one."""

    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str = "//Miner1"  # secret URI of the hotkey
    key_file: Path | None = None  # file with that secret; nobody else can see it there
    netuid: int = 1  # subnet to work in
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: a GPU when there is one
    threads: int = 1  # CPU threads of torch
    directory: Path | None = None  # where model and blobs are kept; a temporary directory if not given
    resume: bool = False  # go on with what --directory holds, and refuse to start if that is nothing
    host: str = "127.0.0.1"  # address to serve blobs on
    port: int = 0  # port to serve blobs on; 0 takes a free one
    public_url: str | None = None  # where others reach that port; http://HOST:PORT if not given
    blob_quota: float = 10.0  # GiB of disk for payloads
    prometheus_port: int | None = None  # serve metrics on this port of 127.0.0.1; 0 takes a free one
    prometheus_external: bool = False  # serve metrics on all interfaces
    json: bool = False  # print rounds, audits and penalties as JSON lines
    track: Literal["none", "trackio", "wandb"] = "none"  # send the numbers of each round to this tracker
    wait: bool = False  # wait for a node that does not answer yet, instead of ending with code 3

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse flags that make no sense.

        Raises: ValueError.
        """
        check_numbers(self.netuid, self.port, self.threads, self.prometheus_port)
        check_site(self.site())

    def site(self) -> Site:
        """Return where this worker keeps and serves its blobs."""
        return Site(
            self.directory, self.host, self.port, self.public_url, self.blob_quota, self.prometheus_port,
            self.prometheus_external, self.resume,
        )  # fmt: skip
