"""Fitted detectors -> arrays and a few numbers that score without PyOD: one module a family."""
