"""The streaming step: an executor whose states stay in place from call to call.

All checks that can be made once are made once, so that a step costs little more than its kernels.
"""

from libc.stdint cimport int32_t

cimport cython
cimport numpy as cnp
from rnnrt._kernels.program cimport RN_OK, Executor, Frame, fits, frame_of, new_array
import numpy as np

cnp.import_array()

cdef enum:
    OUTPUTS = 16

MAX_OUTPUTS = OUTPUTS
"""How many outputs a stepper can give."""


class BusyError(RuntimeError):
    """Two threads used one stepper at the same time."""


@cython.final
cdef class Stepper:
    """One stream's states and the executor that advances them.

    Parameters
    ----------
    executor : Executor
        Of a plan with inputs x, states... and outputs results..., states... in the same order.
    x, outputs : (dtype, shape), sequence of (dtype, shape)
        As the caller sees them; with as many elements as the plan's.
    states : list of ndarray
        C-contiguous, of the plan's dtypes and shapes; the stepper owns them from now on.
    """

    cdef Executor executor
    cdef readonly list states
    cdef list spare
    cdef Frame x
    cdef Frame outputs[OUTPUTS]
    cdef int n_outputs
    cdef bint busy

    def __init__(self, Executor executor, x, outputs, list states):
        self.executor = executor
        self.x = frame_of(x[0], x[1])
        self.n_outputs = len(outputs)
        if self.n_outputs > OUTPUTS:
            raise ValueError(f"a stepper gives at most {MAX_OUTPUTS} outputs")
        if len(states) != executor.n_inputs - 1 or len(states) != executor.n_outputs - self.n_outputs:
            raise ValueError(f"the plan has {executor.n_inputs - 1} states, not {len(states)}")
        for k, item in enumerate(outputs):
            self.outputs[k] = frame_of(item[0], item[1])
        self.set_states(states)

    def set_states(self, list states):
        """Replace the states, which must have the dtypes and shapes of the old ones, after `acquire`."""
        self.states = list(states)
        self.spare = [np.empty_like(state) for state in states]

    def acquire(self):
        """Keep others out, while the states are used elsewhere. Raises BusyError where somebody is inside."""
        if self.busy:
            raise BusyError("the stream is in use by another thread")
        self.busy = True

    def release(self):
        """Let others in again; only after `acquire`."""
        self.busy = False

    def step(self, x):
        """Advance by one call.

        Parameters
        ----------
        x : ndarray
            Of exactly the dtype and shape declared, and C-contiguous; for anything else the result is None.

        Returns
        -------
        ndarray or tuple of ndarray

        Raises
        ------
        BusyError
            Another thread is inside.
        KernelError
            A kernel refused its operands; the states are as before.
        """
        return self._step(x, None)

    def step_into(self, x, tuple out):
        """As `step`, with memory for the results.

        Parameters
        ----------
        x : ndarray
        out : tuple of ndarray
            Where the results go, of exactly their dtypes and shapes, C-contiguous, writeable, apart from x and from
            each other; for other dtypes, shapes and layouts the result is None.
        """
        return self._step(x, out)

    cdef _step(self, x, tuple out):
        cdef int32_t at
        cdef int code
        if not fits(&self.x, x):
            return None
        if self.busy:
            raise BusyError("the stream is in use by another thread")
        self.busy = True
        try:
            results = self._results(out)
            if results is None:
                return None
            self._bind(<cnp.ndarray>x, results)
            with nogil:
                code = self.executor._walk(&at)
            if code != RN_OK:
                self.executor._refused(code, at)
            self.states, self.spare = self.spare, self.states
        finally:
            self.busy = False
        return results[0] if self.n_outputs == 1 else tuple(results)

    cdef list _results(self, tuple out):
        cdef Py_ssize_t k
        if out is None:
            return [new_array(&self.outputs[k]) for k in range(self.n_outputs)]
        if len(out) != self.n_outputs:
            return None
        for k in range(self.n_outputs):
            if not fits(&self.outputs[k], out[k]) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out[k]):
                return None
        return list(out)

    cdef _bind(self, cnp.ndarray x, list results):
        cdef Py_ssize_t k
        cdef int32_t position
        cdef cnp.ndarray array
        for k in range(self.executor.n_outside):
            position = self.executor.source[k]
            if position == 0:
                array = x
            elif position > 0:
                array = <cnp.ndarray>self.states[position - 1]
            elif ~position < self.n_outputs:
                array = <cnp.ndarray>results[~position]
            else:
                array = <cnp.ndarray>self.spare[~position - self.n_outputs]
            self.executor._bind_outside(k, array)
