"""What the recipes with sound share: WAV files, and how long the work on each block took."""

import io
import wave
from pathlib import Path

import numpy as np

from rnnrt import RnnrtError

RATE = 16000
"""Samples a second that the networks were trained with."""


def read_wav(path: str | Path) -> np.ndarray:
    """Samples (n,) in float32 between -1 and 1, of a file with one channel at 16 kHz, of 16 bits or float32.

    Raises
    ------
    RnnrtError
        The file is missing or damaged, or of another kind.
    """
    try:
        data = bytearray(Path(path).read_bytes())
    except OSError as error:
        raise RnnrtError(f"{path}: {error.strerror}; give a WAV file") from None
    # The module wave takes whole numbers only. Samples in float lie in the file as whole numbers of 32 bits would.
    tag = data.find(b"fmt ") + 8
    is_float = data[tag : tag + 2] == b"\x03\x00"
    if is_float:
        data[tag : tag + 2] = b"\x01\x00"
    try:
        with wave.open(io.BytesIO(data)) as file:
            kind = file.getnchannels(), file.getframerate(), file.getsampwidth()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise RnnrtError(f"{path}: no WAV file of 16 bits or float32 ({error or 'it ends too early'})") from None
    if kind != (1, RATE, 4 if is_float else 2):
        raise RnnrtError(
            f"{path}: {kind[0]} channels at {kind[1]} Hz, {8 * kind[2]} bits {'float' if is_float else 'whole'}; "
            f"needed is one at {RATE} Hz, 16 bits or float32: ffmpeg -i {path} -ac 1 -ar {RATE} -c:a pcm_s16le out.wav"
        )
    if is_float:
        samples = np.frombuffer(frames, "<f4").astype(np.float32)
    else:
        samples = np.frombuffer(frames, "<i2").astype(np.float32) / 32768
    if not len(samples) or not np.isfinite(samples).all():
        raise RnnrtError(f"{path}: holds no samples, or such as are no numbers; give a file with sound")
    return samples


def write_wav(path: str | Path, samples: np.ndarray) -> None:
    """Write samples (n,) between -1 and 1 as one channel of 16 bits at 16 kHz; what is louder is cut off."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())


def told_times(seconds: np.ndarray, block_seconds: float) -> str:
    """A line about blocks of sound that last `block_seconds` each and took `seconds` (n,) to work on."""
    p50, p99 = np.percentile(seconds, (50, 99)) * 1e6
    return (
        f"{len(seconds)} blocks of {block_seconds * 1e3:g} ms: real-time factor {seconds.mean() / block_seconds:.4f}, "
        f"a block takes {p50:.0f} us (p50), {p99:.0f} us (p99)"
    )
