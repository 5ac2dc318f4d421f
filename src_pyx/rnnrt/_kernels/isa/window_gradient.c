/* The gradients of pools over windows of up to three spatial axes. */
#include "window.h"

#include <math.h>
#include <string.h>

/* Each window of each plane with its taps inside the array: start, first and last of the three axes are set. */
#define EACH_WINDOW                                                                                                    \
    const int64_t plane = w[0].extent * w[1].extent * w[2].extent;                                                     \
    int64_t start[DEPTHS], first[DEPTHS], last[DEPTHS];                                                                \
    for (int64_t p = 0; p < planes; p++, out += plane)                                                                 \
        for (int64_t i = 0; i < w[0].count; i++)                                                                       \
            for (int64_t j = 0; j < w[1].count; j++)                                                                   \
                for (int64_t k = 0; k < w[2].count; k++, g++)                                                          \
                    if (inside(w, i, start, first, last), inside(w + 1, j, start + 1, first + 1, last + 1),            \
                        inside(w + 2, k, start + 2, first + 2, last + 2), 1)
#define EACH_TAP                                                                                                       \
    for (int64_t a = first[0]; a < last[0]; a++)                                                                       \
        for (int64_t b = first[1]; b < last[1]; b++)                                                                   \
            for (int64_t c = first[2]; c < last[2]; c++)
#define AT                                                                                                             \
    (((start[0] + a * w[0].dilation) * w[1].extent + start[1] + b * w[1].dilation) * w[2].extent + start[2] +          \
     c * w[2].dilation)

#define DEFINE_GRADIENTS(name, type)                                                                                   \
    /* The first of equals, NaN before all. */                                                                         \
    static void max_##name(const axis_window *w, const type *g, const type *x, int64_t planes, type *out)              \
    {                                                                                                                  \
        EACH_WINDOW                                                                                                    \
        {                                                                                                              \
            const type *from = x + p * plane;                                                                          \
            type best = -(type)INFINITY;                                                                               \
            int64_t place = -1;                                                                                        \
            EACH_TAP                                                                                                   \
            {                                                                                                          \
                const type v = from[AT];                                                                               \
                if (place < 0 || v > best || (v != v && best == best)) {                                               \
                    best = v;                                                                                          \
                    place = AT;                                                                                        \
                }                                                                                                      \
            }                                                                                                          \
            if (place >= 0)                                                                                            \
                out[place] += *g;                                                                                      \
        }                                                                                                              \
    }                                                                                                                  \
    static void average_##name(const axis_window *w, const type *g, int64_t planes, type *out, int include_padding)    \
    {                                                                                                                  \
        EACH_WINDOW                                                                                                    \
        {                                                                                                              \
            const int64_t outer = counted(w, i, include_padding) * counted(w + 1, j, include_padding);                 \
            const type share = *g / (type)(outer * counted(w + 2, k, include_padding));                                \
            EACH_TAP out[AT] += share;                                                                                 \
        }                                                                                                              \
    }
DEFINE_GRADIENTS(gradient_f32, float)
DEFINE_GRADIENTS(gradient_f64, double)

/* IN g, the gradient of the result, and x (N, C, ...); ints: as for max_pool. OUT the gradient of x.
 * float32 and float64. */
RN_KERNEL(max_pool_gradient)
{
    const rn_tensor *g = call->in[0], *x = call->in[1], *y = call->out[0];
    axis_window w[DEPTHS];
    read_windows(call, 1, w);
    if (y->dtype != RN_F32 && y->dtype != RN_F64)
        return RN_BAD_DTYPE;
    if (y->size)
        memset(y->data, 0, (size_t)(y->size * (y->dtype == RN_F32 ? 4 : 8)));
    if (y->dtype == RN_F32)
        max_gradient_f32(w, g->data, x->data, call->ints[0], y->data);
    else
        max_gradient_f64(w, g->data, x->data, call->ints[0], y->data);
    return RN_OK;
}

/* IN g, the gradient of the result; ints: as for average_pool. OUT the gradient of its input. float32 and float64. */
RN_KERNEL(average_pool_gradient)
{
    const rn_tensor *g = call->in[0], *y = call->out[0];
    axis_window w[DEPTHS];
    read_windows(call, 2, w);
    if (y->dtype != RN_F32 && y->dtype != RN_F64)
        return RN_BAD_DTYPE;
    if (y->size)
        memset(y->data, 0, (size_t)(y->size * (y->dtype == RN_F32 ? 4 : 8)));
    if (y->dtype == RN_F32)
        average_gradient_f32(w, g->data, call->ints[1], y->data, (int)call->ints[0]);
    else
        average_gradient_f64(w, g->data, call->ints[1], y->data, (int)call->ints[0]);
    return RN_OK;
}
