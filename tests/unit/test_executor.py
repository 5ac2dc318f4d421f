"""The executor's own behaviour: jumps, fallbacks, errors, denormals."""

import numpy as np
import pytest

from rnnrt._kernels import program

F32 = np.dtype("float32")
BOOL = np.dtype("bool")
ISAS = program.available_isas()
TWO = [(F32, (2,))]


def kernel(name, inputs, outputs):
    return ("kernel", name, inputs, outputs, (), (), 0, 0)


@pytest.mark.parametrize("isa", ISAS)
def test_branch_takes_one_side(isa):
    tensors = [
        (BOOL, (), "input", 0),
        (F32, (2,), "const", np.array([1, 2], F32)),
        (F32, (2,), "const", np.array([3, 4], F32)),
        (F32, (2,), "output", 0),
    ]
    code = [
        ("branch", None, [0], [], (), (), 0, 3),
        kernel("identity", [1], [3]),
        ("jump", None, [], [], (), (), 0, 4),
        kernel("identity", [2], [3]),
    ]
    executor = program.Executor(isa, tensors, code, 0, [(BOOL, ())], [(F32, (2,))])
    assert executor.run([np.array(True)])[0].tolist() == [1, 2]
    assert executor.run([np.array(False)])[0].tolist() == [3, 4]


def host(function, inputs, outputs):
    return ("host", function, inputs, outputs, (), (), 0, 0)


def test_a_fallback_that_raises_leaves_the_executor_usable():
    def flaky(arrays):
        if arrays[0][0] < 0:
            raise ValueError("negative")
        return [arrays[0] + 1]

    tensors = [(F32, (2,), "input", 0), (F32, (2,), "output", 0)]
    executor = program.Executor("base", tensors, [host(flaky, [0], [1])], 0, TWO, TWO)
    with pytest.raises(ValueError, match="negative"):
        executor.run([np.array([-1, 0], F32)])
    assert executor.run([np.array([1, 2], F32)])[0].tolist() == [2, 3]


def test_a_run_inside_a_run():
    tensors = [(F32, (2,), "input", 0), (F32, (2,), "output", 0)]
    inner = program.Executor("base", tensors, [kernel("identity", [0], [1])], 0, TWO, TWO)
    outer = program.Executor("base", tensors, [host(lambda a: [inner.run([a[0] * 2])[0] + 1], [0], [1])], 0, TWO, TWO)
    inner.threads = outer.threads = 2
    for _ in range(3):
        assert outer.run([np.array([1, 2], F32)])[0].tolist() == [3, 5]


def test_a_fallback_of_a_wrong_shape_is_refused():
    tensors = [(F32, (2,), "input", 0), (F32, (2,), "output", 0)]
    executor = program.Executor("base", tensors, [host(lambda a: [a[0][:1]], [0], [1])], 0, TWO, TWO)
    with pytest.raises(RuntimeError, match="shape"):
        executor.run([np.zeros(2, F32)])


def test_anything_but_the_planned_arrays_is_left_to_the_caller():
    tensors = [(F32, (2,), "input", 0), (F32, (2,), "output", 0)]
    executor = program.Executor("base", tensors, [kernel("identity", [0], [1])], 0, TWO, TWO)
    odd = np.frombuffer(b"\0" * 9, np.uint8)[1:].view(F32)
    for x in ([1, 2], np.zeros(3, F32), np.zeros(2), np.zeros((1, 2), F32), np.zeros(4, F32)[::2], odd):
        assert executor.run([x]) is None
    assert executor.run([]) is None
    assert executor.run([np.ones(2, F32)])[0].tolist() == [1, 1]


def test_unknown_kernel_is_named():
    with pytest.raises(LookupError, match="no_such"):
        program.Executor("base", [(F32, (1,), "input", 0)], [kernel("no_such", [0], [0])], 0, [], [])


def test_the_callers_denormals_survive():
    tiny = np.array([1e-40], F32)
    tensors = [(F32, (1,), "input", 0), (F32, (1,), "output", 0)]
    program.Executor("base", tensors, [kernel("identity", [0], [1])], 0, [(F32, (1,))], [(F32, (1,))]).run([tiny])
    assert (tiny * np.float32(0.5))[0] > 0


@pytest.mark.parametrize("size", [1, 63, 1000])
def test_aligned_empty(size):
    block = program.aligned_empty(size)
    assert block.size == size
    assert block.ctypes.data % 64 == 0
