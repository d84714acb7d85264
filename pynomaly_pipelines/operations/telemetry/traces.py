"""Requests -> spans of W3C traces, few of them recorded, sent by OTLP where a setting says so.

Ids are made here, not by the SDK: nearly all requests are not recorded, and for those its machinery costs 100 µs.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.telemetry.current import Work, current

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Tracing:
    """Which requests are recorded, and where to."""

    def __init__(self, ratio: float, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        # Of 64 random bits.
        self._below = int(ratio * 2**64) if provider is not None else 0

    def begin(self, traceparent: str = "", request_id: str = "", *, trusted: bool = False) -> Work:
        """A request's headers -> its ids; those of the caller where they are well-formed.

        Whether it is recorded is decided here: only a trusted caller's flag counts, or anybody could fill the store.
        """
        mine = os.urandom(24)
        known = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
        trace = known.group(1) if known is not None and known.group(1).strip("0") else mine[:16].hex()
        sampled = int.from_bytes(mine[16:], "big") < self._below
        if known is not None and trusted and self._provider is not None:
            sampled = bool(int(known.group(3), 16) & 1)
        return Work(
            trace_id=trace,
            span_id=mine[16:].hex(),
            request_id=request_id if request_id and _REQUEST_ID.fullmatch(request_id) else trace,
            sampled=sampled,
        )

    def span(self, work: Work, name: str, parent: str = "") -> Span | None:
        """The span of a request that is recorded, begun and current; None for the others.

        `parent` is the span id the caller sent.
        """
        if not work.sampled or self._provider is None:
            return None
        from opentelemetry import context, trace

        above = None
        if parent:
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            remote = trace.SpanContext(int(work.trace_id, 16), int(parent, 16), is_remote=True, trace_flags=flags)
            above = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        span = self._provider.get_tracer("pynomaly_pipelines").start_span(name, above, trace.SpanKind.SERVER)
        context.attach(trace.set_span_in_context(span))
        return span

    def close(self) -> None:
        """Send what is buffered; bounded by the exporter's own time-out."""
        if self._provider is not None:
            self._provider.shutdown()


def tracing(ratio: float, otlp_url: str, *, exporter: SpanExporter | None = None) -> Tracing:
    """Settings -> tracing; without an address, ids are made and nothing is recorded."""
    if not otlp_url and exporter is None:
        return Tracing(ratio)
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class RequestIds(RandomIdGenerator):
        """The request's trace id for its first span; the SDK's own for spans below."""

        def generate_trace_id(self) -> int:
            work = current()
            return int(work.trace_id, 16) if work is not None else super().generate_trace_id()

    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=otlp_url, timeout=5)
    resource = Resource.create({"service.name": "pynomaly-pipelines"})
    provider = TracerProvider(resource=resource, id_generator=RequestIds())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(ratio, provider)


def parent_of(traceparent: str) -> str:
    """The span id in a W3C `traceparent` header; empty where it is not well-formed."""
    known = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return known.group(2) if known is not None and known.group(1).strip("0") and known.group(2).strip("0") else ""
