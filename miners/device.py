"""Which device torch computes on, and in which precision, said in one line when it is not there."""

from miners.joining import CannotJoin
from miners.model import choose_device, choose_precision, use_threads


def use_device(device: str, threads: int, precision: str = "fp32") -> None:
    """Set up torch.

    Raises: CannotJoin.
    """
    use_threads(threads)
    try:
        choose_precision(precision, choose_device(device))
    except ValueError as problem:
        raise CannotJoin(str(problem)) from problem
