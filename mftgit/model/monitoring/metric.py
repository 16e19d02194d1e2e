"""What a metric is: a name, what it means, its labels and values, as Prometheus knows them."""

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum, unique


@unique
class MetricKind(Enum):
    """GAUGE: how it is now. COUNTER: how often, or how much, since the process began. HISTOGRAM: how it is spread."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(slots=True, kw_only=True)
class Spread:
    """How values are spread over ``bounds``, each of which includes its own value, and beyond."""

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. Its unit stands in its name, as Prometheus asks for: ``_seconds``, ``_bytes``, ``_ratio``.

    The name of a counter ends with ``_total``. ``only_on_controller``: other members do not have it.
    """

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    only_on_controller: bool = False

    def of(self, value: float | Spread, *labels: str) -> "Sample":
        """Return a value of it, with what its labels say in their order."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {labels}")
        return Sample(metric=self, labels=labels, value=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a metric."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Spread


def gauge(name: str, meaning: str, *labels: str) -> Metric:
    """Return a metric that tells how something is now."""
    return Metric(name=name, kind=MetricKind.GAUGE, meaning=meaning, labels=labels)


def counter(name: str, meaning: str, *labels: str) -> Metric:
    """Return a metric that only rises while the process runs."""
    return Metric(name=name, kind=MetricKind.COUNTER, meaning=meaning, labels=labels)


def one_of(metric: Metric, states: type[Enum], now: Enum | None, *labels: str) -> list[Sample]:
    """Return a value for each of ``states``: 1 for the one that holds now, 0 for the others."""
    return [metric.of(float(each is now), *labels, str(each.value)) for each in states]
