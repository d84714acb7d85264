"""The HTTP API over pipelines, scores, models and runs."""
