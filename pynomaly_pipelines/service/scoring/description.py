"""What the API's description says of the body and the answer of a request for scores."""

from __future__ import annotations

from typing import Any

_ROW = {"amount": 853.0, "items": 4, "country": "DE", "gift": False, "at": "2025-01-31T13:00:00Z"}
_CELL = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "boolean"}, {"type": "null"}]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}

REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": ["rows"],
                            "additionalProperties": False,
                            "properties": {
                                "rows": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {"type": "object", "additionalProperties": _CELL},
                                    "description": "An object a row, with every column of the model.",
                                }
                            },
                        },
                        {
                            "type": "object",
                            "required": ["columns"],
                            "additionalProperties": False,
                            "properties": {
                                "columns": {
                                    "type": "object",
                                    "additionalProperties": {"type": "array", "minItems": 1, "items": _CELL},
                                    "description": "An array a column, all of one length.",
                                }
                            },
                        },
                    ]
                },
                "examples": {
                    "rows": {"summary": "One object a row", "value": {"rows": [_ROW]}},
                    "columns": {
                        "summary": "One array a column",
                        "value": {"columns": {name: [cell] for name, cell in _ROW.items()}},
                    },
                },
            },
            "application/vnd.apache.arrow.stream": {
                "schema": {"type": "string", "format": "binary"},
            },
        },
    }
}

_REASON = {
    "type": "object",
    "required": ["column", "value", "usual", "share"],
    "properties": {
        "column": {"type": "string", "description": "The column, or what is unusual of a series."},
        "value": {"type": "string", "description": "Its value in this row."},
        "usual": {"type": "string", "description": "What is usual there."},
        "share": {"type": "number", "description": "Its part of the score, 0 to 1."},
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["pipeline", "model_version", "model_run_id", "threshold", "rows", "score", "is_anomaly"],
    "properties": {
        "pipeline": {"type": "string"},
        "model_version": {**_COUNT, "description": "The one version that gave all of these scores."},
        "model_run_id": {"type": "string"},
        "threshold": {"type": "number", "description": "The score above which a row is an anomaly."},
        "rows": {"type": "integer", "minimum": 0, "description": "Length of the arrays."},
        "row": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0},
            "description": "Series: the row of the request that each point came from.",
        },
        "series": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Series: the name of each point's series.",
        },
        "score": {
            "type": "array",
            "items": {"type": ["number", "null"]},
            "description": "0 to 1; null for a point with too little past.",
        },
        "is_anomaly": {"type": "array", "items": {"type": "boolean"}},
        "raw_score": {
            "type": "array",
            "items": {"type": ["number", "null"]},
            "description": "The detector's own scores, with `raw=true`.",
        },
        "reasons": {
            "type": "array",
            "items": {"type": ["array", "null"], "items": _REASON},
            "description": "The columns that add most, the largest first; null for a row without reasons.",
        },
    },
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Scores, in the order of the rows.",
        "content": {
            "application/json": {"schema": _ANSWER},
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
