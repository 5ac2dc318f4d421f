/* GRU for the real type of real.h: z = f(.)  r = f(.)  H = (1 - z) n + z H, with
 *     linear_before_reset: n = g(x W + Wb + r (H R + Rb)), one stage; gates of a panel: z r n; bias ends with Rb of n
 *     otherwise:           n = g(x W + Wb + (r H) R + Rb), two stages, z r and then n, packed apart */
#include "activations.h"
#include "recurrent.h"
#include "recurrent_loop.h"

#define GRU_FINISH(name)                                                                                               \
    static __attribute__((noinline)) void TYPED(name)(const TYPED(run) *run, int64_t t, int64_t p0, int P, int64_t b0, \
                                                      int M, const REAL *gates)
/* Not inlined: one instance gives every tile the same roundings. */
#define GRU_EACH_PANEL(G)                                                                                              \
    for (int64_t row = 0; row < M; row++)                                                                              \
        for (int64_t p = p0, b = b0 + row, at = b * run->hs + p * LANES; p < p0 + P; p++, at += LANES, gates += G * LANES)

RN_INLINE VREAL TYPED(gru_mix)(VREAL z, VREAL new, VREAL old) { return new + z * (old - new); }

/* The same with the reciprocal of z. */
RN_INLINE VREAL TYPED(gru_mix_reciprocal)(VREAL z, VREAL new, VREAL old) { return new + (old - new) / z; }

RN_INLINE const REAL *TYPED(gru_input)(const TYPED(run) *run, int64_t t, int64_t b, int64_t p)
{
    return TYPED(xw_row)(run, t, b) + (p * 3 + 2) * LANES;
}

GRU_FINISH(gru_linear_finish)
{
    GRU_EACH_PANEL(3)
    {
        if (TYPED(held)(run, t, b, p))
            continue;
        const VREAL z = V(sigmoid_reciprocal)(V(load)(gates)), r = V(sigmoid_reciprocal)(V(load)(gates + LANES));
        const VREAL new = V(tanh)(V(load)(TYPED(gru_input)(run, t, b, p)) + V(load)(gates + 2 * LANES) / r);
        TYPED(keep)(run, t, b, p, TYPED(gru_mix_reciprocal)(z, new, V(load)(run->h + at)));
    }
}

GRU_FINISH(gru_linear_finish_any)
{
    GRU_EACH_PANEL(3)
    {
        if (TYPED(held)(run, t, b, p))
            continue;
        const VREAL z = TYPED(gate)(run, 0, V(load)(gates)), r = TYPED(gate)(run, 0, V(load)(gates + LANES));
        const VREAL x = V(load)(TYPED(gru_input)(run, t, b, p)) + r * V(load)(gates + 2 * LANES);
        TYPED(keep)(run, t, b, p, TYPED(gru_mix)(z, TYPED(gate)(run, 1, x), V(load)(run->h + at)));
    }
}

GRU_FINISH(gru_reset)
{
    GRU_EACH_PANEL(2)
    {
        V(store)(run->z + at, V(sigmoid_reciprocal)(V(load)(gates)));
        V(store)(run->rh + at, V(load)(run->h + at) / V(sigmoid_reciprocal)(V(load)(gates + LANES)));
    }
}

GRU_FINISH(gru_reset_any)
{
    GRU_EACH_PANEL(2)
    {
        V(store)(run->z + at, TYPED(gate)(run, 0, V(load)(gates)));
        V(store)(run->rh + at, TYPED(gate)(run, 0, V(load)(gates + LANES)) * V(load)(run->h + at));
    }
}

GRU_FINISH(gru_finish)
{
    GRU_EACH_PANEL(1)
    if (!TYPED(held)(run, t, b, p)) {
        const VREAL new = V(tanh)(V(load)(gates));
        TYPED(keep)(run, t, b, p, TYPED(gru_mix_reciprocal)(V(load)(run->z + at), new, V(load)(run->h + at)));
    }
}

GRU_FINISH(gru_finish_any)
{
    GRU_EACH_PANEL(1)
    if (!TYPED(held)(run, t, b, p)) {
        const VREAL new = TYPED(gate)(run, 1, V(load)(gates));
        TYPED(keep)(run, t, b, p, TYPED(gru_mix)(V(load)(run->z + at), new, V(load)(run->h + at)));
    }
}

#undef GRU_FINISH
#undef GRU_EACH_PANEL

static void TYPED(gru_linear_project)(const TYPED(run) *run, int64_t t0, int64_t t1)
{
    TYPED(project)(run, 3, t0, t1, run->W, run->bias, 0);
}

static void TYPED(gru_project)(const TYPED(run) *run, int64_t t0, int64_t t1)
{
    TYPED(project)(run, 2, t0, t1, run->W, run->bias, 0);
    TYPED(project)(run, 1, t0, t1, run->W + 2 * run->hs * run->I, run->bias + 2 * run->hs, 2 * run->hs);
}

#define GRU_STEP(name)                                                                                                 \
    static void TYPED(name)(const TYPED(run) *run, int stage, int64_t t)
#define GRU_SWEEP(G, a, w, column, bias, finish)                                                                       \
    TYPED(sweep)(run, G, t, a, w, column, bias, LANES, TYPED(finish))
GRU_STEP(gru_linear_step) { GRU_SWEEP(3, run->h, run->R, 0, run->bias + 3 * run->hs, gru_linear_finish); }
GRU_STEP(gru_linear_step_any) { GRU_SWEEP(3, run->h, run->R, 0, run->bias + 3 * run->hs, gru_linear_finish_any); }
GRU_STEP(gru_step)
{
    if (stage == 0)
        GRU_SWEEP(2, run->h, run->R, 0, NULL, gru_reset);
    else
        GRU_SWEEP(1, run->rh, run->R + 2 * run->hs * run->H, 2 * run->hs, NULL, gru_finish);
}
GRU_STEP(gru_step_any)
{
    if (stage == 0)
        GRU_SWEEP(2, run->h, run->R, 0, NULL, gru_reset_any);
    else
        GRU_SWEEP(1, run->rh, run->R + 2 * run->hs * run->H, 2 * run->hs, NULL, gru_finish_any);
}
#undef GRU_STEP
#undef GRU_SWEEP

/* variant 1: linear_before_reset */
static int TYPED(gru)(const rn_call *call)
{
    const int linear = call->ints[INT_VARIANT] != 0, fast = call->ints[INT_FAST] != 0;
    TYPED(cell) cell = {.gates = 3, .activations = 2};
    cell.bias_gates = linear ? 4 : 3;
    cell.stages = linear ? 1 : 2;
    cell.has_z = !linear;
    cell.project = linear ? TYPED(gru_linear_project) : TYPED(gru_project);
    if (linear)
        cell.step = fast ? TYPED(gru_linear_step) : TYPED(gru_linear_step_any);
    else
        cell.step = fast ? TYPED(gru_step) : TYPED(gru_step_any);
    return TYPED(recurrent)(call, &cell);
}
