/* What LSTM, GRU and RNN share, for the real type of real.h: a direction under way, the input projection, the walk of
 * a step over rows and panels, and the loop over time.
 *
 * T steps, B rows, I inputs, H units; panels = ceil(H / LANES). States are kept in scratch, rows `hs` apart, padded to
 * whole panels. xw holds the input projection of a chunk of steps: row (t, b), `xs` apart, columns in panel order.
 *
 * Operands of the kernels (rnnrt/ops/recurrent_pack.py makes them):
 * in   X, W, R, bias (all three packed), sequence_lens, initial_h, initial_c, P (packed), mask
 * out  Y, Y_h, Y_c
 * ints layout, first direction is reverse, D, H, steps of a chunk, scratch bytes of a direction, zero_output_for_mask,
 *      variant, fast path (0: none), then activation codes per direction
 * floats clip (0: none), then alpha and beta of each activation */
#include "panel_tile.h"

#ifndef RN_RECURRENT_INTS
#define RN_RECURRENT_INTS
enum { IN_X, IN_W, IN_R, IN_BIAS, IN_LENGTHS, IN_H, IN_C, IN_P, IN_MASK };
enum { INT_LAYOUT, INT_REVERSE, INT_D, INT_H, INT_CHUNK, INT_SCRATCH, INT_ZERO, INT_VARIANT, INT_FAST, INT_CODES };
/* What a row does in a step: count, or hold its state and show zeros or the output before. */
enum { ROW_COUNTS, ROW_SHOWS_ZERO, ROW_REPEATS };
RN_INLINE int64_t rn_length(const rn_tensor *lengths, int64_t b)
{
    return lengths->dtype == RN_I64 ? ((const int64_t *)lengths->data)[b] : ((const int32_t *)lengths->data)[b];
}
#endif

typedef struct {
    int64_t T, B, I, H, panels, hs, xs, t0; /* t0: the step of xw's first rows */
    int64_t x_t, x_b, y_t, y_b;             /* strides of steps and rows in X and Y */
    const REAL *x, *W, *R, *bias, *P;
    REAL *y; /* NULL: Y is not wanted */
    REAL *h, *h_next, *c, *z, *rh, *xw;
    uint8_t *mode, *seen; /* mode NULL: every row counts in every step */
    REAL clip;
    int variant;
    TYPED(activation) act[3];
} TYPED(run);

/* How an operator differs. A step has `stages`, each a function of a range of panels and one of rows; between stages
 * every range must be done. */
typedef struct {
    int gates, bias_gates, activations, stages, has_c, has_z;
    void (*project)(const TYPED(run) *run, int64_t t0, int64_t t1, int64_t p0, int64_t p1);
    void (*step)(const TYPED(run) *run, int stage, int64_t t, int64_t p0, int64_t p1, int64_t b0, int64_t b1);
} TYPED(cell);

typedef void (*TYPED(finish))(const TYPED(run) *run, int64_t t, int64_t p, int P, int64_t b, int M, const REAL *gates);

/* rows x panels p0..p1 of a product with G gates; init and out are at panel 0 */
RN_INLINE void TYPED(product)(const int G, int64_t rows, int64_t p0, int64_t p1, const REAL *bias, const REAL *a,
                              int64_t lda, const REAL *w, int64_t K, REAL *out, int64_t ldo)
{
    const int64_t ps = K * G * LANES, width = G * LANES, blocks = (rows + TYPED(tile_rows)(G) - 1) / TYPED(tile_rows)(G);
    if (!rows)
        return;
    for (int64_t p = p0; p < p1;) {
        const int P = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), G, p1 - p);
        int64_t row = 0;
        for (int64_t left = blocks; left; left--) {
            const int M = (int)((rows - row + left - 1) / left);
            TYPED(tile_any)(G, M, P, bias + p * width, 0, NULL, 0, a + row * lda, lda, w + p * ps, ps, K,
                            out + row * ldo + p * width, ldo);
            row += M;
        }
        p += P;
    }
}

/* xw rows of steps t0..t1, columns from `column` on: X W + bias */
RN_INLINE void TYPED(project)(const TYPED(run) *run, const int G, int64_t t0, int64_t t1, int64_t p0, int64_t p1,
                              const REAL *w, const REAL *bias, int64_t column)
{
    const REAL *x = run->x + t0 * run->x_t;
    REAL *out = run->xw + column;
    const int64_t steps = t1 - t0, B = run->B, I = run->I, xs = run->xs;
    if (run->x_t == B * run->x_b || B == 1 || steps == 1) /* one uniform walk over all rows */
        TYPED(product)(G, steps * B, p0, p1, bias, x, B == 1 ? run->x_t : run->x_b, w, I, out, xs);
    else if (steps >= B)
        for (int64_t b = 0; b < B; b++)
            TYPED(product)(G, steps, p0, p1, bias, x + b * run->x_b, run->x_t, w, I, out + b * xs, B * xs);
    else
        for (int64_t t = 0; t < steps; t++)
            TYPED(product)(G, B, p0, p1, bias, x + t * run->x_t, run->x_b, w, I, out + t * B * xs, xs);
}

RN_INLINE int TYPED(any_counts)(const TYPED(run) *run, int64_t b, int M)
{
    for (int r = 0; r < M; r++)
        if (run->mode[b + r] == ROW_COUNTS)
            return 1;
    return 0;
}

/* One stage of step t: gates = xw + a R for each tile, handed to `finish` while they are in the cache. `bias` not NULL:
 * the last gate starts from it, not from xw. */
RN_INLINE void TYPED(sweep)(const TYPED(run) *run, const int G, int64_t t, int64_t p0, int64_t p1, int64_t b0,
                            int64_t b1, const REAL *a, const REAL *w, int64_t column, const REAL *bias,
                            int64_t bias_stride, TYPED(finish) finish)
{
    REAL gates[24 * LANES] __attribute__((aligned(64)));
    const int64_t ps = run->H * G * LANES, width = G * LANES, rows = b1 - b0;
    const int64_t blocks = (rows + TYPED(tile_rows)(G) - 1) / TYPED(tile_rows)(G);
    const REAL *xw = run->xw + (t - run->t0) * run->B * run->xs + column;
    if (!rows)
        return;
    for (int64_t p = p0; p < p1;) {
        const int P = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), G, p1 - p);
        int64_t b = b0;
        for (int64_t left = blocks; left; left--) {
            const int M = (int)((b1 - b + left - 1) / left);
            if (!run->mode || TYPED(any_counts)(run, b, M))
                TYPED(tile_any)(G, M, P, xw + b * run->xs + p * width, run->xs, bias ? bias + p * bias_stride : NULL,
                                bias_stride, a + b * run->hs, run->hs, w + p * ps, ps, run->H, gates, P * width);
            finish(run, t, p, P, b, M, gates);
            b += M;
        }
        p += P;
    }
}

RN_INLINE void TYPED(show)(const TYPED(run) *run, int64_t t, int64_t b, int64_t p, VREAL value)
{
    if (!run->y)
        return;
    REAL *y = run->y + t * run->y_t + b * run->y_b + p * LANES;
    const int64_t units = run->H - p * LANES;
    if (units >= LANES)
        V(store)(y, value);
    else
        memcpy(y, &value, (size_t)units * sizeof(REAL));
}

/* The new state of a row's panel, kept and shown. */
RN_INLINE void TYPED(keep)(const TYPED(run) *run, int64_t t, int64_t b, int64_t p, VREAL h)
{
    V(store)(run->h_next + b * run->hs + p * LANES, h);
    TYPED(show)(run, t, b, p, h);
}

/* Whether row b only holds its state in this step; then that is done. */
RN_INLINE int TYPED(held)(const TYPED(run) *run, int64_t t, int64_t b, int64_t p)
{
    if (!run->mode || run->mode[b] == ROW_COUNTS)
        return 0;
    const VREAL h = V(load)(run->h + b * run->hs + p * LANES);
    V(store)(run->h_next + b * run->hs + p * LANES, h);
    TYPED(show)(run, t, b, p, run->mode[b] == ROW_REPEATS ? h : V(set)(0));
    return 1;
}

RN_INLINE VREAL TYPED(clipped)(const TYPED(run) *run, VREAL x)
{
    return run->clip > 0 ? TYPED(clamp)(x, -run->clip, run->clip) : x;
}

/* Activation k after the clip: the general path. */
RN_INLINE VREAL TYPED(gate)(const TYPED(run) *run, int k, VREAL x)
{
    return TYPED(activate)(TYPED(clipped)(run, x), run->act[k]);
}
