"""Matrices -> scores, one row at a time, in loops that numba compiles: one module a family of detectors.

Import this package only when scoring: it imports numba. Each function does, for each row, the same operations in
the same order whatever the number of rows: no BLAS, no reductions across rows. Callers have checked shapes and types;
nothing here checks them again.

A kernel lives in the file of the kernels it calls: numba's cache looks only at the file of the caller, and would go on
using a callee's old machine code.
"""

from pynomaly_pipelines.detection.frozen.kernels.centres import (
    cluster_distances,
    isolation_ratios,
    nearest_centre_gaps,
    radial,
    radial_gaps,
    squared_distances,
)
from pynomaly_pipelines.detection.frozen.kernels.forest import (
    isolation,
    walk,
    walk_drops,
    walk_heap_drops,
    walk_sparse,
)
from pynomaly_pipelines.detection.frozen.kernels.gaussian import (
    axis_parts,
    minus_log_sum,
    quadratic,
    quadratic_drops,
)
from pynomaly_pipelines.detection.frozen.kernels.levels import (
    divided,
    largest,
    range_excess,
    row_sums,
    tail_levels,
)
from pynomaly_pipelines.detection.frozen.kernels.neighbours import (
    local_outlier_factors,
    nearest,
    neighbour_gaps,
    prefix_means,
)
from pynomaly_pipelines.detection.frozen.kernels.oblique import walk_oblique, walk_oblique_drops
from pynomaly_pipelines.detection.frozen.kernels.spaces import tempered
from pynomaly_pipelines.detection.frozen.kernels.tables import (
    histogram,
    marginals,
    projected,
    reading_gains,
)

__all__ = [
    "axis_parts",
    "cluster_distances",
    "divided",
    "histogram",
    "isolation",
    "isolation_ratios",
    "largest",
    "local_outlier_factors",
    "marginals",
    "minus_log_sum",
    "nearest",
    "nearest_centre_gaps",
    "neighbour_gaps",
    "prefix_means",
    "projected",
    "quadratic",
    "quadratic_drops",
    "radial",
    "radial_gaps",
    "range_excess",
    "reading_gains",
    "row_sums",
    "squared_distances",
    "tail_levels",
    "tempered",
    "walk",
    "walk_drops",
    "walk_heap_drops",
    "walk_oblique",
    "walk_oblique_drops",
    "walk_sparse",
]
