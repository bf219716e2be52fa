"""Three owners train one model between nodes of this process, as they would over a network."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from atoll.sdk import HorizontalClassifier


def main() -> None:
    """Train, and print what it is worth and what left each owner."""
    table = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "y"})
    features = table.columns.drop("y")
    table[features] = (table[features] - table[features].mean()) / table[features].std()
    order = np.random.default_rng(0).permutation(len(table))
    held_out, *owners = (table.iloc[part] for part in np.array_split(order, 4))
    model = HorizontalClassifier(algorithm="scaffold", rounds=12, learning_rate=0.3)
    model.fit(dict(zip(("north", "east", "west"), owners, strict=True)))
    right = model.predict(held_out[features]) == held_out["y"].to_numpy()
    print(f"accuracy on rows that no owner has: {np.mean(right):.3f}")
    print("the plan warns:")
    for warning in model.plan_.warnings:
        print("-", warning)


if __name__ == "__main__":
    main()
