"""What Prometheus scrapes at /metrics: the lines, the logs, the ledger. No names, numbers or money of anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from edge.field.status import LineStatus, Status

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_COUNTERS: tuple[tuple[str, str, Callable[[LineStatus], float]], ...] = (
    ("requests", "Requests sent", lambda line: line.metrics.requests),
    ("answers", "Requests answered", lambda line: line.metrics.answers),
    ("timeouts", "Requests that nothing answered in time", lambda line: line.metrics.timeouts),
    ("garbled", "Requests answered by what is no frame", lambda line: line.metrics.garbled),
    ("retries", "Requests sent again", lambda line: line.metrics.retries),
    ("busy_seconds", "Time in which the line was not free", lambda line: line.metrics.busy_s),
    (
        "missed_deadlines",
        "Visits later than the bound of the overdraft allows",
        lambda line: line.metrics.missed,
    ),
    (
        "useful_seconds",
        "Time that answered requests needed on the wire",
        lambda line: line.metrics.useful_s,
    ),
)
_GAUGES: tuple[tuple[str, str, Callable[[LineStatus], float]], ...] = (
    (
        "utilisation",
        "Share of all time that answered requests needed",
        lambda line: line.metrics.utilisation,
    ),
    (
        "late_seconds",
        "For how long the first of those that are due has been",
        lambda line: line.metrics.late_s,
    ),
    (
        "switch_waited_seconds",
        "Longest that a visit which moves a supply has waited for the line",
        lambda line: line.metrics.waited_s,
    ),
    (
        "bound_seconds",
        "Stated bound: from a purse at its cut level until all it pays for is off",
        lambda line: line.bound.delay_s,
    ),
    (
        "bound_fen",
        "Stated bound of the overdraft of any purse of the line, in fen",
        lambda line: line.bound.most.fen,
    ),
    ("points", "Service points on the line", lambda line: line.points),
    ("silent", "Meters of service points that are silent", lambda line: line.silent),
    ("stuck", "1 while one visit lasts far too long", lambda line: line.is_stuck),
)


def exposition(status: Status) -> bytes:
    """In Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Said(status))
    return generate_latest(registry)


class _Said(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        status = self._status
        for name, help, value in _COUNTERS:
            counter = CounterMetricFamily(f"wattwell_line_{name}", help, labels=["line"])
            for line in status.lines:
                counter.add_metric([line.name], value(line))
            yield counter
        for name, help, value in _GAUGES:
            gauge = GaugeMetricFamily(f"wattwell_line_{name}", help, labels=["line"])
            for line in status.lines:
                gauge.add_metric([line.name], value(line))
            yield gauge
        alarms = GaugeMetricFamily(
            "wattwell_points", "Service points by what they are", labels=["state"]
        )
        counts = status.counts
        for state, number in (
            ("all", counts.points),
            ("silent", counts.silent),
            ("wrong_entry", counts.wrong),
            ("held", counts.held),
            ("off", counts.off),
            ("cut_waits", counts.waiting),
        ):
            alarms.add_metric([state], number)
        yield alarms
        troubles = GaugeMetricFamily(
            "wattwell_trouble",
            "1 for each trouble of the gateway itself that is on",
            labels=["trouble"],
        )
        for trouble in status.troubles:
            troubles.add_metric([trouble.value], 1)
        yield troubles
        for name, help, number in (
            ("up_log_backlog", "Entries that the cloud has not taken yet", status.backlog),
            ("up_log_last", "Number of the last entry of our log", status.last_seq),
            (
                "down_log_cursor",
                "Number of the last entry of the cloud's log applied",
                status.cloud_seq,
            ),
            ("rejected", "Entries of the cloud that could not be applied", status.rejected),
            ("ledger_bytes", "Size of the ledger and its journal", status.ledger_bytes),
            ("link_up", "1 while the broker listens", status.is_link_up),
            ("clock_trusted", "1 while the wall clock is believed", status.is_clock_trusted),
            (
                "ledger_held",
                "1 while nothing is read, charged or switched",
                status.hold is not None,
            ),
        ):
            yield GaugeMetricFamily(f"wattwell_{name}", help, value=float(number))
