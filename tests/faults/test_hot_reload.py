"""A champion that moves, breaks or can't be reached while requests are scored: every answer names one whole version."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI

from pynomaly_pipelines.operations.errors import PynomalyError
from pynomaly_pipelines.operations.health import Status
from pynomaly_pipelines.resources.registry import CHAMPION, Registry
from pynomaly_pipelines.service.scoring.champions import Champions
from tests.service.scoring_service import app_of
from tests.small_pipelines import Trained

ROW: dict[str, Any] = {"amount": 41.0, "tax": 8.0, "items": 4, "country": "DE", "gift": False}
URL = "/v1/pipelines/shop/score"


@pytest.fixture
def app(shop_copy: Trained, tmp_path: Path) -> FastAPI:
    limits = {"champion_poll_seconds": 0.1, "rate_score": "1000000/60"}
    return app_of(shop_copy, tmp_path, **limits)


def champions_of(app: FastAPI) -> Champions:
    found: Champions = app.state.service.champions
    return found


def artifacts(registry: Registry, number: int) -> Path:
    """Folder of a version's scorer, in the artifact store."""
    found = registry.version("shop", number)
    (folder,) = [
        path.parent
        for path in Path(registry.artifacts).rglob("scorer.json")
        if found.source.rsplit("/", 1)[-1] in str(path)
    ]
    return folder


def point(registry: Registry, number: int) -> None:
    registry.point(CHAMPION, registry.version("shop", number))


def numbers(made: Trained) -> tuple[int, int]:
    """The champion, and a version that is not."""
    champion = made.registry.champion("shop").number
    return champion, next(version.number for version in made.versions if version.number != champion)


async def asked(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post(URL, json={"rows": [ROW]}, params={"raw": True})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def until(client: httpx.AsyncClient, number: int) -> None:
    deadline = time.monotonic() + 30
    while (await asked(client))["model_version"] != number:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def with_client(app: FastAPI, work: Any) -> None:
    async def main() -> None:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                await work(client)

    asyncio.run(main())


def test_sixteen_clients_see_no_failure_and_no_mixture_while_champions_change(app: FastAPI, shop_copy: Trained) -> None:
    first, second = numbers(shop_copy)
    frame = shop_copy.small.rows[list(ROW)].head(0)
    frame.loc[0] = ROW
    expected = {}
    for number in (first, second):
        version = shop_copy.registry.version("shop", number)
        found = shop_copy.registry.load(version).assess(frame, top=0)
        expected[number] = (float(found.score[0]), float(found.raw_score[0]), version.threshold, version.run_id)
    assert expected[first] != expected[second]

    async def work(client: httpx.AsyncClient) -> None:
        seen: set[int] = set()
        stop = asyncio.Event()

        async def ask() -> int:
            count = 0
            while not stop.is_set():
                told = await asked(client)
                number = told["model_version"]
                whole = (told["score"][0], told["raw_score"][0], told["threshold"], told["model_run_id"])
                assert whole == expected[number]
                seen.add(number)
                count += 1
            return count

        clients = [asyncio.create_task(ask()) for _ in range(16)]
        for number in (second, first, second):
            point(shop_copy.registry, number)
            await until(client, number)
        stop.set()
        counts = await asyncio.gather(*clients)
        assert min(counts) > 0
        assert seen == {first, second}

    with_client(app, work)


@pytest.mark.parametrize("file", ["arrays.npz", "scorer.json"])
def test_one_flipped_bit_keeps_the_old_version_and_health_says_so(app: FastAPI, shop_copy: Trained, file: str) -> None:
    first, second = numbers(shop_copy)
    path = artifacts(shop_copy.registry, second) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    async def work(client: httpx.AsyncClient) -> None:
        await asked(client)
        point(shop_copy.registry, second)
        await champions_of(app).refresh("shop")
        assert (await asked(client))["model_version"] == first
        finding = champions_of(app).check()
        assert finding.status is Status.DEGRADED
        assert f"version {first} goes on" in finding.message
        (told,) = (await app.state.service.health.run(["champions"])).checks
        assert told.status is Status.DEGRADED
        path.write_bytes(
            bytes(content[: len(content) // 2])
            + bytes([content[len(content) // 2] ^ 1])
            + bytes(content[len(content) // 2 + 1 :])
        )
        await champions_of(app).refresh("shop")
        assert (await asked(client))["model_version"] == second
        assert champions_of(app).check().status is Status.OK

    with_client(app, work)


def test_a_version_without_a_digest_is_not_loaded(app: FastAPI, shop_copy: Trained) -> None:
    first, second = numbers(shop_copy)
    shop_copy.registry.untag(shop_copy.registry.version("shop", second), "scorer_sha256")

    async def work(client: httpx.AsyncClient) -> None:
        point(shop_copy.registry, second)
        await champions_of(app).refresh("shop")
        assert (await asked(client))["model_version"] == first
        assert "scorer_sha256" in champions_of(app).standings()["shop"].problem

    with_client(app, work)


def test_a_pickle_in_place_of_arrays_is_not_run(app: FastAPI, shop_copy: Trained, tmp_path: Path) -> None:
    import hashlib
    import json
    import pickle

    import numpy as np

    first, second = numbers(shop_copy)
    trace = tmp_path / "it ran"

    class Malicious:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (trace,)

    folder = artifacts(shop_copy.registry, second)
    # Someone who can write to artifacts and registry makes all digests fit.
    np.savez(folder / "arrays.npz", typical=np.array([Malicious()], dtype=object), allow_pickle=True)
    told = json.loads((folder / "scorer.json").read_text())
    told["arrays_sha256"] = hashlib.sha256((folder / "arrays.npz").read_bytes()).hexdigest()
    (folder / "scorer.json").write_text(json.dumps(told))
    digest = hashlib.sha256((folder / "scorer.json").read_bytes()).hexdigest()
    version = shop_copy.registry.version("shop", second)
    shop_copy.registry.tag(version, {"scorer_sha256": digest})
    assert pickle.dumps(Malicious())

    async def work(client: httpx.AsyncClient) -> None:
        point(shop_copy.registry, second)
        await champions_of(app).refresh("shop")
        assert (await asked(client))["model_version"] == first

    with_client(app, work)
    assert not trace.exists()
    with pytest.raises(PynomalyError, match="something else than plain arrays"):
        shop_copy.registry.load(shop_copy.registry.version("shop", second))


def test_without_the_registry_it_goes_on_with_what_it_has(app: FastAPI, shop_copy: Trained) -> None:
    database = shop_copy.folder / "registry" / "registry.db"

    async def work(client: httpx.AsyncClient) -> None:
        before = await asked(client)
        kept = database.read_bytes()
        database.write_bytes(b"not a database" * 1000)
        await champions_of(app).refresh("shop")
        assert await asked(client) == before
        assert champions_of(app).check().status is Status.DEGRADED
        database.write_bytes(kept)

    with_client(app, work)


def test_a_champion_taken_away_scores_no_more(app: FastAPI, shop_copy: Trained) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        shop_copy.registry.unpoint(CHAMPION, "shop")
        await champions_of(app).refresh("shop")
        answer = await client.post(URL, json={"rows": [ROW]})
        assert (answer.status_code, answer.json()["code"]) == (409, "registry-no-champion")

    with_client(app, work)
