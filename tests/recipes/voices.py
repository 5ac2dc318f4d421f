"""Speech to try recipes on: espeak-ng's where it is installed, and a synthesiser of a few lines."""

from __future__ import annotations

import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

RATE = 16000
SENTENCE = "The quick brown fox jumps over the lazy dog, and then it sleeps under the old oak tree."
VOWELS = np.array([[730, 1090, 2440], [270, 2290, 3010], [570, 840, 2410], [530, 1840, 2480], [300, 870, 2240]])
"""The first three formants of some vowels, in Hz (Peterson and Barney, 1952)."""


def voice(kind: str, folder: Path) -> np.ndarray:
    """Some seconds of speech at 16 kHz, 0.3 at its loudest; "espeak" skips the test where that is not installed."""
    if kind == "espeak" and not shutil.which("espeak-ng"):
        pytest.skip("espeak-ng is not installed")
    speech = spoken(folder) if kind == "espeak" else synthetic()
    return (0.3 * speech / np.abs(speech).max()).astype(np.float32)


def with_noise(speech: np.ndarray, decibels: float, seed: int = 0) -> np.ndarray:
    """White noise added so that speech has this ratio to it."""
    noise = np.random.default_rng(seed).standard_normal(len(speech))
    noise *= np.sqrt(np.mean(speech.astype(np.float64) ** 2) / np.mean(noise**2)) * 10 ** (-decibels / 20)
    return (speech + noise).astype(np.float32)


def spoken(folder: Path) -> np.ndarray:
    """A sentence of espeak-ng's."""
    path = folder / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", "en", "-w", str(path), SENTENCE], check=True, timeout=60)
    with wave.open(str(path)) as file:
        rate, data = file.getframerate(), file.readframes(file.getnframes())
    samples = np.frombuffer(data, "<i2").astype(np.float64)
    n = len(samples) * RATE // rate
    spectrum = np.fft.rfft(samples)[: n // 2 + 1]  # what is above 8 kHz goes
    return np.fft.irfft(spectrum, n)


def synthetic(seconds: float = 4.0, seed: int = 1) -> np.ndarray:
    """Syllables with a pitch that falls over a phrase, through three moving formants, with hiss between some."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    loud, hiss, pitch, formants = np.zeros(n), np.zeros(n), np.full(n, 120.0), np.zeros((n, 3))
    at, vowel, count = 0, VOWELS[0], 0
    while at < n:
        part = slice(at, at + int(rng.uniform(0.12, 0.28) * RATE))
        x = np.linspace(0, 1, len(loud[part]))[:, None]
        after = VOWELS[rng.integers(len(VOWELS))]
        formants[part] = vowel + (after - vowel) * np.clip(2.5 * x, 0, 1)
        loud[part] = np.sqrt(np.sin(np.pi * x[:, 0]).clip(0)) * rng.uniform(0.5, 1)
        pitch[part] *= (1 + 0.15 * np.sin(np.pi * x[:, 0])) * (1 - 0.08 * (count % 6) / 6)
        vowel, count, at = after, count + 1, part.stop
        rest = slice(at, at + int((0.2 if count % 6 == 0 else rng.uniform(0.05, 0.12) * (rng.random() < 0.5)) * RATE))
        formants[rest] = vowel
        if count % 6:
            hiss[rest] = np.sin(np.linspace(0, np.pi, len(hiss[rest])))
        at = rest.stop
    wobble = np.repeat(rng.standard_normal(n // 160 + 1), 160)[:n]
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.01 * wobble)) / RATE
    tone = np.zeros(n)
    for k in range(1, 60):
        f = k * pitch[:, None]
        response = np.prod(formants**2 / (formants**2 - f**2 + 1j * f * np.array([60, 90, 120])), axis=1)
        tone += np.abs(response) / k * np.sin(k * phase + np.angle(response)) * (f[:, 0] < 7000)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= np.exp(-(((np.fft.rfftfreq(n, 1 / RATE) - 5000) / 1500) ** 2))
    return tone / tone.std() * loud + 0.8 * np.fft.irfft(spectrum, n) * hiss
