/* The LSTM kernels of the forward pass in both real types. */
#include "kernel.h"
#include "vecmath.h"

#define RN_REAL_BITS 32
#include "real.h"
#include "lstm_cell.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "lstm_cell.h"

RN_KERNEL(lstm) { return call->in[0]->dtype == RN_F64 ? lstm_f64(call) : lstm_f32(call); }
RN_KERNEL(lstm_train) { return call->in[0]->dtype == RN_F64 ? lstm_train_f64(call) : lstm_train_f32(call); }
