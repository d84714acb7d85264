"""Rows of a request -> scores of the champion: the batch's own path, behind strict checks."""
