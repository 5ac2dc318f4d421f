/* LSTM, back through time, in both real types. */
#include "kernel.h"
#include "pool.h"
#include "vecmath.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "lstm_backward.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "lstm_backward.h"

RN_KERNEL(lstm_backward) { return call->in[0]->dtype == RN_F64 ? lstm_backward_f64(call) : lstm_backward_f32(call); }
