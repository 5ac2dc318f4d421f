"""The type stub of the compiled module names what the module has, and nothing else."""

import ast
import inspect
from pathlib import Path

import rnnrt._kernels
from rnnrt._kernels import program

STUB = Path(rnnrt._kernels.__file__).with_name("program.pyi")


def _public(names):
    return {name for name in names if not name.startswith("_")}


def _defined(body):
    names = set()
    for item in body:
        if isinstance(item, ast.FunctionDef | ast.ClassDef):
            names.add(item.name)
        elif isinstance(item, ast.AnnAssign):
            names.add(item.target.id)
    return names


def test_stub_and_module_have_the_same_names():
    module = {name for name, value in vars(program).items() if not inspect.ismodule(value)}
    assert _public(_defined(ast.parse(STUB.read_text()).body)) == _public(module)


def test_stub_and_classes_have_the_same_members():
    for item in ast.parse(STUB.read_text()).body:
        if isinstance(item, ast.ClassDef) and item.name == "Executor":
            assert _public(_defined(item.body)) == _public(vars(program.Executor))
            break
    else:
        raise AssertionError("no Executor in the stub")
