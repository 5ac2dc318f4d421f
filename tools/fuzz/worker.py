"""The process in which files are tried, seen from outside: what kills it is a finding like any other."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from fuzz.trial import RUNNING, SECONDS

GRACE = 5
"""Seconds beyond the limit, of the processor's time, before a process that cannot be interrupted is killed."""

IDLE = 20
"""How many times as long it may take by the clock: others may be using the machine."""
_TOOLS = Path(__file__).resolve().parents[1]
_START = 60
_TAIL = 6000
_CASES = 400
"""Cases that a process tries before another takes its place, so that what one leaves does not add up."""


class Worker:
    """A subprocess that tries one file after another; a new one takes the place of one that dies.

    Parameters
    ----------
    seconds : int
        What reading a file may take, of the processor's time.
    program : sequence of str
        What the interpreter is given to run; it speaks as `fuzz.trial` does.
    """

    def __init__(self, seconds: int = SECONDS, program: Sequence[str] = ("-m", "fuzz.trial")) -> None:
        self._seconds, self._program = seconds, program
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed in `__exit__`
        self._tried = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._errors.close()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._ended(self._process)

    def try_file(self, path: Path, seed: int) -> dict[str, Any]:
        """What `fuzz.trial.try_file` says, or the outcome "crash" or "hang"."""
        self._tried += 1
        if self._tried % _CASES == 0:
            self.stop()
        process = self._process or self._start()
        assert process.stdin is not None
        phase = "load"
        with contextlib.suppress(BrokenPipeError):  # it has died meanwhile, which shows next
            process.stdin.write(f"{path}\t{seed}\n".encode())
            process.stdin.flush()
        line = _line(process, self._seconds + GRACE)
        if line == RUNNING:
            phase = "run"
            line = _line(process, self._seconds + GRACE)
        if line is None:
            self.stop()
            return {"outcome": "hang", "phase": phase, "where": "cannot be interrupted"}
        if not line:
            text = self._ended(process)
            name = signal.Signals(-process.returncode).name if process.returncode < 0 else str(process.returncode)
            where = [part.strip() for part in text.splitlines() if "/rnnrt/" in part]
            return {"outcome": "crash", "phase": phase, "where": " ".join([name, *where[:2]]), "traceback": text}
        return dict(json.loads(line))

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        """What a process that has ended, or is about to, has said in the end."""
        process.communicate()
        self._process = None
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(size - _TAIL, 0))
        text = self._errors.read().decode(errors="replace")
        self._errors.seek(0)
        self._errors.truncate()
        return text

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(_TOOLS), str(_TOOLS.parent), os.environ.get("PYTHONPATH", "")])
        threads = {"OPENBLAS_NUM_THREADS": "1", "RNNRT_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        self._process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", *self._program, str(self._seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            env={**os.environ, **threads, "PYTHONPATH": path},
        )  # fmt: skip
        if _line(self._process, _START) != b"ready\n":
            raise RuntimeError(f"the process that tries files does not start:\n{self._ended(self._process)}")
        return self._process


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """A line of the process's output; empty when it has ended, None when the time is up."""
    assert process.stdout is not None
    end, data = time.monotonic() + IDLE * seconds, b""
    used = _processor_seconds(process.pid)
    while not data.endswith(b"\n"):
        if not select.select([process.stdout], [], [], 0.5)[0]:
            if time.monotonic() > end or _processor_seconds(process.pid) - used > seconds:
                return None
            continue
        part = os.read(process.stdout.fileno(), 1)  # lines are few and short, and the next one must stay
        if not part:
            return b""
        data += part
    return data


def _processor_seconds(pid: int) -> float:
    """The time that a process has had a processor, as Linux tells it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
