/* Matrix products: with a constant right side packed at plan time, and with two computed ones. */
#include "kernel.h"
#include "pool.h"
#include "vec.h"
#include "walk.h"

/* Floating point operations below which a second thread costs more than it saves. */
#define THREAD_WORK 1e6
/* ... and from where it is worth waking. */
#define LONG_WORK 1e7

#define RN_REAL_BITS 32
#include "real.h"
#include "matmul_body.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "matmul_body.h"

RN_KERNEL(matmul_packed) { return call->in[0]->dtype == RN_F64 ? matmul_packed_f64(call) : matmul_packed_f32(call); }
RN_KERNEL(matmul) { return call->in[0]->dtype == RN_F64 ? matmul_f64(call) : matmul_f32(call); }
RN_KERNEL(gemm) { return call->in[0]->dtype == RN_F64 ? gemm_f64(call) : gemm_f32(call); }
