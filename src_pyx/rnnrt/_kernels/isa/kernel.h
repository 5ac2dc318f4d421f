/* The calling convention of every kernel. One file of kernels is compiled once per instruction set; RN_ISA is
 * defined by the build as base, avx2 or avx512 and becomes part of each symbol. */
#ifndef RN_KERNEL_H
#define RN_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define RN_MAX_DIMS 8

enum rn_dtype { RN_F32, RN_F64, RN_I32, RN_I64, RN_BOOL, RN_U8, RN_I8, RN_I16, RN_U16, RN_U32, RN_U64 };

/* A C-contiguous tensor; data is NULL for nothing but empty tensors. */
typedef struct {
    void *data;
    int64_t size; /* number of elements */
    int64_t shape[RN_MAX_DIMS];
    int32_t ndim;
    int32_t dtype;
} rn_tensor;

typedef struct {
    const rn_tensor *const *in;  /* a NULL entry: the operand is absent */
    const rn_tensor *const *out;
    const int64_t *ints;
    const double *floats;
    void *scratch; /* 64-byte aligned; as many bytes as KernelCall.scratch asked for */
    int32_t n_in, n_out, n_ints, n_floats;
} rn_call;

/* What a kernel returns; anything but RN_OK stops the run and becomes an error that names the node. */
enum { RN_OK = 0, RN_INDEX_RANGE = 1, RN_BAD_DTYPE = 2, RN_BAD_VALUE = 3, RN_DIV_ZERO = 4 };

typedef int (*rn_kernel)(const rn_call *call);

#define RN_CAT2(a, b, c) a##b##c
#define RN_CAT(a, b, c) RN_CAT2(a, b, c)
#define RN_NAME(name) RN_CAT(rn_##name, _, RN_ISA)

/* RN_KERNEL(softmax) { ... } defines a kernel; its name stands in kernels.def too. */
#define RN_KERNEL(name) int RN_NAME(name)(const rn_call *call)

#endif
