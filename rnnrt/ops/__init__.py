"""Operators, one file per family. Importing this package registers all of them."""

from rnnrt.ops import cast, control, conv, create, dense, elementwise, indexing, norm, pool, recurrent, reduce, shape
from rnnrt.ops.base import (
    REQUIRED,
    KernelCall,
    LowerContext,
    Operator,
    TensorSpec,
    get_operator,
    is_known,
    operator_names,
    register,
)

__all__ = [
    "REQUIRED",
    "KernelCall",
    "LowerContext",
    "Operator",
    "TensorSpec",
    "cast",
    "control",
    "conv",
    "create",
    "dense",
    "elementwise",
    "get_operator",
    "indexing",
    "is_known",
    "norm",
    "operator_names",
    "pool",
    "recurrent",
    "reduce",
    "register",
    "shape",
]
