"""Networks that take their states as inputs and give them as outputs: which belong together, and streams of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import rnnrt
from rnnrt import Model, ShapeError, StateError
from rnnrt.cli import main
from rnnrt.ir import Graph, Node, Value
from rnnrt.runtime.states import find_state_pairs
from tests.support import assert_close, shared_dir

F32 = np.dtype("float32")

RECORDED = [
    ("dtln/model_1.onnx", {}, {"input_3": "tf_op_layer_stack_2"}),
    ("dtln/model_2.onnx", {}, {"input_5": "tf_op_layer_stack_5"}),
    (
        "gtcrn/gtcrn_simple.onnx",
        {},
        {"conv_cache": "conv_cache_out", "tra_cache": "tra_cache_out", "inter_cache": "inter_cache_out"},
    ),
    ("silero-vad/silero_vad_openvino_16k.onnx", {}, {"state": "stateN"}),
    ("silero-vad/silero_vad_16k_op15.onnx", {"sr": 16000}, {"state": "stateN"}),
    ("silero-vad/silero_vad_16k_op15.onnx", {}, {"state": "stateN"}),
]


@pytest.mark.parametrize(("file", "constants", "pairs"), RECORDED)
def test_published_networks_stream_as_onnxruntime_ran_them(file: str, constants: dict, pairs: dict) -> None:
    pytest.importorskip("onnx")
    path = shared_dir("models", *file.split("/"))
    model = rnnrt.load(path, constants=constants)
    found = find_state_pairs(model.graph)
    assert {pair.input: pair.output for pair in found.pairs} == pairs
    assert not found.ambiguous
    stream = model.stream()
    assert set(stream.state) == set(pairs)
    case = np.load(path.with_suffix(".case.npz"))
    fed = {k[7:]: case[k] for k in case.files if k.startswith("seqin__") and k[7:] not in {*pairs, *constants}}
    still = {k[4:]: case[k] for k in case.files if k.startswith("in__") and k[4:] not in {*fed, *pairs, *constants}}
    wanted = [k for k in case.files if k.startswith("seqout__")]
    names = [info.name for info in model.outputs if info.name not in pairs.values()]
    for t in range(6):
        got = stream.step({**still, **{name: steps[t] for name, steps in fed.items()}})
        for name, y in zip(names, got if isinstance(got, tuple) else (got,), strict=True):
            assert_close(y, case[f"seqout__{name}"][t], rtol=1e-3, what=f"{name}, step {t}")
        for state, output in pairs.items():
            if f"seqout__{output}" in wanted:
                assert_close(stream.state[state], case[f"seqout__{output}"][t], rtol=1e-3, what=f"{state}, step {t}")
    with pytest.raises(StateError, match="cannot be cut along time"):
        stream.run({**still, **{name: steps[0] for name, steps in fed.items()}})


@pytest.mark.parametrize("name", ["gru_state", "lstm_states"])
@pytest.mark.parametrize("exporter", ["ts", "dynamo"])
def test_states_of_torch_exports(name: str, exporter: str) -> None:
    pytest.importorskip("onnx")
    folder = shared_dir("exports", "torch")
    model, case = rnnrt.load(folder / f"{name}.{exporter}.onnx"), np.load(folder / f"{name}.npz")
    x, states = case["x0"], {f"s{k}": case[f"x{k + 1}"] for k in range(2 if name == "lstm_states" else 1)}
    stream = model.stream(3, initial_state=states)
    got = stream.step(x) if exporter == "dynamo" else stream.run(x)  # dynamo has fixed the length to that of a block
    assert_close(got, case["y0"])
    for k, state in enumerate(states):
        assert_close(stream.state[state], case[f"y{k + 1}"])
    if exporter == "ts":
        stream.reset()
        steps = np.stack([stream.step(np.ascontiguousarray(step)) for step in x])
        np.testing.assert_array_equal(steps, got)
        with pytest.raises(StateError, match=r"made for batch_size=3, not 2"):
            model.stream(2)
        with pytest.raises(StateError, match=r"'s0' has the fixed shape \(2, 3, 6\).*batch_size=1"):
            model.stream()


def passing(names: list[tuple[str, str]], shapes: list[tuple[int | None, ...]], data: int = 4) -> Graph:
    """y = x + the sum of the states; each state becomes itself times its number, without a recurrent node."""
    nodes, constants, total = [], {}, "x"
    for k, (before, after) in enumerate(names):
        constants[f"axis{k}"] = np.array([1])
        constants[f"by{k}"] = np.array(k + 2, F32)
        nodes += [
            Node("ReduceSum", (before, f"axis{k}"), (f"sum{k}",), {"keepdims": 1}),
            Node("Add", (total, f"sum{k}"), (f"total{k}",)),
            Node("Add", (before, f"sum{k}"), (f"more{k}",)),
            Node("Mul", (f"more{k}", f"by{k}"), (after,)),
        ]
        total = f"total{k}"
    nodes.append(Node("Identity", (total,), ("y",)))
    inputs = [Value("x", F32, (None, data))] + [Value(n, F32, s) for (n, _), s in zip(names, shapes, strict=True)]
    outputs = [Value("y", F32, (None, data))] + [Value(n, F32, s) for (_, n), s in zip(names, shapes, strict=True)]
    return Graph(tuple(inputs), tuple(outputs), tuple(nodes), constants)


@pytest.mark.parametrize(
    "names",
    [
        [("h0", "hn"), ("c0", "cn")],
        [("h_in", "h_out"), ("c_in", "c_out")],
        [("state_1", "stateN_1"), ("state_2", "stateN_2")],
        [("past_key", "present_key"), ("past_value", "present_value")],
        [("input_5", "tf_op_layer_stack_5"), ("input_7", "tf_op_layer_stack_7")],
        [("rnn1.hidden", "new_rnn1.hidden"), ("rnn2.hidden", "new_rnn2.hidden")],
    ],
)
def test_names_tell_states_of_one_shape_apart(names: list) -> None:
    graph = passing(names, [(None, 3), (None, 3)])
    found = find_state_pairs(graph)
    assert [(p.input, p.output, p.how) for p in found.pairs] == [(a, b, "names") for a, b in names]
    stream = Model.from_graph(graph).stream(2, initial_state={n: np.ones((2, 3)) for n, _ in names})
    x = np.zeros((2, 4), F32)
    np.testing.assert_array_equal(stream.step(x), np.full((2, 4), 6))
    np.testing.assert_array_equal(stream.step(x), np.full((2, 4), 24 + 36))


def test_shapes_tell_what_names_do_not() -> None:
    graph = passing([("a", "q"), ("b", "r")], [(None, 3), (None, 5)])
    assert [(p.input, p.output, p.how) for p in find_state_pairs(graph).pairs] == [
        ("a", "q", "dtype and shape"),
        ("b", "r", "dtype and shape"),
    ]


def test_what_is_not_clear_is_asked_for() -> None:
    graph = passing([("a", "q"), ("b", "r")], [(None, 3), (None, 3)])
    assert dict(find_state_pairs(graph).ambiguous) == {"a": ("q", "r"), "b": ("q", "r")}
    model = Model.from_graph(graph)
    with pytest.raises(StateError, match=r"'a': \['q', 'r'\]; 'b': \['q', 'r'\].*states="):
        model.stream()
    stream = model.stream(states={"a": "q", "b": "r"}, initial_state={"a": np.ones((1, 3))})
    assert stream.step(np.zeros((1, 4), F32)).tolist() == [[3.0] * 4]
    for wrong, message in (
        ({"a": "q", "b": "q"}, "names an output twice"),
        ({"a": "nothing"}, r"\['nothing'\] are not known"),
        ({"x": "y", "a": "q", "b": "r"}, "leaves no input"),
    ):
        with pytest.raises(StateError, match=message):
            model.stream(states=wrong)


def test_the_data_of_a_network_is_no_state() -> None:
    graph = passing([("h", "h_out")], [(None, 3)])
    assert [p.input for p in find_state_pairs(graph).pairs] == ["h"]  # x and y have one shape, too
    plain = Graph((Value("x", F32, (None, 3)), Value("z", F32, (None, 3))), (Value("y", F32),),
                  (Node("Add", ("x", "z"), ("y",)),))  # fmt: skip
    assert find_state_pairs(plain).pairs == ()
    assert find_state_pairs(plain).ambiguous == {}


def test_what_is_fed_is_checked() -> None:
    stream = Model.from_graph(passing([("h", "h_out")], [(None, 3)])).stream()
    with pytest.raises(ShapeError, match=r"takes the inputs \['x'\]; got \['h', 'x'\]; h it keeps itself"):
        stream.step({"x": np.zeros((1, 4)), "h": np.zeros((1, 3))})
    with pytest.raises(ShapeError, match=r"takes the inputs \['x'\]; got 2 arrays"):
        stream.step(np.zeros((1, 4)), np.zeros((1, 3)))
    with pytest.raises(StateError, match=r"\['g'\] are not known; the stream's states are \['h'\]"):
        Model.from_graph(passing([("h", "h_out")], [(None, 3)])).stream(initial_state={"g": np.zeros(3)})
    with pytest.raises(StateError, match=r"shape of state 'h', \(None, None\), is not known"):
        Model.from_graph(passing([("h", "h_out")], [(None, None)])).stream()
    free = Model.from_graph(passing([("h", "h_out")], [(None, None)])).stream(initial_state={"h": np.ones((1, 2))})
    assert free.step(np.zeros((1, 4), F32)).tolist() == [[2.0] * 4]


def test_inspect_lists_states(tmp_path) -> None:
    runner = CliRunner()
    path = str(tmp_path / "model.rnnrt")
    Model.from_graph(passing([("h", "h_out"), ("a", "q"), ("b", "r")], [(None, 2), (None, 3), (None, 3)])).save(path)
    told = json.loads(runner.invoke(main, ["inspect", path, "--json"]).stdout)
    assert told["states"] == [{"input": "h", "output": "h_out", "how": "names"}]
    assert told["unclear_states"] == {"a": ["q", "r"], "b": ["q", "r"]}
    text = " ".join(runner.invoke(main, ["inspect", path]).stdout.split())
    assert "state h: output h_out of the call before (told by names)" in text
    assert "state a? one of the outputs q, r" in text
