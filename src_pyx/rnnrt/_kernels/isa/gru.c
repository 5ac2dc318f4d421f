/* The GRU kernels of the forward pass in both real types. */
#include "kernel.h"
#include "vecmath.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "gru_cell.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "gru_cell.h"

RN_KERNEL(gru) { return call->in[0]->dtype == RN_F64 ? gru_f64(call) : gru_f32(call); }
RN_KERNEL(gru_train) { return call->in[0]->dtype == RN_F64 ? gru_train_f64(call) : gru_train_f32(call); }
