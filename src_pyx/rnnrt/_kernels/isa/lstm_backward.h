/* LSTM, back through time, for the real type of real.h. Gates of a panel: i o f g; the step is in lstm_cell.h.
 *     do = dh h(C)   dC += dh o h'(C) [+ do' P_o]   di = dC g   dg = dC i   df = dC C_before
 * and dC_before = dC f [+ di' P_i + df' P_f], a prime for what lies before the activation. */
#include "activations.h"
#include "recurrent.h"
#include "slopes.h"
#include "panel_rows.h"
#include "recurrent_backward.h"
#include "recurrent_merge.h"

#define LSTM_EACH_PANEL                                                                                                \
    for (int64_t b = b0; b < b0 + M; b++)                                                                              \
        for (int64_t p = p0; p < p0 + P; p++, product += LANES)

/* Sigmoid, Tanh, Tanh and nothing else: the gates were kept after their activations. */
static void TYPED(lstm_back)(const TYPED(back) *back, int64_t s, int64_t p0, int P, int64_t b0, int M, const REAL *product)
{
    const int64_t hs = back->hs, t = TYPED(step_at)(back, s), before = s * back->B * hs, after = before + back->B * hs;
    LSTM_EACH_PANEL
    {
        VREAL dh;
        if (!TYPED(enter)(back, s, p, b, V(load)(product), &dh))
            continue;
        const int64_t at = b * hs + p * LANES;
        REAL *row = TYPED(back_row)(back, t, b) + p * 4 * LANES;
        const VREAL i = V(load)(row), o = V(load)(row + LANES), f = V(load)(row + 2 * LANES);
        const VREAL g = V(load)(row + 3 * LANES), shown = V(tanh)(V(load)(back->kept.c + after + at));
        const VREAL dc = V(load)(back->dc + at) + dh * o * (1 - shown * shown);
        V(store)(row, dc * g * i * (1 - i));
        V(store)(row + LANES, dh * shown * o * (1 - o));
        V(store)(row + 2 * LANES, dc * V(load)(back->kept.c + before + at) * f * (1 - f));
        V(store)(row + 3 * LANES, dc * i * (1 - g * g));
        V(store)(back->dc + at, dc * f);
        V(store)(back->dh + at, V(set)(0));
    }
}

/* Peepholes, clip, input_forget (variant 1), any activations: the gates were kept before them. */
static void TYPED(lstm_back_any)(const TYPED(back) *back, int64_t s, int64_t p0, int P, int64_t b0, int M,
                                 const REAL *product)
{
    const int64_t hs = back->hs, t = TYPED(step_at)(back, s), before = s * back->B * hs, after = before + back->B * hs;
    LSTM_EACH_PANEL
    {
        VREAL dh, i_slope, o_slope, f_slope, g_slope;
        if (!TYPED(enter)(back, s, p, b, V(load)(product), &dh))
            continue;
        const int64_t at = b * hs + p * LANES;
        REAL *row = TYPED(back_row)(back, t, b) + p * 4 * LANES;
        const REAL *peep = back->P ? back->P + p * 3 * LANES : NULL;
        const VREAL c = V(load)(back->kept.c + after + at), c_before = V(load)(back->kept.c + before + at);
        const VREAL i = TYPED(back_gate)(back, 0, V(load)(row), &i_slope);
        const VREAL o = TYPED(back_gate)(back, 0, V(load)(row + LANES), &o_slope);
        VREAL f = TYPED(back_gate)(back, 0, V(load)(row + 2 * LANES), &f_slope);
        const VREAL g = TYPED(back_gate)(back, 1, V(load)(row + 3 * LANES), &g_slope);
        const VREAL d_out = dh * TYPED(activate)(c, back->act[2]) * o_slope;
        VREAL dc = V(load)(back->dc + at) + dh * o * TYPED(slope)(c, back->act[2]);
        if (peep)
            dc += d_out * V(load)(peep + LANES);
        VREAL di = dc * g, df = dc * c_before * f_slope;
        if (back->variant) { /* f = 1 - i */
            f = 1 - i;
            di -= dc * c_before;
            df = V(set)(0);
        }
        di *= i_slope;
        VREAL dc_before = dc * f;
        if (peep)
            dc_before += di * V(load)(peep) + df * V(load)(peep + 2 * LANES);
        V(store)(row, di);
        V(store)(row + LANES, d_out);
        V(store)(row + 2 * LANES, df);
        V(store)(row + 3 * LANES, dc * i * g_slope);
        V(store)(back->dc + at, dc_before);
        V(store)(back->dh + at, V(set)(0));
    }
}
#undef LSTM_EACH_PANEL

static int TYPED(lstm_backward)(const rn_call *call)
{
    const TYPED(back_cell) cell = {
        .gates = 4, .activations = 3, .shape = {4, 1, call->in[IN_DROP] != NULL}, .x_parts = {{0, 4}},
        .r_parts = {{0, 4}}, .finish = call->ints[INT_FAST] ? TYPED(lstm_back) : TYPED(lstm_back_any),
    };
    return TYPED(recurrent_backward)(call, &cell);
}
