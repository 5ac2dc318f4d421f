/* What LSTM, GRU and RNN share, for the real type of real.h: a direction under way, the input projection, and the walk
 * of a step over rows and panels.
 *
 * T steps, B rows, I inputs, H units; panels = ceil(H / LANES). States are kept in scratch, rows `hs` apart, padded to
 * whole panels. A thread's share of the work is rows b0..b1 of panels p0..p1; xw holds the input projection of a chunk
 * of steps for its rows: row (t, b), `xs` apart, columns in panel order.
 *
 * Operands of the kernels (rnnrt/ops/recurrent_pack.py makes them):
 * in   X, W, R, bias (all three packed), sequence_lens, initial_h, initial_c, P (packed), mask, recurrent_mask
 * out  Y, Y_h, Y_c, workspace (laid out in recurrent_kept.h)
 * ints layout, first direction is reverse, D, H, steps of a chunk, scratch bytes of a direction, zero_output_for_mask,
 *      variant, fast path (0: none), threads, how they share (enum rn_split), whether the call is too short to wake
 *      threads for, layout of weights that are not packed (enum rn_weights), in it the positions of the gates, then
 *      activation codes per direction
 * floats clip (0: none), then alpha and beta of each activation */
#include "panel_tile.h"

#ifndef RN_RECURRENT_INTS
#define RN_RECURRENT_INTS
enum { IN_X, IN_W, IN_R, IN_BIAS, IN_LENGTHS, IN_H, IN_C, IN_P, IN_MASK, IN_DROP, IN_COUNT };
enum { OUT_Y, OUT_H, OUT_C, OUT_KEPT, OUT_COUNT };
enum {
    INT_LAYOUT, INT_REVERSE, INT_D, INT_H, INT_CHUNK, INT_SCRATCH, INT_ZERO, INT_VARIANT, INT_FAST, INT_THREADS,
    INT_SPLIT, INT_SHORT, INT_WEIGHTS, INT_ORDER, INT_CODES = INT_ORDER + 4
};
/* ONNX's W (D, G*H, I) and R (D, G*H, H), or Keras's kernel (I, G*H) and recurrent kernel (H, G*H). */
enum rn_weights { WEIGHTS_ONNX, WEIGHTS_KERAS };
/* How threads share a call: a direction each, some rows each, or some panels each with a barrier after each stage.
 * rnnrt/plan/select.py chooses, with these numbers. */
enum rn_split { SPLIT_DIRECTIONS, SPLIT_ROWS, SPLIT_PANELS };
/* What a row does in a step: count, or hold its state and show zeros or the output before. */
enum { ROW_COUNTS, ROW_SHOWS_ZERO, ROW_REPEATS };
RN_INLINE int64_t rn_length(const rn_tensor *lengths, int64_t b)
{
    return lengths->dtype == RN_I64 ? ((const int64_t *)lengths->data)[b] : ((const int32_t *)lengths->data)[b];
}
#endif

typedef struct {
    int64_t T, B, I, H, panels, hs, xs, t0; /* t0: the step of xw's first rows */
    int64_t p0, p1, b0, b1;
    int64_t x_t, x_b, y_t, y_b;             /* strides of steps and rows in X and Y */
    const REAL *x, *W, *R, *bias, *P;
    REAL *y; /* NULL: Y is not wanted */
    REAL *h, *h_next, *c, *c_next, *z, *rh, *xw;
    REAL *a, *a_next;     /* h as the recurrent product reads it: times `drop`, or h itself */
    const REAL *drop;     /* NULL: no dropout */
    REAL *kept;           /* NULL: no backward pass will follow */
    int64_t ks;           /* a row of kept */
    uint8_t *mode, *seen; /* mode NULL: every row counts in every step */
    uint8_t *modes;       /* kept modes of all steps, or NULL */
    REAL clip;
    int variant;
    TYPED(activation) act[3];
} TYPED(run);

/* How an operator differs. Both functions do the thread's share; between the `stages` of a step, and between steps,
 * all shares must be done. */
typedef struct {
    int gates, bias_gates, kept_gates, activations, stages, has_c, has_z;
    void (*project)(const TYPED(run) *run, int64_t t0, int64_t t1);
    void (*step)(const TYPED(run) *run, int stage, int64_t t);
} TYPED(cell);

typedef void (*TYPED(finish))(const TYPED(run) *run, int64_t t, int64_t p, int P, int64_t b, int M, const REAL *gates);

RN_INLINE REAL *TYPED(xw_row)(const TYPED(run) *run, int64_t t, int64_t b)
{
    return run->xw + ((t - run->t0) * (run->b1 - run->b0) + b - run->b0) * run->xs;
}

/* xw rows of steps t0..t1, columns from `column` on: X W + bias. Panels are outermost, so that each is read from the
 * next cache once; all steps are one run of rows where X's rows lie evenly. */
RN_INLINE void TYPED(project)(const TYPED(run) *run, const int G, int64_t t0, int64_t t1, const REAL *w,
                              const REAL *bias, int64_t column)
{
    const int64_t B = run->b1 - run->b0, I = run->I, xs = run->xs, ps = I * G * LANES, width = G * LANES;
    const REAL *x = run->x + t0 * run->x_t + run->b0 * run->x_b;
    REAL *out = run->xw + column;
    /* rows of an inner run, `x_row` and `out_row` apart, and how many runs, `x_run` and `out_run` apart */
    int64_t rows = B, x_row = run->x_b, out_row = xs, runs = t1 - t0, x_run = run->x_t, out_run = B * xs;
    if (B == 1 || run->x_t == B * run->x_b) {
        x_row = B == 1 ? run->x_t : run->x_b;
        rows *= runs;
        runs = 1;
    } else if (runs > B) {
        rows = t1 - t0, x_row = run->x_t, out_row = B * xs;
        runs = B, x_run = run->x_b, out_run = xs;
    }
    const int64_t blocks = (rows + TYPED(tile_rows)(G) - 1) / TYPED(tile_rows)(G);
    if (!rows)
        return;
    for (int64_t p = run->p0; p < run->p1;) {
        const int P = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), G, run->p1 - p);
        for (int64_t k = 0; k < runs; k++) {
            int64_t row = 0;
            for (int64_t left = blocks; left; left--) {
                const int M = (int)((rows - row + left - 1) / left);
                TYPED(tile_any)(G, M, P, bias + p * width, 0, NULL, 0, x + k * x_run + row * x_row, x_row, w + p * ps,
                                ps, I, out + k * out_run + row * out_row + p * width, out_row);
                row += M;
            }
        }
        p += P;
    }
}

RN_INLINE int TYPED(any_counts)(const TYPED(run) *run, int64_t b, int M)
{
    for (int r = 0; r < M; r++)
        if (run->mode[b + r] == ROW_COUNTS)
            return 1;
    return 0;
}

/* One stage of step t: gates = xw + a R for each tile, handed to `finish` while they are in the cache. `bias` not NULL:
 * the last gate starts from it, not from xw. Odd steps go through the panels backwards: what the last step read last
 * is still in the nearer cache. */
RN_INLINE void TYPED(sweep)(const TYPED(run) *run, const int G, int64_t t, const REAL *a, const REAL *w,
                            int64_t column, const REAL *bias, int64_t bias_stride, TYPED(finish) finish)
{
    REAL gates[24 * LANES] __attribute__((aligned(64)));
    const int64_t ps = run->H * G * LANES, width = G * LANES, rows = run->b1 - run->b0, xs = run->xs;
    const int64_t blocks = (rows + TYPED(tile_rows)(G) - 1) / TYPED(tile_rows)(G);
    const REAL *xw = TYPED(xw_row)(run, t, run->b0) + column;
    if (!rows || run->p0 == run->p1)
        return;
    const int most = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), G, run->p1 - run->p0);
    const int64_t groups = (run->p1 - run->p0 + most - 1) / most;
    for (int64_t k = 0; k < groups; k++) {
        int64_t p = run->p0 + (t & 1 ? groups - 1 - k : k) * most;
        const int64_t end = p + most < run->p1 ? p + most : run->p1;
        while (p < end) {
            const int P = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), G, end - p);
            int64_t row = 0;
            for (int64_t left = blocks; left; left--) {
                const int M = (int)((rows - row + left - 1) / left);
                const int64_t b = run->b0 + row;
                if (!run->mode || TYPED(any_counts)(run, b, M))
                    TYPED(tile_any)(G, M, P, xw + row * xs + p * width, xs, bias ? bias + p * bias_stride : NULL,
                                    bias_stride, a + b * run->hs, run->hs, w + p * ps, ps, run->H, gates, P * width);
                finish(run, t, p, P, b, M, gates);
                row += M;
            }
            p += P;
        }
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
    const int64_t at = b * run->hs + p * LANES;
    V(store)(run->h_next + at, h);
    if (run->drop)
        V(store)(run->a_next + at, h * V(load)(run->drop + at));
    TYPED(show)(run, t, b, p, h);
}

/* What the backward pass wants of row b, panel p of step t. */
RN_INLINE REAL *TYPED(kept_row)(const TYPED(run) *run, int64_t t, int64_t b) { return run->kept + (t * run->B + b) * run->ks; }

/* Whether row b only holds its state in this step; then that is done. */
RN_INLINE int TYPED(held)(const TYPED(run) *run, int64_t t, int64_t b, int64_t p)
{
    if (!run->mode || run->mode[b] == ROW_COUNTS)
        return 0;
    const int64_t at = b * run->hs + p * LANES;
    const VREAL h = V(load)(run->h + at);
    V(store)(run->h_next + at, h);
    if (run->drop)
        V(store)(run->a_next + at, V(load)(run->a + at));
    if (run->c_next != run->c)
        V(store)(run->c_next + at, V(load)(run->c + at));
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
