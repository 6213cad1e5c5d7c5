"""OmniFold written with the plain trees of scikit-learn, run by the Python of an environment of its own.

run_trees_omnifold.py in.npz out.npz options

The files are those of `run_omnifold.py`. Each step trains a classifier anew on unbinned inputs. Events that were not
reconstructed get the mean factor of the others with the same truth, by a regression.
"""

import json
import sys
import time

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor


def main() -> None:
    """Unfold and write."""
    sample, options = dict(np.load(sys.argv[1])), json.loads(sys.argv[3])
    trees = {"n_estimators": options["trees"], "max_depth": options["depth"], "random_state": options["seed"]}
    truth, reco, weight = sample["truth"], sample["reco"], sample["weight"].astype(np.float64)
    inside, seen = sample["pass_truth"], sample["pass_reco"]
    matched = inside & seen

    def ratio(upper: tuple, lower: tuple) -> np.ndarray:
        """Density of the first (inputs, weights) over that of the second, at the inputs of the second."""
        x, weights = (np.concatenate(both) for both in zip(upper, lower, strict=True))
        numerator = np.arange(len(x)) < len(upper[0])
        return np.exp(GradientBoostingClassifier(**trees).fit(x, numerator, weights).decision_function(lower[0]))

    cpu, wall = time.process_time(), time.perf_counter()
    nu, factor = np.ones(len(weight)), np.ones(len(weight))
    for _ in range(options["iterations"]):
        prior = weight * nu
        factor[seen] = ratio((sample["data_reco"], sample["data_weight"]), (reco[seen], prior[seen]))
        if (misses := inside & ~seen).any():
            mean = GradientBoostingRegressor(**trees).fit(truth[matched], factor[matched], prior[matched])
            factor[misses] = mean.predict(truth[misses])
        nu[inside] = ratio((truth[inside], (prior * factor)[inside]), (truth[inside], weight[inside]))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    np.savez(sys.argv[2], weights=nu * weight, cpu=cpu, wall=wall)


if __name__ == "__main__":
    main()
