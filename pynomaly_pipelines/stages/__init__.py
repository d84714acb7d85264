"""The steps of a pipeline as plain functions: spec, tables and registry in, a report out. No Dagster here."""
