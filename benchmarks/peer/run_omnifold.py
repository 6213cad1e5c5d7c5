"""One unfolding by the package `omnifold`, run by the Python of its own environment.

run_omnifold.py in.npz out.npz options

in.npz holds truth, reco, pass_truth, pass_reco and weight of the simulation, reco and weight of the data; options is
JSON. out.npz gets the weights of all simulated events, CPU and wall seconds of the unfolding alone, without imports.
"""

import json
import os
import sys
import tempfile
import time

OPTIONS = json.loads(sys.argv[3])
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(OPTIONS["threads"])
tf.config.threading.set_inter_op_parallelism_threads(OPTIONS["threads"])

import keras  # noqa: E402
import omnifold  # noqa: E402
from omnifold.net import MLP, weighted_binary_crossentropy  # noqa: E402

# Keras 3 looks the loss up by its name when it clones a compiled model.
keras.saving.get_custom_objects()["weighted_binary_crossentropy"] = weighted_binary_crossentropy


def main() -> None:
    """Unfold and write."""
    sample = dict(np.load(sys.argv[1]))
    np.random.seed(OPTIONS["seed"])
    tf.random.set_seed(OPTIONS["seed"])
    data = omnifold.DataLoader(reco=sample["data_reco"], weight=sample["data_weight"])
    simulation = omnifold.DataLoader(
        reco=sample["reco"],
        pass_reco=sample["pass_reco"],
        gen=sample["truth"],
        pass_gen=sample["pass_truth"],
        weight=sample["weight"],
    )
    networks = [
        MLP(sample[n].shape[1], [OPTIONS["width"]] * OPTIONS["depth"], OPTIONS["activation"]) for n in ("reco", "truth")
    ]
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        unfolding = omnifold.MultiFold(
            "peer",
            *networks,
            data,
            simulation,
            weights_folder=folder,
            log_folder=folder,
            niter=OPTIONS["iterations"],
            batch_size=OPTIONS["batch_size"],
            epochs=OPTIONS["epochs"],
            lr=OPTIONS["learning_rate"],
        )
        unfolding.Unfold()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    np.savez(sys.argv[2], weights=unfolding.weights_push * sample["weight"], cpu=cpu, wall=wall)


if __name__ == "__main__":
    main()
