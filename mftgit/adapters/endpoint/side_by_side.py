"""What is done to many files by an endpoint that may do several things at a time."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.errors import MftgitError

A = TypeVar("A")
T = TypeVar("T")


def side_by_side(
    call: Callable[[A], T], items: Iterable[A], *, at_once: int
) -> list[T | MftgitError]:
    """Return what ``call`` made of each of ``items``, or its error, in their order; ``at_once`` are under way.

    ``items`` are taken in the caller's thread. Nothing is under way any more when this returns or raises.

    Raises what ``items`` raise, and `EndpointLostError`.
    """
    begun: list[Future[T | MftgitError]] = []
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="many") as threads:
        under_way: set[Future[T | MftgitError]] = set()
        for item in items:
            begun.append(threads.submit(_guarded, call, item))
            under_way.add(begun[-1])
            if len(under_way) == at_once:
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                if any(each.exception() is not None for each in ended):
                    break
    return [each.result() for each in begun]


def _guarded(call: Callable[[A], T], item: A) -> T | MftgitError:
    try:
        return call(item)
    except EndpointLostError:
        raise
    except MftgitError as error:
        return error
