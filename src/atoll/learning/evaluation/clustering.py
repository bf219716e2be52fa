"""How rows that were put into clusters agree with labels, and how far apart the clusters lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atoll.core.errors import UserError
from atoll.core.report import Panel, TablePanel
from atoll.learning.evaluation.binary import figures_panel
from atoll.learning.evaluation.metrics import Figures, Floats, Lines, finite, paired

MOST_CLUSTERS = 1 << 10
# Silhouettes need the distance of each pair of rows.
MOST_ROWS = 5000
_BLOCK, _SHOWN = 1 << 22, 20

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClusterEvaluation:
    """Figures of clusters. ``sizes`` int64[clusters] are the rows of each of ``clusters``.

    ``counts`` int64[label, cluster] are the rows by label and cluster, None without labels.
    ``distances`` are the figures that need the rows' values.
    """

    clusters: Floats
    sizes: Counts
    labels: Floats | None
    counts: Counts | None
    distances: Figures

    def to_dict(self) -> Figures:
        """Give the figures for JSON; those of labels and of values where these are there."""
        found: Figures = {"rows": int(self.sizes.sum()), "clusters": len(self.clusters)}
        return found | self._agreement() | self.distances

    def _agreement(self) -> Figures:
        """Return how clusters agree with labels.

        Of pairs of rows: the adjusted Rand index (Hubert & Arabie 1985), Jaccard's index and that
        of Fowlkes & Mallows; mutual information by the mean of both entropies; purity is the share
        of rows whose label is the most frequent of their cluster.
        """
        if self.counts is None:
            return {}
        counts, rows = self.counts, int(self.sizes.sum())
        together = int(np.square(counts).sum()) - rows
        labels = int(np.square(counts.sum(axis=1)).sum()) - rows
        clusters = int(np.square(self.sizes).sum()) - rows
        either, every = labels + clusters - together, rows * (rows - 1)
        # Both put all rows together, or none: they agree.
        chance = labels * clusters / every if every else 0.0
        most = (labels + clusters) / 2
        adjusted = (together - chance) / (most - chance) if most != chance else 1.0
        both = math.sqrt(labels) * math.sqrt(clusters)
        return {
            "adjusted_rand": adjusted,
            "normalised_mutual_information": self._information(),
            "jaccard": together / either if either else 1.0,
            "fowlkes_mallows": together / both if both else 0.0,
            "purity": int(counts.max(axis=0).sum()) / rows,
        }

    def _information(self) -> float:
        assert self.counts is not None  # noqa: S101 -- asked for by _agreement alone
        joint = self.counts / self.counts.sum()
        rows, columns = joint.sum(axis=1), joint.sum(axis=0)
        entropies = _entropy(rows) + _entropy(columns)
        shared = entropies - _entropy(joint)
        return max(2 * shared / entropies, 0.0) if entropies else 1.0

    def tables(self) -> dict[str, Lines]:
        """Give the rows by cluster, and by label and cluster where there are labels."""
        sizes = zip(self.clusters.tolist(), self.sizes.tolist(), strict=True)
        found: dict[str, Lines] = {"clusters": [{"cluster": at, "rows": n} for at, n in sizes]}
        if self.counts is not None and self.labels is not None:
            label, cluster = np.nonzero(self.counts)
            cells = (self.labels[label], self.clusters[cluster], self.counts[label, cluster])
            found["contingency"] = [
                {"label": one, "cluster": other, "rows": rows}
                for one, other, rows in zip(*(cell.tolist() for cell in cells), strict=True)
            ]
        return found

    def panels(self) -> tuple[Panel, ...]:
        """Give figures, and the rows of the first clusters, by label where there are labels."""
        named = tuple(f"{value:g}" for value in self.clusters[:_SHOWN].tolist())
        lines = [("all", *self.sizes[:_SHOWN].tolist())]
        if self.counts is not None and self.labels is not None:
            own = zip(self.labels.tolist(), self.counts.tolist(), strict=True)
            lines += [(f"{label:g}", *line[:_SHOWN]) for label, line in own][:_SHOWN]
        left = len(self.clusters) - len(named)
        table = TablePanel(
            title="Rows by label and cluster",
            help=f"{left} more clusters are left out" if left else "",
            columns=("label", *(f"cluster {name}" for name in named)),
            rows=tuple(lines),
        )
        return (figures_panel(self.to_dict()), table)


def _entropy(shares: Floats) -> float:
    there = shares[shares > 0]
    return float(-np.sum(there * np.log(there)))


def evaluate_clusters(
    clusters: npt.ArrayLike, labels: npt.ArrayLike | None = None, values: Floats | None = None
) -> ClusterEvaluation:
    """Evaluate the clusters of rows, numbers [rows], by labels [rows] and values [rows, columns].

    With values, and at least two clusters, come the Davies–Bouldin index (1979; less is better)
    and the mean silhouette (Rousseeuw 1987), this of at most 5,000 rows, else None. Errors:
    ATL-EVA-001 shapes, ATL-EVA-003 NaN or infinite values, ATL-EVA-006 more than 1,024 clusters.
    """
    names, at = _numbered(finite(clusters, "cluster"))
    sizes = np.bincount(at)
    known, counts = None, None
    if labels is not None:
        known, truth = _numbered(finite(paired(labels, clusters)[0], "label"))
        cells = truth * len(names) + at
        counts = np.bincount(cells, minlength=len(known) * len(names))
        counts = counts.reshape(len(known), len(names)).astype(np.int64)
    distances: Figures = {}
    if values is not None:
        rows = finite(values, "value")
        if rows.ndim != 2 or len(rows) != len(at):
            raise UserError("ATL-EVA-001", "values have a row for each cluster number")
        distances = _distances(rows, at, sizes)
    return ClusterEvaluation(names, sizes.astype(np.int64), known, counts, distances)


def _numbered(values: Floats) -> tuple[Floats, Counts]:
    if values.ndim != 1:
        raise UserError("ATL-EVA-001", "clusters and labels are one number a row")
    names, at = np.unique(values, return_inverse=True)
    if len(names) > MOST_CLUSTERS:
        raise UserError(
            "ATL-EVA-006",
            f"{len(names):,} clusters or labels, and at most {MOST_CLUSTERS:,} are evaluated",
            hint="name a column of cluster numbers, and a label of classes",
        )
    return names, at.astype(np.int64)


def _distances(rows: Floats, at: Counts, sizes: Counts) -> Figures:
    clusters = len(sizes)
    if clusters < 2:
        return {"davies_bouldin": None, "silhouette": None}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        sums = np.stack([np.bincount(at, column, clusters) for column in rows.T], axis=1)
        centres = sums / sizes[:, np.newaxis]
        lengths = np.sqrt(np.square(rows - centres[at]).sum(axis=1))
        spread = np.bincount(at, lengths, clusters) / sizes
        apart = _between(centres, centres)
        np.fill_diagonal(apart, np.inf)
        index = float(np.mean(((spread[:, np.newaxis] + spread) / apart).max(axis=1)))
        mean = _silhouette(rows, at, sizes) if len(rows) <= MOST_ROWS else math.nan
    # Two clusters with one centre are no distance apart.
    return {
        "davies_bouldin": index if math.isfinite(index) else None,
        "silhouette": mean if math.isfinite(mean) else None,
    }


def _silhouette(rows: Floats, at: Counts, sizes: Counts) -> float:
    """Return the mean over rows of (b − a) / max(a, b); that of a row alone in its cluster is 0."""
    members = np.zeros((len(rows), len(sizes)))
    members[np.arange(len(rows)), at] = 1.0
    total = 0.0
    step = max(1, _BLOCK // len(rows))
    for first in range(0, len(rows), step):
        own = at[first : first + step]
        sums = _between(rows[first : first + step], rows) @ members
        line = np.arange(len(own))
        within = sums[line, own] / np.maximum(sizes[own] - 1, 1)
        means = sums / sizes
        means[line, own] = np.inf
        beyond = means.min(axis=1)
        largest = np.maximum(within, beyond)
        part = np.divide(beyond - within, largest, out=np.zeros(len(own)), where=largest > 0)
        total += float(part[sizes[own] > 1].sum())
    return total / len(rows)


def _between(rows: Floats, others: Floats) -> Floats:
    """Return distances, float64[rows, others], by differences: squares would cost digits."""
    found = np.zeros((len(rows), len(others)))
    for one, other in zip(rows.T, others.T, strict=True):
        found += np.square(one[:, np.newaxis] - other)
    return np.sqrt(found, out=found)
