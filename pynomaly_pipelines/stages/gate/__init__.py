"""The gate: challenger and champion score the same rows, and a list of rules says whether one replaces the other.

`replay` makes the rows, `statistics` the intervals, `criteria` the rules, `verdict` what is kept, `decision` the whole.
Nothing here reads a clock or the registry: a verdict follows from the spec, the table and the scorers alone.
"""
