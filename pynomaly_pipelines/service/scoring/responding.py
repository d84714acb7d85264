"""Media types, a body and a pipeline's name -> the bytes of the answer."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from pynomaly_pipelines.operations.errors import NotAcceptable
from pynomaly_pipelines.service.bodies import require_media
from pynomaly_pipelines.service.context import Service
from pynomaly_pipelines.service.scoring import answers
from pynomaly_pipelines.service.scoring.arrow_rows import read_arrow
from pynomaly_pipelines.service.scoring.champion import Champion, Scored
from pynomaly_pipelines.service.scoring.work import INLINE_BYTES

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"


async def respond(request: Request, name: str, explain: int | None = None, *, raw: bool = False) -> tuple[bytes, str]:
    """The answer to a request of somebody who may score, and its media type.

    Raises:
        UnsupportedMedia: the body is said to be neither JSON nor Arrow.
        NotAcceptable: the answer may be neither.
        NotFound, NoChampion, Unprocessable, BadRequest, TooLarge, TooManyRequests, DependencyUnavailable: as the
            champion, its readers and the threads for large requests say.
    """
    media, accepted = require_media(request, JSON, ARROW), _accepted(request)
    body = await request.body()
    service: Service = request.app.state.service
    champion = service.champions.held(name) or await service.champions.of(name)
    scored = await _scored(service, champion, media, body, explain)
    write = answers.as_arrow if accepted == ARROW else answers.as_json
    return write(champion, scored, raw=raw), accepted


async def _scored(service: Service, champion: Champion, media: str, body: bytes, explain: int | None) -> Scored:
    workers = service.workers
    most = service.settings.score_rows

    def read() -> Any:
        return champion.json.read(body) if media == JSON else read_arrow(body, champion.signature, most)

    if len(body) > INLINE_BYTES:
        return await workers.run(lambda: champion.score(read(), explain))
    cells = read()
    if workers.at_once(len(cells[0]) * champion.row_seconds):
        return champion.score(cells, explain)
    return await workers.run(lambda: champion.score(cells, explain))


def _accepted(request: Request) -> str:
    said = request.headers.get("accept", "*/*")
    if ARROW in said:
        return ARROW
    if any(media in said for media in (JSON, "*/*", "application/*")):
        return JSON
    raise NotAcceptable(
        f"the answer can't be {said[:100]!r}",
        rule=f"it is {JSON} or {ARROW}",
        fix=f"send `Accept: {JSON}`, or no Accept at all",
    )
