"""What the tests of faults do to a member's process from outside: Python imports this first where it is on PYTHONPATH.

The product has no switch for any of it. ``FAULTS_CLOCK_RATE``: how fast the clock that leases go by runs.
``FAULTS_NO_FENCE``: for the negative control, a successor sends anew what it finds whole, and does nothing about what
its predecessor has at the partner; leases, deadlines and checks are as ever. ``FAULTS_NO_DEADLINE``: the other way
round, an owner that never asks whether it is one still, as if its clock stood.
"""

import os
from dataclasses import replace
from typing import Any


def run_clock_at(rate: float) -> None:
    """Let `SystemClock.boottime` run so fast; `fault_site.wall_clock` says why libfaketime does not."""
    from mftgit.adapters.clock import SystemClock  # noqa: PLC0415  only where it is asked for

    real = SystemClock.boottime
    begun = real(SystemClock())

    def boottime(clock: SystemClock) -> float:
        return begun + (real(clock) - begun) * rate

    SystemClock.boottime = boottime  # type: ignore[method-assign,assignment]


def remove_fence() -> None:
    """Let `Delivery.resume` send anew what is READY, beside the temporary that is there."""
    from mftgit.member.outbound.delivering.deliver import Delivery  # noqa: PLC0415
    from mftgit.model.transfers.run import DeliveryState  # noqa: PLC0415

    real: Any = Delivery.resume

    def resume(delivery: Any, intent: Any, results: Any) -> None:
        if intent.state is DeliveryState.READY:
            delivery._clear_away = lambda _parcel: None
            intent = replace(intent, state=DeliveryState.TAKEN)
        real(delivery, intent, results)

    Delivery.resume = resume  # type: ignore[method-assign,assignment]


def remove_deadline() -> None:
    """Let every effect begin, whatever became of the ownership."""
    from mftgit.member.outbound.ownership.own import Ownership  # noqa: PLC0415

    Ownership.check = lambda _ownership: None  # type: ignore[method-assign,assignment]


if rate := os.environ.get("FAULTS_CLOCK_RATE"):
    run_clock_at(float(rate))
if os.environ.get("FAULTS_NO_FENCE"):
    remove_fence()
if os.environ.get("FAULTS_NO_DEADLINE"):
    remove_deadline()
