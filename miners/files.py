"""Files that are whole or absent, also after a power cut; what is neither when read again is damaged.

found = read_whole(path, lambda found: number_in(found["round"]))
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

MOST_NUMBER = (1 << 32) - 1
"""The chain counts rounds in 32 bits."""


class Damaged(ValueError):
    """A file does not hold what was written; says which one and why."""


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once; when this returns, the new content survives a crash."""
    half = path.with_name(path.name + ".half")
    with half.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    sync_directory(path.parent)


def read_whole(path: Path, made: Callable[[Any], T]) -> T:
    """Return what is made of the JSON in a file.

    Raises: FileNotFoundError; Damaged where that is no JSON, or nothing can be made of it.
    """
    content = path.read_bytes()
    try:
        return made(json.loads(content))
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as problem:
        raise Damaged(f"{path} is damaged ({type(problem).__name__}: {str(problem)[:100]})") from problem


def number_in(value: Any) -> int:
    """Return a number as the chain counts: whole and not negative.

    Raises: ValueError.
    """
    if type(value) is not int or not 0 <= value <= MOST_NUMBER:
        raise ValueError(f"{str(value)[:40]!r} is no number of 32 bits")
    return value


def bytes_in(value: Any, size: int) -> bytes:
    """Return so many bytes that are there in hex.

    Raises: ValueError, TypeError.
    """
    found = bytes.fromhex(value)
    if len(found) != size:
        raise ValueError(f"{len(found)} bytes in hex, must be {size}")
    return found


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a crash."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
