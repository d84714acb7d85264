"""The description and the playbook -> HTML pages without scripts and without anything from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from pynomaly_pipelines.service.playbook import Play, plays
from pynomaly_pipelines.service.problems import title_of

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881}body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;
max-width:62rem;padding:1.5rem}h1{margin:0 0 .2em}h2{margin:2.2em 0 .4em;border-bottom:1px solid var(--line)}
code,pre{font:.88em ui-monospace,monospace}pre{background:var(--soft);padding:.8em;overflow:auto;border-radius:6px}
details{border:1px solid var(--line);border-radius:6px;margin:.5em 0;padding:.45em .8em}summary{cursor:pointer}
details[open]>summary{margin-bottom:.6em}.m{display:inline-block;min-width:4.2em;font-weight:700}
.old{text-decoration:line-through}.note{opacity:.72}table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid var(--line);padding:.3em .6em .3em 0;text-align:left;vertical-align:top}
nav a{margin-right:1em}
"""


def reference_page(described: Mapping[str, Any]) -> str:
    """An OpenAPI description -> one page with every operation."""
    tags = [(tag["name"], tag["description"]) for tag in described.get("tags", [])]
    parts = [
        f"<h1>{escape(described['info']['title'])} API</h1>",
        f'<p class="note">{escape(described["info"]["version"])} · <a href="/openapi.json">openapi.json</a></p>',
        _text(described["info"].get("description", "")),
        "<nav>" + "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name, _ in tags) + "</nav>",
    ]
    for name, text in tags:
        parts.append(f'<h2 id="{escape(name)}">{escape(name)}</h2><p>{escape(text)}</p>')
        parts += [_operation(described, *found) for found in operations(described) if name in found[2].get("tags", [])]
    return _page(f"{described['info']['title']} API", parts)


def problem_page(code: str) -> str | None:
    """What to do about a problem; None for a code there is not."""
    found: Play | None = next((play for play in plays() if play.code == code), None)
    if found is None:
        return None
    again = "The same request may succeed later." if found.retry else "The same request fails again."
    return _page(
        title_of(found.code),
        [
            f"<h1>{escape(title_of(found.code))}</h1>",
            f'<p class="note"><code>{escape(found.code)}</code> · HTTP {found.status}</p>',
            f"<p>{_inline(found.meaning[:1].upper() + found.meaning[1:])}. {again}</p>",
            f"<h2>If you asked</h2><p>{_inline(found.caller)}</p>",
            f"<h2>If you run the service</h2><p>{_inline(found.operator)}</p>",
        ],
    )


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of everything described."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def _operation(described: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    old = ' class="old"' if operation.get("deprecated") else ""
    head = f'<span class="m">{method}</span><code{old}>{escape(path)}</code>'
    body = [_text(operation.get("description", "")), _parameters(operation)]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        body.append(f"<h4>Body: <code>{escape(media)}</code></h4>{_content(described, content)}")
    for status, answer in operation["responses"].items():
        codes = ", ".join(
            f'<a href="/problems/{escape(code)}">{escape(code)}</a>'
            for code in answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
        )
        body.append(f"<p><b>{escape(status)}</b> {codes or escape(answer['description'])}</p>")
        if not codes:
            body += [_content(described, content) for content in answer.get("content", {}).values()]
    name = escape(operation["operationId"])
    return f'<details id="{name}"><summary>{head} <span class="note">{name}</span></summary>{"".join(body)}</details>'


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td>"
        f"<td>{escape(p['in'])}{'' if p.get('required') else ', optional'}</td>"
        f"<td>{_inline(p.get('description', ''))}</td></tr>"
        for p in operation.get("parameters", [])
    )
    return f"<table>{rows}</table>" if rows else ""


def _content(described: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """An example where there is one, the schema otherwise."""
    shown = [content["example"]] if "example" in content else []
    shown += [example.get("value") for example in content.get("examples", {}).values()]
    if not shown:
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rsplit("/", 1)[-1]
        shown = [described["components"]["schemas"].get(name, schema)]
    return "".join(
        f"<pre>{escape(text if isinstance(text, str) else json.dumps(text, indent=2))}</pre>" for text in shown[:3]
    )


def _text(markdown: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in markdown.split("\n\n") if paragraph.strip())


def _inline(text: str) -> str:
    """Backticks and double stars, the only marks our texts use."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", marked)


def _page(title: str, parts: list[str]) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>"
    )
