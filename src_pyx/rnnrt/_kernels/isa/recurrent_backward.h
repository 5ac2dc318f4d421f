/* Back through time, for the real type of real.h: what LSTM, GRU and RNN share.
 *
 * The walk goes through the steps from the last to the first. In each, `finish` turns dh, the gradient of the step's
 * state, into the gradients before the activations of the gates, which take the gates' place in the workspace; their
 * product with R, across, is the next dh. Rows share nothing, so threads take rows. What is left are products over all
 * steps at once (recurrent_merge.h).
 *
 * Operands of the kernels (rnnrt/ops/recurrent_train.py makes them):
 * in   those of the forward kernel as they come, not packed, then workspace, dY, dY_h, dY_c
 * out  dX, dW, dR, dB, dinitial_h, dinitial_c, dP, dH (gradient of each step's state, laid out as Y)
 * ints those of the forward kernel; scratch is as long as they say; floats the same */
#include "walk.h"
#include "gram.h"
#include "recurrent_kept.h"
#include "recurrent_pack.h"

#ifndef RN_BACKWARD_INTS
#define RN_BACKWARD_INTS
enum { IN_KEPT = IN_COUNT, IN_DY, IN_DY_H, IN_DY_C };
enum { OUT_DX, OUT_DW, OUT_DR, OUT_DB, OUT_DH0, OUT_DC0, OUT_DP, OUT_DH_ALL };
enum { MAX_PARTS = 3 };
#endif

typedef struct TYPED(back) {
    int64_t T, B, I, H, panels, hs, steps, b0, b1, y_t, y_b;
    int reverse, variant;
    TYPED(kept) kept;
    const uint8_t *modes;         /* NULL: every row counts in every step */
    const REAL *dy, *P, *drop;    /* each may be NULL */
    REAL *dh_all;                 /* may be NULL */
    REAL *dh, *dc;                /* (B, hs): what reaches a step past the recurrent product */
    const REAL *Rt, *zeros;       /* R across, and a row of zeros */
    REAL clip;
    TYPED(activation) act[3];
    const struct TYPED(back_cell) *cell;
} TYPED(back);

typedef void (*TYPED(back_finish))(const TYPED(back) *back, int64_t s, int64_t p, int P, int64_t b, int M,
                                   const REAL *product);

/* How an operator differs. Columns of a row of the workspace, in units of hs: those that W's products read, from x0 on
 * and described by `x_parts`, and those that R's read. */
typedef struct TYPED(back_cell) {
    int gates, activations, x0, r0;
    rn_kept_shape shape;
    rn_part x_parts[MAX_PARTS], r_parts[MAX_PARTS];
    TYPED(back_finish) finish;
    void (*second)(const TYPED(back) *back, int64_t s); /* a GRU that resets first has a second product a step */
} TYPED(back_cell);

RN_INLINE int64_t TYPED(step_at)(const TYPED(back) *back, int64_t s) { return back->reverse ? back->steps - 1 - s : s; }
RN_INLINE REAL *TYPED(back_row)(const TYPED(back) *back, int64_t t, int64_t b)
{
    return back->kept.rows + (t * back->B + b) * back->kept.ks;
}

RN_INLINE int TYPED(part_gates)(const rn_part *parts)
{
    int gates = 0;
    for (; parts->gates; parts++)
        gates += parts->gates;
    return gates;
}

/* Products of rows' columns from `column` on, K of them, with panels across, each tile handed to `finish`. */
static void TYPED(back_sweep)(const TYPED(back) *back, int64_t s, int64_t t, int64_t column, int64_t K, const REAL *w,
                              TYPED(back_finish) finish)
{
    REAL tile[24 * LANES] __attribute__((aligned(64)));
    const int64_t rows = back->b1 - back->b0, most = TYPED(tile_rows)(1), blocks = (rows + most - 1) / most;
    for (int64_t p = 0; p < back->panels;) {
        const int P = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), 1, back->panels - p);
        int64_t row = 0;
        for (int64_t left = blocks; left; left--) {
            const int M = (int)((rows - row + left - 1) / left);
            const int64_t b = back->b0 + row;
            TYPED(tile_any)(1, M, P, back->zeros, 0, NULL, 0, TYPED(back_row)(back, t, b) + column, back->kept.ks,
                            w + p * K * LANES, K * LANES, K, tile, P * LANES);
            finish(back, s, p, P, b, M, tile);
            row += M;
        }
        p += P;
    }
}

RN_INLINE VREAL TYPED(dropped)(const TYPED(back) *back, int64_t at, VREAL x)
{
    return back->drop ? x * V(load)(back->drop + at) : x;
}

/* dh of row b, panel p in step s, with what its output adds; 0 where the row only holds its state: then all is done. */
RN_INLINE int TYPED(enter)(const TYPED(back) *back, int64_t s, int64_t p, int64_t b, VREAL product, VREAL *dh)
{
    const int64_t t = TYPED(step_at)(back, s), at = b * back->hs + p * LANES, units = back->H - p * LANES;
    const int mode = back->modes ? back->modes[t * back->B + b] : ROW_COUNTS;
    const int64_t y = t * back->y_t + b * back->y_b + p * LANES;
    *dh = V(load)(back->dh + at) + TYPED(dropped)(back, at, product);
    if (back->dy && mode != ROW_SHOWS_ZERO)
        *dh += V(load_n)(back->dy + y, units);
    if (back->dh_all)
        V(store_n)(back->dh_all + y, *dh, units);
    if (mode == ROW_COUNTS)
        return 1;
    V(store)(back->dh + at, *dh);
    for (int g = 0; g < back->cell->shape.gates; g++)
        memset(TYPED(back_row)(back, t, b) + g * back->hs + p * LANES, 0, LANES * sizeof(REAL));
    return 0;
}

static void TYPED(finish_initial)(const TYPED(back) *back, int64_t s, int64_t p0, int P, int64_t b0, int M,
                                  const REAL *product)
{
    for (int64_t b = b0; b < b0 + M; b++)
        for (int64_t p = p0; p < p0 + P; p++, product += LANES) {
            const int64_t at = b * back->hs + p * LANES;
            V(store)(back->dh + at, V(load)(back->dh + at) + TYPED(dropped)(back, at, V(load)(product)));
        }
}

/* All steps of the rows b0..b1. */
static void TYPED(back_steps)(TYPED(back) *back, int wants_initial)
{
    const TYPED(back_cell) *cell = back->cell;
    const int gates = cell->second ? cell->r_parts[0].gates : TYPED(part_gates)(cell->r_parts);
    const int64_t K = gates * back->hs, column = cell->r0 * back->hs;
    for (int64_t t = back->steps; t < back->T; t++)
        for (int64_t b = back->b0; b < back->b1; b++)
            memset(TYPED(back_row)(back, t, b), 0, (size_t)back->kept.ks * sizeof(REAL));
    for (int64_t t = back->steps; back->dh_all && t < back->T; t++)
        for (int64_t b = back->b0; b < back->b1; b++)
            memset(back->dh_all + t * back->y_t + b * back->y_b, 0, (size_t)back->H * sizeof(REAL));
    for (int64_t s = back->steps - 1; s >= 0; s--) {
        const int first = s == back->steps - 1;
        TYPED(back_sweep)(back, s, TYPED(step_at)(back, first ? s : s + 1), column, first ? 0 : K, back->Rt, cell->finish);
        if (cell->second)
            cell->second(back, s);
    }
    if (wants_initial && back->steps)
        TYPED(back_sweep)(back, -1, TYPED(step_at)(back, 0), column, K, back->Rt, TYPED(finish_initial));
}

/* The derivative of activation k after the clip, from what came before both, and its value. */
RN_INLINE VREAL TYPED(back_gate)(const TYPED(back) *back, int k, VREAL x, VREAL *slope)
{
    const VREAL inside = back->clip > 0 ? TYPED(clamp)(x, -back->clip, back->clip) : x;
    const VREAL found = TYPED(slope)(inside, back->act[k]);
    *slope = back->clip > 0 ? V(select)(inside == x, found, V(set)(0)) : found;
    return TYPED(activate)(inside, back->act[k]);
}
