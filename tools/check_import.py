"""Measure what `import rnnrt` costs beside `import numpy`.

Both are timed in fresh interpreters, one after the other, many times; the figure is the ratio of the medians.

    python tools/check_import.py [--runs 31] [--limit 1.3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile

TIMED = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"


def seconds(module: str, folder: str) -> float:
    """Time of the import statement alone, in a new interpreter started in `folder`."""
    command = [sys.executable, "-c", TIMED.format(module=module)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout)


def main() -> int:
    """Print the medians and their ratio; 1 when the ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=31, help="pairs of imports")
    parser.add_argument("--limit", type=float, default=1.3, help="the largest ratio allowed")
    options = parser.parse_args()
    times: dict[str, list[float]] = {"numpy": [], "rnnrt": []}
    # An empty folder, so that a checkout in the current one does not stand in for the installed package.
    with tempfile.TemporaryDirectory() as folder:
        for module in times:
            seconds(module, folder)  # writes the bytecode, warms the file cache
        for _ in range(options.runs):
            for module, measured in times.items():
                measured.append(seconds(module, folder))
    numpy, rnnrt = (statistics.median(times[module]) for module in ("numpy", "rnnrt"))
    print(f"import numpy {numpy * 1e3:.1f} ms, import rnnrt {rnnrt * 1e3:.1f} ms, ratio {rnnrt / numpy:.2f}")
    if rnnrt > options.limit * numpy:
        print(f"more than {options.limit} times numpy's; `python -X importtime -c 'import rnnrt'` shows where")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
