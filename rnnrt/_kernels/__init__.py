"""Compiled kernels, and the executor that runs them."""

try:
    import rnnrt._kernels.program  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "rnnrt._kernels.program":
        raise
    raise ImportError(
        f"the compiled part of rnnrt is missing from {__path__[0]}. In a checkout, build it with `pip install -e .`, "
        "or start Python in another folder to use the rnnrt that is installed; elsewhere, install rnnrt again"
    ) from None
