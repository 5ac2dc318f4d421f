/* The loop over time and directions of a recurrent kernel, for the real type of real.h. Include after recurrent.h. */

static void TYPED(row_modes)(TYPED(run) *run, const rn_tensor *lengths, const rn_tensor *mask, int64_t t, int zero)
{
    for (int64_t b = 0; b < run->B; b++) {
        const int inside = !lengths || t < rn_length(lengths, b);
        if (inside && (!mask || ((const uint8_t *)mask->data)[t * run->B + b])) {
            run->mode[b] = ROW_COUNTS;
            run->seen[b] = 1;
        } else {
            run->mode[b] = inside && !zero && run->seen[b] ? ROW_REPEATS : ROW_SHOWS_ZERO;
        }
    }
}

/* Rows of a padded state, `hs` apart, from `source` rows `stride` apart; zeros where there is none. */
static void TYPED(load_state)(const TYPED(run) *run, REAL *state, const REAL *source, int64_t stride)
{
    memset(state, 0, (size_t)(run->B * run->hs) * sizeof(REAL));
    for (int64_t b = 0; source && b < run->B; b++)
        memcpy(state + b * run->hs, source + b * stride, (size_t)run->H * sizeof(REAL));
}

/* The last state of a row that had no step is zero. */
static void TYPED(give_state)(const TYPED(run) *run, const REAL *state, REAL *to, int64_t stride, const rn_tensor *lengths)
{
    for (int64_t b = 0; b < run->B; b++) {
        if (lengths && run->T && !rn_length(lengths, b))
            memset(to + b * stride, 0, (size_t)run->H * sizeof(REAL));
        else
            memcpy(to + b * stride, state + b * run->hs, (size_t)run->H * sizeof(REAL));
    }
}

static void TYPED(zero_steps)(const TYPED(run) *run, int64_t from)
{
    for (int64_t t = from; run->y && t < run->T; t++)
        for (int64_t b = 0; b < run->B; b++)
            memset(run->y + t * run->y_t + b * run->y_b, 0, (size_t)run->H * sizeof(REAL));
}

static void TYPED(run_direction)(const rn_call *call, const TYPED(cell) *cell, TYPED(run) *run, int reverse)
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
        memset(run->seen, 0, (size_t)run->B);
    else
        run->mode = NULL;
    for (int64_t done = 0; done < steps; done += chunk) {
        const int64_t count = steps - done < chunk ? steps - done : chunk;
        run->t0 = reverse ? steps - done - count : done;
        cell->project(run, run->t0, run->t0 + count, 0, run->panels);
        for (int64_t k = 0; k < count; k++) {
            const int64_t t = run->t0 + (reverse ? count - 1 - k : k);
            if (run->mode)
                TYPED(row_modes)(run, lengths, mask, t, (int)call->ints[INT_ZERO]);
            for (int stage = 0; stage < cell->stages; stage++)
                cell->step(run, stage, t, 0, run->panels, 0, run->B);
            REAL *h = run->h;
            run->h = run->h_next;
            run->h_next = h;
        }
    }
}

/* Direction d of a call: where its operands and its scratch lie. */
static TYPED(run) TYPED(make_run)(const rn_call *call, const TYPED(cell) *cell, int64_t d)
{
    const rn_tensor *x = call->in[IN_X], *y = call->out[0];
    const int batch_first = (int)call->ints[INT_LAYOUT];
    const int64_t D = call->ints[INT_D], H = call->ints[INT_H];
    TYPED(run) run = {.T = x->shape[batch_first], .B = x->shape[!batch_first], .I = x->shape[2], .H = H};
    run.panels = (H + LANES - 1) / LANES;
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
    run.z = run.c + cell->has_c * state;
    run.rh = run.z + cell->has_z * state;
    run.xw = run.rh + cell->has_z * state;
    run.mode = (uint8_t *)(run.xw + call->ints[INT_CHUNK] * run.B * run.xs);
    run.seen = run.mode + run.B;
    return run;
}

static int TYPED(recurrent)(const rn_call *call, const TYPED(cell) *cell)
{
    const rn_tensor *lengths = call->in[IN_LENGTHS];
    for (int64_t d = 0; d < call->ints[INT_D]; d++) {
        TYPED(run) run = TYPED(make_run)(call, cell, d);
        /* states are (D, B, H), or with layout 1 (B, D, H) */
        const int batch_first = (int)call->ints[INT_LAYOUT];
        const int64_t stride = batch_first ? call->ints[INT_D] * run.H : run.H, first = batch_first ? d * run.H : d * run.B * run.H;
        const rn_tensor *h = call->in[IN_H], *c = call->in[IN_C], *last_h = call->out[1], *last_c = call->out[2];
        if (!run.B || !run.H)
            continue;
        for (int64_t b = 0; lengths && b < run.B; b++)
            if (rn_length(lengths, b) < 0 || rn_length(lengths, b) > run.T)
                return RN_BAD_VALUE;
        TYPED(load_state)(&run, run.h, h ? (const REAL *)h->data + first : NULL, stride);
        if (cell->has_c)
            TYPED(load_state)(&run, run.c, c ? (const REAL *)c->data + first : NULL, stride);
        TYPED(run_direction)(call, cell, &run, d == 1 || call->ints[INT_REVERSE]);
        if (last_h && last_h->data)
            TYPED(give_state)(&run, run.h, (REAL *)last_h->data + first, stride, lengths);
        if (cell->has_c && last_c && last_c->data)
            TYPED(give_state)(&run, run.c, (REAL *)last_c->data + first, stride, lengths);
    }
    return RN_OK;
}
