"""Older spellings of ONNX's Resize and Upsample, and what is refused of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnnrt.ops.resize import SUPPORTED

if TYPE_CHECKING:
    from rnnrt.formats.onnx_upgrade import Emitter, RawNode

_CUBIC_ONLY = ("cubic_coeff_a", "exclude_outside", "extrapolation_value")
"""Attributes that neither mode reads."""


def resize(node: RawNode, opset: int, to: Emitter) -> None:
    """The rule of both operators. Before opset 11 Resize was Upsample: its positions are those of `asymmetric`."""
    for key in _CUBIC_ONLY:
        node.attrs.pop(key, None)
    if opset < 11 or node.op == "Upsample":
        node.attrs["coordinate_transformation_mode"] = "asymmetric"
        node.attrs["nearest_mode"] = "floor"
        scales = node.input(1)
        if "scales" in node.attrs:
            scales = to.constant(np.asarray(node.attrs.pop("scales"), np.float32), f"{node.outputs[0]}.scales")
        value = to.value_of(scales)
        doubt = node.op == "Resize" if value is None else bool(np.any(value < 1))  # Upsample only makes longer
        if node.attrs.get("mode", "nearest") == "nearest" and doubt:
            to.refuse(
                f"opset {opset} does not say which value is the nearest where scales are below 1 or computed; "
                "convert the model with onnx.version_converter to opset 11 or newer"
            )
        node.inputs = [node.input(0), "", scales]
    node.inputs = [node.input(0), "", *(node.input(k) for k in (2, 3))]
    advice = {"antialias": "resample before the network", "mode": "use nearest or linear"}
    for key, known in SUPPORTED.items():
        value = node.attrs.get(key, known[0])
        if value not in known:
            to.refuse(f"attribute {key}={value!r} is not supported; {advice.get(key, f'use one of {known}')}")
    to.emit("Resize", node.inputs, node.outputs, **node.attrs)
