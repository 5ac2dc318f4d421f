"""Make the small Keras files in tests/data/keras, with inputs and outputs beside them.

Needs Keras 3, tf_keras and TensorFlow: ``python tools/make_keras_fixtures.py``, with names of cases to make these
alone. The models are those of tests/conformance/keras_cases; the outputs are what Keras itself gives.
"""

from __future__ import annotations

import os
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NAMES = [
    "activation_with_weights",
    "attention_calls",
    "bidirectional_states",
    "classes_of_numbers",
    "conv2d_same_2_0",
    "conv_lstm_masked",
    "conv_lstm_strided",
    "einsum_dense",
    "gru_and_dense_hard_sigmoid",
    "group_norms",
    "heads_and_calls",
    "heads_in_groups",
    "heads_masked",
    "heads_over_axes",
    "images_of_other_sizes",
    "masked_LSTM_back",
    "masked_rescaling",
    "masking_layer",
    "merged_masks",
    "nested",
    "norms_of_images",
    "no_mask_after_the_last_step",
    "other_convolutions_of_images",
    "pools_of_images",
    "root_mean_squares",
    "softmax_of_several_axes",
    "stacked_cells",
    "time_distributed_tokens",
]


IN_KERAS_3 = {"conv2d_same_2_0", "conv_lstm_strided", "images_of_other_sizes", "norms_of_images",
              "other_convolutions_of_images", "pools_of_images"}  # fmt: skip
"""Layers that no version of Keras has in another way: one file is enough."""

LARGE_IN_H5 = {"attention_calls", "heads_and_calls", "heads_in_groups", "heads_over_axes", "images_of_other_sizes"}


def deflate(path: Path) -> None:
    """Write a .keras archive again, compressed."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def main() -> None:
    """Write every file."""
    import keras
    import tf_keras

    from tests.conformance.keras_cases import CASES
    from tests.conformance.keras_cases.registry import KERAS2_ONLY, KERAS3_ONLY
    from tests.conformance.test_keras_layers import feeds_for, outputs_of, randomise

    folder = ROOT / "tests" / "data" / "keras"
    folder.mkdir(parents=True, exist_ok=True)
    for module, major in ((keras, 3), (tf_keras, 2)):
        for name in sys.argv[1:] or NAMES:
            if name in (KERAS3_ONLY if major == 2 else KERAS2_ONLY) or (major == 2 and name in IN_KERAS_3):
                continue
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            model = CASES[name](module)
            randomise(model, rng)
            feeds = feeds_for(model, rng)
            outputs = outputs_of(model, feeds)
            compact = (len(name) + major) % 2 or name in LARGE_IN_H5
            path = folder / f"{name}.{major}.{'keras' if compact else 'h5'}"
            model.save(path)
            if path.suffix == ".keras":
                deflate(path)
            arrays = {f"x{k}": x for k, x in enumerate(feeds)} | {f"y{k}": y for k, y in enumerate(outputs)}
            np.savez_compressed(f"{path}.npz", **arrays)
            print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
