"""Mark where there is speech in a WAV file with silero's network, window by window as a live program does.

python speech.py sound.wav --model silero_vad_16k_op15.onnx [--plot speech.png]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from sound import RATE, read_wav, told_times

import rnnrt

WINDOW, CONTEXT = 512, 64
Network = Callable[[np.ndarray], np.ndarray]


class SpeechMarker:
    """Takes 512 samples (32 ms) a call and gives the probability that there is speech in them.

    Parameters
    ----------
    network : callable
        Samples (1, 576) to the probability (1, 1): the last 64 of the window before, and 512 new ones. It keeps its
        states between calls.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.samples = np.zeros((1, CONTEXT + WINDOW), np.float32)

    @classmethod
    def load(cls, path: str, threads: int = 1) -> "SpeechMarker":
        """From the network's file; one that takes the sampling rate as its input `sr` is told 16 kHz."""
        model = rnnrt.load(path, threads=threads)
        if "sr" in [info.name for info in model.inputs]:
            model = rnnrt.load(path, threads=threads, constants={"sr": RATE})
        stream = model.stream()
        marker = cls(stream.step)
        marker(np.zeros(WINDOW))  # a stream makes its plan at the first step, which is no work for a live window
        stream.reset()
        return marker

    def __call__(self, window: np.ndarray) -> float:
        samples = self.samples
        samples[0, :CONTEXT] = samples[0, -CONTEXT:]
        samples[0, CONTEXT:] = window
        return float(self.network(samples)[0, 0])


def marked(marker: SpeechMarker, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of speech in each window of a signal (n,), and the seconds that each took."""
    windows = -(-len(samples) // WINDOW)
    given = np.zeros((windows, WINDOW), np.float32)
    given.reshape(-1)[: len(samples)] = samples
    probabilities, seconds = np.empty(windows), np.empty(windows)
    for k, window in enumerate(given):
        start = time.perf_counter()
        probabilities[k] = marker(window)
        seconds[k] = time.perf_counter() - start
    return probabilities, seconds


def segments(
    probabilities: np.ndarray, begin: float = 0.5, end: float = 0.35, speech: float = 0.25, pause: float = 0.1
) -> list[tuple[float, float]]:
    """Where speech begins and ends, in seconds.

    Speech begins in the first window whose probability is `begin` or more, and ends where it has been below `end` for
    `pause` seconds. What lasts less than `speech` seconds is left out.
    """
    length = WINDOW / RATE
    found: list[tuple[float, float]] = []
    first = last = -1
    for k, probability in enumerate([*probabilities, *[0.0] * int(pause / length + 2)]):
        if first < 0 and probability >= begin:
            first = k
        if first >= 0 and probability >= end:
            last = k
        elif first >= 0 and (k - last) * length >= pause:
            if (last + 1 - first) * length >= speech:
                found.append((first * length, (last + 1) * length))
            first = -1
    return found


def draw(path: str, samples: np.ndarray, probabilities: np.ndarray) -> None:
    """The samples, and the probability of speech below them."""
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4), sharex=True, layout="constrained")
    above.plot(np.arange(len(samples)) / RATE, samples, linewidth=0.4)
    above.set_ylabel("sample")
    below.stairs(probabilities, np.arange(len(probabilities) + 1) * WINDOW / RATE)
    for start, stop in segments(probabilities):
        for axis in (above, below):
            axis.axvspan(start, stop, alpha=0.2)
    below.set(xlabel="seconds", ylabel="probability of speech", ylim=(0, 1.02))
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Read, mark, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sound", help="WAV, 16 kHz, one channel")
    parser.add_argument("--model", required=True, help="silero's network for 16 kHz, in ONNX")
    parser.add_argument("--plot", help="PNG for the samples and the probability")
    arguments = parser.parse_args()
    try:
        samples = read_wav(arguments.sound)
        probabilities, seconds = marked(SpeechMarker.load(arguments.model), samples)
    except rnnrt.RnnrtError as error:
        parser.error(str(error))
    for start, stop in segments(probabilities):
        print(f"speech from {start:.2f} to {stop:.2f} s")
    print(told_times(seconds, WINDOW / RATE))
    if arguments.plot:
        draw(arguments.plot, samples, probabilities)


if __name__ == "__main__":
    main()
