"""Where the known events rank among all stored scores, after `pynomaly demo` (or `run`) in the same folder.

For `airport_delays` each event of its events file: the rank of its most anomalous point among all points, and how many
of its points were flagged. For `flights` the days of the same events: how many flights were flagged that day, the day's
rank by that count, and the rank of its most anomalous flight.

    python -m benchmarks.known_events
"""

from __future__ import annotations

import pandas as pd

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages.features import read_events


def points(events: pd.DataFrame, scores: pd.DataFrame, time: str) -> pd.DataFrame:
    """Rank of each event's highest score."""
    scores = scores.assign(rank=scores["score"].rank(ascending=False, method="min"))
    found = []
    for event in events.to_dict("records"):
        inside = (scores[time] >= event["start"]) & (scores[time] < event["end"])
        if event["airport"]:
            inside &= scores["airport"].isin(event["airport"].split(";"))
        touched = scores[inside & scores["score"].notna()]
        found.append(
            {
                "event": f"{event['start'].tz_convert('America/New_York'):%Y-%m-%d} {event['airport']}",
                "best rank": int(touched["rank"].min()),
                "flagged": f"{int(touched['is_anomaly'].sum())} of {len(touched)}",
                "highest score": round(float(touched["score"].max()), 3),
            }
        )
    return pd.DataFrame(found).sort_values("best rank")


def days(events: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Flagged flights of each event's day."""
    rank = scores["score"].rank(ascending=False, method="min")
    flagged = scores.groupby("_partition")["is_anomaly"].sum()
    place = flagged.rank(ascending=False, method="min").astype(int)
    best = rank.groupby(scores["_partition"]).min().astype(int)
    wanted = sorted(
        {f"{start.tz_convert('America/New_York'):%Y-%m-%d}" for start in events["start"]} & set(flagged.index)
    )
    return pd.DataFrame(
        {
            "day": wanted,
            "flights scored": [int((scores["_partition"] == day).sum()) for day in wanted],
            "flagged": flagged[wanted].to_numpy(),
            "rank of the day": place[wanted].to_numpy(),
            "best rank of a flight": best[wanted].to_numpy(),
        }
    )


def main() -> None:
    """Print both tables."""
    project = Project.current()
    lake = Lake(project.settings.lake)
    spec = project.pipeline("airport_delays")
    events = read_events(spec)
    columns = ["hour", "airport", "series", "score", "is_anomaly"]
    scores = lake.read("airport_delays", "scores", columns=columns).to_pandas()
    print(f"airport_delays: {len(scores):,} points, {int(scores['is_anomaly'].sum())} anomalies")
    print(points(events, scores, "hour").to_string(index=False))
    flights = lake.read("flights", "scores", columns=["_partition", "score", "is_anomaly"]).to_pandas()
    print(
        f"\nflights: {len(flights):,} flights, {int(flights['is_anomaly'].sum()):,} anomalies, "
        f"{flights['_partition'].nunique()} days"
    )
    print(days(events, flights).to_string(index=False))


if __name__ == "__main__":
    main()
