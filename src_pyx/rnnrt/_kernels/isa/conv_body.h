/* Convolution as a product of weights with gathered inputs, for the real type of real.h.
 *
 * Either output positions are the columns of the product, gathered into panels, or, where those are too few to fill a
 * register, output channels are, with weights in panels. Every output has one accumulator that starts from the bias and
 * goes through channels and taps in the same order, so both ways give the same bits. */
#include "panel_tile.h"

/* Positions q0..q1 of one tap: what each of them reads, zeros for padding. */
static void TYPED(conv_line)(const conv_shape *s, const REAL *x, int64_t tap, int64_t q0, int64_t q1, REAL *line)
{
    const conv_axis *a = s->axis + s->rank - 1;
    const int64_t k = tap % a->kernel;
    for (int64_t q = q0; q < q1;) {
        const int64_t outer = q / a->out, first = q - outer * a->out, room = a->out - first;
        const int64_t count = room < q1 - q ? room : q1 - q;
        const int64_t row = conv_row(s, outer, tap / a->kernel);
        const int64_t u = first * a->stride + k * a->dilation - a->pad;
        if (row < 0) {
            memset(line, 0, (size_t)count * sizeof(REAL));
        } else if (a->spread == 1 && a->stride == 1) {
            int64_t before = u < 0 ? -u : 0, inside = a->in - u - before;
            before = before < count ? before : count;
            inside = inside < 0 ? 0 : inside < count - before ? inside : count - before;
            memset(line, 0, (size_t)before * sizeof(REAL));
            memcpy(line + before, x + row + u + before, (size_t)inside * sizeof(REAL));
            memset(line + before + inside, 0, (size_t)(count - before - inside) * sizeof(REAL));
        } else if (a->spread == 1) {
            int64_t i = u < 0 ? (-u + a->stride - 1) / a->stride : 0;
            const int64_t end = u < a->in ? (a->in - 1 - u) / a->stride + 1 : 0;
            i = i < count ? i : count;
            memset(line, 0, (size_t)i * sizeof(REAL));
            for (; i < count && i < end; i++)
                line[i] = x[row + u + i * a->stride];
            memset(line + i, 0, (size_t)(count - i) * sizeof(REAL));
        } else { /* a transposed convolution: its stride is 1 */
            int64_t from = u < 0 ? 0 : (u + a->spread - 1) / a->spread;
            memset(line, 0, (size_t)count * sizeof(REAL));
            for (; from < a->in && from * a->spread - u < count; from++)
                line[from * a->spread - u] = x[row + from];
        }
        line += count;
        q += count;
    }
}

/* Positions q0..q1 as panels [position / LANES][k][LANES]. */
static void TYPED(conv_panels)(const conv_shape *s, const REAL *x, int64_t q0, int64_t q1, REAL *line, REAL *panels)
{
    const int64_t count = q1 - q0, whole = (count + LANES - 1) / LANES;
    memset(line + count, 0, (size_t)(whole * LANES - count) * sizeof(REAL));
    for (int64_t c = 0, k = 0; c < s->C; c++)
        for (int64_t tap = 0; tap < s->taps; tap++, k++) {
            TYPED(conv_line)(s, x + c * s->extent, tap, q0, q1, line);
            for (int64_t p = 0; p < whole; p++)
                V(store)(panels + (p * s->K + k) * LANES, V(load)(line + p * LANES));
        }
}

/* Positions q0..q1 as rows of K values. */
static void TYPED(conv_rows)(const conv_shape *s, const REAL *x, int64_t q0, int64_t q1, REAL *rows)
{
    const conv_axis *a = s->axis + s->rank - 1;
    const int64_t lines = s->taps / a->kernel;
    for (int64_t q = q0; q < q1; q++) {
        const int64_t outer = q / a->out, o = q % a->out, u = o * a->stride - a->pad;
        const int inside = a->spread == 1 && u >= 0 && u + (a->kernel - 1) * a->dilation < a->in;
        for (int64_t c = 0; c < s->C; c++)
            for (int64_t tap = 0; tap < lines; tap++, rows += a->kernel) {
                const int64_t row = conv_row(s, outer, tap);
                const REAL *from = x + c * s->extent + row;
                if (row < 0)
                    memset(rows, 0, (size_t)a->kernel * sizeof(REAL));
                else if (inside && a->dilation == 1)
                    for (int64_t k = 0; k < a->kernel; k++)
                        rows[k] = from[u + k];
                else
                    for (int64_t k = 0; k < a->kernel; k++) {
                        const int64_t at = conv_source(a, o, k);
                        rows[k] = at < 0 ? 0 : from[at];
                    }
            }
    }
}

/* y[m][q0..q1] for all channels m of a group; weights (M, K) row-major, inputs in panels. */
static void TYPED(conv_by_position)(const conv_shape *s, const REAL *weights, const REAL *bias, const REAL *panels,
                                    int64_t q0, int64_t q1, REAL *y)
{
    REAL tile[24 * LANES] __attribute__((aligned(64)));
    const int64_t count = q1 - q0, whole = (count + LANES - 1) / LANES, most = TYPED(tile_rows)(1);
    const int64_t blocks = (s->M + most - 1) / most, ps = s->K * LANES;
    for (int64_t p = 0; p < whole;) {
        const int P = TYPED(tile_panels)((int)((s->M + blocks - 1) / blocks), 1, whole - p);
        const int64_t width = P * LANES, valid = count - p * LANES < width ? count - p * LANES : width;
        int64_t m = 0;
        for (int64_t left = blocks; left; left--) {
            const int rows = (int)((s->M - m + left - 1) / left);
            for (int r = 0; r < rows; r++)
                for (int c = 0; c < P; c++)
                    V(store)(tile + r * width + c * LANES, V(set)(bias ? bias[m + r] : 0));
            TYPED(tile_any)(1, rows, P, tile, width, NULL, 0, weights + m * s->K, s->K, panels + p * ps, ps, s->K, tile,
                            width);
            for (int r = 0; r < rows; r++)
                memcpy(y + (m + r) * s->positions + q0 + p * LANES, tile + r * width, (size_t)valid * sizeof(REAL));
            m += rows;
        }
        p += P;
    }
}

/* y[m][q0..q1] for all channels m of a group; weights and bias in panels of channels, inputs in rows. */
static void TYPED(conv_by_channel)(const conv_shape *s, const REAL *weights, const REAL *bias, const REAL *inputs,
                                   int64_t q0, int64_t q1, REAL *y)
{
    REAL tile[24 * LANES] __attribute__((aligned(64)));
    const int64_t count = q1 - q0, whole = (s->M + LANES - 1) / LANES, most = TYPED(tile_rows)(1);
    const int64_t blocks = (count + most - 1) / most, ps = s->K * LANES;
    for (int64_t p = 0; p < whole;) {
        const int P = TYPED(tile_panels)((int)((count + blocks - 1) / blocks), 1, whole - p);
        const int64_t width = P * LANES, valid = s->M - p * LANES < width ? s->M - p * LANES : width;
        int64_t q = 0;
        for (int64_t left = blocks; left; left--) {
            const int rows = (int)((count - q + left - 1) / left);
            TYPED(tile_any)(1, rows, P, bias + p * LANES, 0, NULL, 0, inputs + q * s->K, s->K, weights + p * ps, ps,
                            s->K, tile, width);
            for (int64_t m = 0; m < valid; m++)
                for (int r = 0; r < rows; r++)
                    y[(p * LANES + m) * s->positions + q0 + q + r] = tile[r * width + m];
            q += rows;
        }
        p += P;
    }
}

/* IN x (N, C, extents), weights: (M, C / group, kernel), or panels [group][M / LANES][K][LANES]; bias (M), perhaps
 * absent, or [group][padded M]. Scratch: K values for each position of a block, and a line of positions.
 * ints: group, whether channels are the columns, positions of a block, then for each axis enum AXIS_*.
 * OUT y (N, M, extents) */
static int TYPED(conv)(const rn_call *call)
{
    const conv_shape s = conv_shape_of(call);
    const rn_tensor *b = call->in[2];
    const int64_t group = call->ints[CONV_GROUP], block = call->ints[CONV_BLOCK];
    const int by_channel = (int)call->ints[CONV_CHANNELS_AS_COLUMNS];
    const int64_t rows = by_channel ? (s.M + LANES - 1) / LANES * LANES : s.M; /* of weights and bias in a group */
    REAL *line = call->scratch, *gathered = line + (block + LANES - 1) / LANES * LANES;
    if (!call->out[0]->size)
        return RN_OK;
    for (int64_t n = 0; n < call->in[0]->shape[0]; n++)
        for (int64_t g = 0; g < group; g++) {
            const REAL *x = (const REAL *)call->in[0]->data + (n * group + g) * s.C * s.extent;
            const REAL *weights = (const REAL *)call->in[1]->data + g * rows * s.K;
            const REAL *bias = b ? (const REAL *)b->data + g * rows : NULL;
            REAL *y = (REAL *)call->out[0]->data + (n * group + g) * s.M * s.positions;
            for (int64_t q0 = 0; q0 < s.positions; q0 += block) {
                const int64_t q1 = q0 + block < s.positions ? q0 + block : s.positions;
                if (by_channel) {
                    TYPED(conv_rows)(&s, x, q0, q1, gathered);
                    TYPED(conv_by_channel)(&s, weights, bias, gathered, q0, q1, y);
                } else {
                    TYPED(conv_panels)(&s, x, q0, q1, line, gathered);
                    TYPED(conv_by_position)(&s, weights, bias, gathered, q0, q1, y);
                }
            }
        }
    return RN_OK;
}
