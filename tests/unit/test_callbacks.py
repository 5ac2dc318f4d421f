"""Callbacks: decisions recorded from Keras 3, order and cost of hooks, what is printed and written."""

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnrt import callbacks
from rnnrt.callbacks.progress import ProgressBar
from rnnrt.errors import ModelFormatError, RnnrtError

RECORDED = json.loads((Path(__file__).parents[1] / "data/training/callbacks.json").read_text())


class Optimizer:
    """Keeps its rate in single precision, as Keras does."""

    def __init__(self):
        self._rate = np.float32(0.1)

    @property
    def learning_rate(self):
        return float(self._rate)

    @learning_rate.setter
    def learning_rate(self, rate):
        self._rate = np.float32(rate)


class Metric:
    def __init__(self, name, direction):
        self.name, self._direction = name, direction


class FakeModel:
    metrics = ()

    def __init__(self):
        self.optimizer = Optimizer()
        self.stop_training = False
        self.weights = [np.zeros(1)]
        self.saved = []
        self.restored = None

    def get_weights(self):
        return self.weights  # not a copy: training changes these very arrays

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path):
        self.saved.append(os.path.basename(path))

    save_weights = save

    def training_state(self):
        return {"w": self.weights[0]}, {"rate": self.optimizer.learning_rate}

    def restore_training_state(self, arrays, meta):
        self.weights[0][...] = arrays["w"]
        self.optimizer.learning_rate = meta["rate"]
        self.restored = meta


def same(a, b):
    return a == b or (a != a and b != b)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda c: c["kind"])
def test_decisions_are_those_of_keras(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = FakeModel()
    callback = getattr(callbacks, case["kind"])(**case["arguments"])
    hooks = callbacks.CallbackList([callback], model=model)
    rows = []
    hooks.on_train_begin()
    for epoch in range(len(case["logs"]["val_loss"])):
        hooks.on_epoch_begin(epoch)
        for batch in range(case["steps"]):
            hooks.on_train_batch_end(batch, {"loss": 1.0})
        model.weights[0][0] = epoch + 1
        logs = {name: values[epoch] for name, values in case["logs"].items()}
        callback.on_epoch_end(epoch, logs)
        rows.append([model.optimizer.learning_rate, getattr(callback, "wait", 0), logs.get("learning_rate")])
        if model.stop_training:
            break
    hooks.on_train_end()
    wanted = case["result"]
    assert rows == wanted["rows"]
    assert model.stop_training == wanted["stopped"]
    assert float(model.weights[0][0]) == wanted["weight"]
    assert model.saved == wanted["saved"]
    assert same(callback.best, wanted["best"])
    assert capsys.readouterr().out == wanted["printed"]


@pytest.mark.parametrize(("name", "separator", "append"), [("new", ",", False), ("append", ";", True)])
def test_csv_files_are_those_of_keras(name, separator, append, tmp_path):
    path = tmp_path / "log.csv"
    for _ in range(2):
        logger = callbacks.CSVLogger(path, separator, append)
        logger.on_train_begin()
        for epoch, logs in enumerate([{"loss": 0.5, "acc": 0.25}, {"loss": 0.125}]):
            logger.on_epoch_end(epoch, logs)
        logger.on_train_end()
    assert path.read_bytes().decode() == RECORDED["csv"][name]


def test_csv_keeps_lists(tmp_path):
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"val_a": np.array([1, 2]), "b": "text"})
    logger.on_train_end()
    assert (tmp_path / "log.csv").read_text().split("\n")[1] == '0,text,"""[1, 2]"""'


def test_direction_comes_from_the_metric():
    model = FakeModel()
    model.metrics = [Metric("accuracy", "up"), Metric("mae", "down")]
    for monitor, better in (("val_accuracy", 2.0), ("mae", 0.0), ("loss", 0.0)):
        stopping = callbacks.EarlyStopping(monitor, patience=1)
        stopping.set_model(model)
        stopping.on_train_begin()
        for epoch, value in enumerate((1.0, better)):
            stopping.on_epoch_end(epoch, {monitor: value})
        assert stopping.best == better
    unknown = callbacks.EarlyStopping("val_f1")
    unknown.set_model(model)
    unknown.on_train_begin()
    with pytest.raises(RnnrtError, match=r"monitor=val_f1.*mode='max'"):
        unknown.on_epoch_end(0, {"val_f1": 1.0})


def test_a_missing_metric_warns():
    stopping = callbacks.EarlyStopping()
    stopping.set_model(FakeModel())
    stopping.on_train_begin()
    with pytest.warns(UserWarning, match="`val_loss` which is not available. Available metrics are: accuracy,loss"):
        stopping.on_epoch_end(0, {"accuracy": 1.0, "loss": 2.0})
    with pytest.warns(UserWarning, match="mode 'best' is unknown"):
        callbacks.ReduceLROnPlateau(mode="best")


class Recorder(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(("epoch", epoch, logs))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("batch", batch, logs))


def test_batches_without_hooks_are_not_wanted():
    hooks = callbacks.CallbackList([callbacks.EarlyStopping()], add_history=True, model=FakeModel())
    assert not any(hooks.wants(f"on_{m}_batch_{e}") for m in ("train", "test", "predict") for e in ("begin", "end"))
    hooks.on_train_batch_end(0, lambda: pytest.fail("logs were made for nobody"))
    assert callbacks.CallbackList([callbacks.TerminateOnNaN()]).wants("on_train_batch_end")
    assert callbacks.CallbackList([callbacks.LambdaCallback(on_test_batch_begin=print)]).wants("on_test_batch_begin")
    assert not callbacks.CallbackList([callbacks.ModelCheckpoint("m.keras")]).wants("on_train_batch_end")
    assert callbacks.CallbackList([callbacks.ModelCheckpoint("m.keras", save_freq=3)]).wants("on_train_batch_end")


def test_logs_are_floats_in_order_and_made_once_a_batch():
    first, second = Recorder(), Recorder()
    hooks = callbacks.CallbackList([first, [second]])
    made = []

    def logs():
        made.append(1)
        return {"loss": np.float32(0.5), "acc": np.array(1), "nested": {"b": 2}, "word": "x"}

    hooks.on_train_batch_end(3, logs)
    assert made == [1]
    assert first.calls == [("batch", 3, {"acc": 1.0, "loss": 0.5, "b": 2.0, "word": "x"})]
    assert list(first.calls[0][2]) == ["acc", "loss", "b", "word"]
    assert all(type(v) is float for v in list(first.calls[0][2].values())[:3])


def test_history_gets_what_callbacks_add():
    model = FakeModel()
    hooks = callbacks.CallbackList([callbacks.LearningRateScheduler(lambda e, r: r / 2)], True, model=model)
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        hooks.on_epoch_end(epoch, {"loss": float(epoch)})
    assert model.history.epoch == [0, 1]
    assert model.history.history["loss"] == [0.0, 1.0]
    assert model.history.history["learning_rate"] == pytest.approx([0.05, 0.025])


def test_learning_rate_scheduler(capsys):
    model = FakeModel()
    scheduler = callbacks.LearningRateScheduler(lambda epoch: 0.25 / (epoch + 1), verbose=1)
    scheduler.set_model(model)
    scheduler.on_epoch_begin(1)
    assert model.optimizer.learning_rate == 0.125
    assert capsys.readouterr().out == "\nEpoch 2: LearningRateScheduler setting learning rate to 0.125.\n"
    wrong = callbacks.LearningRateScheduler(lambda epoch, rate: 1)
    wrong.set_model(model)
    with pytest.raises(RnnrtError, match=r"should be a float\. Got: 1"):
        wrong.on_epoch_begin(0)

    def broken(epoch, rate):
        raise TypeError("inside")

    scheduler = callbacks.LearningRateScheduler(broken)
    scheduler.set_model(model)
    with pytest.raises(TypeError, match="inside"):
        scheduler.on_epoch_begin(0)


def test_terminate_on_nan(capsys):
    model = FakeModel()
    hooks = callbacks.CallbackList([callbacks.TerminateOnNaN()], model=model)
    hooks.on_train_batch_end(0, {"loss": 1.0})
    assert not model.stop_training
    hooks.on_train_batch_end(1, {"loss": float("inf")})
    assert model.stop_training
    assert capsys.readouterr().out == "Batch 1: Invalid loss, terminating training\n"
    with pytest.raises(RnnrtError, match=r"at batch 2\. Loss value: nan"):
        callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(2, {"loss": float("nan")})


def test_lambda_callback_refuses_what_is_no_hook():
    seen = []
    hooks = callbacks.CallbackList([callbacks.LambdaCallback(on_batch_end=lambda batch, logs: seen.append(batch))])
    hooks.on_train_batch_end(4)
    assert seen == [4]
    with pytest.raises(RnnrtError, match="on_epoch_ends is not a hook"):
        callbacks.LambdaCallback(on_epoch_ends=print)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.CallbackList([callbacks.History]), "History is a class"),
        (lambda: callbacks.CallbackList(["early"]), "'early' is a str"),
        (lambda: callbacks.ModelCheckpoint("m.txt"), r"m.txt .* must end in \.keras or \.h5 or \.rnnrt"),
        (lambda: callbacks.ModelCheckpoint("m.keras", save_weights_only=True), "must end in .weights.h5"),
        (lambda: callbacks.ModelCheckpoint("m.keras", save_freq="batch"), "save_freq='batch'"),
        (lambda: callbacks.BackupAndRestore("b", save_freq=0), "save_freq=0"),
        (lambda: callbacks.BackupAndRestore(""), "Empty `backup_dir`"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), "factor >= 1.0"),
        (lambda: callbacks.CSVLogger("f", separator="ab"), "not one character"),
        (lambda: callbacks.ProgressBar(verbose=3), "verbose=3"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(RnnrtError, match=message):
        make()


def test_unknown_arguments_are_refused_by_name():
    with pytest.raises(TypeError, match="epsilon"):
        callbacks.ReduceLROnPlateau(epsilon=1)


def test_model_checkpoint_paths(tmp_path):
    model = FakeModel()
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch}-{f1:.1f}.keras")
    checkpoint.set_model(model)
    with pytest.raises(RnnrtError, match=r"Reason: 'f1'. There are: epoch, loss"):
        checkpoint.on_epoch_end(0, {"loss": 1.0})
    checkpoint.on_epoch_end(0, {"f1": 0.25})
    assert model.saved == ["1-0.2.keras"]
    assert (tmp_path / "new").is_dir()
    (tmp_path / "taken.keras").mkdir()
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "taken.keras")
    checkpoint.set_model(model)
    with pytest.raises(RnnrtError, match="is a folder"):
        checkpoint.on_epoch_end(0, {})
    best = callbacks.ModelCheckpoint(tmp_path / "m.keras", save_best_only=True)
    best.set_model(model)
    with pytest.warns(UserWarning, match="only with val_loss available"):
        best.on_epoch_end(0, {})


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def progress(verbose, epochs=2, steps=4, file=None):
    bar = ProgressBar(file=file or io.StringIO())
    bar._clock = clock = Clock()
    return bar, callbacks.CallbackList([bar], verbose=verbose, epochs=epochs, steps=steps), clock


def test_a_line_an_epoch_as_keras_writes_it():
    bar, hooks, clock = progress(verbose=2)
    assert not hooks.wants("on_train_batch_end")
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        clock.now += 2.2
        hooks.on_epoch_end(epoch, {"loss": 0.25, "acc": 0.0005, "val_loss": 12.34567})
    hooks.on_train_end()
    line = "4/4 - 2s - 550ms/step - acc: 5.0000e-04 - loss: 0.2500 - val_loss: 12.3457\n"
    assert bar._out.getvalue() == f"Epoch 1/2\n{line}Epoch 2/2\n{line}"


def test_the_bar_is_drawn_ten_times_a_second_at_most():
    pytest.importorskip("tqdm")
    bar, hooks, clock = progress(verbose=1, epochs=1, steps=1000)
    made = []

    def logs():
        made.append(clock.now)
        return {"loss": 0.5}

    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for batch in range(1000):
        clock.now += 0.003
        hooks.on_train_batch_end(batch, logs)
    hooks.on_epoch_end(0, {"loss": 0.5})
    assert 25 <= len(made) <= 30
    assert min(np.diff(made)) >= 0.1
    text = bar._out.getvalue()
    assert text.count("loss: 0.5000") == len(made) + 1
    assert text.endswith("1000/1000 ==================== 3s 3ms/step - loss: 0.5000\n")
    *_, drawn, cleared, last = text[:-1].split("\r")
    assert drawn.strip().startswith("9")
    assert cleared == " " * len(cleared) and len(cleared) >= len(drawn)
    assert last.startswith("1000/1000")


def test_a_bar_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    _, hooks, clock = progress(verbose=1)
    hooks.on_epoch_begin(0)
    clock.now = 1.0
    with pytest.raises(RnnrtError, match="or give verbose=2"):
        hooks.on_train_batch_end(0, {})


def test_progress_without_a_known_end():
    bar, hooks, clock = progress(verbose=2, epochs=1, steps=None)
    assert hooks.wants("on_train_batch_end")
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for batch in range(3):
        hooks.on_train_batch_end(batch, lambda: pytest.fail("not shown"))
    clock.now = 6.0
    hooks.on_epoch_end(0, {})
    assert bar._out.getvalue() == "3/3 - 6s - 2s/step\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_auto_looks_for_a_terminal():
    assert progress("auto", file=Terminal())[0].verbose == 1
    assert progress("auto")[0].verbose == 2
    bar, hooks, _ = progress(0)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    hooks.on_epoch_end(0, {"loss": 1.0})
    assert not hooks.wants("on_train_batch_end")
    assert bar._out.getvalue() == ""


def test_validation_in_fit_is_silent_and_evaluation_is_not():
    bar, hooks, _ = progress(2, epochs=1)
    hooks.on_test_begin()
    hooks.on_test_end({"loss": 1.0})
    assert bar._out.getvalue() == "4/4 - 0s - 0s/step - loss: 1.0000\n"
    hooks.on_train_begin()
    hooks.on_test_begin()
    hooks.on_test_end({"loss": 1.0})
    assert bar._out.getvalue().count("\n") == 1


def train(folder, save_freq, die_at=None, epochs=3, steps=4, begins=None, **options):
    """A loop such as the trainer's: the weight counts batches, the loss is the weight."""
    model = FakeModel()
    # Before the scheduler in the list, and yet it saves what the scheduler left.
    backup = callbacks.BackupAndRestore(folder, save_freq=save_freq, **options)
    plateau = callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1)
    hooks = callbacks.CallbackList([backup, plateau], add_history=True, model=model)
    hooks.on_train_begin()
    begin = getattr(model, "_initial_epoch", 0), getattr(model, "_initial_batch", 0)
    if begins is not None:
        begins.append(begin)
    first = begin[1]
    for epoch in range(begin[0], epochs):
        hooks.on_epoch_begin(epoch)
        for batch in range(first, steps):
            if (epoch, batch) == die_at:
                raise KeyboardInterrupt
            model.weights[0] += 1
            hooks.on_train_batch_end(batch, {"loss": float(model.weights[0][0])})
        hooks.on_epoch_end(epoch, {"loss": float(model.weights[0][0])})
        first = 0
    hooks.on_train_end()
    return begin, model


@pytest.mark.parametrize(
    ("save_freq", "die_at", "resumed_at"),
    [
        ("epoch", (0, 2), (0, 0)),
        ("epoch", (2, 1), (2, 0)),
        (1, (1, 3), (1, 3)),
        (3, (1, 3), (1, 2)),
        (4, (2, 0), (1, 4)),
        (5, (1, 1), (1, 1)),
    ],
)
def test_an_interrupted_run_ends_as_one_that_was_not(save_freq, die_at, resumed_at, tmp_path):
    _, whole = train(tmp_path / "whole", save_freq)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", save_freq, die_at)
    begin, resumed = train(tmp_path / "cut", save_freq)
    assert begin == resumed_at
    assert resumed.weights[0][0] == whole.weights[0][0] == 12
    assert resumed.history.epoch == whole.history.epoch == [0, 1, 2]
    assert resumed.history.history["loss"] == whole.history.history["loss"] == [4.0, 8.0, 12.0]
    assert not (tmp_path / "cut").exists()


def test_batches_are_counted_on_from_a_backup(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 3, (1, 3))
    begins = []
    for die_at in ((1, 3), (2, 2), (2, 2)):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, 3, die_at, begins=begins)
    assert begins == [(1, 2), (1, 2), (2, 1)]


def test_a_backup_saves_what_other_callbacks_left(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", "epoch", (2, 0))
    model = FakeModel()
    backup = callbacks.BackupAndRestore(tmp_path / "b")
    backup.set_model(model)
    backup.on_train_begin()
    assert model.restored == {"rate": pytest.approx(0.05)}  # lowered after epoch 1, which was no better than epoch 0


def test_a_damaged_backup(tmp_path):
    folder = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        train(folder, "epoch", (2, 0), double_checkpoint=True)
    latest = folder / "latest.safetensors"
    latest.write_bytes(latest.read_bytes()[:-1])
    model = FakeModel()
    backup = callbacks.BackupAndRestore(folder, double_checkpoint=True)
    backup.set_model(model)
    with pytest.warns(UserWarning, match="Going on from the backup before it"):
        backup.on_train_begin()
    assert (model._initial_epoch, model.weights[0][0]) == (1, 4)
    (folder / "previous.safetensors").unlink()
    with pytest.raises(ModelFormatError, match=r"latest\.safetensors: is not a whole checkpoint"):
        backup.on_train_begin()


def test_backups_stay_where_they_are_wanted(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("keep")
    train(tmp_path / "b", "epoch", delete_checkpoint=False)
    assert (tmp_path / "b" / "latest.safetensors").exists()
    begin, _ = train(tmp_path / "b", "epoch")
    assert begin == (3, 0)
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["mine.txt"]


def test_an_unbuilt_model_cannot_be_backed_up(tmp_path):
    model = FakeModel()
    model.built = False
    backup = callbacks.BackupAndRestore(tmp_path)
    backup.set_model(model)
    with pytest.raises(RnnrtError, match="must be built"):
        backup.on_train_begin()
