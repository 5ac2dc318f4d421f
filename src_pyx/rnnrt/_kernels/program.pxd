"""What other compiled modules see of the executor."""

from libc.stdint cimport int32_t, int64_t

cimport numpy as cnp


cdef extern from "kernel.h" nogil:
    enum:
        RN_MAX_DIMS
        RN_OK
        RN_INDEX_RANGE
        RN_BAD_DTYPE
        RN_BAD_VALUE
        RN_DIV_ZERO
    ctypedef struct rn_tensor:
        void *data
        int64_t size
        int64_t shape[8]
        int32_t ndim
        int32_t dtype
    ctypedef struct rn_call:
        rn_tensor **inputs "in"
        rn_tensor **out
        int64_t *ints
        double *floats
        void *scratch
        int32_t n_in
        int32_t n_out
        int32_t n_ints
        int32_t n_floats
    ctypedef int (*rn_kernel)(const rn_call *call) noexcept nogil


cdef struct Frame:  # dtype and shape of an array
    int ndim
    int type_num
    cnp.npy_intp shape[8]


cdef Frame frame_of(dtype, shape) except *
cdef bint fits(const Frame *frame, object x)
cdef object new_array(Frame *frame)


cdef struct Instruction:
    int32_t kind
    int32_t target  # BRANCH: where to go when the condition is false; JUMP: where to go; HOST: which callable
    rn_kernel kernel
    rn_call call


cdef class Executor:
    cdef rn_tensor *tensors
    cdef Instruction *code
    cdef rn_tensor **operands
    cdef int64_t *ints
    cdef double *floats
    cdef int32_t *outside  # tensors whose memory comes with each call
    cdef int32_t *source  # for each of them: position of the input, or ~position of the output
    cdef int n_tensors, n_code, n_outside
    cdef public int threads  # how many threads kernels may use
    cdef readonly tuple output_specs  # (dtype, shape) of what run returns
    cdef int64_t *nanoseconds  # of each instruction so far, while a profile is taken; otherwise NULL
    cdef Frame *frames  # of the inputs, then of the outputs
    cdef int n_inputs, n_outputs
    cdef object arrays, hosts, host_ids, shapes, arena

    cdef _bind_tensor(self, Py_ssize_t i, dtype, shape, place, what)
    cdef _bind_outside(self, Py_ssize_t k, cnp.ndarray array)
    cdef _refused(self, int code, int32_t at)
    cdef int _walk(self, int32_t *position) except? -1 nogil
    cdef int _host(self, int32_t which) except -1 with gil
