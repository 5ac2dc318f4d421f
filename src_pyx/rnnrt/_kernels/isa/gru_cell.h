/* GRU for the real type of real.h: z = f(.)  r = f(.)  H = (1 - z) n + z H, with
 *     linear_before_reset: n = g(x W + Wb + r (H R + Rb)), one stage; gates of a panel: z r n; bias ends with Rb of n
 *     otherwise:           n = g(x W + Wb + (r H) R + Rb), two stages, z r and then n, packed apart
 * The gates are kept as n of all panels, then z and r panel by panel, then H R + Rb, or r H. */
#include "activations.h"
#include "recurrent.h"
#include "recurrent_loop.h"
#include "recurrent_train.h"

#ifndef RN_GRU_KEPT
#define RN_GRU_KEPT
enum { KEPT_N, KEPT_Z, KEPT_R, KEPT_Q };
#endif

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

/* Keep one of a row's values; slot as below. */
RN_INLINE void TYPED(gru_keep)(const TYPED(run) *run, int64_t t, int64_t b, int64_t p, int slot, VREAL x)
{
    const int64_t at[] = {p * LANES, run->hs + 2 * p * LANES, run->hs + (2 * p + 1) * LANES, 3 * run->hs + p * LANES};
    V(store)(TYPED(kept_row)(run, t, b) + at[slot], x);
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

GRU_FINISH(gru_linear_finish_kept)
{
    GRU_EACH_PANEL(3)
    {
        if (TYPED(held)(run, t, b, p))
            continue;
        const VREAL z = V(sigmoid)(V(load)(gates)), r = V(sigmoid)(V(load)(gates + LANES)), q = V(load)(gates + 2 * LANES);
        const VREAL new = V(tanh)(V(load)(TYPED(gru_input)(run, t, b, p)) + q * r);
        TYPED(gru_keep)(run, t, b, p, KEPT_N, new);
        TYPED(gru_keep)(run, t, b, p, KEPT_Z, z);
        TYPED(gru_keep)(run, t, b, p, KEPT_R, r);
        TYPED(gru_keep)(run, t, b, p, KEPT_Q, q);
        TYPED(keep)(run, t, b, p, TYPED(gru_mix)(z, new, V(load)(run->h + at)));
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
        if (run->kept) {
            TYPED(gru_keep)(run, t, b, p, KEPT_N, x);
            TYPED(gru_keep)(run, t, b, p, KEPT_Z, V(load)(gates));
            TYPED(gru_keep)(run, t, b, p, KEPT_R, V(load)(gates + LANES));
            TYPED(gru_keep)(run, t, b, p, KEPT_Q, V(load)(gates + 2 * LANES));
        }
        TYPED(keep)(run, t, b, p, TYPED(gru_mix)(z, TYPED(gate)(run, 1, x), V(load)(run->h + at)));
    }
}

GRU_FINISH(gru_reset)
{
    GRU_EACH_PANEL(2)
    {
        V(store)(run->z + at, V(sigmoid_reciprocal)(V(load)(gates)));
        V(store)(run->rh + at, V(load)(run->a + at) / V(sigmoid_reciprocal)(V(load)(gates + LANES)));
    }
}

GRU_FINISH(gru_reset_any)
{
    GRU_EACH_PANEL(2)
    {
        const VREAL rh = TYPED(gate)(run, 0, V(load)(gates + LANES)) * V(load)(run->a + at);
        V(store)(run->z + at, TYPED(gate)(run, 0, V(load)(gates)));
        V(store)(run->rh + at, rh);
        if (run->kept) {
            TYPED(gru_keep)(run, t, b, p, KEPT_Z, V(load)(gates));
            TYPED(gru_keep)(run, t, b, p, KEPT_R, V(load)(gates + LANES));
            TYPED(gru_keep)(run, t, b, p, KEPT_Q, rh);
        }
    }
}

GRU_FINISH(gru_reset_kept)
{
    GRU_EACH_PANEL(2)
    {
        const VREAL z = V(sigmoid)(V(load)(gates)), r = V(sigmoid)(V(load)(gates + LANES));
        const VREAL rh = r * V(load)(run->a + at);
        V(store)(run->z + at, z);
        V(store)(run->rh + at, rh);
        TYPED(gru_keep)(run, t, b, p, KEPT_Z, z);
        TYPED(gru_keep)(run, t, b, p, KEPT_R, r);
        TYPED(gru_keep)(run, t, b, p, KEPT_Q, rh);
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

GRU_FINISH(gru_finish_kept)
{
    GRU_EACH_PANEL(1)
    if (!TYPED(held)(run, t, b, p)) {
        const VREAL new = V(tanh)(V(load)(gates));
        TYPED(gru_keep)(run, t, b, p, KEPT_N, new);
        TYPED(keep)(run, t, b, p, TYPED(gru_mix)(V(load)(run->z + at), new, V(load)(run->h + at)));
    }
}

GRU_FINISH(gru_finish_any)
{
    GRU_EACH_PANEL(1)
    if (!TYPED(held)(run, t, b, p)) {
        if (run->kept)
            TYPED(gru_keep)(run, t, b, p, KEPT_N, V(load)(gates));
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

#define GRU_STEP(name, finish)                                                                                         \
    static void TYPED(name)(const TYPED(run) *run, int stage, int64_t t)                                               \
    {                                                                                                                  \
        TYPED(sweep)(run, 3, t, run->a, run->R, 0, run->bias + 3 * run->hs, LANES, TYPED(finish));                     \
    }
#define GRU_STEP_2(name, reset, finish)                                                                                \
    static void TYPED(name)(const TYPED(run) *run, int stage, int64_t t)                                               \
    {                                                                                                                  \
        if (stage == 0)                                                                                                \
            TYPED(sweep)(run, 2, t, run->a, run->R, 0, NULL, LANES, TYPED(reset));                                     \
        else                                                                                                           \
            TYPED(sweep)(run, 1, t, run->rh, run->R + 2 * run->hs * run->H, 2 * run->hs, NULL, LANES, TYPED(finish));  \
    }
GRU_STEP(gru_linear_step, gru_linear_finish)
GRU_STEP(gru_linear_step_kept, gru_linear_finish_kept)
GRU_STEP(gru_linear_step_any, gru_linear_finish_any)
GRU_STEP_2(gru_step, gru_reset, gru_finish)
GRU_STEP_2(gru_step_kept, gru_reset_kept, gru_finish_kept)
GRU_STEP_2(gru_step_any, gru_reset_any, gru_finish_any)
#undef GRU_STEP
#undef GRU_STEP_2

/* variant 1: linear_before_reset */
static int TYPED(gru)(const rn_call *call)
{
    const int linear = call->ints[INT_VARIANT] != 0, fast = call->ints[INT_FAST] != 0;
    const int kept = call->out[OUT_KEPT] != NULL;
    TYPED(cell) cell = {.gates = 3, .kept_gates = 4, .activations = 2};
    cell.bias_gates = linear ? 4 : 3;
    cell.stages = linear ? 1 : 2;
    cell.has_z = !linear;
    cell.project = linear ? TYPED(gru_linear_project) : TYPED(gru_project);
    if (linear)
        cell.step = !fast ? TYPED(gru_linear_step_any) : kept ? TYPED(gru_linear_step_kept) : TYPED(gru_linear_step);
    else
        cell.step = !fast ? TYPED(gru_step_any) : kept ? TYPED(gru_step_kept) : TYPED(gru_step);
    return TYPED(recurrent)(call, &cell);
}

/* The same with weights that are not packed. */
#ifndef RN_GRU_PARTS
#define RN_GRU_PARTS
static const rn_part gru_parts[] = {{0, 2}, {2, 1}, {0, 0}}, gru_linear_parts[] = {{0, 3}, {0, 0}};
/* The last: Rb of n, apart. */
static const rn_part gru_linear_bias[] = {{0, 3}, {3, 1}, {0, 0}};
#endif
static int TYPED(gru_train)(const rn_call *call)
{
    const int linear = call->ints[INT_VARIANT] != 0;
    return TYPED(recurrent_train)(call, 3, linear ? gru_linear_parts : gru_parts, linear ? gru_linear_bias : gru_parts,
                                  !linear, TYPED(gru));
}
