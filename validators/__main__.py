"""`python -m validators validator` is `assay validator`."""

import sys

from miners.config import start

sys.exit(start("validators", sys.argv[1:]))
