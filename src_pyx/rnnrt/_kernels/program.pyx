"""The executor: one walk over a plan's instructions, without the GIL.

An `Executor` is a plan bound to its own arena: tensors have addresses, instructions have kernels. It serves one
caller at a time; the session keeps as many as there are concurrent callers.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

cimport cython
cimport numpy as cnp
import numpy as np

cnp.import_array()


cdef extern from "pool.h" nogil:
    int rn_begin_run(int limit)
    void rn_end_run(int before)
    int64_t rn_now()

cdef extern from "dispatch.h" nogil:
    int rn_isa_available(const char *isa)
    rn_kernel rn_find_kernel(const char *isa, const char *name)
    void rn_bind_operands(rn_call *call, rn_tensor **inputs, rn_tensor **outputs)
    unsigned rn_flush_denormals()
    void rn_restore_float_mode(unsigned mode)


DTYPES = ("float32", "float64", "int32", "int64", "bool", "uint8", "int8", "int16", "uint16", "uint32", "uint64")
"""Names of the dtypes that kernels know; positions are the codes of `rn_dtype` in kernel.h."""

ALIGNMENT = 64
VECTOR_BYTES = {"base": 16, "avx2": 32, "avx512": 64}

_MESSAGES = {
    RN_INDEX_RANGE: "an index is out of range",
    RN_BAD_DTYPE: "the kernel does not take this dtype",
    RN_BAD_VALUE: "an operand has a value outside its domain",
    RN_DIV_ZERO: "integer division by zero",
}


class KernelError(RuntimeError):
    """A kernel refused its operands. `instruction` is the position in the plan."""

    def __init__(self, instruction, message):
        super().__init__(message)
        self.instruction = instruction


def available_isas():
    """Names of the instruction sets this processor can run, narrowest first."""
    return tuple(isa for isa in VECTOR_BYTES if rn_isa_available(isa.encode()))


def has_kernel(isa, name):
    """Whether the build has a kernel `name` for `isa`."""
    return rn_find_kernel(isa.encode(), name.encode()) != NULL


def aligned_empty(Py_ssize_t size):
    """`size` bytes of uninitialised memory as a uint8 array that starts on a 64-byte boundary."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    cdef Py_ssize_t offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset:offset + size]


cdef Frame frame_of(dtype, shape) except *:
    cdef Frame frame
    if len(shape) > RN_MAX_DIMS:
        raise ValueError(f"shape {shape} has more than {RN_MAX_DIMS} axes")
    frame.ndim = len(shape)
    frame.type_num = np.dtype(dtype).num
    for axis in range(frame.ndim):
        frame.shape[axis] = shape[axis]
    return frame


cdef bint fits(const Frame *frame, object x):
    """Whether x is a C-contiguous, aligned ndarray of exactly this dtype and shape."""
    if not cnp.PyArray_CheckExact(x):
        return False
    cdef cnp.ndarray array = <cnp.ndarray>x
    cdef int axis
    if cnp.PyArray_NDIM(array) != frame.ndim or cnp.PyArray_TYPE(array) != frame.type_num:
        return False
    for axis in range(frame.ndim):
        if cnp.PyArray_DIM(array, axis) != frame.shape[axis]:
            return False
    return cnp.PyArray_IS_C_CONTIGUOUS(array) and cnp.PyArray_ISBEHAVED_RO(array)


cdef object new_array(Frame *frame):
    """An uninitialised array."""
    return cnp.PyArray_EMPTY(frame.ndim, frame.shape, frame.type_num, 0)


cdef enum:
    KERNEL, HOST, BRANCH, JUMP


@cython.final
cdef class Executor:
    """A plan with memory.

    Parameters
    ----------
    isa : str
        Which kernels to bind.
    tensors : sequence of (dtype, shape, place, what)
        `place` is "const" (`what`: the array), "arena" (`what`: byte offset), "input" or "output" (`what`: position).
    instructions : sequence of (kind, kernel, inputs, outputs, ints, floats, scratch, target)
        `kind` is "kernel", "host", "branch" or "jump"; inputs and outputs are positions in `tensors`, -1 if absent;
        `kernel` is a name, or for "host" a callable from a list of arrays to a list of arrays.
    arena_bytes : int
    inputs, outputs : sequence of (dtype, shape)
        The arrays that `run` takes and returns.

    Raises
    ------
    LookupError
        A kernel does not exist for this instruction set.
    """

    def __cinit__(self, isa, tensors, instructions, Py_ssize_t arena_bytes, inputs, outputs):
        cdef Py_ssize_t i, j, first_input, n_operands = 0, n_ints = 0, n_floats = 0
        for row in instructions:
            n_operands += len(row[2]) + len(row[3])
            n_ints += len(row[4])
            n_floats += len(row[5])
        self.n_tensors, self.n_code, self.threads = len(tensors), len(instructions), 1
        self.tensors = <rn_tensor *>calloc(self.n_tensors + 1, sizeof(rn_tensor))
        self.code = <Instruction *>calloc(self.n_code + 1, sizeof(Instruction))
        self.operands = <rn_tensor **>calloc(n_operands + 1, sizeof(rn_tensor *))
        self.ints = <int64_t *>calloc(n_ints + 1, sizeof(int64_t))
        self.floats = <double *>calloc(n_floats + 1, sizeof(double))
        self.outside = <int32_t *>calloc(self.n_tensors + 1, sizeof(int32_t))
        self.source = <int32_t *>calloc(self.n_tensors + 1, sizeof(int32_t))
        self.n_inputs, self.n_outputs = len(inputs), len(outputs)
        self.frames = <Frame *>calloc(self.n_inputs + self.n_outputs + 1, sizeof(Frame))
        if not (self.tensors and self.code and self.operands and self.ints and self.floats
                and self.outside and self.source and self.frames):
            raise MemoryError("no memory for the plan's tables")
        self.arena = aligned_empty(arena_bytes)
        self.arrays = [None] * self.n_tensors
        self.output_specs = tuple(outputs)
        self.shapes = [tuple(row[1]) for row in tensors]
        for i, (dtype, shape) in enumerate([*inputs, *outputs]):
            self.frames[i] = frame_of(dtype, shape)
        for i in range(self.n_tensors):
            dtype, shape, place, what = tensors[i]
            self._bind_tensor(i, dtype, shape, place, what)
        self.hosts, self.host_ids = [], []
        n_operands = n_ints = n_floats = 0
        for i, (kind, kernel, ids_in, ids_out, ints, floats, scratch, target) in enumerate(instructions):
            self.code[i].kind = ("kernel", "host", "branch", "jump").index(kind)
            self.code[i].target = target
            if kind == "kernel":
                self.code[i].kernel = rn_find_kernel(isa.encode(), kernel.encode())
                if self.code[i].kernel == NULL:
                    raise LookupError(f"no kernel {kernel!r} for {isa}")
            elif kind == "host":
                self.code[i].target = len(self.hosts)
                self.hosts.append(kernel)
                self.host_ids.append((tuple(ids_in), tuple(ids_out)))
            first_input = n_operands
            for j in ids_in:
                self.operands[n_operands] = self.tensors + j if j >= 0 else NULL
                n_operands += 1
            rn_bind_operands(&self.code[i].call, self.operands + first_input, self.operands + n_operands)
            for j in ids_out:
                self.operands[n_operands] = self.tensors + j if j >= 0 else NULL
                n_operands += 1
            self.code[i].call.n_in, self.code[i].call.n_out = len(ids_in), len(ids_out)
            self.code[i].call.ints, self.code[i].call.floats = self.ints + n_ints, self.floats + n_floats
            self.code[i].call.n_ints, self.code[i].call.n_floats = len(ints), len(floats)
            for value in ints:
                self.ints[n_ints] = value
                n_ints += 1
            for value in floats:
                self.floats[n_floats] = value
                n_floats += 1
            self.code[i].call.scratch = <uint8_t *>cnp.PyArray_DATA(self.arena) + <Py_ssize_t>scratch

    def __dealloc__(self):
        free(self.tensors)
        free(self.code)
        free(self.operands)
        free(self.ints)
        free(self.floats)
        free(self.outside)
        free(self.source)
        free(self.frames)
        free(self.nanoseconds)

    cdef _bind_tensor(self, Py_ssize_t i, dtype, shape, place, what):
        cdef rn_tensor *tensor = self.tensors + i
        cdef Py_ssize_t axis
        if len(shape) > RN_MAX_DIMS:
            raise ValueError(f"a tensor of rank {len(shape)}: at most {RN_MAX_DIMS} axes are supported")
        tensor.dtype = DTYPES.index(dtype.name) if dtype.name in DTYPES else -1
        tensor.ndim, tensor.size = len(shape), 1
        for axis in range(tensor.ndim):
            tensor.shape[axis] = shape[axis]
            tensor.size *= tensor.shape[axis]
        if place == "const":
            array = what if what.flags.c_contiguous else np.ascontiguousarray(what)
            self.arrays[i] = array
            tensor.data = cnp.PyArray_DATA(array)
        elif place == "arena":
            nbytes = tensor.size * dtype.itemsize
            array = self.arena[what:what + nbytes].view(dtype).reshape(shape)
            self.arrays[i] = array
            tensor.data = cnp.PyArray_DATA(array)
        else:
            self.outside[self.n_outside] = i
            self.source[self.n_outside] = what if place == "input" else ~what
            self.n_outside += 1

    def run(self, list inputs):
        """Run once.

        Parameters
        ----------
        inputs : list of ndarray
            C-contiguous, with exactly the dtypes and shapes the plan was made for.

        Returns
        -------
        list of ndarray or None
            New arrays, one an output; None when the inputs are anything else.

        Raises
        ------
        KernelError
            A kernel refused its operands.
        """
        cdef Py_ssize_t k
        if len(inputs) != self.n_inputs:
            return None
        for k in range(self.n_inputs):
            if not fits(self.frames + k, inputs[k]):
                return None
        cdef list outputs = [new_array(self.frames + self.n_inputs + k) for k in range(self.n_outputs)]
        cdef int32_t at, position
        for k in range(self.n_outside):
            position = self.source[k]
            self._bind_outside(k, <cnp.ndarray>(inputs[position] if position >= 0 else outputs[~position]))
        cdef int code
        with nogil:
            code = self._walk(&at)
        if self.hosts:
            for k in range(self.n_outside):
                self.arrays[self.outside[k]] = None
        if code != RN_OK:
            self._refused(code, at)
        return outputs

    def profile(self, list inputs, int runs):
        """Run several times and take the time of each instruction.

        Returns
        -------
        list of float or None
            Mean seconds of each instruction; None where `run` gives None.
        """
        self.nanoseconds = <int64_t *>calloc(self.n_code + 1, sizeof(int64_t))
        if not self.nanoseconds:
            raise MemoryError("no memory for a profile")
        try:
            for _ in range(runs):
                if self.run(inputs) is None:
                    return None
            return [self.nanoseconds[k] * 1e-9 / runs for k in range(self.n_code)]
        finally:
            free(self.nanoseconds)
            self.nanoseconds = NULL

    cdef _bind_outside(self, Py_ssize_t k, cnp.ndarray array):
        cdef int32_t i = self.outside[k]
        self.tensors[i].data = cnp.PyArray_DATA(array)
        if self.hosts:
            self.arrays[i] = array.reshape(self.shapes[i])

    cdef _refused(self, int code, int32_t at):
        raise KernelError(at, _MESSAGES.get(code, f"kernel error {code}"))

    cdef int _walk(self, int32_t *position) except? -1 nogil:
        cdef int32_t at = 0
        cdef Instruction *step
        cdef int code = RN_OK
        cdef int32_t timed = -1
        cdef int64_t start = 0
        cdef unsigned mode = rn_flush_denormals()
        cdef int limit = rn_begin_run(self.threads)
        try:
            while at < self.n_code:
                if self.nanoseconds:
                    if timed >= 0:
                        self.nanoseconds[timed] += rn_now() - start
                    timed, start = at, rn_now()
                step = self.code + at
                if step.kind == KERNEL:
                    code = step.kernel(&step.call)
                    if code != RN_OK:
                        break
                    at += 1
                elif step.kind == HOST:
                    rn_restore_float_mode(mode)
                    self._host(step.target)
                    rn_flush_denormals()
                    at += 1
                elif step.kind == BRANCH:
                    at = at + 1 if (<uint8_t *>step.call.inputs[0].data)[0] else step.target
                else:
                    at = step.target
            if self.nanoseconds and timed >= 0:
                self.nanoseconds[timed] += rn_now() - start
        finally:
            rn_end_run(limit)
            rn_restore_float_mode(mode)
        position[0] = at
        return code

    cdef int _host(self, int32_t which) except -1 with gil:
        inputs, outputs = self.host_ids[which]
        results = self.hosts[which]([self.arrays[i] if i >= 0 else None for i in inputs])
        for i, result in zip(outputs, results):
            if i >= 0:
                if self.arrays[i].shape != np.shape(result):
                    raise RuntimeError(f"a fallback gave shape {np.shape(result)}, planned was {self.arrays[i].shape}")
                self.arrays[i][...] = result
        return 0
