/* RNN for the real type of real.h: H = f(x W + H R + b), one gate, kept before its activation. */
#include "activations.h"
#include "recurrent.h"
#include "recurrent_loop.h"
#include "recurrent_train.h"

/* One function a formula, none inlined: one instance gives every tile the same roundings. */
#define RNN_FINISH(name, formula)                                                                                      \
    static __attribute__((noinline)) void TYPED(name)(const TYPED(run) *run, int64_t t, int64_t p0, int P, int64_t b0, \
                                                      int M, const REAL *gates)                                        \
    {                                                                                                                  \
        for (int row = 0; row < M; row++)                                                                              \
            for (int64_t p = p0; p < p0 + P; p++, gates += LANES)                                                      \
                if (!TYPED(held)(run, t, b0 + row, p)) {                                                               \
                    const VREAL x = V(load)(gates);                                                                    \
                    if (run->kept)                                                                                     \
                        V(store)(TYPED(kept_row)(run, t, b0 + row) + p * LANES, x);                                    \
                    TYPED(keep)(run, t, b0 + row, p, formula);                                                         \
                }                                                                                                      \
    }
RNN_FINISH(rnn_finish_any, TYPED(gate)(run, 0, x))
RNN_FINISH(rnn_finish_tanh, V(tanh)(x))
RNN_FINISH(rnn_finish_relu, V(max)(x, V(set)(0)))
#undef RNN_FINISH

static void TYPED(rnn_project)(const TYPED(run) *run, int64_t t0, int64_t t1)
{
    TYPED(project)(run, 1, t0, t1, run->W, run->bias, 0);
}

#define RNN_STEP(name, finish)                                                                                         \
    static void TYPED(name)(const TYPED(run) *run, int stage, int64_t t)                                               \
    {                                                                                                                  \
        TYPED(sweep)(run, 1, t, run->a, run->R, 0, NULL, 0, TYPED(finish));                                            \
    }
RNN_STEP(rnn_step_any, rnn_finish_any)
RNN_STEP(rnn_step_tanh, rnn_finish_tanh)
RNN_STEP(rnn_step_relu, rnn_finish_relu)
#undef RNN_STEP

static int TYPED(rnn)(const rn_call *call)
{
    TYPED(cell) cell = {.gates = 1, .bias_gates = 1, .kept_gates = 1, .activations = 1, .stages = 1};
    const int64_t fast = call->ints[INT_FAST];
    cell.project = TYPED(rnn_project);
    cell.step = fast == 1 ? TYPED(rnn_step_tanh) : fast == 2 ? TYPED(rnn_step_relu) : TYPED(rnn_step_any);
    return TYPED(recurrent)(call, &cell);
}

/* The same with weights that are not packed. */
#ifndef RN_RNN_PARTS
#define RN_RNN_PARTS
static const rn_part rnn_parts[] = {{0, 1}, {0, 0}};
#endif
static int TYPED(rnn_train)(const rn_call *call)
{
    return TYPED(recurrent_train)(call, 1, rnn_parts, rnn_parts, 1, TYPED(rnn));
}
