"""Trainings by another library of boosted trees, run by the Python of an environment of its own.

run_boosters.py in.npz out.npz options

in.npz holds the inputs x (N, D) of both classes, numerator (N,) bool, weights (N, K) with a column for each training,
start (N,), the logits that trees are added to, and test (M, D); options is JSON. out.npz gets the sums of the trees at
the test events (M, K), CPU seconds of the bins and of each training, and a text where the library refuses.
"""

import json
import sys
import time

import numpy as np


def xgboost(sample: dict, options: dict) -> tuple[list, list, float]:
    """Histograms of bins that are made once; weights and start are exchanged."""
    import xgboost as library

    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "max_leaves": options["leaves"],
        "max_depth": 0,
        "max_bin": options["bins"],
        "learning_rate": options["learning_rate"],
        "min_child_weight": options["smallest_curvature"],
        "lambda": 0.0,
        "base_score": 0.5,
        "nthread": 1,
    }

    def newton(score: np.ndarray, data: library.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        weights, numerator = options["column"], data.get_label()
        chance = 1.0 / (1.0 + np.exp(-score))
        return weights * (chance - numerator), weights * chance * (1.0 - chance)

    began = time.process_time()
    data = library.QuantileDMatrix(sample["x"], sample["numerator"], max_bin=options["bins"], nthread=1)
    binned = time.process_time() - began
    test, found, seconds = library.DMatrix(sample["test"], nthread=1), [], []
    for weights in sample["weights"].T:
        began = time.process_time()
        data.set_base_margin(sample["start"])
        if options["gradients"]:
            options["column"] = weights.astype(np.float32)
            trees = library.train(settings, data, options["trees"], obj=newton)
        else:
            data.set_weight(weights)
            trees = library.train(settings, data, options["trees"])
        seconds.append(time.process_time() - began)
        test.set_base_margin(np.zeros(len(sample["test"])))
        found.append(trees.predict(test, output_margin=True))
    return found, seconds, binned


def scikit_learn(sample: dict, options: dict) -> tuple[list, list, float]:
    """Bins are made in each training, at most 255; there is no start but its own trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if sample["start"].any():
        raise ValueError("HistGradientBoostingClassifier has no argument for logits to start from")
    found, seconds = [], []
    for weights in sample["weights"].T:
        trees = HistGradientBoostingClassifier(
            learning_rate=options["learning_rate"],
            max_iter=options["trees"],
            max_leaf_nodes=options["leaves"],
            min_samples_leaf=options["smallest_leaf"],
            max_bins=options["bins"],
            early_stopping=False,
        )
        began = time.process_time()
        trees.fit(sample["x"], sample["numerator"], weights)
        seconds.append(time.process_time() - began)
        # Its first value is that of the classes as a whole.
        found.append(trees.decision_function(sample["test"]))
    return found, seconds, 0.0


def main() -> None:
    """Train and write."""
    sample, options = dict(np.load(sys.argv[1])), json.loads(sys.argv[3])
    train = {"XGBoost": xgboost, "scikit-learn": scikit_learn}[options["library"]]
    try:
        found, seconds, binned = train(sample, options)
    except ValueError as error:  # XGBoostError is one; places in its source come before what it says.
        np.savez(sys.argv[2], refused=str(error).strip().splitlines()[0].rpartition(": ")[2])
        return
    np.savez(sys.argv[2], logits=np.stack(found, axis=1), seconds=seconds, binned=binned)


if __name__ == "__main__":
    main()
