"""Incidents, failures and notices -> one message, in text and in HTML.

Values of columns come from outside. In HTML they are escaped; in text they lose line breaks and control characters,
and what chat programs take for links or mentions is broken up.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.resources.notifications import Message, Picture
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.notifications.marks import Notice

DETAILED = 5
"""Incidents told with reasons; the others with one line."""
LISTED = 50
_LONGEST = 200
_CHAT = re.compile(r"(?<=<)(?=[!@#h])|(?<=\])(?=\()|(?<=@)(?=everyone|here|channel|all|\w)")


@dataclass(frozen=True)
class Failure:
    """A run that is not tried again."""

    run_id: str
    why: str
    what: str = ""
    """What it did not make."""
    refused: tuple[str, ...] = ()
    """Partitions that were refused, each with the reason."""


def about_incidents(
    spec: PipelineSpec, incidents: Sequence[Incident], pictures: Sequence[Picture], public_url: str
) -> Message:
    """One message on these incidents, the most anomalous first."""
    worst = sorted(incidents, key=lambda incident: -incident.score)
    title = plain(worst[0].headline) if len(worst) == 1 else f"{spec.name}: {len(worst)} incidents"
    blocks = [_incident(spec, incident, public_url) for incident in worst[:DETAILED]]
    blocks += [_Block(i.headline, (f"{_span(spec, i)}; {i.id}",)) for i in worst[DETAILED:LISTED]]
    if len(worst) > LISTED:
        blocks.append(_Block(f"and {len(worst) - LISTED} more", (f"pynomaly incidents {spec.name}",)))
    return _message(title, blocks, tuple(pictures))


def about_failures(spec: PipelineSpec, failures: Sequence[Failure], public_url: str) -> Message:
    """One message on these failures."""
    one = f"{spec.name}: a run failed" if len(failures) == 1 else f"{spec.name}: {len(failures)} runs failed"
    blocks = [_failure(failure, public_url) for failure in failures[:LISTED]]
    if len(failures) > LISTED:
        blocks.append(_Block(f"and {len(failures) - LISTED} more", (), f"{public_url}/runs"))
    return _message(one, blocks)


def about_notices(spec: PipelineSpec, notices: Sequence[Notice], public_url: str) -> Message:
    """One message on drift and on promotions that did not happen."""
    title = notices[0].headline if len(notices) == 1 else f"{spec.name}: {len(notices)} notices"
    blocks = [_Block(n.headline, n.lines, f"{public_url}/assets/{spec.name}/{n.asset}") for n in notices[:LISTED]]
    return _message(title, blocks)


def about_nothing(spec: PipelineSpec, public_url: str) -> Message:
    """A test."""
    block = _Block("This is a test.", (f"Notifications of {spec.name} reach you.",), f"{public_url}/assets/{spec.name}")
    return _message(f"{spec.name}: test", [block])


def joined(messages: Sequence[Message]) -> Message:
    """Several messages as one."""
    if len(messages) == 1:
        return messages[0]
    return Message(
        title="; ".join(message.title for message in messages),
        text="\n\n".join(message.text for message in messages),
        html="\n".join(message.html for message in messages),
        pictures=tuple(picture for message in messages for picture in message.pictures),
    )


def plain(value: str) -> str:
    """A value from outside as one line that no program takes for more than text."""
    visible = "".join(
        " " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign
        for sign in value
        if unicodedata.category(sign) not in ("Cf", "Cs", "Co")
    )
    short = visible if len(visible) <= _LONGEST else f"{visible[: _LONGEST - 1]}…"
    # A space of no width: nothing to see, and no longer a mention or a link.
    return _CHAT.sub("\u200b", short)


def _failure(failure: Failure, public_url: str) -> _Block:
    run = f"run {failure.run_id[:8]}"
    refused = failure.refused[:DETAILED]
    more = len(failure.refused) - len(refused)
    lines = (failure.why, *refused, *([f"and {more} more"] if more else []))
    link = f"{public_url}/runs/{quote(failure.run_id, safe='')}"
    return _Block(f"{failure.what} ({run})" if failure.what else run, tuple(redact(line) for line in lines), link)


@dataclass(frozen=True)
class _Block:
    head: str
    lines: tuple[str, ...]
    link: str = ""


def _incident(spec: PipelineSpec, incident: Incident, public_url: str) -> _Block:
    lines = [
        f"{_span(spec, incident)}, peak {_clock(spec, incident.peak)}, score {incident.score:.4f}",
        *(f"{reason} in {reason.rows} of {incident.anomalies} rows" for reason in incident.reasons),
        *(f"e.g. {_clock(spec, sample.time)} {sample.row} ({sample.source})" for sample in incident.samples[:3]),
        f"incident {incident.id}: pynomaly incidents {spec.name} {incident.id}",
    ]
    return _Block(incident.headline, tuple(lines), f"{public_url}/assets/{spec.name}/incidents")


def _span(spec: PipelineSpec, incident: Incident) -> str:
    start, end = _clock(spec, incident.start), _clock(spec, incident.end)
    return f"{start} … {end} {spec.timezone}" if incident.end > incident.start else f"{start} {spec.timezone}"


def _clock(spec: PipelineSpec, moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(spec.timezone)):%Y-%m-%d %H:%M}"


def _message(title: str, blocks: Sequence[_Block], pictures: tuple[Picture, ...] = ()) -> Message:
    return Message(
        title=plain(title),
        text="\n\n".join(_as_text(block) for block in blocks),
        html="\n".join(_as_html(block) for block in blocks),
        pictures=pictures,
    )


def _as_text(block: _Block) -> str:
    return "\n".join([plain(block.head), *(f"- {plain(line)}" for line in block.lines), *filter(None, [block.link])])


def _as_html(block: _Block) -> str:
    # The address is the text, too: what a mail program makes of HTML as plain text keeps nothing else.
    shown = html.escape(block.link, quote=True)
    items = "".join(f"<li>{html.escape(plain(line))}</li>" for line in block.lines)
    link = f'<p><a href="{shown}">{shown}</a></p>' if block.link else ""
    return f"<h3>{html.escape(plain(block.head))}</h3><ul>{items}</ul>{link}"
