"""Metrics in Prometheus' text form, by its own library (prometheus_client), with those of the process."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from mftgit.model.monitoring.metric import Metric, MetricKind, Sample, Spread

TEXT_FORM: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What this is called in HTTP."""

_INFINITE: Final = "+Inf"


class MetricsText:
    """Writes metrics out; it remembers nothing of them."""

    def write(self, samples: Iterable[Sample]) -> bytes:
        """Return ``samples``, with those of this process: CPU, memory, open files, start."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Given(samples))
        return generate_latest(registry)


class _Given(Collector):
    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def describe(self) -> Iterable[Family]:
        """Say nothing before it is asked: no name is there twice."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Give one family for each metric, in the order in which they came."""
        found: dict[Metric, list[Sample]] = {}
        for each in self._samples:
            found.setdefault(each.metric, []).append(each)
        for metric, samples in found.items():
            yield _family(metric, samples)


_PLAIN: Final[Mapping[MetricKind, type[GaugeMetricFamily] | type[CounterMetricFamily]]] = {
    MetricKind.GAUGE: GaugeMetricFamily,
    MetricKind.COUNTER: CounterMetricFamily,
}


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    made: Family
    if metric.kind is MetricKind.HISTOGRAM:
        made = histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        for each in samples:
            if isinstance(each.value, Spread):
                histogram.add_metric(each.labels, _buckets(each.value), each.value.total)
        return made
    made = plain = _PLAIN[metric.kind](metric.name, metric.meaning, labels=metric.labels)
    for each in samples:
        if not isinstance(each.value, Spread):
            plain.add_metric(each.labels, each.value)
    return made


def _buckets(spread: Spread) -> list[tuple[str, float]]:
    """Return how many values are at most so large, as Prometheus has it: each bucket includes those before it."""
    found, so_far = [], 0
    names = [*(repr(bound) for bound in spread.bounds), _INFINITE]
    for name, count in zip(names, spread.counts, strict=True):
        so_far += count
        found.append((name, float(so_far)))
    return found
