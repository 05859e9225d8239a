"""How a command ends when it cannot do its job."""

import errno


class Failure(Exception):
    """One line for a person: what, why, what to do; and the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def printable(text: str) -> str:
    """Return what somebody else wrote so that it cannot drive a terminal, or fake a line."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


UNREACHABLE = 3
"""exit code when a node does not answer"""
USAGE = 2
"""exit code when the arguments make no sense"""
FULL_OR_FAILING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""what the system says of a disk, whether or not it names the file"""


def of_files(problem: OSError) -> Failure | None:
    """Say what the system refused of a file or a disk; None when it is about something else."""
    if problem.filename is None and problem.errno not in FULL_OR_FAILING:
        return None
    what = "writing failed" if problem.filename is None else f"{problem.filename} cannot be used"
    return Failure(
        f"{what} ({problem.strerror}): name a place where this user may write, on a disk that has room"
    )
