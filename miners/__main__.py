"""`python -m miners miner` is `assay miner`, `python -m miners model_export` is `assay model export`."""

import sys

from miners.config import start

sys.exit(start("miners", sys.argv[1:]))
