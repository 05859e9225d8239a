"""`python -m miners miner` and `python -m miners provider` are `assay miner` and `assay provider`."""

import sys

from miners.config import start

sys.exit(start("miners", sys.argv[1:]))
