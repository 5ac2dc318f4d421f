"""Builds the compiled kernels: each file under isa/ once per instruction set, all linked into one extension."""

from __future__ import annotations

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

SOURCES = Path("src_pyx/rnnrt/_kernels")
DEBUG = os.environ.get("RNNRT_DEBUG") == "1"
X86 = platform.machine().lower() in {"x86_64", "amd64"}
ISA_FLAGS = {
    "base": ["-march=x86-64-v2"] if X86 else [],
    **(
        {
            "avx2": ["-mavx2", "-mfma", "-mbmi2"],
            "avx512": [
                "-mavx2", "-mfma", "-mbmi2", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl",
                "-mprefer-vector-width=512",
            ],
        }
        if X86
        else {}
    ),
}  # fmt: skip
# No -ffast-math: results must not depend on what the compiler finds convenient. These three keep IEEE results.
COMMON = ["-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wno-unused-function", "-Wno-psabi"]
# Under the sanitizers the largest tiles take many minutes at -O3, or with the checks that come with every load.
SANITIZE = (
    "-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=null,alignment,object-size,pointer-overflow"
).split() if DEBUG else []  # fmt: skip
OPTIMISE = "-O1" if DEBUG else "-O3"
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "cdivision": True,
    "initializedcheck": DEBUG,
    "embedsignature": True,
    "freethreading_compatible": False,
}


def up_to_date(done: Path) -> bool:
    """Whether an object is newer than this file and all that it was compiled from, by the list the compiler left."""
    listed = done.with_suffix(".d")
    if not (done.exists() and listed.exists()):
        return False
    sources = [*listed.read_text().replace("\\\n", " ").split(":", 1)[1].split(), __file__]
    return all(os.path.exists(p) and os.path.getmtime(p) < done.stat().st_mtime for p in sources)


class BuildKernels(build_ext):
    """Compiles isa/*.c with the flags of each instruction set; module-init code gets none of them."""

    def build_extension(self, ext: Extension) -> None:
        """Add the per-instruction-set objects to the module that runs them, then build it."""
        if ext is not program:
            super().build_extension(ext)
            return

        def compile_isa(job: tuple[str, Path]) -> list[str]:
            isa, source = job
            folder = Path(self.build_temp) / (isa + ("-debug" if DEBUG else ""))
            done = folder / source.with_suffix(".o")
            if not self.force and up_to_date(done):
                return [str(done)]
            return self.compiler.compile(
                [str(source)],
                output_dir=str(folder),
                macros=[("RN_ISA", isa)],
                extra_postargs=[*COMMON, OPTIMISE, *SANITIZE, *ISA_FLAGS[isa], "-MMD"],
            )

        jobs = [(isa, source) for isa in ISA_FLAGS for source in sorted((SOURCES / "isa").glob("*.c"))]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            ext.extra_objects = [obj for objs in pool.map(compile_isa, jobs) for obj in objs]
        super().build_extension(ext)


class SourceTrees(sdist):
    """A source distribution with all that a checkout has: kernels, tests, tools and documents."""

    TREES = ("src_pyx", "tests", "tools", "docs", ".ci")
    FILES = ("CHANGELOG.md", "CONTRIBUTING.md", ".pre-commit-config.yaml")

    def make_distribution(self) -> None:
        """Add the trees to what setuptools finds by itself, and drop what Cython generates."""
        found = set(self.filelist.files) | {name for name in self.FILES if Path(name).exists()}
        for tree in self.TREES:
            found.update(str(p) for p in Path(tree).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        self.filelist.files = sorted(found - {str(SOURCES / name) for name in ("program.c", "stepper.c")})
        super().make_distribution()


def extension(name: str, *sources: str) -> Extension:
    """A compiled module of rnnrt._kernels."""
    return Extension(
        f"rnnrt._kernels.{name}",
        [str(SOURCES / source) for source in sources],
        include_dirs=[str(SOURCES), str(SOURCES / "isa"), np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"), *([("RN_X86", "1")] if X86 else [])],
        extra_compile_args=["-std=gnu11", "-O2", *SANITIZE],
        extra_link_args=SANITIZE,
        libraries=["m", "pthread"],
        depends=[str(p) for p in [*(SOURCES / "isa").iterdir(), *SOURCES.glob("*.h")]],
    )


modules = cythonize(
    [extension("program", "program.pyx", "pool.c"), extension("stepper", "stepper.pyx")],
    include_path=["src_pyx"],
    compiler_directives=DIRECTIVES,
)
program = modules[0]

setup(ext_modules=modules, cmdclass={"build_ext": BuildKernels, "sdist": SourceTrees})
