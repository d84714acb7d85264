"""Pages of Data Docs: where they lie, and the address they are read at."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

INDEX = "index"


@dataclass(frozen=True)
class DataDocs:
    """HTML pages of pipelines at `folder/<pipeline>/<partition>.html`, each with a summary beside it."""

    folder: Path
    ui: str = ""
    """Address the folder is served at; without one, links lead to the files."""

    def put(self, pipeline: str, name: str, html: str, summary: dict[str, Any] | None = None) -> None:
        """Write a page, whole or not at all."""
        self.path(pipeline, name).parent.mkdir(parents=True, exist_ok=True)
        _write(self.path(pipeline, name), html)
        if summary is not None:
            _write(self._summary(pipeline, name), json.dumps(summary))

    def summaries(self, pipeline: str) -> dict[str, dict[str, Any]]:
        """Partition -> what its page says in short, the latest partition first."""
        files = (self.folder / pipeline).glob("*.json")
        found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        return {entry["partition"]: entry for entry in sorted(found, key=lambda e: str(e["partition"]), reverse=True)}

    def summary(self, pipeline: str, name: str) -> dict[str, Any] | None:
        """What one page says in short; None where there is no page."""
        try:
            found: dict[str, Any] = json.loads(self._summary(pipeline, name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    def remove(self, pipeline: str, name: str) -> None:
        """Forget a page; none is no fault."""
        for path in (self.path(pipeline, name), self._summary(pipeline, name)):
            path.unlink(missing_ok=True)

    def path(self, pipeline: str, name: str = INDEX) -> Path:
        """The file of a page."""
        return self.folder / pipeline / f"{quote(name, safe='')}.html"

    def url(self, pipeline: str, name: str = INDEX) -> str:
        """The address of a page."""
        if not self.ui:
            return self.path(pipeline, name).absolute().as_uri()
        return f"{self.ui.rstrip('/')}/{quote(pipeline)}/{quote(self.path(pipeline, name).name)}"

    def _summary(self, pipeline: str, name: str) -> Path:
        return self.path(pipeline, name).with_suffix(".json")


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
