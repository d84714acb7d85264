"""Incidents as the service tells of them: found, drawn, changed by what people say."""
