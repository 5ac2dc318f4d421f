"""The recipes with sound do what onnxruntime does in the same loop, clean noisy speech, and find speech."""

from __future__ import annotations

import importlib
import re
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rnnrt import RnnrtError
from tests.recipes.voices import RATE, voice, with_noise
from tests.support import shared_dir

FOLDER = Path(__file__).resolve().parents[2] / "docs/recipes"
SILERO = ["silero_vad_16k_op15.onnx", "silero_vad_openvino_16k.onnx"]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a recipe by its name, as Python does that runs it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("sound", "denoise", "speech"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module


@pytest.fixture(scope="module", params=["espeak", "synthetic"])
def speech(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return voice(request.param, tmp_path_factory.mktemp("spoken"))


def dtln() -> tuple[str, str]:
    pytest.importorskip("onnx")
    folder = shared_dir("models", "dtln")
    return str(folder / "model_1.onnx"), str(folder / "model_2.onnx")


def silero(name: str) -> str:
    pytest.importorskip("onnx")
    return str(shared_dir("models", "silero-vad") / name)


def by_onnxruntime(path: str, **constants: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A network whose second output of one call is its second input of the next."""
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    data, state, *others = session.get_inputs()
    feeds = {state.name: np.zeros([d if isinstance(d, int) else 1 for d in state.shape], np.float32)}
    feeds.update({i.name: constants[i.name] for i in others})

    def step(x: np.ndarray) -> np.ndarray:
        y, feeds[state.name] = session.run(None, {**feeds, data.name: x.astype(np.float32)})
        return y

    return step


def overlapped(noisy: np.ndarray, mask: Callable, clean: Callable) -> np.ndarray:
    """DTLN's paper as it is written, in float64: magnitude and phase apart, all blocks added where they lie."""
    given = np.concatenate([np.zeros(384), noisy, np.zeros(384 + -len(noisy) % 128)])
    total = np.zeros(len(given))
    for at in range(0, len(given) - 511, 128):
        spectrum = np.fft.rfft(given[at : at + 512])
        magnitude, phase = np.abs(spectrum), np.angle(spectrum)
        estimate = magnitude * mask(magnitude[None, None])[0, 0] * np.exp(1j * phase)
        total[at : at + 512] += clean(np.fft.irfft(estimate)[None, None])[0, 0]
    return total[384 : 384 + len(noisy)]


def snr(clean: np.ndarray, heard: np.ndarray) -> float:
    """Decibels of the signal over what was added to it."""
    return float(10 * np.log10(np.sum(clean.astype(np.float64) ** 2) / np.sum((heard - clean).astype(np.float64) ** 2)))


def test_the_denoiser_equals_onnxruntime(recipe: Callable, speech: np.ndarray) -> None:
    files = dtln()
    noisy = with_noise(speech, 5)[: 2 * RATE + 77]
    denoise = recipe("denoise")
    got, seconds = denoise.denoised(denoise.Denoiser.load(*files), noisy)
    want = overlapped(noisy, *(by_onnxruntime(path) for path in files))
    assert got.shape == noisy.shape and len(seconds) == 254
    for k in range(0, len(noisy), 128):
        np.testing.assert_allclose(got[k : k + 128], want[k : k + 128], rtol=0, atol=1e-4, err_msg=f"block {k // 128}")
    assert np.abs(want).max() > 0.05


def test_the_denoiser_removes_noise(recipe: Callable, speech: np.ndarray) -> None:
    files = dtln()
    noisy = with_noise(speech, 5)
    assert snr(speech, noisy) == pytest.approx(5, abs=0.01)
    denoise = recipe("denoise")
    clean, _ = denoise.denoised(denoise.Denoiser.load(*files), noisy)
    assert snr(speech, clean) > 10


def test_denoising_a_file(recipe: Callable, speech: np.ndarray, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    model_1, model_2 = dtln()
    sound, denoise = recipe("sound"), recipe("denoise")
    noisy = with_noise(speech[:RATE], 5)
    sound.write_wav(tmp_path / "noisy.wav", noisy)
    names = [str(tmp_path / name) for name in ("noisy.wav", "clean.wav")]
    options = ["--model1", model_1, "--model2", model_2, "--plot", str(tmp_path / "plot.png")]
    monkeypatch.setattr(sys, "argv", ["denoise.py", *names, *options])
    denoise.main()
    assert re.match(r"128 blocks of 8 ms: real-time factor 0\.\d+, a block takes \d+ us", capsys.readouterr().out)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    want, _ = denoise.denoised(denoise.Denoiser.load(model_1, model_2), sound.read_wav(names[0]))
    np.testing.assert_allclose(sound.read_wav(names[1]), want, rtol=0, atol=1 / 32768)
    monkeypatch.setattr(sys, "argv", ["denoise.py", str(tmp_path / "none.wav"), names[1], *options])
    with pytest.raises(SystemExit):
        denoise.main()
    assert "none.wav: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", SILERO)
def test_the_marker_equals_onnxruntime(recipe: Callable, speech: np.ndarray, name: str) -> None:
    path = silero(name)
    marking = recipe("speech")
    got, _ = marking.marked(marking.SpeechMarker.load(path), speech)
    network = by_onnxruntime(path, sr=np.array(RATE))
    padded = np.concatenate([np.zeros(64), speech, np.zeros(-len(speech) % 512)])
    want = [network(padded[None, at : at + 576])[0, 0] for at in range(0, len(padded) - 575, 512)]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
    assert max(want) > 0.9 and min(want) < 0.2


@pytest.mark.parametrize("name", SILERO)
def test_the_marker_finds_speech(recipe: Callable, speech: np.ndarray, name: str) -> None:
    marking = recipe("speech")
    pause = np.zeros(2 * RATE, np.float32)
    sound = np.concatenate([pause, speech, pause, speech, pause])
    noise = 0.003 * np.random.default_rng(0).standard_normal(len(sound)).astype(np.float32)
    probabilities, _ = marking.marked(marking.SpeechMarker.load(silero(name)), sound + noise)
    found = marking.segments(probabilities, pause=1.0)
    long = len(speech) / RATE
    assert len(found) == 2
    for (start, stop), begin in zip(found, (2, 4 + long), strict=True):
        assert start == pytest.approx(begin, abs=0.4) and stop == pytest.approx(begin + long, abs=0.6)


def test_marking_a_file(recipe: Callable, speech: np.ndarray, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    sound, marking = recipe("sound"), recipe("speech")
    sound.write_wav(tmp_path / "a.wav", np.concatenate([np.zeros(RATE), speech, np.zeros(RATE)]))
    options = ["--model", silero(SILERO[0]), "--plot", str(tmp_path / "plot.png")]
    monkeypatch.setattr(sys, "argv", ["speech.py", str(tmp_path / "a.wav"), *options])
    marking.main()
    *told, times = capsys.readouterr().out.splitlines()
    assert told and all(re.fullmatch(r"speech from \d\.\d\d to \d\.\d\d s", line) for line in told)
    assert float(told[0].split()[2]) == pytest.approx(1, abs=0.4)
    assert "blocks of 32 ms: real-time factor 0.0" in times
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["denoise", "speech"])
def test_the_pages_show_the_recipes_as_they_are(name: str) -> None:
    page, source = (FOLDER / f"{name}.md").read_text(), (FOLDER / f"{name}.py").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown in source
    (command,) = re.findall(r"```sh\npython (.*?)\n```", page)
    assert command.split()[0] == f"{name}.py"
    assert {word for word in command.split() if word.startswith("--")} <= set(re.findall(r'"(--\w+)"', source))
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (FOLDER / target).exists(), target


def test_the_benchmark_compares_before_it_measures() -> None:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    script = FOLDER.parents[1] / "tools/bench/audio.py"
    command = [sys.executable, str(script), str(shared_dir("models", "dtln").parent), "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "agree block by block" in " ".join(done.stdout.split())


def test_segments(recipe: Callable) -> None:
    segments = recipe("speech").segments
    p = np.zeros(100)
    p[10:30] = 0.9
    p[20:22] = 0.1  # too short a pause
    p[40:60] = 0.4  # never begins
    p[70:74] = 0.9  # too short
    p[85:] = [0.6, *[0.4] * 14]  # lasts to the end
    assert segments(p) == [(10 * 0.032, 30 * 0.032), (85 * 0.032, 100 * 0.032)]
    assert segments(np.zeros(0)) == []
    assert len(segments(p, pause=0.05)) == 3


def float_wav(samples: np.ndarray) -> bytes:
    """A WAV of float32, written out."""
    data = samples.astype("<f4").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, RATE, 4 * RATE, 4, 32)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def test_wav_files(recipe: Callable, tmp_path: Path) -> None:
    sound = recipe("sound")
    path = tmp_path / "a.wav"
    samples = np.array([0, 0.5, -0.25, -1, 3 / 32768])
    sound.write_wav(path, samples)
    np.testing.assert_array_equal(sound.read_wav(path), samples.astype(np.float32))
    sound.write_wav(path, np.array([2.0, -2.0]))
    np.testing.assert_array_equal(sound.read_wav(path), np.array([32767 / 32768, -1], np.float32))
    path.write_bytes(float_wav(samples / 3))
    np.testing.assert_array_equal(sound.read_wav(path), (samples / 3).astype(np.float32))


def other_wav(channels: int, width: int, rate: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(width)
            file.setframerate(rate)
            file.writeframes(bytes(channels * width * 10))

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_bytes(b"nothing"), "no WAV file"),
        (lambda path: path.write_bytes(float_wav(np.ones(5))[:30]), "no WAV file"),
        (lambda path: path.write_bytes(float_wav(np.array([np.nan]))), "no numbers"),
        (lambda path: path.write_bytes(float_wav(np.zeros(0))), "no samples"),
        (other_wav(2, 2, RATE), "2 channels at 16000 Hz, 16 bits whole.*-ac 1 -ar 16000"),
        (other_wav(1, 2, 44100), "1 channels at 44100 Hz"),
        (other_wav(1, 3, RATE), "24 bits"),
        (other_wav(1, 4, RATE), "32 bits whole"),
    ],
)
def test_other_files_are_refused(recipe: Callable, tmp_path: Path, write: Callable, message: str) -> None:
    write(tmp_path / "a.wav")
    with pytest.raises(RnnrtError, match=message):
        recipe("sound").read_wav(tmp_path / "a.wav")
