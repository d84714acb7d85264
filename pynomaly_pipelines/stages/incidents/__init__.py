"""Anomalies that belong together -> incidents that people act on."""
