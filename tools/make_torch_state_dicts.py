"""Make the small state_dicts in tests/data/torch, with inputs and outputs beside them.

Needs PyTorch and safetensors: ``python tools/make_torch_state_dicts.py``. The networks are those of
tests/torch_cases.py; the files are written by safetensors' own functions for torch, the outputs are what torch gives.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

HALF = {"classifier": "bfloat16", "GRU_batch_one_sequence": "float16"}
"""Cases whose tensors are stored in half precision; torch's outputs are those of the rounded weights."""


def main() -> None:
    """Write every file."""
    import torch
    from safetensors.torch import save_file, save_model

    from tests.torch_cases import CASES, RECORDED, run

    folder = ROOT / "tests" / "data" / "torch"
    folder.mkdir(parents=True, exist_ok=True)
    for name in RECORDED:
        torch.manual_seed(zlib.crc32(name.encode()))
        case = CASES[name](torch)
        path = folder / f"{name}.safetensors"
        if name == "tied":
            save_model(case.module, str(path))
        else:
            half = getattr(torch, HALF.get(name, "float32"))
            state = {k: v.to(half) if v.is_floating_point() else v for k, v in case.module.state_dict().items()}
            case.module.load_state_dict(state)
            save_file({f"module.{k}": v for k, v in state.items()} if name == "classifier" else state, str(path))
        path.chmod(0o644)
        arrays = {f"x{k}": x for k, x in enumerate(case.inputs)} | {f"y{k}": y for k, y in enumerate(run(case, torch))}
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
