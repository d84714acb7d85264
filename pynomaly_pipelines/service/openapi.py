"""The routes -> the OpenAPI 3.1 description: who may call what, and every problem that can be answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.service.access.permissions import MEANING
from pynomaly_pipelines.service.problems import MEDIA_TYPE, Problem, problems

TAGS: dict[str, str] = {
    "auth": "Log in, renew and revoke tokens, the keys that sign them.",
    "accounts": "Accounts, API keys, passwords.",
    "access": "Grants, requests for access and who decides them.",
    "audit": "Who changed what: the tamper-evident log.",
    "pipelines": "The pipelines, their partitions and settings.",
    "scoring": "Score rows with a pipeline's champion.",
    "scores": "Scores of partitions: filter, page, export.",
    "quarantine": "Rows that broke a rule of the pipeline, and letting them in.",
    "models": "Versions, evaluation, promotion, rollback.",
    "runs": "Launch, follow and cancel runs.",
    "incidents": "Incidents and what people said of them.",
    "health": "Whether the service lives, is ready and how its parts are.",
    "telemetry": "Figures on the service itself.",
}

DESCRIPTION = """\
Pipelines, scores, models and runs over HTTP.

**Credentials**: `Authorization: Bearer <token>` (from `POST /v1/auth/token`) or `X-API-Key: <key>`.
**Problems** are answered as `application/problem+json` (RFC 9457) with `code`, `cause`, `fix` and `trace_id`.
**Versions**: paths under `/v1` keep their meaning. What will go is announced six months before, and answers with
`Deprecation` and `Sunset` headers until then.
"""

SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A short-lived token of `POST /v1/auth/token`.",
    },
    "api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "For machines; scoped, expiring.",
    },
}


EXAMPLES = Path(__file__).with_name("examples.json")
"""`METHOD path` -> status -> media type -> what a service with data answered (`tests/service/capturing.py`)."""


def describe(app: FastAPI) -> None:
    """Have the application describe itself with everything it may answer."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def operation_id(route: APIRoute) -> str:
    """The function's name: a generated client has a method of that name."""
    return route.name


def _described(app: FastAPI) -> dict[str, Any]:
    described = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, summary=app.summary, routes=app.routes
    )
    components = described.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    model = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas.update(model.pop("$defs", {}))
    schemas["Problem"] = model
    components["securitySchemes"] = SECURITY_SCHEMES
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    for path, method, endpoint in _operations(app):
        _complete(described["paths"][path][method], endpoint, "{" in path)
        _exemplify(described["paths"][path][method], examples.get(f"{method.upper()} {path}", {}))
    described["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in _used(described)]
    return described


def _used(described: dict[str, Any]) -> set[str]:
    return {tag for item in described["paths"].values() for operation in item.values() for tag in operation["tags"]}


def _operations(app: FastAPI) -> Iterator[tuple[str, str, Any]]:
    """Path, method and dependencies of every operation that is described."""
    for found in iter_route_contexts(app.routes):
        if getattr(found, "include_in_schema", False) and found.dependant is not None:
            for method in sorted(found.methods or ()):
                yield str(found.path_format), method.lower(), found.dependant


def _bound_texts(operation: dict[str, Any]) -> None:
    """Say which texts the gate lets through in paths and queries, where a route says nothing stricter."""
    for parameter in operation.get("parameters", []):
        schemas = [parameter["schema"], *parameter["schema"].get("anyOf", [])]
        for schema in (*schemas, *(found["items"] for found in schemas if "items" in found)):
            if parameter["in"] == "header":
                if schema.get("type") == "string" and parameter["name"].lower() == "idempotency-key":
                    schema["pattern"] = "^[!-~]{1,255}$"
            elif schema.get("type") == "string" and not {"pattern", "format", "enum", "const"} & set(schema):
                schema["pattern"] = _IN_PATH if parameter["in"] == "path" else _IN_QUERY


# No control characters, slashes, backslashes, and not `.` or `..`; no NUL in queries.
_IN_PATH = r"^[^\x00-\x1f\x7f-\x9f/\\.\ufffd][^\x00-\x1f\x7f-\x9f/\\\ufffd]*$"
_IN_QUERY = r"^[^\x00]*$"


def _complete(operation: dict[str, Any], dependant: Any, named: bool) -> None:
    _bound_texts(operation)
    asked = [d for d in _calls(dependant) if hasattr(d, "permission") or hasattr(d, "account_only")]
    may_answer: set[int | type[errors.PynomalyError]] = {errors.TooManyRequests, errors.Unforeseen, 503, 400}
    if asked:
        operation["security"] = [{"bearer": []}, {"api_key": []}]
        may_answer |= {401, 403}
        permission = getattr(asked[0], "permission", None)
        if permission is not None:
            operation["x-permission"] = str(permission)
            needs = f"Needs the permission `{permission}`: {MEANING[permission]}."
            operation["description"] = f"{operation.get('description', '')}\n\n{needs}".strip()
    if named:
        may_answer |= {404}
    responses = operation["responses"]
    if "422" in responses or named:
        may_answer |= {422}
    if "requestBody" in operation:
        may_answer |= {400, 404, 408, 409, 413, 415, 422}
    if MEDIA_TYPE not in responses.get("422", {}).get("content", {MEDIA_TYPE: {}}):
        del responses["422"]
    for status, entry in problems(*may_answer).items():
        known = responses.setdefault(str(status), entry)
        if known is not entry:
            known.setdefault("content", entry["content"])
    operation["responses"] = dict(sorted(responses.items()))


def _exemplify(operation: dict[str, Any], answered: dict[str, dict[str, Any]]) -> None:
    for status, by_media in answered.items():
        for media, value in by_media.items():
            operation["responses"][status].setdefault("content", {})[media]["example"] = value


def _calls(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)
