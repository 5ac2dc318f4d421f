/* The RNN kernels of the forward pass in both real types. */
#include "kernel.h"
#include "vecmath.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "rnn_cell.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "rnn_cell.h"

RN_KERNEL(rnn) { return call->in[0]->dtype == RN_F64 ? rnn_f64(call) : rnn_f32(call); }
RN_KERNEL(rnn_train) { return call->in[0]->dtype == RN_F64 ? rnn_train_f64(call) : rnn_train_f32(call); }
