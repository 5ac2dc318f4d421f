"""The type stubs of the compiled modules name what the modules have, and nothing else."""

import ast
import inspect
from pathlib import Path

import pytest

import rnnrt._kernels
from rnnrt._kernels import program, stepper

MODULES = [pytest.param(module, id=module.__name__) for module in (program, stepper)]


def _stub(module):
    name = module.__name__.rpartition(".")[2]
    return ast.parse(Path(rnnrt._kernels.__file__).with_name(f"{name}.pyi").read_text()).body


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


@pytest.mark.parametrize("module", MODULES)
def test_stub_and_module_have_the_same_names(module):
    names = {
        name
        for name, value in vars(module).items()
        if not inspect.ismodule(value) and getattr(value, "__module__", module.__name__) == module.__name__
    }
    assert _public(_defined(_stub(module))) == _public(names)


@pytest.mark.parametrize("module", MODULES)
def test_stub_and_compiled_classes_have_the_same_members(module):
    classes = [item for item in _stub(module) if isinstance(item, ast.ClassDef) and not _is_error(module, item.name)]
    assert classes
    for item in classes:
        assert _public(_defined(item.body)) == _public(vars(getattr(module, item.name)))


def _is_error(module, name):
    return issubclass(getattr(module, name), Exception)
