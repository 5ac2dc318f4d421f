"""Named ONNX models of one recurrent node each: every attribute, every optional input, and how exporters make states.

A `Case` says what a model has beside X, W and R; `build` makes the model and its feeds, the same ones each time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
"""How many activations a direction has."""
RESULTS = {"LSTM": ("Y", "Y_h", "Y_c"), "GRU": ("Y", "Y_h"), "RNN": ("Y", "Y_h")}
OPERANDS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")

RAGGED = (3, 5, 1, 4)
WITH_ZERO = (2, 0, 5, 0)
ALL_SHORT = (2, 3, 0, 1)


@dataclass(frozen=True)
class Case:
    """One model. `has` names operands beside X, W and R: B, h, c, P; `lengths` are the sequence_lens.

    states : how initial_h and initial_c come: "fed", "shared" (one tensor for both), "expanded" (zeros through Shape,
        Gather, Concat, Expand), "of_shape" (through ConstantOfShape), "baked" (constants of the batch), "zeros_for_one"
        (constant zeros of batch 1), "expand_learned" (a constant of batch 1 through Expand).
    """

    name: str
    op: str
    attrs: Mapping[str, Any] = field(default_factory=dict)
    has: tuple[str, ...] = ("B",)
    lengths: tuple[int, ...] | None = None
    states: str = "fed"
    outputs: tuple[str, ...] | None = None
    dtype: str = "float32"
    sizes: tuple[int, int, int, int] = (5, 4, 3, 6)
    opset: int = 14
    hidden_size: bool = True
    fed_weights: bool = False
    length_dtype: str = "int32"

    @property
    def directions(self) -> int:
        """2 when bidirectional."""
        return 2 if self.attrs.get("direction") == "bidirectional" else 1

    @property
    def results(self) -> tuple[str, ...]:
        """Outputs that are used."""
        return self.outputs or RESULTS[self.op]


def arrays(case: Case) -> dict[str, np.ndarray]:
    """Every operand of the case by ONNX's name for it."""
    T, B, inputs, H = case.sizes
    D, G, first = case.directions, GATES[case.op], case.attrs.get("layout", 0)
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    state = (B, D, H) if first else (D, B, H)
    shapes = {"X": (B, T, inputs) if first else (T, B, inputs), "W": (D, G * H, inputs), "R": (D, G * H, H)}
    optional = {
        "B": ("B", (D, 2 * G * H)),
        "h": ("initial_h", state),
        "c": ("initial_c", state),
        "P": ("P", (D, 3 * H)),
    }
    shapes |= {name: shape for key, (name, shape) in optional.items() if key in case.has}
    found = {name: (0.6 * rng.standard_normal(shape)).astype(case.dtype) for name, shape in shapes.items()}
    for name in {"initial_h", "initial_c"} & set(found):
        axis = 0 if first else 1
        if case.states in ("expanded", "of_shape", "zeros_for_one"):
            found[name] = np.zeros_like(found[name])
        if case.states == "expand_learned":
            found[name] = np.repeat(found[name].take([0], axis), B, axis)
        if case.states == "shared":
            found[name] = found["initial_h"]
    if case.lengths is not None:
        found["sequence_lens"] = np.array(case.lengths, case.length_dtype)
    return found


def build(case: Case) -> tuple[Any, dict[str, np.ndarray]]:
    """The model (onnx.ModelProto, steps and batch free) and what is fed to it."""
    from onnx import helper, numpy_helper

    given = arrays(case)
    feeds = {key: given[key] for key in ("X", "sequence_lens") if key in given}
    weights = [key for key in ("W", "R", "B", "P") if key in given]
    if case.fed_weights:
        feeds |= {key: given[key] for key in weights}
    constants = {} if case.fed_weights else {key: given[key] for key in weights}
    nodes: list[Any] = []
    names = {key: key for key in given}
    for key in ("initial_h", "initial_c"):
        if key not in given:
            continue
        if case.states == "shared":
            names[key] = "initial_h"
            feeds["initial_h"] = given[key]
        elif case.states == "fed":
            feeds[key] = given[key]
        elif case.states == "baked":
            constants[key] = given[key]
        else:
            one, made = _state(case, key, given[key])
            constants |= one
            nodes += made
    operands = [names.get(key, "") for key in OPERANDS]
    while not operands[-1]:
        operands.pop()
    outputs = [name if name in case.results else "" for name in RESULTS[case.op]]
    while not outputs[-1]:
        outputs.pop()
    attrs = dict(case.attrs) | ({"hidden_size": case.sizes[3]} if case.hidden_size else {})
    nodes.append(helper.make_node(case.op, operands, outputs, name="node", **attrs))
    kinds = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in feeds.items()}
    graph = helper.make_graph(
        nodes,
        case.name,
        [helper.make_tensor_value_info(name, kinds[name], _declared(case, name, x)) for name, x in feeds.items()],
        [helper.make_tensor_value_info(name, kinds["X"], None) for name in case.results],
        [numpy_helper.from_array(x, name) for name, x in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=8), feeds


def _declared(case: Case, name: str, x: np.ndarray) -> list[Any]:
    """The declared shape of an input: steps and batch are free."""
    if name == "X":
        return ["batch", "steps", x.shape[2]] if case.attrs.get("layout", 0) else ["steps", "batch", x.shape[2]]
    if name == "sequence_lens":
        return ["batch"]
    if name.startswith("initial"):
        return ["batch", *x.shape[1:]] if case.attrs.get("layout", 0) else [x.shape[0], "batch", x.shape[2]]
    return list(x.shape)


def _state(case: Case, key: str, value: np.ndarray) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Constants and nodes that make a state of X's batch."""
    from onnx import helper, numpy_helper

    first, D, H = case.attrs.get("layout", 0), case.directions, case.sizes[3]
    axis = 0 if first else 1
    if case.states == "zeros_for_one":
        return {key: value.take([0], axis)}, []
    around = [np.array([D], np.int64), np.array([H], np.int64)]
    constants = {f"{key}.D": around[0], f"{key}.H": around[1], f"{key}.at": np.array([axis], np.int64)}
    sizes = [f"{key}.batch", f"{key}.D", f"{key}.H"] if first else [f"{key}.D", f"{key}.batch", f"{key}.H"]
    nodes = [
        helper.make_node("Shape", ["X"], [f"{key}.shape"]),
        helper.make_node("Gather", [f"{key}.shape", f"{key}.at"], [f"{key}.batch"], axis=0),
        helper.make_node("Concat", sizes, [f"{key}.target"], axis=0),
    ]
    if case.states == "of_shape":
        zero = numpy_helper.from_array(np.zeros(1, value.dtype))
        nodes.append(helper.make_node("ConstantOfShape", [f"{key}.target"], [key], value=zero))
    else:
        constants[f"{key}.one"] = value.take([0], axis)
        nodes.append(helper.make_node("Expand", [f"{key}.one", f"{key}.target"], [key]))
    return constants, nodes


def _everywhere() -> list[Case]:
    """What the three operators share."""
    found = []
    for op in ("LSTM", "GRU", "RNN"):
        low, states = op.lower(), ("B", "h", "c") if op == "LSTM" else ("B", "h")
        both = {"direction": "bidirectional"}
        found += [
            Case(f"{low}_forward", op),
            Case(f"{low}_reverse", op, {"direction": "reverse"}),
            Case(f"{low}_bidirectional", op, both),
            Case(f"{low}_no_bias", op, has=()),
            Case(f"{low}_lengths", op, lengths=RAGGED),
            Case(f"{low}_lengths_reverse", op, {"direction": "reverse"}, states, RAGGED),
            Case(f"{low}_lengths_bidirectional", op, both, states, RAGGED),
            Case(f"{low}_lengths_zero", op, both, states, WITH_ZERO),
            Case(f"{low}_lengths_all_short", op, both, states, ALL_SHORT),
            Case(f"{low}_states_without_bias", op, has=states[1:]),
            Case(f"{low}_states_expanded", op, both, states, states="expanded"),
            Case(f"{low}_states_of_shape", op, has=states, states="of_shape"),
            Case(f"{low}_states_learned", op, both, states, states="expand_learned"),
            Case(f"{low}_states_baked", op, has=states, states="baked"),
            Case(f"{low}_zeros_for_one", op, both, states, states="zeros_for_one"),
            Case(f"{low}_layout", op, {"layout": 1}),
            Case(f"{low}_layout_lengths_states", op, {"layout": 1, **both}, states, RAGGED),
            Case(f"{low}_layout_zeros_for_one", op, {"layout": 1}, states, states="zeros_for_one"),
            Case(f"{low}_clip", op, {"clip": 0.4, **both}, states),
            Case(f"{low}_no_hidden_size", op, hidden_size=False),
            Case(f"{low}_only_Y", op, has=states, outputs=("Y",)),
            Case(f"{low}_only_Y_h", op, both, states, outputs=("Y_h",)),
            Case(f"{low}_float64", op, both, states, RAGGED, dtype="float64"),
            Case(f"{low}_one_step_one_row", op, both, states, sizes=(1, 1, 3, 6)),
            Case(f"{low}_no_steps", op, both, states, sizes=(0, 4, 3, 6)),
            Case(f"{low}_wide", op, both, states, RAGGED, sizes=(5, 4, 19, 35)),
            Case(f"{low}_fed_weights", op, both, states, fed_weights=True),
            Case(f"{low}_opset_7", op, has=states, lengths=RAGGED, opset=7),
            Case(f"{low}_opset_22", op, both, states, lengths=RAGGED, opset=22),
        ]
    return found


def _activation_cases() -> list[Case]:
    """Each optional function with its defaults and with values, and compact lists over several functions."""
    takes = {
        "Affine": "ab", "LeakyRelu": "a", "ThresholdedRelu": "a", "ScaledTanh": "ab", "HardSigmoid": "ab", "Elu": "a",
        "Softsign": "", "Softplus": "", "Relu": "",
    }  # fmt: skip
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
    found = []
    for number, (function, which) in enumerate(takes.items()):
        for op, names in usual.items():
            place = number % len(names)
            chosen = [function if k == place else name for k, name in enumerate(names)]
            values: dict[str, Any] = {"activation_alpha": [0.3]} if "a" in which else {}
            values |= {"activation_beta": [0.7]} if "b" in which else {}
            low = f"{op.lower()}_{function.lower()}"
            if function not in ("Affine", "ScaledTanh"):  # these have no ONNX operator to take defaults from
                found.append(Case(f"{low}_defaults", op, {"activations": chosen}, sizes=(2, 4, 3, 6)))
            if values:
                found.append(Case(f"{low}_values", op, {"activations": chosen, **values}, sizes=(2, 4, 3, 6)))
    both = {"direction": "bidirectional"}
    found += [
        Case(
            "lstm_compact_alpha",
            "LSTM",
            {
                "activations": ["Tanh", "HardSigmoid", "LeakyRelu"],
                "activation_alpha": [0.3, 0.2],
                "activation_beta": [0.4],
            },
        ),
        Case(
            "lstm_compact_alpha_both_ways",
            "LSTM",
            {
                **both,
                "activations": ["HardSigmoid", "Tanh", "Elu", "Sigmoid", "ScaledTanh", "LeakyRelu"],
                "activation_alpha": [0.3, 0.8, 0.9, 0.2],
                "activation_beta": [0.4, 0.7],
            },
            ("B", "h", "c"),
        ),
        Case(
            "lstm_alpha_ends_early",
            "LSTM",
            {"activations": ["HardSigmoid", "Elu", "LeakyRelu"], "activation_alpha": [0.3]},
        ),
        Case(
            "gru_compact_alpha_both_ways",
            "GRU",
            {
                **both,
                "activations": ["HardSigmoid", "Tanh", "Sigmoid", "Elu"],
                "activation_alpha": [0.3, 0.8],
                "activation_beta": [0.4],
            },
            ("B", "h"),
        ),
        Case(
            "rnn_compact_alpha_both_ways",
            "RNN",
            {**both, "activations": ["Softsign", "LeakyRelu"], "activation_alpha": [0.2]},
            ("B", "h"),
        ),
        Case("rnn_lower_case_name", "RNN", {"activations": ["relu"]}, sizes=(2, 4, 3, 6)),
    ]
    return found


def _own() -> list[Case]:
    """What only one operator has."""
    both, states = {"direction": "bidirectional"}, ("B", "h", "c")
    found = [
        Case("lstm_only_h", "LSTM", has=("B", "h")),
        Case("lstm_only_c", "LSTM", has=("B", "c")),
        Case("lstm_one_tensor_for_both", "LSTM", has=states, states="shared"),
        Case("lstm_peepholes", "LSTM", has=(*states, "P")),
        Case("lstm_peepholes_without_bias", "LSTM", both, ("P",)),
        Case("lstm_peepholes_lengths", "LSTM", both, (*states, "P"), RAGGED),
        Case("lstm_peepholes_clip", "LSTM", {"clip": 0.4}, (*states, "P")),
        Case("lstm_peepholes_layout", "LSTM", {"layout": 1, **both}, (*states, "P"), RAGGED),
        Case("lstm_input_forget", "LSTM", {"input_forget": 1, **both}, states),
        Case("lstm_input_forget_peepholes", "LSTM", {"input_forget": 1}, (*states, "P"), RAGGED),
        Case("lstm_input_forget_clip", "LSTM", {"input_forget": 1, "clip": 0.4}, states),
        Case("lstm_only_Y_c", "LSTM", has=states, outputs=("Y_c",)),
        Case("lstm_Y_and_Y_c", "LSTM", both, states, outputs=("Y", "Y_c")),
        Case("lstm_Y_h_and_Y_c", "LSTM", both, states, RAGGED, outputs=("Y_h", "Y_c")),
        Case("lstm_everything", "LSTM", {"clip": 0.5, "input_forget": 1, **both}, (*states, "P"), WITH_ZERO),
    ]
    for direction in ("forward", "reverse", "bidirectional"):
        linear = {"linear_before_reset": 1, "direction": direction}
        found += [
            Case(f"gru_linear_{direction}", "GRU", linear, ("B", "h")),
            Case(f"gru_linear_lengths_{direction}", "GRU", linear, ("B", "h"), WITH_ZERO),
        ]
    return [
        *found,
        Case("gru_linear_without_bias", "GRU", {"linear_before_reset": 1}, ("h",)),
        Case("gru_linear_clip", "GRU", {"linear_before_reset": 1, "clip": 0.4, **both}, ("B", "h")),
        Case("gru_linear_layout", "GRU", {"linear_before_reset": 1, "layout": 1, **both}, ("B", "h"), RAGGED),
    ]


CASES = {case.name: case for case in (*_everywhere(), *_activation_cases(), *_own())}
"""Every case by its name."""
