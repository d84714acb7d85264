"""Ids of requests, and the few spans that are recorded."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pynomaly_pipelines.operations.telemetry.current import at_work
from pynomaly_pipelines.operations.telemetry.traces import Tracing, parent_of, tracing

TRACE, SPAN = "0af7651916cd43dd" * 2, "b7ad6b7169203331"  # pragma: allowlist secret


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_begins_a_trace(header: str) -> None:
    work = Tracing(0.0).begin(header)
    assert len(work.trace_id) == 32
    assert work.trace_id not in (TRACE, "0" * 32)
    assert parent_of(header) == ""


def test_a_strangers_flag_records_nothing_and_a_trusted_ones_does() -> None:
    traced = tracing(0.0, "", exporter=InMemorySpanExporter())
    header = f"00-{TRACE}-{SPAN}-01"
    assert traced.begin(header).trace_id == TRACE
    assert not traced.begin(header).sampled
    assert traced.begin(header, trusted=True).sampled


def test_a_share_is_recorded() -> None:
    traced = tracing(0.25, "", exporter=InMemorySpanExporter())
    share = sum(traced.begin().sampled for _ in range(4000)) / 4000
    # Five standard deviations of 0.0068.
    assert 0.216 < share < 0.284


def test_a_span_has_the_requests_trace_and_the_callers_span_above_it() -> None:
    kept = InMemorySpanExporter()
    traced = tracing(1.0, "", exporter=kept)
    for parent, header in (("", ""), (SPAN, f"00-{TRACE}-{SPAN}-01")):
        work = traced.begin(header)
        at_work(work)
        span = traced.span(work, "GET", parent)
        assert span is not None
        span.end()
    traced.close()
    alone, below = kept.get_finished_spans()
    assert alone.parent is None
    assert below.context.trace_id == int(TRACE, 16)
    assert below.parent is not None
    assert below.parent.span_id == int(SPAN, 16)


def test_without_an_address_nothing_is_recorded() -> None:
    traced = tracing(1.0, "")
    assert not traced.begin().sampled
    traced.close()
