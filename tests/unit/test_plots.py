"""Plots: a PNG appears, holds each curve, and matplotlib's global state stays as it was."""

import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from rnnrt.errors import RnnrtError, ShapeError
from rnnrt.training import plots
from rnnrt.training.plots import plot_gradient_report, plot_history

HISTORY = {
    "loss": [3.0, 2.0, 1.5],
    "val_loss": [3.0, 2.5, 2.6],
    "accuracy": [0.1, 0.2, 0.3],
    "learning_rate": [0.1] * 3,
}


def layer(name, kind, norms, gates=(), verdict="healthy"):
    norms = np.array(norms)
    carry = 0.5 ** np.arange(len(norms))
    return SimpleNamespace(name=name, kind=kind, step_norms=norms, carry=carry, gates=dict(gates), verdict=verdict)


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is made."""
    made = []
    make = plots._figure
    monkeypatch.setattr(plots, "_figure", lambda *size: made.append(make(*size)) or made[-1])
    return made


def size_of(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_history(figures, tmp_path):
    plot_history(HISTORY, tmp_path / "h.png")
    width, height = size_of(tmp_path / "h.png")
    assert width > 2 * height
    axes = figures[0].axes
    assert [ax.get_title() for ax in axes] == ["loss", "accuracy", "learning rate"]
    training, validation, best = axes[0].lines
    assert training.get_ydata().tolist() == HISTORY["loss"]
    assert validation.get_ydata().tolist() == HISTORY["val_loss"]
    assert training.get_xdata().tolist() == [1, 2, 3]
    assert best.get_xydata().tolist() == [[2, 2.5]]
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["training", "validation"]
    assert axes[1].get_legend() is None
    assert axes[2].get_yscale() == "log"


def test_history_with_nan_and_with_validation_alone(tmp_path):
    plot_history({"loss": [1.0, float("nan"), float("inf")], "val_f1": [0.1]}, tmp_path / "h.png")
    size_of(tmp_path / "h.png")
    plot_history({"loss": [float("nan")] * 2}, tmp_path / "h.png")
    with pytest.raises(ShapeError, match="no epoch; train first"):
        plot_history({"loss": []}, tmp_path / "h.png")


def test_gradient_report(figures, tmp_path):
    norms = 10.0 ** np.linspace(-9, 0, 50)
    report = SimpleNamespace(
        layers=[
            layer("lstm", "LSTM", norms, {"input": 0.25, "forget": 0.5}, "vanishes"),
            layer("rnn", "SimpleRNN", [0.0, 1.0, np.nan], {}, "dead at the first step"),
            layer("gru", "GRU", np.ones(5), {"reset": float("nan")}),
        ]
    )
    plot_gradient_report(report, tmp_path / "g.png")
    size_of(tmp_path / "g.png")
    lines, left, bars = figures[0].axes
    assert left.lines[2].get_xydata().tolist() == [[k, 0.5**k] for k in range(5)]
    assert lines.get_yscale() == "log"
    np.testing.assert_array_equal(lines.lines[0].get_ydata(), norms)
    assert lines.lines[1].get_ydata()[0] == pytest.approx(1e-10)  # a zero, below all others
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [
        "lstm (LSTM): vanishes",
        "rnn (SimpleRNN): dead at the first step",
        "gru (GRU): healthy",
    ]
    assert [patch.get_width() for patch in bars.patches][:2] == [0.25, 0.5]
    assert [tick.get_text() for tick in bars.get_yticklabels()] == ["lstm  input", "lstm  forget", "gru  reset"]
    assert [text.get_text() for text in bars.texts] == ["25 %", "50 %", "?"]


def test_a_report_without_gates_or_layers(figures, tmp_path):
    plot_gradient_report(SimpleNamespace(layers=[layer("rnn", "SimpleRNN", np.zeros(3))]), tmp_path / "g.png")
    assert len(figures[0].axes) == 2
    with pytest.raises(ShapeError, match="no recurrent layer"):
        plot_gradient_report(SimpleNamespace(layers=[]), tmp_path / "g.png")


def test_pyplot_is_left_alone(tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    import matplotlib

    backend = dict.get(matplotlib.rcParams, "backend")
    plot_history(HISTORY, tmp_path / "h.png")
    assert ("matplotlib.pyplot" in sys.modules) == loaded
    assert dict.get(matplotlib.rcParams, "backend") == backend


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(RnnrtError, match=r"pip install \"rnnrt\[bench\]\""):
        plot_history(HISTORY, tmp_path / "h.png")
