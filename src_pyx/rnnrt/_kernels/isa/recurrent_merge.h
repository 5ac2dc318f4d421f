/* The backward pass of a recurrent operator as a whole, for the real type of real.h: the walk back, then dX, dW, dR and
 * dB, each one product over all steps. */
#ifndef RN_GRAM_USES
#define RN_GRAM_USES
/* X, the states, or the states behind the reset gate. */
enum { BY_INPUTS = 1, BY_STATES = 2, BY_RESET = 4 };
#endif

typedef struct {
    const rn_call *call;
    const TYPED(back_cell) *cell;
    TYPED(back) back;
    int64_t d, w_ld, r_ld;
    REAL *Wt, *Rt, *dW, *dR, *sums; /* scratch */
} TYPED(back_job);

static void TYPED(across_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(back_job) *job = argument;
    const TYPED(back) *back = &job->back;
    const int64_t *ints = job->call->ints, H = back->H, I = back->I, panels = (I + LANES - 1) / LANES;
    const int G = job->cell->gates;
    const REAL *W = (const REAL *)job->call->in[IN_W]->data + job->d * G * H * I;
    const REAL *R = (const REAL *)job->call->in[IN_R]->data + job->d * G * H * H;
    if (job->Wt)
        TYPED(pack_across)(job->Wt, W, TYPED(matrix_of)(ints, G, H, I), job->cell->x_parts, H, I,
                           panels * thread / n_threads, panels * (thread + 1) / n_threads);
    /* the parts of R are packed one after the other: a cell of two products reads them apart */
    REAL *to = job->Rt;
    for (const rn_part *part = job->cell->r_parts; part->gates; part++) {
        const rn_part own[] = {*part, {0, 0}};
        TYPED(pack_across)(to, R, TYPED(matrix_of)(ints, G, H, H), job->cell->second ? own : job->cell->r_parts, H, H,
                           back->panels * thread / n_threads, back->panels * (thread + 1) / n_threads);
        if (!job->cell->second)
            break;
        to += part->gates * back->hs * back->hs;
    }
}

static void TYPED(steps_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(back_job) *job = argument;
    TYPED(back) back = job->back;
    const rn_call *call = job->call;
    const rn_tensor *lengths = call->in[IN_LENGTHS];
    const int64_t D = call->ints[INT_D], H = back.H, batch_first = call->ints[INT_LAYOUT];
    const int64_t stride = batch_first ? D * H : H, first = batch_first ? job->d * H : job->d * back.B * H;
    back.b0 = back.B * thread / n_threads;
    back.b1 = back.B * (thread + 1) / n_threads;
    REAL *states[] = {back.dh, back.dc};
    for (int k = 0; k < 1 + job->cell->shape.has_c; k++) {
        const rn_tensor *last = call->in[IN_DY_H + k];
        for (int64_t b = back.b0; b < back.b1; b++) {
            memset(states[k] + b * back.hs, 0, (size_t)back.hs * sizeof(REAL));
            if (last && !(lengths && back.T && !rn_length(lengths, b)))
                memcpy(states[k] + b * back.hs, (const REAL *)last->data + first + b * stride, (size_t)H * sizeof(REAL));
        }
    }
    if (back.b0 < back.b1)
        TYPED(back_steps)(&back, call->out[OUT_DH0] != NULL);
    for (int k = 0; k < 1 + job->cell->shape.has_c; k++) {
        const rn_tensor *initial = call->out[OUT_DH0 + k];
        for (int64_t b = back.b0; initial && b < back.b1; b++)
            memcpy((REAL *)initial->data + first + b * stride, states[k] + b * back.hs, (size_t)H * sizeof(REAL));
    }
}

/* dX = dG W: rows of one step, or of one row of the batch. */
static void TYPED(inputs_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(back_job) *job = argument;
    const TYPED(back) *back = &job->back;
    const rn_call *call = job->call;
    const int64_t T = back->T, B = back->B, I = back->I, batch_first = call->ints[INT_LAYOUT];
    const int64_t K = TYPED(part_gates)(job->cell->x_parts) * back->hs, panels = (I + LANES - 1) / LANES;
    const int64_t x_t = batch_first ? I : B * I, x_b = batch_first ? T * I : I, ks = back->kept.ks;
    const int by_step = B >= T, second = job->d > 0;
    const int64_t runs = by_step ? T : B, rows = by_step ? B : T;
    const REAL *dG = back->kept.rows + job->cell->x0 * back->hs;
    for (int64_t run = runs * thread / n_threads; run < runs * (thread + 1) / n_threads; run++) {
        const REAL *a = dG + run * (by_step ? B * ks : ks);
        REAL *x = (REAL *)call->out[OUT_DX]->data + run * (by_step ? x_t : x_b);
        const int64_t lda = by_step ? ks : B * ks, ldx = by_step ? x_b : x_t;
        if (!second) {
            TYPED(product_rows)(rows, I, K, 0, panels, back->zeros, a, lda, job->Wt, x, ldx);
            continue;
        }
        REAL *other = job->dW + thread * ROWS_AT_ONCE * I; /* free until the next products */
        for (int64_t row = 0; row < rows; row += ROWS_AT_ONCE) {
            const int64_t count = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
            TYPED(product_rows)(count, I, K, 0, panels, back->zeros, a + row * lda, lda, job->Wt, other, I);
            for (int64_t r = 0; r < count; r++)
                for (int64_t i = 0; i < I; i++)
                    x[(row + r) * ldx + i] += other[r * I + i];
        }
    }
}

/* A source of `gram` among the rows of the inputs, or of a history of states. */
static TYPED(gram_source) TYPED(rows_of)(const TYPED(back) *back, const REAL *a, int64_t M, int64_t t, int64_t b,
                                         REAL *c, int64_t ldc)
{
    const int by_step = back->B >= back->steps;
    return (TYPED(gram_source)){M, by_step ? b : t, by_step ? t : b, ldc, a, c};
}

/* What the gradients in column `at` of a row, in units of hs, are multiplied with. */
static int TYPED(uses_of)(const TYPED(back_cell) *cell, int at)
{
    const int x = at - cell->x0, r = at - cell->r0;
    const int by_states = cell->second ? cell->r_parts[0].gates : TYPED(part_gates)(cell->r_parts);
    return (x >= 0 && x < TYPED(part_gates)(cell->x_parts)) * BY_INPUTS + (r >= 0 && r < by_states) * BY_STATES
         + (cell->second && !at) * BY_RESET;
}

/* dW = X^T dG, dR = H^T dG and the sums of dG, step by step or row by row; threads take columns. Columns that W and R
 * both see are read once. */
static void TYPED(weights_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(back_job) *job = argument;
    const TYPED(back) *back = &job->back;
    const TYPED(back_cell) *cell = job->cell;
    const int64_t hs = back->hs, ks = back->kept.ks, B = back->B, batch_first = job->call->ints[INT_LAYOUT];
    const int64_t I = back->I, H = back->H, x_t = batch_first ? I : B * I, x_b = batch_first ? back->T * I : I;
    const int by_step = B >= back->steps;
    const int64_t runs = by_step ? back->steps : B, rows = by_step ? B : back->steps;
    /* the history follows the walk: step t of a walk back is state steps - 1 - t */
    const int64_t h_t = back->reverse ? -B * hs : B * hs;
    const REAL *x = job->call->in[IN_X]->data;
    const REAL *h = back->kept.a + (back->reverse && back->steps ? (back->steps - 1) * B * hs : 0);
    int to = 0;
    for (int from = 0; from < cell->shape.gates; from = to) {
        const int uses = TYPED(uses_of)(cell, from);
        for (to = from + 1; to < cell->shape.gates && TYPED(uses_of)(cell, to) == uses;)
            to++;
        TYPED(gram_source) sources[3];
        int n = 0;
        if (uses & BY_INPUTS)
            sources[n++] = TYPED(rows_of)(back, x, I, x_t, x_b, job->dW + (from - cell->x0) * hs, job->w_ld);
        if (uses & BY_STATES)
            sources[n++] = TYPED(rows_of)(back, h, H, h_t, hs, job->dR + (from - cell->r0) * hs, job->r_ld);
        if (uses & BY_RESET)
            sources[n++] = TYPED(rows_of)(back, back->kept.rows + 3 * hs, H, B * ks, ks,
                                          job->dR + cell->r_parts[0].gates * hs, job->r_ld);
        const int64_t panels = (to - from) * back->panels;
        if (n)
            TYPED(gram)(runs, rows, sources, n, back->kept.rows + from * hs, by_step ? ks : B * ks, by_step ? B * ks : ks,
                        (to - from) * hs, panels * thread / n_threads, panels * (thread + 1) / n_threads,
                        job->sums + from * hs);
    }
}

/* dP of i, o and f: sums over rows and steps of the gate's gradient times the cell that it looked at. */
static void TYPED(peepholes)(const TYPED(back) *back, REAL *dP)
{
    memset(dP, 0, (size_t)(3 * back->H) * sizeof(REAL));
    for (int64_t s = 0; s < back->steps; s++)
        for (int64_t b = 0; b < back->B; b++) {
            const REAL *row = TYPED(back_row)(back, TYPED(step_at)(back, s), b);
            const REAL *before = back->kept.c + (s * back->B + b) * back->hs, *after = before + back->B * back->hs;
            for (int64_t u = 0; u < back->H; u++) {
                const REAL *gate = row + u / LANES * 4 * LANES + u % LANES;
                dP[u] += gate[0] * before[u];
                dP[back->H + u] += gate[LANES] * after[u];
                dP[2 * back->H + u] += gate[2 * LANES] * before[u];
            }
        }
}

static TYPED(back_job) TYPED(make_back)(const rn_call *call, const TYPED(back_cell) *cell, int64_t d)
{
    const rn_tensor *x = call->in[IN_X], *lengths = call->in[IN_LENGTHS], *dh_all = call->out[OUT_DH_ALL];
    const int64_t batch_first = call->ints[INT_LAYOUT], D = call->ints[INT_D], H = call->ints[INT_H];
    TYPED(back) back = {.T = x->shape[batch_first], .B = x->shape[!batch_first], .I = x->shape[2], .H = H, .cell = cell};
    back.panels = (H + LANES - 1) / LANES;
    back.hs = back.panels * LANES;
    back.steps = back.T;
    if (lengths) {
        back.steps = 0;
        for (int64_t b = 0; b < back.B; b++)
            back.steps = rn_length(lengths, b) > back.steps ? rn_length(lengths, b) : back.steps;
    }
    back.reverse = d == 1 || call->ints[INT_REVERSE];
    back.variant = (int)call->ints[INT_VARIANT];
    back.kept = TYPED(kept_of)(call->in[IN_KEPT], cell->shape, D, back.T, back.B, H, d);
    back.modes = lengths || call->in[IN_MASK] ? back.kept.modes : NULL;
    back.y_t = batch_first ? D * H : D * back.B * H;
    back.y_b = batch_first ? back.T * D * H : H;
    const int64_t y = d * (batch_first ? H : back.B * H);
    back.dy = call->in[IN_DY] ? (const REAL *)call->in[IN_DY]->data + y : NULL;
    back.dh_all = dh_all ? (REAL *)dh_all->data + y : NULL;
    back.clip = (REAL)call->floats[0];
    for (int k = 0; k < cell->activations; k++) {
        const int64_t at = d * cell->activations + k;
        back.act[k] = (TYPED(activation)){(int)call->ints[INT_CODES + at], (REAL)call->floats[1 + 2 * at],
                                          (REAL)call->floats[2 + 2 * at]};
    }
    TYPED(back_job) job = {.call = call, .cell = cell, .d = d};
    REAL *free = call->scratch;
    const int64_t state = back.B * back.hs, wide = (back.I + LANES - 1) / LANES * LANES;
    job.w_ld = TYPED(part_gates)(cell->x_parts) * back.hs;
    job.r_ld = TYPED(part_gates)(cell->r_parts) * back.hs;
#define TAKE(pointer, count) pointer = free, free += (count)
    TAKE(back.dh, state);
    TAKE(back.dc, state);
    REAL *drop, *zeros, *P;
    TAKE(drop, state);
    TAKE(zeros, wide > 4 * back.hs ? wide : 4 * back.hs);
    TAKE(P, 3 * back.hs);
    TAKE(job.Rt, job.r_ld * back.hs);
    TAKE(job.Wt, job.w_ld * wide);
    TAKE(job.dR, job.r_ld * H);
    TAKE(job.sums, cell->shape.gates * back.hs);
    TAKE(job.dW, job.w_ld * back.I); /* the last: longer where it serves as a buffer */
#undef TAKE
    memset(zeros, 0, (size_t)(wide > 4 * back.hs ? wide : 4 * back.hs) * sizeof(REAL));
    back.zeros = zeros;
    back.Rt = job.Rt;
    if (!call->out[OUT_DX])
        job.Wt = NULL;
    if (call->in[IN_P]) {
        const int64_t order[] = {0, 1, 2};
        const TYPED(matrix) rows = {H, 1, 1, order};
        TYPED(pack_part)(P, (const REAL *)call->in[IN_P]->data + d * 3 * H, rows, (rn_part){0, 3}, H, 1, 0, back.panels);
        back.P = P;
    }
    if (call->in[IN_DROP]) {
        memset(drop, 0, (size_t)state * sizeof(REAL));
        for (int64_t b = 0; b < back.B; b++)
            memcpy(drop + b * back.hs, (const REAL *)call->in[IN_DROP]->data + (d * back.B + b) * H, (size_t)H * sizeof(REAL));
        back.drop = drop;
    }
    job.back = back;
    return job;
}

/* Rows of dB: Wb and Rb, one of both where the layout has one. */
static void TYPED(give_bias)(const TYPED(back_job) *job)
{
    const rn_tensor *dB = job->call->out[OUT_DB];
    const int G = job->cell->gates;
    const int64_t H = job->back.H, rows = dB->size / (job->call->ints[INT_D] * G * H);
    REAL *to = (REAL *)dB->data + job->d * rows * G * H;
    const TYPED(matrix) row = {H, 1, 0, job->call->ints + INT_ORDER};
    const TYPED(back_cell) *cell = job->cell;
    const REAL *of_inputs = job->sums + cell->x0 * job->back.hs, *of_states = job->sums + cell->r0 * job->back.hs;
    TYPED(unpack_parts)(to, of_inputs, 0, row, cell->x_parts, H, 0, 1);
    if (rows > 1 && cell->second)
        TYPED(unpack_parts)(to + G * H, of_inputs, 0, row, cell->x_parts, H, 0, 1);
    else if (rows > 1)
        TYPED(unpack_parts)(to + G * H, of_states, 0, row, cell->r_parts, H, 0, 1);
}

static int TYPED(recurrent_backward)(const rn_call *call, const TYPED(back_cell) *cell)
{
    const int threads = (int)call->ints[INT_THREADS], is_short = (int)call->ints[INT_SHORT];
    for (int64_t d = 0; d < call->ints[INT_D]; d++) {
        TYPED(back_job) job = TYPED(make_back)(call, cell, d);
        const TYPED(back) *back = &job.back;
        const int64_t H = back->H, I = back->I;
        const int G = cell->gates, rows = (int)(threads < back->B ? threads : back->B ? back->B : 1);
        rn_parallel(TYPED(across_task), &job, threads, is_short);
        rn_parallel(TYPED(steps_task), &job, rows, is_short);
        if (call->out[OUT_DX])
            rn_parallel(TYPED(inputs_task), &job, threads, is_short);
        if (call->out[OUT_DW] || call->out[OUT_DR] || call->out[OUT_DB])
            rn_parallel(TYPED(weights_task), &job, threads, is_short);
        if (call->out[OUT_DW])
            TYPED(unpack_parts)((REAL *)call->out[OUT_DW]->data + d * G * H * I, job.dW, job.w_ld,
                                TYPED(matrix_of)(call->ints, G, H, I), cell->x_parts, H, 0, I);
        if (call->out[OUT_DR])
            TYPED(unpack_parts)((REAL *)call->out[OUT_DR]->data + d * G * H * H, job.dR, job.r_ld,
                                TYPED(matrix_of)(call->ints, G, H, H), cell->r_parts, H, 0, H);
        if (call->out[OUT_DB])
            TYPED(give_bias)(&job);
        if (call->out[OUT_DP])
            TYPED(peepholes)(back, (REAL *)call->out[OUT_DP]->data + d * 3 * H);
    }
    return RN_OK;
}
