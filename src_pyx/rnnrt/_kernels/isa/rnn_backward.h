/* The plain recurrence, back through time, for the real type of real.h: dG = dh f'(.), of what was kept before f. */
#include "activations.h"
#include "recurrent.h"
#include "slopes.h"
#include "panel_rows.h"
#include "recurrent_backward.h"
#include "recurrent_merge.h"

static void TYPED(rnn_back)(const TYPED(back) *back, int64_t s, int64_t p0, int P, int64_t b0, int M, const REAL *product)
{
    const int64_t t = TYPED(step_at)(back, s);
    for (int64_t b = b0; b < b0 + M; b++)
        for (int64_t p = p0; p < p0 + P; p++, product += LANES) {
            VREAL dh, slope;
            if (!TYPED(enter)(back, s, p, b, V(load)(product), &dh))
                continue;
            REAL *row = TYPED(back_row)(back, t, b) + p * LANES;
            TYPED(back_gate)(back, 0, V(load)(row), &slope);
            V(store)(row, dh * slope);
            V(store)(back->dh + b * back->hs + p * LANES, V(set)(0));
        }
}

static int TYPED(rnn_backward)(const rn_call *call)
{
    const TYPED(back_cell) cell = {
        .gates = 1, .activations = 1, .shape = {1, 0, call->in[IN_DROP] != NULL}, .x_parts = {{0, 1}},
        .r_parts = {{0, 1}}, .finish = TYPED(rnn_back),
    };
    return TYPED(recurrent_backward)(call, &cell);
}
