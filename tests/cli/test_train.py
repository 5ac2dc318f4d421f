"""`rnnrt train`: it does what the same calls in Python do, goes on where it stopped, and names every mistake."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import rnnrt
from rnnrt.callbacks import CSVLogger
from rnnrt.cli import main
from rnnrt.layers import GRU, LSTM, Bidirectional, Dense, Embedding
from rnnrt.models import Sequential
from rnnrt.models.description import described
from rnnrt.optimizers import Adam
from rnnrt.optimizers.schedules import ExponentialDecay
from rnnrt.utils import set_random_seed

NETWORK: dict[str, Any] = {
    "seed": 5,
    "layers": [
        {"Bidirectional": {"layer": {"GRU": {"units": 4, "dropout": 0.1}}}},
        {"Dense": {"units": 2, "activation": "softmax", "kernel_regularizer": {"L2": {"l2": 1e-3}}}},
    ],
    "compile": {
        "optimizer": {"Adam": {"learning_rate": 1e-2, "clipnorm": 1}},
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    },
    "fit": {"epochs": 3, "batch_size": 16, "validation_split": 0.25},
}

YAML = """
seed: 5
layers:
  - Bidirectional: {layer: {GRU: {units: 4, dropout: 0.1}}}
  - Dense: {units: 2, activation: softmax, kernel_regularizer: {L2: {l2: 1e-3}}}
compile:
  optimizer: {Adam: {learning_rate: 1e-2, clipnorm: 1}}
  loss: sparse_categorical_crossentropy
  metrics: [accuracy]
fit: {epochs: 3, batch_size: 16, validation_split: 0.25}
"""


def call(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(main, ["train", *(str(a) for a in arguments)])
    assert (result.exit_code == 0) == ok, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def sums(rows: int = 64) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(rows, 6, 2)).astype(np.float32)
    return x, (x[:, :, 0].sum(1) > x[:, :, 1].sum(1)).astype(np.int64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    x, y = sums()
    np.savez(tmp_path / "data.npz", x=x, y=y)
    write(tmp_path / "net.json", NETWORK)
    return tmp_path


def write(path: Path, said: Any) -> Path:
    path.write_text(json.dumps(said))
    return path


def by_hand() -> Sequential:
    """The same network, trained by the same calls in Python."""
    x, y = sums()
    set_random_seed(5)
    model = Sequential(
        [rnnrt.Input((6, 2)), Bidirectional(GRU(4, dropout=0.1)),
         Dense(2, activation="softmax", kernel_regularizer=rnnrt.regularizers.L2(1e-3))]
    )  # fmt: skip
    model.compile(Adam(1e-2, clipnorm=1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=16, epochs=3, validation_split=0.25, verbose=0)
    return model


@pytest.mark.parametrize("out", ["m.rnnrt", "m.keras", "m.onnx"])
def test_a_description_trains_as_python_does(folder: Path, out: str) -> None:
    pytest.importorskip({"m.keras": "h5py", "m.onnx": "onnx"}.get(out, "numpy"))
    output = call(folder / "net.json", folder / "data.npz", "--out", folder / out).output
    x, _ = sums()
    np.testing.assert_allclose(rnnrt.load(folder / out).predict(x), by_hand().predict(x), atol=1e-6)
    assert "Epoch 3/3" in output
    assert "best in epoch" in output
    assert f"wrote {folder / out}" in output.replace("\n", "")


def test_yaml_says_the_same_as_json(folder: Path) -> None:
    pytest.importorskip("yaml")
    (folder / "net.yaml").write_text(YAML)
    histories = []
    for name in ("net.yaml", "net.json"):
        found = json.loads(call(folder / name, folder / "data.npz", "-o", folder / "m.rnnrt", "--json").output)
        histories.append(found["history"])
    assert histories[0] == histories[1]


def test_figures_log_curves_and_gradients(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    files = {key: folder / name for key, name in (("plot", "c.png"), ("gradients", "g.png"), ("log", "l.csv"))}
    options = [part for key, path in files.items() for part in (f"--{key}", path)]
    output = call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", "--json", *options).output
    found = json.loads(output)
    history = by_hand().history.history
    for name, values in history.items():
        assert found["history"][name] == pytest.approx(values, rel=1e-6), name
    best = int(np.argmin(history["val_loss"]))
    assert found["best"]["epoch"] == best + 1
    assert found["best"]["val_accuracy"] == pytest.approx(history["val_accuracy"][best])
    assert (found["rows"], found["epochs"], found["parameters"]) == (64, 3, by_hand().count_params())
    assert found["bytes"] == (folder / "m.rnnrt").stat().st_size
    rows = list(csv.DictReader(files["log"].open()))
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(history["val_loss"], rel=1e-6)
    assert all(float(row["gradient_norm"]) > 0 for row in rows)
    for key in ("plot", "gradients"):
        assert files[key].read_bytes().startswith(b"\x89PNG")


def test_options_take_the_place_of_the_description(folder: Path) -> None:
    options = ["--epochs", 2, "--batch-size", 8, "--validation-split", 0, "--optimizer", "sgd", "--learning-rate", 0]
    options += ["--metric", "sparse_categorical_crossentropy", "--seed", 1, "--quiet", "--threads", 1]
    found = json.loads(
        call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", "--json", *options).output
    )
    name = "sparse_categorical_crossentropy"
    assert list(found["history"]) == ["loss", name]
    assert found["epochs"] == 2
    assert found["history"][name][0] == pytest.approx(found["history"][name][1], rel=0.05)  # but for dropout
    assert (
        call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", "--quiet").output.count("Epoch") == 0
    )


def test_patience_ends_a_training_that_stands_still(folder: Path) -> None:
    options = ["--epochs", 50, "--patience", 1, "--learning-rate", 0, "--json"]
    assert (
        json.loads(call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", *options).output)["epochs"]
        < 5
    )


def test_validation_data_and_weights_of_the_file(folder: Path) -> None:
    x, y = sums()
    weight = np.linspace(0, 1, 48)
    np.savez(folder / "data.npz", x=x[:48], y=y[:48], x_val=x[48:], y_val=y[48:], sample_weight=weight)
    found = json.loads(call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", "--json").output)
    set_random_seed(5)
    model = described(NETWORK).build((6, 2), x.dtype)
    model.compile(**described(NETWORK).arguments({}))
    history = model.fit(
        x[:48], y[:48], sample_weight=weight, validation_data=(x[48:], y[48:]), epochs=3, batch_size=16, verbose=0
    ).history
    assert found["history"]["loss"] == pytest.approx(history["loss"], rel=1e-6)
    assert found["history"]["val_loss"] == pytest.approx(history["val_loss"], rel=1e-6)


def test_what_to_json_wrote_and_inputs_by_name(folder: Path) -> None:
    a, b = rnnrt.Input((None, 2), name="left"), rnnrt.Input((None, 2), name="right")
    out = Dense(1, name="score")(rnnrt.layers.Concatenate()([LSTM(3)(a), LSTM(3)(b)]))
    (folder / "net.json").write_text(rnnrt.Model([a, b], out).to_json())
    x, y = sums()
    np.savez(folder / "data.npz", **{"x/right": x, "x/left": x[:, ::-1], "y/score": y[:, None]})
    arguments = [folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt"]
    found = json.loads(call(*arguments, "--loss", "mse", "--epochs", 8, "--seed", 1, "--json").output)
    assert found["history"]["loss"][-1] < found["history"]["loss"][0]
    assert "no loss" in call(*arguments, ok=False).output


@pytest.mark.parametrize("name", ["m.keras", "m.onnx", "m.rnnrt"])
def test_a_model_goes_on(folder: Path, name: str) -> None:
    pytest.importorskip({"m.keras": "h5py", "m.onnx": "onnx"}.get(name, "numpy"))
    first = by_hand()
    first.save(folder / name)
    frozen = rnnrt.load(folder / name).layers[0].name
    options = ["--loss", "sparse_categorical_crossentropy", "--optimizer", "adam", "--learning-rate", 0.01]
    options += ["--freeze", frozen, "--epochs", 5, "--json"]
    found = json.loads(call(folder / name, folder / "data.npz", "-o", folder / f"again-{name}", *options).output)
    assert found["history"]["loss"][-1] < found["history"]["loss"][0]
    before, after = (rnnrt.load(folder / file).layers for file in (name, f"again-{name}"))
    for a, b in zip(before[0].get_weights(), after[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(before[-1].get_weights()[0], after[-1].get_weights()[0])
    write(folder / "again.json", {"model": name, "compile": NETWORK["compile"]})
    call(folder / "again.json", folder / "data.npz", "-o", folder / f"again-{name}")


@pytest.mark.parametrize("logged", [False, True], ids=["before its log", "after its log"])
def test_a_training_that_was_interrupted_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch, logged: bool) -> None:
    def run(name: str, *more: object, ok: bool = True) -> Result:
        options = ["--epochs", 5, "--checkpoint", folder / name, "--log", folder / f"{name}.csv", *more]
        return call(folder / "net.json", folder / "data.npz", "-o", folder / f"{name}.rnnrt", *options, ok=ok)

    run("whole")
    ordinary = CSVLogger.on_epoch_end

    def interrupted(self: CSVLogger, epoch: int, logs: Any = None) -> None:
        if logged or epoch < 2:
            ordinary(self, epoch, logs)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(CSVLogger, "on_epoch_end", interrupted)
    assert "interrupted, nothing was saved; --resume" in run("cut", ok=False).output
    monkeypatch.undo()
    assert "--resume" in run("cut", ok=False).output
    assert "Epoch 3/5" in (output := run("cut", "--resume").output)
    assert "Epoch 2/5" not in output
    assert (folder / "cut.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    for a, b in zip(*(rnnrt.load(folder / f"{name}.rnnrt").get_weights() for name in ("whole", "cut")), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not (folder / "cut").exists()
    assert "Epoch 1/5" in run("cut", "--resume").output  # nothing to go on from


def test_a_loss_that_is_not_finite_is_a_failure(folder: Path) -> None:
    write(folder / "net.json", {"layers": [{"LSTM": {"units": 3}}, {"Dense": {"units": 1}}]})
    arguments = [folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", "--loss", "mse"]
    with pytest.warns(UserWarning, match="the loss is"):
        output = call(*arguments, "--optimizer", "sgd", "--learning-rate", 1e38, ok=False).output
    assert "the loss became" in output
    assert not (folder / "m.rnnrt").exists()


def test_what_cannot_be_saved_is_refused_before_training(folder: Path) -> None:
    pytest.importorskip("onnx")
    by_hand().save(folder / "m.onnx")
    options = ["-o", folder / "again.keras", "--loss", "sparse_categorical_crossentropy"]
    output = call(folder / "m.onnx", folder / "data.npz", *options, ok=False).output
    assert "came without Keras layers" in output
    assert "Epoch" not in output


def test_integers_reach_an_embedding_as_they_are(folder: Path) -> None:
    x = np.random.default_rng(0).integers(0, 7, (32, 5))
    np.savez(folder / "data.npz", x=x, y=x[:, -1:] % 2)
    layers = [{"Embedding": {"input_dim": 7, "output_dim": 3}}, {"LSTM": {"units": 4}}, {"Dense": {"units": 1}}]
    write(folder / "net.json", {"layers": layers, "compile": {"loss": "mse"}, "input": {"shape": [None]}})
    call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", "--quiet")
    model = rnnrt.load(folder / "m.rnnrt")
    assert (model.inputs[0].dtype, model.inputs[0].shape) == (np.int32, (None, None))


def test_objects_within_a_description() -> None:
    said = {
        "layers": [
            {"RNN": {"cell": [{"LSTMCell": {"units": 3}}, {"class_name": "GRUCell", "config": {"units": 2}}]}},
            {"TimeDistributed": {"layer": {"Dense": {"units": 2, "kernel_initializer": {"HeNormal": {"seed": 1}}}}}},
            "Flatten",
        ],
        "compile": {
            "optimizer": {
                "SGD": {"learning_rate": {"ExponentialDecay": {
                    "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}}}
            },
            "loss": {"flatten": {"Huber": {"delta": 2}}},
            "metrics": {"flatten": ["mae", {"TopKCategoricalAccuracy": {"k": 2}}]},
        },
        "fit": {"class_weight": {"0": 1, "1": 2.5}},
    }  # fmt: skip
    said["layers"][0]["RNN"]["return_sequences"] = True
    found = described(said)
    model = found.build((4, 2), np.dtype(np.float32))
    assert model.output_shape == (None, 8)
    arguments = found.arguments({})
    assert isinstance(arguments["optimizer"]._learning_rate, ExponentialDecay)
    assert arguments["optimizer"].learning_rate == pytest.approx(0.1)
    assert arguments["loss"]["flatten"].get_config()["delta"] == 2
    assert [m.name for m in arguments["metrics"]["flatten"]][1] == "top_k_categorical_accuracy"
    assert found.fit["class_weight"] == {0: 1.0, 1: 2.5}
    assert isinstance(model.layers[0].cell.cells[1], rnnrt.layers.GRUCell)
    assert Embedding not in map(type, model.layers)


def changed(**parts: Any) -> dict[str, Any]:
    return {**NETWORK, **parts}


DESCRIPTIONS: dict[str, tuple[Any, str]] = {
    "a list": ([1], "mapping of some of name, seed, input, layers"),
    "unknown key": (changed(layer=[]), "'layer' is not known; did you mean layers"),
    "nothing": ({"compile": {}}, "either layers, a list, or model"),
    "both": (changed(model="m.keras"), "either layers, a list, or model"),
    "no layers": (changed(layers=[]), "at least one layer"),
    "model": ({"model": 3}, "path of a .keras"),
    "class": (changed(layers=[{"LSMT": {"units": 3}}]), r"layers\[0\]: there is no layer 'LSMT'; did you mean LSTM"),
    "two classes": (changed(layers=[{"LSTM": {}, "GRU": {}}]), r"layers\[0\]: .* must be one class"),
    "argument": (
        changed(layers=["Flatten", {"Dense": {"unit": 3}}]),
        r"layers\[1\] \(Dense\): 'unit' is not known; did you mean units\? There are activation, ",
    ),
    "missing argument": (changed(layers=["LSTM"]), r"layers\[0\] \(LSTM\): .*'units'"),
    "no mapping": (changed(layers=[{"LSTM": 3}]), "LSTM must be followed by named arguments"),
    "value": (changed(layers=[{"LSTM": {"units": "many"}}]), r"layers\[0\] \(LSTM\).*many"),
    "initializer": (
        changed(layers=[{"LSTM": {"units": 2, "kernel_initializer": {"Foo": {}}}}]),
        r"layers\[0\] \(LSTM\).*Foo",
    ),
    "inner": (
        changed(layers=[{"Bidirectional": {"layer": {"GRU": {"unit": 3}}}}]),
        r"layers\[0\] \(Bidirectional\)\.layer \(GRU\): 'unit' is not known; did you mean units",
    ),
    "does not fit": (changed(layers=[{"LSTM": {"units": 3}}, {"GRU": {"units": 3}}]), r"layers\[1\] \(GRU\): .*shape"),
    "input": (changed(input={"size": [3]}), "input: 'size' is not known.*shape, dtype"),
    "shape": (changed(input={"shape": [0, "a"]}), r"input.shape=\[0, 'a'\] must be a list"),
    "name": (changed(name=3), "name=3 must be a text"),
    "seed": (changed(seed=True), "seed=True must be a whole number"),
    "compile": (changed(compile={"optimiser": "adam"}), "compile: 'optimiser' is not known; did you mean optimizer"),
    "no loss": (changed(compile={"optimizer": "adam"}), "compile: there is no loss"),
    "loss": (changed(compile={"loss": "msee"}), "compile.loss: .*'msee'.*did you mean"),
    "kind of loss": (changed(compile={"loss": 3}), "compile.loss: .*3.*is no loss"),
    "optimizer": (changed(compile={"loss": "mse", "optimizer": "adm"}), "compile.optimizer: .*'adm'.*did you mean"),
    "option": (
        changed(compile={"loss": "mse", "optimizer": {"Adam": {"lr": 1}}}),
        "compile.optimizer: Adam takes no argument 'lr'",
    ),
    "metric": (changed(compile={"loss": "mse", "metrics": ["accurate"]}), r"compile.metrics\[0\]: .*'accurate'"),
    "fit": (changed(fit={"epoch": 3}), "fit: 'epoch' is not known; did you mean epochs"),
    "epochs": (changed(fit={"epochs": "ten"}), "fit.epochs='ten' must be int"),
    "shares": (changed(fit={"validation_split": 2.0}), "validation_split=2.0"),
    "class_weight": (changed(fit={"class_weight": {"a": 1}}), "fit.class_weight: .*'a'"),
    "keras": ({"class_name": "Sequential", "config": {"layers": [{"class_name": "Foo", "config": {}}]}}, "Foo"),
}


@pytest.mark.parametrize("what", DESCRIPTIONS)
def test_mistakes_in_a_description_are_named(folder: Path, what: str) -> None:
    said, words = DESCRIPTIONS[what]
    write(folder / "net.json", said)
    output = call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", ok=False).output
    assert "net.json" in output or what == "shares"
    with pytest.raises(AssertionError, match=f"(?is){words}"):
        raise AssertionError(" ".join(output.split()))
    assert not (folder / "m.rnnrt").exists()


ONES, ZEROS = np.ones((4, 6, 2)), np.zeros(4)
DATA: dict[str, tuple[dict[str, Any], str]] = {
    "no y": ({"x": ONES}, "lacks y"),
    "unknown": ({"x": ONES, "y": ZEROS, "z": ZEROS}, "holds an array 'z'; there are x and y"),
    "half": ({"x": ONES, "y": ZEROS, "x_val": ONES}, "one of x_val and y_val"),
    "text": ({"x": ONES, "y": np.array(["a"] * 4)}, "y is of type <U1; give numbers"),
    "empty": ({"x": ONES[:0], "y": ZEROS[:0]}, r"x has shape \(0, 6, 2\)"),
    "twice": ({"x": ONES, "x/a": ONES, "y": ZEROS}, "holds both x and x/a"),
    "rows": ({"x": ONES, "y": ZEROS[:3]}, "4.*3"),
    "nan": ({"x": ONES * np.nan, "y": ZEROS}, "nan"),
    "features": ({"x": ONES[:, 0], "y": ZEROS}, "shape"),
    "classes": ({"x": ONES, "y": ZEROS + 7}, "7"),
}


@pytest.mark.parametrize("what", DATA)
def test_mistakes_in_the_data_are_named(folder: Path, what: str) -> None:
    arrays, words = DATA[what]
    np.savez(folder / "data.npz", **arrays)
    write(folder / "net.json", changed(fit={}))
    output = call(folder / "net.json", folder / "data.npz", "-o", folder / "m.rnnrt", ok=False).output
    with pytest.raises(AssertionError, match=f"(?is){words}"):
        raise AssertionError(" ".join(output.split()))


COMMANDS: dict[str, tuple[list[str], str]] = {
    "ending": (["net.txt", "data.npz", "-o", "m.rnnrt"], "net.txt: ends in none of .yaml"),
    "no network": (["gone.json", "data.npz", "-o", "m.rnnrt"], "gone.json: no such file"),
    "no model": (["gone.keras", "data.npz", "-o", "m.rnnrt", "--loss", "mse"], "gone.keras"),
    "no data": (["net.json", "gone.npz", "-o", "m.rnnrt"], "gone.npz: no such file"),
    "no archive": (["net.json", "net.json", "-o", "m.rnnrt"], "not a whole .npy or .npz"),
    "one array": (["net.json", "x.npy", "-o", "m.rnnrt"], "x.npy: holds one array"),
    "out": (["net.json", "data.npz", "-o", "m.h5"], "--out m.h5: must end in .rnnrt, .keras, .onnx"),
    "folder": (["net.json", "data.npz", "-o", "gone/m.rnnrt"], "there is no folder gone"),
    "plot": (["net.json", "data.npz", "-o", "m.rnnrt", "--plot", "c.jpg"], "--plot c.jpg: must end in .png"),
    "resume": (["net.json", "data.npz", "-o", "m.rnnrt", "--resume"], "--checkpoint"),
    "freeze": (["net.json", "data.npz", "-o", "m.rnnrt", "--freeze", "lstm"], "no layer 'lstm'"),
    "model without loss": (["m.rnnrt", "data.npz", "-o", "n.rnnrt"], "there is no loss"),
    "not json": (["bad.json", "data.npz", "-o", "m.rnnrt"], "bad.json: is not JSON"),
    "twice": (["twice.json", "data.npz", "-o", "m.rnnrt"], "has the key 'seed' twice"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_mistakes_in_the_command_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.chdir(folder)
    np.save("x.npy", ONES)
    Path("bad.json").write_text("{,}")
    Path("twice.json").write_text('{"seed": 1, "seed": 2}')
    by_hand().save("m.rnnrt")
    arguments, words = COMMANDS[what]
    assert words in " ".join(call(*arguments, ok=False).output.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [("layers: [", "is not YAML"), ("seed: 1\nseed: 2", "has the key 'seed' twice"), ("? [a]\n: 1", "must be plain")],
)
def test_mistakes_in_yaml_are_named(folder: Path, text: str, words: str) -> None:
    pytest.importorskip("yaml")
    (folder / "net.yaml").write_text(text)
    output = call(folder / "net.yaml", folder / "data.npz", "-o", folder / "m.rnnrt", ok=False).output
    assert words in " ".join(output.split())


def test_without_pyyaml_json_still_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "net.yaml").write_text(YAML)
    monkeypatch.setitem(sys.modules, "yaml", None)
    arguments = [folder / "data.npz", "-o", folder / "m.rnnrt", "--quiet"]
    assert 'pip install "rnnrt[train]"' in call(folder / "net.yaml", *arguments, ok=False).output
    call(folder / "net.json", *arguments)
