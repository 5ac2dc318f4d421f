"""Make the small Keras files in tests/data/keras, with inputs and outputs beside them.

Needs Keras 3, tf_keras and TensorFlow: ``python tools/make_keras_fixtures.py``. The models are those of
tests/conformance/keras_cases; the outputs are what Keras itself gives.
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
    "bidirectional_states",
    "gru_and_dense_hard_sigmoid",
    "masked_LSTM_back",
    "masked_rescaling",
    "masking_layer",
    "merged_masks",
    "nested",
    "no_mask_after_the_last_step",
    "stacked_cells",
    "time_distributed_tokens",
]


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
    from tests.conformance.test_keras_layers import feeds_for, outputs_of, randomise

    folder = ROOT / "tests" / "data" / "keras"
    folder.mkdir(parents=True, exist_ok=True)
    for module, major in ((keras, 3), (tf_keras, 2)):
        for name in NAMES:
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            model = CASES[name](module)
            randomise(model, rng)
            feeds = feeds_for(model, rng)
            outputs = outputs_of(model, feeds)
            path = folder / f"{name}.{major}.{'keras' if (len(name) + major) % 2 else 'h5'}"
            model.save(path)
            if path.suffix == ".keras":
                deflate(path)
            arrays = {f"x{k}": x for k, x in enumerate(feeds)} | {f"y{k}": y for k, y in enumerate(outputs)}
            np.savez_compressed(f"{path}.npz", **arrays)
            print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
