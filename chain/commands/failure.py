"""How a command ends when it cannot do its job."""


class Failure(Exception):
    """One line for a person: what, why, what to do; and the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


UNREACHABLE = 3
"""exit code when a node does not answer"""
USAGE = 2
"""exit code when the arguments make no sense"""
