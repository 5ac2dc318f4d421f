/* RNN, back through time, in both real types. */
#include "kernel.h"
#include "pool.h"
#include "vecmath.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "rnn_backward.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "rnn_backward.h"

RN_KERNEL(rnn_backward) { return call->in[0]->dtype == RN_F64 ? rnn_backward_f64(call) : rnn_backward_f32(call); }
