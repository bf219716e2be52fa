"""Each kind of the table keeps to the rules, and only its own files name it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import atoll
from atoll.core.names import Role
from atoll.models.binning import BinnedColumn, BinPart
from atoll.models.boosting import GuestPart, HostPart, Split, Tree
from atoll.models.catalogue import KINDS, UNSTATED
from atoll.models.clusters import ClusterPart
from atoll.models.forest.part import ForestPart, ForestSpec
from atoll.models.imputation import FilledColumn, FillPart
from atoll.models.kinds import concrete, is_general, kind_of
from atoll.models.network.conv import Convolution
from atoll.models.network.part import NetworkPart
from atoll.models.network.spec import NetworkSpec
from atoll.models.scaling import ScaledColumn, ScalePart
from tests.models.kinds import CHECKS, Sample, Samples

TWO = {"bank": Role.GUEST, "shop": Role.HOST}
OTHER_GUEST = {"bank": Role.HOST, "shop": Role.GUEST}
ROOT = Path(atoll.__file__).parent
# Who may know of a kind: its folder, its algorithm and its component, and what shows it off.
OWN: Mapping[str, tuple[str, ...]] = {
    "boosting": (
        "models/boosting/",
        "models/catalogue.py",
        "learning/vertical/boosting/",
        "learning/horizontal/boosting/",
        "components/boosting.py",
        "audit/",
        "cli/demo/",
        "flow/node/selftest.py",
    ),
    "binning": (
        "models/binning.py",
        "models/catalogue.py",
        "components/horizontal_binning.py",
    ),
    "clusters": (
        "models/clusters.py",
        "models/catalogue.py",
        "learning/horizontal/clustering.py",
        "components/horizontal_kmeans.py",
    ),
    "imputation": (
        "models/imputation.py",
        "models/catalogue.py",
        "learning/features/imputation.py",
        "components/imputation.py",
    ),
    "scaling": (
        "models/scaling.py",
        "models/catalogue.py",
        "learning/features/scaling.py",
        "learning/horizontal/features/scaling.py",
        "components/scale.py",
        "components/horizontal_scale.py",
    ),
    "forest": (
        "models/forest/",
        "models/catalogue.py",
        "learning/horizontal/boosting/",
        "components/horizontal_boosting.py",
        "sdk/horizontal_trees.py",
    ),
    "network": (
        "models/network/",
        "models/catalogue.py",
        "learning/horizontal/",
        "components/horizontal.py",
        "sdk/horizontal.py",
        "flow/populations/",
    ),
}
NAMES = {
    "binning": ("horizontal_binning.transform",),
    "boosting": ("boosting.model",),
    "clusters": ("horizontal_kmeans.transform",),
    "forest": ("horizontal_boosting.model",),
    "imputation": ("imputation.transform",),
    "scaling": ("scale.transform",),
    "network": ("horizontal.model",),
}

TREE = Tree(
    owner=(1, -1, -1),
    split=(0, 0, 0),
    left=(1, 0, 0),
    right=(2, 0, 0),
    weight=(0.0, 0.1, -0.3),
    gain=(1.5, 0.0, 0.0),
    rows=(9, 4, 5),
)
GUEST = GuestPart(
    model="0" * 32,
    party="bank",
    hosts=("shop",),
    columns=("a", "ä"),
    base_margin=0.1,
    splits=(Split(column=1, threshold=-0.1, missing_left=True),),
    host_splits=(1,),
    trees=(TREE,),
)
HOST = HostPart(
    model="0" * 32,
    party="shop",
    guest="bank",
    columns=("b",),
    splits=(Split(column=0, threshold=0.1),),
)
SCALE = ScalePart(
    party="shop",
    scaled=(
        ScaledColumn(name="b", offset=0.1, divisor=3e-300),
        ScaledColumn(name="ü", lower=-1.5, upper=1e300, offset=-7.0, divisor=1.0, missing=0.5),
    ),
)
FILLED = FillPart(
    party="shop",
    filled=(
        FilledColumn(name="b", value=-0.1, absent=(-999.0, 3e-300)),
        FilledColumn(name="ü", lower=-1.5, upper=1e300, outliers="fill"),
    ),
)
BINS = BinPart(
    party="shop",
    binned=(
        BinnedColumn(name="b", thresholds=(-0.1, 3e-300), values=(0.5, -7.0, 0.0), missing=0.25),
        BinnedColumn(name="ü", thresholds=(), values=(0.0,)),
    ),
)
CENTRES = ClusterPart(
    party="shop", columns=("b", "ü"), centres=((0.1, -0.0), (-1.5, 3e-300)), bound=16.0, added="c"
)
SPEC = NetworkSpec(columns=2, family="softmax", classes=3, hidden=(4,))
NETWORK = NetworkPart("shop", ("b", "ü"), SPEC, np.linspace(-1, 1, SPEC.size, dtype=np.float32))
OF_IMAGES = NetworkSpec(
    columns=2, family="linear", image=(1, 2, 1), convolutions=(Convolution(channels=2, kernel=2),)
)
IMAGES = NetworkPart(
    "shop", ("b", "ü"), OF_IMAGES, np.linspace(-1, 1, OF_IMAGES.size, dtype=np.float32)
)
FOREST = ForestPart(
    "shop",
    ("b", "ü"),
    ForestSpec(loss="softmax", classes=2, trees=1, depth=1),
    np.array([0.5, -0.1]),
    {
        "column": np.array([1, -1, -1, -1, -1, -1], np.int32),
        "threshold": np.array([0.25, 0, 0, 0, 0, 0]),
        "missing_left": np.array([1, 0, 0, 0, 0, 0], np.uint8),
        "weight": np.array([0, 0.1, -0.3, 0.2, 0, 0]),
        "gain": np.array([1.5, 0, 0, 0, 0, 0]),
        "rows": np.array([9, 4, 5, 9, 0, 0]),
    },
)
SAMPLES: Mapping[str, Samples] = {
    "boosting.model": (Sample(GUEST, TWO, OTHER_GUEST), Sample(HOST, TWO, OTHER_GUEST)),
    "horizontal_boosting.model": (Sample(FOREST, TWO, {"bank": Role.GUEST, "mill": Role.HOST}),),
    "horizontal.model": tuple(
        Sample(part, TWO, {"bank": Role.GUEST, "mill": Role.HOST}) for part in (NETWORK, IMAGES)
    ),
    "horizontal_binning.transform": (Sample(BINS, TWO, {"bank": Role.GUEST, "mill": Role.HOST}),),
    "horizontal_kmeans.transform": (Sample(CENTRES, TWO, {"bank": Role.GUEST, "mill": Role.HOST}),),
    "imputation.transform": (Sample(FILLED, TWO, {"bank": Role.GUEST, "mill": Role.HOST}),),
    "scale.transform": (Sample(SCALE, TWO, {"bank": Role.GUEST, "mill": Role.HOST}),),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(KINDS))
def test_kinds_conform(name: str, check: object) -> None:
    assert callable(check)
    check(KINDS[name], SAMPLES[name])


def test_a_part_is_of_one_kind() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    for name, samples in SAMPLES.items():
        for sample in samples:
            assert [kind.name for kind in KINDS.values() if kind.holds(sample.part)] == [name]
    assert kind_of({"party": "bank"}, KINDS) is None
    assert concrete("model", HOST, KINDS) == "boosting.model"
    assert concrete("table", HOST, KINDS) == "table"
    assert is_general("model", "boosting.model")
    assert not is_general("boosting.model", "boosting.model")
    assert not is_general("table", "x.table")
    assert UNSTATED in KINDS


@pytest.mark.parametrize("of", sorted(OWN))
def test_no_other_file_names_a_kind(of: str) -> None:
    strangers = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if _names(path, of) and not str(path.relative_to(ROOT)).startswith(OWN[of])
    }
    assert strangers == set()


def _names(path: Path, of: str) -> bool:
    """Return whether a file names a kind, or imports what it consists of."""
    text = path.read_text()
    if any(f'"{name}"' in text or f"`{name}`" in text for name in NAMES[of]):
        return True
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or "", *(f"{node.module}.{one.name}" for one in node.names)]
        elif isinstance(node, ast.Import):
            modules = [one.name for one in node.names]
        else:
            continue
        if any(f"{name}.".startswith(f"atoll.models.{of}.") for name in modules):
            return True
    return False
