/* Which instruction sets this processor has, the kernels of each, and the processor's denormal mode. */
#ifndef RN_DISPATCH_H
#define RN_DISPATCH_H

#include "kernel.h"

#include <string.h>

extern rn_kernel rn_find_kernel_base(const char *name);
#ifdef RN_X86
#include <immintrin.h>
extern rn_kernel rn_find_kernel_avx2(const char *name);
extern rn_kernel rn_find_kernel_avx512(const char *name);
#endif

static inline int rn_isa_available(const char *isa)
{
    if (!strcmp(isa, "base"))
        return 1;
#ifdef RN_X86
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (!strcmp(isa, "avx2"))
        return avx2;
    if (!strcmp(isa, "avx512"))
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    return 0;
}

static inline rn_kernel rn_find_kernel(const char *isa, const char *name)
{
#ifdef RN_X86
    if (!strcmp(isa, "avx512"))
        return rn_find_kernel_avx512(name);
    if (!strcmp(isa, "avx2"))
        return rn_find_kernel_avx2(name);
#endif
    return strcmp(isa, "base") ? NULL : rn_find_kernel_base(name);
}

static inline void rn_bind_operands(rn_call *call, rn_tensor **inputs, rn_tensor **outputs)
{
    call->in = (const rn_tensor *const *)inputs;
    call->out = (const rn_tensor *const *)outputs;
}

/* Flush denormals in this thread; returns the mode to hand back to rn_restore_float_mode. */
static inline unsigned rn_flush_denormals(void)
{
#ifdef RN_X86
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ and DAZ */
    return mode;
#else
    return 0;
#endif
}

static inline void rn_restore_float_mode(unsigned mode)
{
#ifdef RN_X86
    /* The caller's control bits return; exception flags raised meanwhile do not leak out. */
    _mm_setcsr(mode);
#else
    (void)mode;
#endif
}

#endif
