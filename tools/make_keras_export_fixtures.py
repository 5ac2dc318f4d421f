"""Record how Keras 3 itself writes the models of tests/conformance/keras_cases, in tests/data/keras_export.

Needs Keras 3: ``python tools/make_keras_export_fixtures.py``. As few models are taken as have every layer and operation
of the cases among them. A fixture holds config.json and, for each group of model.weights.h5, the layer's name and the
shapes and dtypes of its arrays.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

ALWAYS = ["nested", "shared_layers", "stateful", "initial_state", "activation_is_a_layer", "frozen_layers"]
"""Wiring that a cover of the classes alone might leave out."""


def cleaned(value: Any) -> Any:
    """Without numbers that differ from run to run."""
    if isinstance(value, dict):
        return {k: cleaned(v) for k, v in value.items() if k not in ("shared_object_id", "compile_config")}
    return [cleaned(v) for v in value] if isinstance(value, list) else value


def classes(value: Any) -> set[str]:
    """Names of the classes in a configuration."""
    if isinstance(value, dict):
        own = {f"{value['module']}.{value['class_name']}"} if "class_name" in value and "module" in value else set()
        return own.union(*(classes(v) for v in value.values()))
    return set().union(*(classes(v) for v in value)) if isinstance(value, list) else set()


def record(model: Any, folder: Path) -> dict[str, Any]:
    """What Keras writes."""
    import h5py
    import numpy as np

    from tests.conformance.test_keras_layers import feeds_for, outputs_of

    outputs_of(model, feeds_for(model, np.random.default_rng(0)))  # some layers are built when they first run
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras") as archive:
        config = cleaned(json.loads(archive.read("config.json")))
        file = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    groups = {}

    def visit(path: str, item: Any) -> None:
        if path.split("/")[-1] == "vars":
            arrays = [item[str(k)] for k in range(len(item))]
            groups[path] = [item.attrs["name"], [[list(a.shape), a.dtype.name] for a in arrays]]

    file.visititems(visit)
    return {"config": config, "groups": groups}


def main() -> None:
    """Write every fixture."""
    import keras

    from tests.conformance.keras_cases import CASES, worth_trying

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in sorted(CASES):
            if worth_trying(name, 3):
                keras.utils.clear_session()
                found[name] = record(CASES[name](keras), Path(folder))
    sizes = {name: len(json.dumps(case)) for name, case in found.items()}
    kinds = {name: classes(case["config"]) for name, case in found.items()}
    chosen = list(ALWAYS)
    missing = set().union(*kinds.values()) - set().union(*(kinds[name] for name in chosen))
    while missing:
        best = max(found, key=lambda name: (len(kinds[name] & missing) / sizes[name], name))
        chosen.append(best)
        missing -= kinds[best]
    target = ROOT / "tests" / "data" / "keras_export"
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.json"):
        old.unlink()
    for name in sorted(chosen):
        (target / f"{name}.json").write_text(json.dumps(found[name], separators=(",", ":")) + "\n")
        print(name, sizes[name])


if __name__ == "__main__":
    main()
