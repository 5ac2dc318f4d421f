/* GRU, back through time, for the real type of real.h; the step and the order of what is kept are in gru_cell.h.
 *     dz = dh (h - n)   dn = dh (1 - z)   and past the products dh_before = dh z
 *     linear_before_reset: dr = dn' q, dq = dn' r, the latter what R of n sees
 *     otherwise:           d(r h) = dn' R of n, a second product; dr = d(r h) h, dh_before += d(r h) r
 * a prime for what lies before the activation. */
#include "activations.h"
#include "recurrent.h"
#include "slopes.h"
#include "panel_rows.h"
#include "recurrent_backward.h"
#include "recurrent_merge.h"

#ifndef RN_GRU_BACK
#define RN_GRU_BACK
/* Columns of a row, in units of hs: n, then z and r, then q or r h. */
enum { COLUMN_N = 0, COLUMN_ZR = 1, COLUMN_Q = 3 };
#endif

typedef struct {
    REAL *n, *z, *r, *q;
} TYPED(gru_row);

RN_INLINE TYPED(gru_row) TYPED(gru_row_of)(const TYPED(back) *back, int64_t t, int64_t b, int64_t p)
{
    REAL *row = TYPED(back_row)(back, t, b), *zr = row + back->hs + 2 * p * LANES;
    return (TYPED(gru_row)){row + p * LANES, zr, zr + LANES, row + 3 * back->hs + p * LANES};
}

#define GRU_EACH_PANEL                                                                                                 \
    for (int64_t b = b0; b < b0 + M; b++)                                                                              \
        for (int64_t p = p0, at = b * back->hs + p0 * LANES; p < p0 + P; p++, at += LANES, product += LANES)

/* Values of the gates and their slopes. */
RN_INLINE void TYPED(gru_gate)(const TYPED(back) *back, const int fast, int k, const REAL *kept, VREAL *value, VREAL *slope)
{
    *value = V(load)(kept);
    if (!fast)
        *value = TYPED(back_gate)(back, k, *value, slope);
    else
        *slope = k ? 1 - *value * *value : *value * (1 - *value);
}

RN_INLINE void TYPED(gru_back_body)(const TYPED(back) *back, const int fast, const int linear, int64_t s, int64_t p0,
                                    int P, int64_t b0, int M, const REAL *product)
{
    const int64_t t = TYPED(step_at)(back, s), before = s * back->B * back->hs;
    GRU_EACH_PANEL
    {
        VREAL dh, z, r, n, z_slope, r_slope, n_slope;
        if (!TYPED(enter)(back, s, p, b, V(load)(product), &dh))
            continue;
        const TYPED(gru_row) row = TYPED(gru_row_of)(back, t, b, p);
        TYPED(gru_gate)(back, fast, 0, row.z, &z, &z_slope);
        TYPED(gru_gate)(back, fast, 1, row.n, &n, &n_slope);
        const VREAL dn = dh * (1 - z) * n_slope;
        V(store)(row.n, dn);
        V(store)(row.z, dh * (V(load)(back->kept.h + before + at) - n) * z_slope);
        V(store)(back->dh + at, dh * z);
        if (linear) {
            TYPED(gru_gate)(back, fast, 0, row.r, &r, &r_slope);
            V(store)(row.r, dn * V(load)(row.q) * r_slope);
            V(store)(row.q, dn * r);
        }
    }
}

/* The second product of a step: d(r h). */
RN_INLINE void TYPED(gru_second_body)(const TYPED(back) *back, const int fast, int64_t s, int64_t p0, int P, int64_t b0,
                                      int M, const REAL *product)
{
    const int64_t t = TYPED(step_at)(back, s), before = s * back->B * back->hs;
    GRU_EACH_PANEL
    {
        if (back->modes && back->modes[t * back->B + b] != ROW_COUNTS)
            continue;
        VREAL r, r_slope;
        const TYPED(gru_row) row = TYPED(gru_row_of)(back, t, b, p);
        const VREAL d_rh = V(load)(product);
        TYPED(gru_gate)(back, fast, 0, row.r, &r, &r_slope);
        V(store)(row.r, d_rh * V(load)(back->kept.a + before + at) * r_slope);
        V(store)(back->dh + at, V(load)(back->dh + at) + TYPED(dropped)(back, at, d_rh * r));
    }
}
#undef GRU_EACH_PANEL

#define GRU_BACK(name, body, ...)                                                                                      \
    static void TYPED(name)(const TYPED(back) *back, int64_t s, int64_t p, int P, int64_t b, int M, const REAL *product) \
    {                                                                                                                  \
        TYPED(body)(back, __VA_ARGS__, s, p, P, b, M, product);                                                        \
    }
GRU_BACK(gru_back_linear, gru_back_body, 1, 1)
GRU_BACK(gru_back_linear_any, gru_back_body, 0, 1)
GRU_BACK(gru_back_reset, gru_back_body, 1, 0)
GRU_BACK(gru_back_reset_any, gru_back_body, 0, 0)
GRU_BACK(gru_second_finish, gru_second_body, 1)
GRU_BACK(gru_second_finish_any, gru_second_body, 0)
#undef GRU_BACK

#define GRU_SECOND(name, finish)                                                                                       \
    static void TYPED(name)(const TYPED(back) *back, int64_t s)                                                        \
    {                                                                                                                  \
        TYPED(back_sweep)(back, s, TYPED(step_at)(back, s), COLUMN_N * back->hs, back->hs,                             \
                          back->Rt + 2 * back->hs * back->hs, TYPED(finish));                                          \
    }
GRU_SECOND(gru_second, gru_second_finish)
GRU_SECOND(gru_second_any, gru_second_finish_any)
#undef GRU_SECOND

/* variant 1: linear_before_reset */
static int TYPED(gru_backward)(const rn_call *call)
{
    const int fast = call->ints[INT_FAST] != 0, linear = call->ints[INT_VARIANT] != 0;
    TYPED(back_cell) cell = {
        .gates = 3, .activations = 2, .x0 = COLUMN_N, .r0 = COLUMN_ZR, .shape = {4, 0, call->in[IN_DROP] != NULL},
        .x_parts = {{2, 1}, {0, 2}}, .r_parts = {{0, 2}, {2, 1}},
    };
    if (linear) {
        cell.finish = fast ? TYPED(gru_back_linear) : TYPED(gru_back_linear_any);
    } else {
        cell.finish = fast ? TYPED(gru_back_reset) : TYPED(gru_back_reset_any);
        cell.second = fast ? TYPED(gru_second) : TYPED(gru_second_any);
    }
    return TYPED(recurrent_backward)(call, &cell);
}
