"""The threads of the kernels under ThreadSanitizer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "src_pyx" / "rnnrt" / "_kernels"
SECONDS = float(os.environ.get("RNNRT_STRESS_SECONDS", "2"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stress program; skips where the compiler has no ThreadSanitizer or it cannot run."""
    built = tmp_path_factory.mktemp("native") / "pool_stress"
    sources = [str(HERE / "pool_stress.c"), str(KERNELS / "pool.c")]
    flags = ["-O1", "-g", "-fsanitize=thread", f"-I{KERNELS}", f"-I{KERNELS / 'isa'}", "-pthread", "-o", str(built)]
    try:
        made = subprocess.run(
            [os.environ.get("CC", "cc"), *flags, *sources], capture_output=True, text=True, timeout=120
        )
    except FileNotFoundError:
        pytest.skip("there is no C compiler")
    if "tsan" in made.stderr or "sanitize" in made.stderr:
        pytest.skip(f"the compiler has no ThreadSanitizer: {made.stderr[-300:]}")
    assert not made.returncode, made.stderr
    tried = subprocess.run([built, "1", "0.05"], capture_output=True, text=True, timeout=60)
    if "FATAL: ThreadSanitizer" in tried.stderr:
        pytest.skip(f"ThreadSanitizer does not run here: {tried.stderr[-300:]}")
    return built


@pytest.mark.parametrize("callers", [1, 4])
def test_no_data_races_between_callers(program: Path, callers: int) -> None:
    ran = subprocess.run([program, str(callers), str(SECONDS)], capture_output=True, text=True, timeout=SECONDS + 120)
    assert ran.returncode == 0 and "WARNING: ThreadSanitizer" not in ran.stderr, ran.stdout + ran.stderr[:4000]
