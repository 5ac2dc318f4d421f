"""The layers of Keras that rnnrt does not run, each with the reason and what to do instead: the one list of them."""

from __future__ import annotations

_DATA = "it prepares data and is no part of the network"
_BEFORE = "apply it to the data before, and save the model behind it"
_RANDOM = "it changes pictures at random in training"
_CODE = "its computation is code, which a file does not hold or rnnrt never runs"
_ONNX = "replace it by layers, or export the model to ONNX"

_AUGMENTING = (
    "AugMix AutoContrast CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter "
    "RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale "
    "RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation "
    "RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom"
).split()
_PICTURES = (
    "CenterCrop ContrastLimitedAdaptiveHistogramEqualization Equalization MaxNumBoundingBoxes Resizing Solarization"
).split()
_LEFT_OUT = (_RANDOM, "apply it to the pictures that fit is given, and leave it out of the model")
_CHANGING = ("its windows change with the extents of the input", "use a pooling layer of fixed pool_size")
_LIBRARY = ("it runs code of another library", "replace it by Keras's layers")
_ADAPTIVE = [f"Adaptive{kind}Pooling{n}D" for kind in ("Average", "Max") for n in (1, 2, 3)]

REFUSED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(_AUGMENTING, _LEFT_OUT),
    **dict.fromkeys(_PICTURES, (_DATA, _BEFORE)),
    **dict.fromkeys(_ADAPTIVE, _CHANGING),
    **dict.fromkeys(("FlaxLayer", "JaxLayer"), _LIBRARY),
    "TorchModuleWrapper": ("it runs code of another library", "export the PyTorch module to ONNX"),
    "TFSMLayer": ("it runs a SavedModel", "load the model that was saved, and save it as .keras"),
    "StringLookup": ("rnnrt has no text", "look the words up before, and give the model their numbers"),
    "TextVectorization": ("rnnrt has no text", "turn the text into numbers before, and save the model behind it"),
    "Hashing": ("it hashes text", "hash before, and give the model the numbers"),
    "HashedCrossing": ("it hashes text", "hash before, and give the model the numbers"),
    "IntegerLookup": (
        "its vocabulary lies in a file beside the configuration",
        "look the numbers up before, and save the model behind it",
    ),
    "FeatureSpace": (_DATA, _BEFORE),
    "Pipeline": (_DATA, _BEFORE),
    "MelSpectrogram": ("it needs a Fourier transform", "compute the spectrogram before, and save the model behind it"),
    "STFTSpectrogram": ("it needs a Fourier transform", "compute the spectrogram before, and save the model behind it"),
    "ReversibleEmbedding": ("a call of it may run it backwards", "use Embedding, and Dense for the way back"),
    "Lambda": (_CODE, f"its Python code is never run; {_ONNX}"),
    "Layer": (_CODE, _ONNX),
    "Wrapper": (_CODE, "use Bidirectional, TimeDistributed or SpectralNormalization"),
    "TFOpLambda": ("it is a TensorFlow function that rnnrt does not know", f"use Keras layers in its place; {_ONNX}"),
    "SlicingOpLambda": ("it slices as rnnrt does not know", f"use Keras layers in its place; {_ONNX}"),
    "TensorFlowOpLayer": ("it is a TensorFlow function", f"use Keras layers in its place; {_ONNX}"),
    "LocallyConnected1D": ("Keras 3 has no such layer", "use Conv1D"),
    "LocallyConnected2D": ("Keras 3 has no such layer", "use Conv2D"),
    "ConvRecurrent2D": ("Keras 3 has no such layer", "use ConvLSTM2D"),
}
"""Keras's class name to why rnnrt has no such layer, and what to do."""

NO_LAYERS = ("InputSpec",)
"""What stands among Keras's layers and is none."""


def why_not(kind: str, what: str) -> str:
    """The end of a message that refuses a class: the reason where it is known, and what to do."""
    if kind in REFUSED:
        reason, do = REFUSED[kind]
        return f"rnnrt has no such layer, for {reason}; {do}"
    return f"rnnrt has no such layer; {what}"


def table() -> str:
    """The list as a table in Markdown, for the documentation; layers with one reason share a row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, entry in REFUSED.items():
        rows.setdefault(entry, []).append(name)
    lines = [f"| {', '.join(names)} | {why} | {do} |" for (why, do), names in rows.items()]
    return "\n".join(["| refused | because | do this |", "|---|---|---|", *lines]) + "\n"
