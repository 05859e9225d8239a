"""`python -m chain` is the `assay` command."""

import sys

from chain.cli import main

sys.exit(main())
