/* The loop over time and directions of a recurrent kernel, for the real type of real.h. Include after recurrent.h. */
#include "pool.h"
#include "recurrent_kept.h"

static void TYPED(row_modes)(TYPED(run) *run, const rn_tensor *lengths, const rn_tensor *mask, int64_t t, int zero)
{
    for (int64_t b = run->b0; b < run->b1; b++) {
        const int inside = !lengths || t < rn_length(lengths, b);
        if (inside && (!mask || ((const uint8_t *)mask->data)[t * run->B + b])) {
            run->mode[b] = ROW_COUNTS;
            run->seen[b] = 1;
        } else {
            run->mode[b] = inside && !zero && run->seen[b] ? ROW_REPEATS : ROW_SHOWS_ZERO;
        }
    }
}

/* Bytes of the thread's share of a row, without what pads the last panel. */
RN_INLINE size_t TYPED(share_bytes)(const TYPED(run) *run)
{
    const int64_t end = run->p1 * LANES < run->H ? run->p1 * LANES : run->H;
    return (size_t)(end - run->p0 * LANES) * sizeof(REAL);
}

/* The thread's share of a padded state, from `source` rows `stride` apart; zeros where there is none. */
static void TYPED(load_state)(const TYPED(run) *run, REAL *state, const REAL *source, int64_t stride)
{
    const int64_t at = run->p0 * LANES;
    for (int64_t b = run->b0; b < run->b1; b++) {
        memset(state + b * run->hs + at, 0, (size_t)((run->p1 - run->p0) * LANES) * sizeof(REAL));
        if (source)
            memcpy(state + b * run->hs + at, source + b * stride + at, TYPED(share_bytes)(run));
    }
}

/* The dropout of the recurrent product, (B, H), and what it leaves of the first state. */
static void TYPED(load_drop)(const TYPED(run) *run, const REAL *drop)
{
    TYPED(load_state)(run, (REAL *)run->drop, drop, run->H);
    for (int64_t b = run->b0; b < run->b1; b++)
        for (int64_t at = b * run->hs + run->p0 * LANES; at < b * run->hs + run->p1 * LANES; at++)
            run->a[at] = run->h[at] * run->drop[at];
}

/* The last state of a row that had no step is zero. */
static void TYPED(give_state)(const TYPED(run) *run, const REAL *state, REAL *to, int64_t stride, const rn_tensor *lengths)
{
    const int64_t at = run->p0 * LANES;
    for (int64_t b = run->b0; b < run->b1; b++) {
        if (lengths && run->T && !rn_length(lengths, b))
            memset(to + b * stride + at, 0, TYPED(share_bytes)(run));
        else
            memcpy(to + b * stride + at, state + b * run->hs + at, TYPED(share_bytes)(run));
    }
}

static void TYPED(zero_steps)(const TYPED(run) *run, int64_t from)
{
    for (int64_t t = from; run->y && t < run->T; t++)
        for (int64_t b = run->b0; b < run->b1; b++)
            memset(run->y + t * run->y_t + b * run->y_b + run->p0 * LANES, 0, TYPED(share_bytes)(run));
}

/* The state after a step becomes that before the next: buffers swap, or where they are kept the next ones follow. */
RN_INLINE void TYPED(advance)(TYPED(run) *run)
{
    const int64_t state = run->B * run->hs;
    REAL *h = run->h, *a = run->a;
    run->h = run->h_next;
    run->h_next = run->kept ? run->h + state : h;
    run->a = run->drop ? run->a_next : run->h;
    run->a_next = run->kept ? run->a + state : a;
    if (run->c_next != run->c) {
        run->c = run->c_next;
        run->c_next += state;
    }
}

/* All steps of the thread's share. Panels of one direction need all of h in each stage: there threads wait for each
 * other at the barrier (not NULL). */
static void TYPED(run_steps)(const rn_call *call, const TYPED(cell) *cell, TYPED(run) *run, int reverse, int thread,
                             rn_barrier_state *barrier)
{
    const rn_tensor *lengths = call->in[IN_LENGTHS], *mask = call->in[IN_MASK];
    const int64_t chunk = call->ints[INT_CHUNK];
    int64_t steps = run->T;
    if (lengths) {
        steps = 0;
        for (int64_t b = 0; b < run->B; b++)
            steps = rn_length(lengths, b) > steps ? rn_length(lengths, b) : steps;
        TYPED(zero_steps)(run, steps);
    }
    if (lengths || mask)
        memset(run->seen + run->b0, 0, (size_t)(run->b1 - run->b0));
    else
        run->mode = NULL;
    for (int64_t done = 0; done < steps; done += chunk) {
        const int64_t count = steps - done < chunk ? steps - done : chunk;
        run->t0 = reverse ? steps - done - count : done;
        cell->project(run, run->t0, run->t0 + count);
        for (int64_t k = 0; k < count; k++) {
            const int64_t t = run->t0 + (reverse ? count - 1 - k : k);
            if (run->mode)
                TYPED(row_modes)(run, lengths, mask, t, (int)call->ints[INT_ZERO]);
            if (run->modes && !run->p0)
                memcpy(run->modes + t * run->B + run->b0, run->mode + run->b0, (size_t)(run->b1 - run->b0));
            for (int stage = 0; stage < cell->stages; stage++) {
                if (barrier)
                    rn_barrier(barrier, thread);
                cell->step(run, stage, t);
            }
            TYPED(advance)(run);
        }
    }
}

/* Direction d of a call: where its operands and its scratch lie. */
static TYPED(run) TYPED(make_run)(const rn_call *call, const TYPED(cell) *cell, int64_t d)
{
    const rn_tensor *x = call->in[IN_X], *y = call->out[OUT_Y];
    const int batch_first = (int)call->ints[INT_LAYOUT];
    const int64_t D = call->ints[INT_D], H = call->ints[INT_H];
    TYPED(run) run = {.T = x->shape[batch_first], .B = x->shape[!batch_first], .I = x->shape[2], .H = H};
    run.panels = run.p1 = (H + LANES - 1) / LANES;
    run.b1 = run.B;
    run.hs = run.panels * LANES;
    run.xs = cell->gates * run.hs;
    run.x_t = batch_first ? run.I : run.B * run.I;
    run.x_b = batch_first ? run.T * run.I : run.I;
    run.y_t = batch_first ? D * H : D * run.B * H;
    run.y_b = batch_first ? run.T * D * H : H;
    run.x = x->data;
    run.y = y && y->data ? (REAL *)y->data + d * (batch_first ? H : run.B * H) : NULL;
    run.W = (const REAL *)call->in[IN_W]->data + d * run.xs * run.I;
    run.R = (const REAL *)call->in[IN_R]->data + d * run.xs * H;
    run.bias = (const REAL *)call->in[IN_BIAS]->data + d * cell->bias_gates * run.hs;
    run.P = call->in[IN_P] ? (const REAL *)call->in[IN_P]->data + d * 3 * run.hs : NULL;
    run.clip = (REAL)call->floats[0];
    run.variant = (int)call->ints[INT_VARIANT];
    for (int k = 0; k < cell->activations; k++) {
        const int64_t at = d * cell->activations + k;
        run.act[k] = (TYPED(activation)){(int)call->ints[INT_CODES + at], (REAL)call->floats[1 + 2 * at],
                                         (REAL)call->floats[2 + 2 * at]};
    }
    const int64_t state = run.B * run.hs;
    run.h = (REAL *)((char *)call->scratch + d * call->ints[INT_SCRATCH]);
    run.h_next = run.h + state;
    run.c = run.h + 2 * state;
    run.c_next = run.c;
    run.z = run.c + cell->has_c * state;
    run.rh = run.z + cell->has_z * state;
    run.a = run.rh + cell->has_z * state; /* a, a_next and drop take no place without dropout */
    run.xw = run.a + 3 * (call->in[IN_DROP] != NULL) * state;
    run.mode = (uint8_t *)(run.xw + call->ints[INT_CHUNK] * run.B * run.xs);
    run.seen = run.mode + run.B;
    if (call->in[IN_DROP]) {
        run.a_next = run.a + state;
        run.drop = run.a + 2 * state;
    } else {
        run.a = run.h;
    }
    if (call->out[OUT_KEPT] && call->out[OUT_KEPT]->data) {
        const rn_kept_shape shape = {cell->kept_gates, cell->has_c, call->in[IN_DROP] != NULL};
        const TYPED(kept) kept = TYPED(kept_of)(call->out[OUT_KEPT], shape, D, run.T, run.B, H, d);
        run.kept = kept.rows;
        run.ks = kept.ks;
        run.h = kept.h;
        run.h_next = kept.h + state;
        if (cell->has_c) {
            run.c = kept.c;
            run.c_next = kept.c + state;
        }
        run.a = kept.a;
        run.a_next = kept.a + state;
        run.modes = call->in[IN_LENGTHS] || call->in[IN_MASK] ? kept.modes : NULL;
    }
    return run;
}

typedef struct {
    const rn_call *call;
    const TYPED(cell) *cell;
} TYPED(recurrent_job);

/* What one thread does of a call. */
static void TYPED(recurrent_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(recurrent_job) *job = argument;
    const rn_call *call = job->call;
    const rn_tensor *lengths = call->in[IN_LENGTHS], *h = call->in[IN_H], *c = call->in[IN_C];
    const rn_tensor *last_h = call->out[OUT_H], *last_c = call->out[OUT_C];
    const int batch_first = (int)call->ints[INT_LAYOUT];
    const int64_t D = call->ints[INT_D], split = call->ints[INT_SPLIT];
    for (int64_t d = 0; d < D; d++) {
        TYPED(run) run = TYPED(make_run)(call, job->cell, d);
        if (split == SPLIT_DIRECTIONS && d % n_threads != thread)
            continue;
        if (split == SPLIT_ROWS) {
            run.b0 = run.B * thread / n_threads;
            run.b1 = run.B * (thread + 1) / n_threads;
            run.xw += call->ints[INT_CHUNK] * run.b0 * run.xs;
        } else if (split == SPLIT_PANELS) {
            run.p0 = run.panels * thread / n_threads;
            run.p1 = run.panels * (thread + 1) / n_threads;
            run.mode += thread * 2 * run.B;
            run.seen += thread * 2 * run.B;
        }
        /* states are (D, B, H), or with layout 1 (B, D, H) */
        const int64_t stride = batch_first ? D * run.H : run.H, first = batch_first ? d * run.H : d * run.B * run.H;
        TYPED(load_state)(&run, run.h, h ? (const REAL *)h->data + first : NULL, stride);
        if (job->cell->has_c)
            TYPED(load_state)(&run, run.c, c ? (const REAL *)c->data + first : NULL, stride);
        if (run.drop)
            TYPED(load_drop)(&run, (const REAL *)call->in[IN_DROP]->data + d * run.B * run.H);
        TYPED(run_steps)(call, job->cell, &run, d == 1 || call->ints[INT_REVERSE], thread,
                         split == SPLIT_PANELS && n_threads > 1 ? barrier : NULL);
        if (last_h && last_h->data)
            TYPED(give_state)(&run, run.h, (REAL *)last_h->data + first, stride, lengths);
        if (job->cell->has_c && last_c && last_c->data)
            TYPED(give_state)(&run, run.c, (REAL *)last_c->data + first, stride, lengths);
    }
}

static int TYPED(recurrent)(const rn_call *call, const TYPED(cell) *cell)
{
    const rn_tensor *lengths = call->in[IN_LENGTHS], *x = call->in[IN_X];
    const int64_t T = x->shape[call->ints[INT_LAYOUT]], B = x->shape[!call->ints[INT_LAYOUT]];
    TYPED(recurrent_job) job = {call, cell};
    for (int64_t b = 0; lengths && b < B; b++)
        if (rn_length(lengths, b) < 0 || rn_length(lengths, b) > T)
            return RN_BAD_VALUE;
    if (B && call->ints[INT_H])
        rn_parallel(TYPED(recurrent_task), &job, (int)call->ints[INT_THREADS],
                    (int)call->ints[INT_SHORT]);
    return RN_OK;
}
