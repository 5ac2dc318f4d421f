/* GRU, back through time, in both real types. */
#include "kernel.h"
#include "pool.h"
#include "vecmath.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "gru_backward.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "gru_backward.h"

RN_KERNEL(gru_backward) { return call->in[0]->dtype == RN_F64 ? gru_backward_f64(call) : gru_backward_f32(call); }
