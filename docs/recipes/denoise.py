"""Remove noise from speech in a WAV file with the two networks of DTLN, block by block as a live program does.

python denoise.py noisy.wav clean.wav --model1 model_1.onnx --model2 model_2.onnx [--plot spectrograms.png]
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from sound import RATE, read_wav, told_times, write_wav

import rnnrt

BLOCK, SHIFT = 512, 128
Network = Callable[[np.ndarray], np.ndarray]


class Denoiser:
    """Takes 128 samples a call and gives 128 clean ones, which lie 384 samples (24 ms) further back.

    Parameters
    ----------
    mask : callable
        The first network: magnitudes (1, 1, 257) to a mask of that shape. It keeps its states between calls.
    clean : callable
        The second one: samples (1, 1, 512) to such samples. It keeps its states between calls.
    """

    def __init__(self, mask: Network, clean: Network) -> None:
        self.mask, self.clean = mask, clean
        self.heard = np.zeros(BLOCK, np.float32)
        self.total = np.zeros(BLOCK, np.float32)
        self.magnitude = np.zeros((1, 1, BLOCK // 2 + 1), np.float32)
        self.block = np.zeros((1, 1, BLOCK), np.float32)

    @classmethod
    def load(cls, model_1: str, model_2: str, threads: int = 1) -> "Denoiser":
        """From the files of the networks."""
        streams = [rnnrt.load(path, threads=threads).stream() for path in (model_1, model_2)]
        denoiser = cls(*(stream.step for stream in streams))
        denoiser(np.zeros(SHIFT))  # a stream makes its plan at the first step, which is no work for a live block
        for stream in streams:
            stream.reset()
        denoiser.total[:] = 0
        return denoiser

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        heard, total = self.heard, self.total
        heard[:-SHIFT] = heard[SHIFT:]
        heard[-SHIFT:] = samples
        spectrum = np.fft.rfft(heard)
        np.abs(spectrum, out=self.magnitude[0, 0])
        # A mask on the magnitude alone is a factor of the spectrum: the phase stays.
        spectrum *= self.mask(self.magnitude)[0, 0]
        self.block[0, 0] = np.fft.irfft(spectrum)
        total[:-SHIFT] = total[SHIFT:]
        total[-SHIFT:] = 0
        total += self.clean(self.block)[0, 0]
        return total[:SHIFT].copy()


def denoised(denoiser: Denoiser, noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A whole signal (n,), block by block: the clean signal (n,), and the seconds of each block."""
    delay = BLOCK - SHIFT
    blocks = -(-(len(noisy) + delay) // SHIFT)
    given = np.zeros(blocks * SHIFT, np.float32)
    given[: len(noisy)] = noisy
    clean, seconds = np.empty_like(given), np.empty(blocks)
    for k in range(blocks):
        part = slice(k * SHIFT, (k + 1) * SHIFT)
        start = time.perf_counter()
        clean[part] = denoiser(given[part])
        seconds[k] = time.perf_counter() - start
    return clean[delay : delay + len(noisy)], seconds


def draw(path: str, noisy: np.ndarray, clean: np.ndarray) -> None:
    """The spectrograms before and after."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    colors = plt.get_cmap("viridis", 12)
    look = {"NFFT": BLOCK, "Fs": RATE, "noverlap": BLOCK // 4, "vmin": -115, "vmax": -35, "cmap": colors}
    for axis, samples, title in zip(axes, (noisy, clean), ("before", "after"), strict=True):
        shown = axis.specgram(samples + 1e-9, **look, interpolation="nearest")[3]
        axis.set(title=title, ylabel="Hz")
    axes[1].set_xlabel("seconds")
    figure.colorbar(shown, ax=axes, label="dB")
    figure.savefig(path, dpi=72)
    plt.close(figure)


def main() -> None:
    """Read, clean, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("noisy", help="WAV, 16 kHz, one channel")
    parser.add_argument("clean", help="WAV to write")
    parser.add_argument("--model1", required=True, help="model_1.onnx of DTLN")
    parser.add_argument("--model2", required=True, help="model_2.onnx of DTLN")
    parser.add_argument("--plot", help="PNG for the spectrograms before and after")
    arguments = parser.parse_args()
    try:
        noisy = read_wav(arguments.noisy)
        clean, seconds = denoised(Denoiser.load(arguments.model1, arguments.model2), noisy)
    except rnnrt.RnnrtError as error:
        parser.error(str(error))
    write_wav(arguments.clean, clean)
    print(told_times(seconds, SHIFT / RATE))
    if arguments.plot:
        draw(arguments.plot, noisy, clean)


if __name__ == "__main__":
    main()
