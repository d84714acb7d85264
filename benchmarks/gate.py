"""The gate at work: bad challengers refused, each with its reason; a better one accepted; the way back.

python -m benchmarks.gate
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import bad_challengers
from pynomaly_pipelines.detection import scorer as scorers
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.stages.promotion import champions
from pynomaly_pipelines.stages.promotion.registration import Trace, rollback


def main() -> None:
    """Print what the gate says to each challenger."""
    scorers.KINDS.update(bad_challengers.loadable())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        registry = Registry(f"sqlite:///{folder / 'registry.db'}", str(folder / "artifacts"), cache=folder / "cache")
        shop = bad_challengers.open_shop(folder, registry)
        for one in bad_challengers.bad(shop):
            print(f"{one.name:18} {one.fault}\n  {shop.face(one.version).verdict}\n")
        for name, detector in (("better", "LOF"), ("worse than it", "GMM")):
            report = shop.face(shop.enter(shop.scorer(detector)))
            print(f"{name:18} version {report.challenger.number}\n  {report.verdict}\n")
        print(_rolled_back(shop))
        report = shop.face(shop.enter(shop.scorer("LOF")))
        print(f"{'the same again':18} version {report.challenger.number}\n  {report.verdict}\n")
        for move in champions.history(shop.lake, shop.spec.name):
            print(f"{move.at:%H:%M:%S} {move.before or '–'} -> {move.version} {move.what} ({move.by}): {move.reason}")


def _rolled_back(shop: bad_challengers.Shop) -> str:
    lost, now = rollback(shop.spec, shop.lake, shop.registry, Trace("ann", "nobody could act on its alerts"))
    return f"{'rollback':18} version {lost.number} -> {now.number}\n"


if __name__ == "__main__":
    main()
