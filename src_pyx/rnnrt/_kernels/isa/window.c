/* Pools over windows of up to three spatial axes. */
#include "window.h"

#include <math.h>

/* A row of windows side by side, tap after tap: body sees to, what has been made of a window, and v, the next element.
 * i and j say where the row lies. */
#define ROW(type, body)                                                                                                \
    for (int64_t a = first[0]; a < last[0]; a++)                                                                       \
        for (int64_t b = first[1]; b < last[1]; b++)                                                                   \
            for (int64_t c = 0; c < w[2].kernel; c++) {                                                                \
                const int64_t step = w[2].stride, shift = c * w[2].dilation - w[2].before, room = w[2].extent - shift; \
                const int64_t k0 = shift < 0 ? ceil_div(-shift, step) : 0, fit = room <= 0 ? 0 : ceil_div(room, step); \
                const int64_t k1 = fit < w[2].count ? fit : w[2].count;                                                \
                const int64_t line = (start[0] + a * w[0].dilation) * w[1].extent + start[1] + b * w[1].dilation;      \
                const int64_t at = line * w[2].extent + shift;                                                         \
                if (step == 1)                                                                                         \
                    for (int64_t k = k0; k < k1; k++) {                                                                \
                        const type v = x[at + k], to = y[k];                                                           \
                        y[k] = body;                                                                                   \
                    }                                                                                                  \
                else                                                                                                   \
                    for (int64_t k = k0; k < k1; k++) {                                                                \
                        const type v = x[at + k * step], to = y[k];                                                    \
                        y[k] = body;                                                                                   \
                    }                                                                                                  \
            }

/* Each row of windows of each plane: start, first and last of the two outer axes are set. */
#define EACH_ROW(type)                                                                                                 \
    const int64_t plane = w[0].extent * w[1].extent * w[2].extent, columns = w[2].count;                               \
    int64_t start[DEPTHS], first[DEPTHS], last[DEPTHS];                                                                \
    for (int64_t p = 0; p < planes; p++, x += plane)                                                                   \
        for (int64_t i = 0; i < w[0].count; i++)                                                                       \
            for (int64_t j = 0; j < w[1].count; j++, y += columns)                                                     \
                if (inside(w, i, start, first, last), inside(w + 1, j, start + 1, first + 1, last + 1), 1)

#define DEFINE_POOL(name, type)                                                                                        \
    static void max_##name(const axis_window *w, const type *restrict x, int64_t planes, type *restrict y)             \
    {                                                                                                                  \
        EACH_ROW(type)                                                                                                 \
        {                                                                                                              \
            for (int64_t k = 0; k < columns; k++)                                                                      \
                y[k] = -(type)INFINITY;                                                                                \
            ROW(type, v > to || v != v ? v : to)                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    static void average_##name(const axis_window *w, const type *restrict x, int64_t planes, type *restrict y,         \
                               int include_padding)                                                                    \
    {                                                                                                                  \
        EACH_ROW(type)                                                                                                 \
        {                                                                                                              \
            const int64_t outer = counted(w, i, include_padding) * counted(w + 1, j, include_padding);                 \
            for (int64_t k = 0; k < columns; k++)                                                                      \
                y[k] = 0;                                                                                              \
            ROW(type, to + v)                                                                                          \
            for (int64_t k = 0; k < columns; k++)                                                                      \
                y[k] /= (type)(outer * counted(w + 2, k, include_padding));                                            \
        }                                                                                                              \
    }                                                                                                                  \
    /* The first of equals, NaN before all; -1 for a window wholly in the padding. */                                  \
    static void places_##name(const axis_window *w, const type *x, int64_t planes, int64_t *y)                         \
    {                                                                                                                  \
        EACH_ROW(type)                                                                                                 \
        for (int64_t k = 0; k < columns; k++) {                                                                        \
            type best = -(type)INFINITY;                                                                               \
            int64_t place = -1;                                                                                        \
            inside(w + 2, k, start + 2, first + 2, last + 2);                                                          \
            for (int64_t a = first[0]; a < last[0]; a++)                                                               \
                for (int64_t b = first[1]; b < last[1]; b++)                                                           \
                    for (int64_t c = first[2]; c < last[2]; c++) {                                                     \
                        const int64_t depth = start[0] + a * w[0].dilation, line = start[1] + b * w[1].dilation;       \
                        const int64_t column = start[2] + c * w[2].dilation;                                           \
                        const int64_t at = (depth * w[1].extent + line) * w[2].extent + column;                        \
                        if (place < 0 || x[at] > best || (x[at] != x[at] && best == best)) {                           \
                            best = x[at];                                                                              \
                            place = p * plane + at;                                                                    \
                        }                                                                                              \
                    }                                                                                                  \
            y[k] = place;                                                                                              \
        }                                                                                                              \
    }
DEFINE_POOL(pool_f32, float)
DEFINE_POOL(pool_f64, double)

/* IN x (N, C, ...); ints: planes, then for each of three axes its extent, number of windows, kernel, stride, dilation
 * and padding before and after. OUT the largest of each window, and (or absent) where in x it lies, int64.
 * float32 and float64. */
RN_KERNEL(max_pool)
{
    const rn_tensor *x = call->in[0], *y = call->out[0], *places = call->n_out > 1 ? call->out[1] : NULL;
    axis_window w[DEPTHS];
    read_windows(call, 1, w);
    if (x->dtype != RN_F32 && x->dtype != RN_F64)
        return RN_BAD_DTYPE;
    if (x->dtype == RN_F32)
        max_pool_f32(w, x->data, call->ints[0], y->data);
    else
        max_pool_f64(w, x->data, call->ints[0], y->data);
    if (places && x->dtype == RN_F32)
        places_pool_f32(w, x->data, call->ints[0], places->data);
    else if (places)
        places_pool_f64(w, x->data, call->ints[0], places->data);
    return RN_OK;
}

/* IN x (N, C, ...); ints: whether padding counts, then as for max_pool. OUT the mean of each window.
 * float32 and float64. */
RN_KERNEL(average_pool)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    axis_window w[DEPTHS];
    read_windows(call, 2, w);
    if (x->dtype == RN_F32)
        average_pool_f32(w, x->data, call->ints[1], y->data, (int)call->ints[0]);
    else if (x->dtype == RN_F64)
        average_pool_f64(w, x->data, call->ints[1], y->data, (int)call->ints[0]);
    else
        return RN_BAD_DTYPE;
    return RN_OK;
}
