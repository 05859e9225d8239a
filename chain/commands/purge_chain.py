"""Delete a node's database, never its keys nor its guard; the node must not be running.

assay purge-chain --chain dev --base-path ./data
"""

import argparse
import json
import shutil

from chain.commands import database
from chain.commands.failure import Failure
from chain.common.errors import StorageError
from chain.storage.db import locked


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("-y", action="store_true", help="do not ask")
    database.describe(parser)


def run(parsed: argparse.Namespace) -> int:
    """Ask, and delete."""
    path = database.path_of(parsed, database.spec_of(parsed))
    if not path.is_dir():
        _tell(parsed, removed=False, words=f'"{path}" did not exist.')
        return 0
    try:
        with locked(path):
            if not parsed.y and not _agreed(f'Are you sure to remove "{path}"? [y/N]: '):
                _tell(parsed, removed=False, words="Aborted.")
                return 1
            shutil.rmtree(path)
    except StorageError as problem:
        raise Failure(str(problem)) from problem
    except OSError as problem:
        raise Failure(f"the database at {path} cannot be removed: {problem}") from problem
    _tell(parsed, removed=True, words=f'"{path}" removed.')
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _tell(parsed: argparse.Namespace, *, removed: bool, words: str) -> None:
    print(json.dumps({"removed": removed}) if parsed.json else words)
