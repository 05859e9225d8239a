"""Which device torch computes on, said in one line when it is not there."""

from miners.joining import CannotJoin
from miners.model import choose_device, use_threads


def use_device(device: str, threads: int) -> None:
    """Set up torch.

    Raises: CannotJoin.
    """
    use_threads(threads)
    try:
        choose_device(device)
    except ValueError as problem:
        raise CannotJoin(str(problem)) from problem
