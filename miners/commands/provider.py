"""Cut the Python standard library's own source into shards, serve them by hash, name their root on chain.

assay provider --port 8100 --url ws://127.0.0.1:9944 --key //Provider
assay provider --base my-model                      for a subnet that trains an adapter of that model

Whoever reads the shards checks their hashes and need not trust this program.
"""

from dataclasses import dataclass
from pathlib import Path

from miners.site import check_numbers, check_public_url


@dataclass(frozen=True, slots=True)
class Config:
    """Every knob an operator may turn."""

    source: Path | None = None  # directory whose *.py files are the text; the standard library if not given
    base: Path | None = None  # directory of the model that this subnet's adapter belongs to
    directory: Path | None = None  # where shards are kept; a temporary directory if not given
    host: str = "127.0.0.1"  # address to listen on
    port: int = 8100  # port to listen on; 0 takes a free one
    public_url: str | None = None  # where others reach that port; http://HOST:PORT if not given
    json: bool = False  # print the status line as JSON
    url: str = "ws://127.0.0.1:9944"  # node to talk to
    key: str = "//Provider"  # secret URI of the subnet's owner
    key_file: Path | None = None  # file with that secret in its first line; nobody else can see it there
    netuid: int = 1  # subnet the text is for
    offline: bool = False  # serve only; name nothing on chain
    wait: bool = False  # wait for a node that does not answer yet, instead of ending with code 3

    def __post_init__(self) -> None:
        check_numbers(self.netuid, self.port, threads=1)
        check_public_url(self.public_url)
