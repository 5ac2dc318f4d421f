/* LSTM for the real type of real.h. Gates of a panel: i o f c.
 *     i = f(.)  f = f(.) or 1 - i  C = f C + i g(.)  o = f(.)  H = o h(C) */
#include "activations.h"
#include "recurrent.h"
#include "recurrent_loop.h"
#include "recurrent_train.h"

/* Sigmoid, Tanh, Tanh and nothing else. Not inlined: one instance gives every tile the same roundings. */
static __attribute__((noinline)) void TYPED(lstm_finish)(const TYPED(run) *run, int64_t t, int64_t p0, int P, int64_t b0,
                                                         int M, const REAL *gates)
{
    for (int row = 0; row < M; row++)
        for (int64_t p = p0; p < p0 + P; p++, gates += 4 * LANES) {
            const int64_t b = b0 + row;
            if (TYPED(held)(run, t, b, p))
                continue;
            const REAL *c = run->c + b * run->hs + p * LANES;
            VREAL gq, cq;
            const VREAL i = V(sigmoid_reciprocal)(V(load)(gates)), o = V(sigmoid_reciprocal)(V(load)(gates + LANES));
            const VREAL f = V(sigmoid_reciprocal)(V(load)(gates + 2 * LANES));
            const VREAL gp = V(tanh_parts)(V(load)(gates + 3 * LANES), &gq);
            const VREAL cell = V(load)(c) / f + gp / (i * gq);
            V(store)(run->c_next + b * run->hs + p * LANES, cell);
            const VREAL cp = V(tanh_parts)(cell, &cq);
            TYPED(keep)(run, t, b, p, cp / (o * cq));
        }
}

/* The same, and the gates are kept. */
static __attribute__((noinline)) void TYPED(lstm_finish_kept)(const TYPED(run) *run, int64_t t, int64_t p0, int P,
                                                              int64_t b0, int M, const REAL *gates)
{
    for (int row = 0; row < M; row++)
        for (int64_t p = p0; p < p0 + P; p++, gates += 4 * LANES) {
            const int64_t b = b0 + row, at = b * run->hs + p * LANES;
            if (TYPED(held)(run, t, b, p))
                continue;
            REAL *kept = TYPED(kept_row)(run, t, b) + p * 4 * LANES;
            const VREAL i = V(sigmoid)(V(load)(gates)), o = V(sigmoid)(V(load)(gates + LANES));
            const VREAL f = V(sigmoid)(V(load)(gates + 2 * LANES)), g = V(tanh)(V(load)(gates + 3 * LANES));
            const VREAL cell = f * V(load)(run->c + at) + i * g;
            V(store)(kept, i);
            V(store)(kept + LANES, o);
            V(store)(kept + 2 * LANES, f);
            V(store)(kept + 3 * LANES, g);
            V(store)(run->c_next + at, cell);
            TYPED(keep)(run, t, b, p, o * V(tanh)(cell));
        }
}

/* Peepholes, clip, input_forget (variant 1), any activations. */
static __attribute__((noinline)) void TYPED(lstm_finish_any)(const TYPED(run) *run, int64_t t, int64_t p0, int P,
                                                             int64_t b0, int M, const REAL *gates)
{
    for (int row = 0; row < M; row++)
        for (int64_t p = p0; p < p0 + P; p++, gates += 4 * LANES) {
            const int64_t b = b0 + row;
            if (TYPED(held)(run, t, b, p))
                continue;
            REAL *kept = run->kept ? TYPED(kept_row)(run, t, b) + p * 4 * LANES : NULL;
            VREAL cell = V(load)(run->c + b * run->hs + p * LANES);
            VREAL i = V(load)(gates), o = V(load)(gates + LANES), f = V(load)(gates + 2 * LANES);
            const REAL *peep = run->P ? run->P + p * 3 * LANES : NULL;
            if (peep) {
                i += V(load)(peep) * cell;
                f += V(load)(peep + 2 * LANES) * cell;
            }
            if (kept) {
                V(store)(kept, i);
                V(store)(kept + 2 * LANES, f);
                V(store)(kept + 3 * LANES, V(load)(gates + 3 * LANES));
            }
            i = TYPED(gate)(run, 0, i);
            f = run->variant ? 1 - i : TYPED(gate)(run, 0, f);
            cell = f * cell + i * TYPED(gate)(run, 1, V(load)(gates + 3 * LANES));
            V(store)(run->c_next + b * run->hs + p * LANES, cell);
            if (peep)
                o += V(load)(peep + LANES) * cell;
            if (kept)
                V(store)(kept + LANES, o);
            o = TYPED(gate)(run, 0, o);
            TYPED(keep)(run, t, b, p, o * TYPED(activate)(cell, run->act[2]));
        }
}

static void TYPED(lstm_project)(const TYPED(run) *run, int64_t t0, int64_t t1)
{
    TYPED(project)(run, 4, t0, t1, run->W, run->bias, 0);
}

#define LSTM_STEP(name, finish)                                                                                        \
    static void TYPED(name)(const TYPED(run) *run, int stage, int64_t t)                                               \
    {                                                                                                                  \
        TYPED(sweep)(run, 4, t, run->a, run->R, 0, NULL, 0, TYPED(finish));                                            \
    }
LSTM_STEP(lstm_step, lstm_finish)
LSTM_STEP(lstm_step_kept, lstm_finish_kept)
LSTM_STEP(lstm_step_any, lstm_finish_any)
#undef LSTM_STEP

static int TYPED(lstm)(const rn_call *call)
{
    TYPED(cell) cell = {.gates = 4, .bias_gates = 4, .kept_gates = 4, .activations = 3, .stages = 1, .has_c = 1};
    cell.project = TYPED(lstm_project);
    cell.step = !call->ints[INT_FAST]     ? TYPED(lstm_step_any)
                : call->out[OUT_KEPT] ? TYPED(lstm_step_kept)
                                      : TYPED(lstm_step);
    return TYPED(recurrent)(call, &cell);
}

/* The same with weights that are not packed. */
#ifndef RN_LSTM_PARTS
#define RN_LSTM_PARTS
static const rn_part lstm_parts[] = {{0, 4}, {0, 0}};
#endif
static int TYPED(lstm_train)(const rn_call *call)
{
    return TYPED(recurrent_train)(call, 4, lstm_parts, lstm_parts, 1, TYPED(lstm));
}
