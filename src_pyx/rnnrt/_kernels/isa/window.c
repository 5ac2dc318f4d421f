/* Pools over windows of up to three spatial axes. */
#include "kernel.h"

#include <math.h>

enum { DEPTHS = 3 };

/* One spatial axis; ints hold one after the other. */
typedef struct {
    int64_t extent, count, kernel, stride, dilation, before, after;
} axis_window;

/* Taps [first, last) of window `o` lie inside the array. */
static inline void inside(const axis_window *w, int64_t o, int64_t *start, int64_t *first, int64_t *last)
{
    const int64_t from = o * w->stride - w->before, d = w->dilation;
    *start = from;
    *first = from < 0 ? (-from + d - 1) / d : 0;
    const int64_t room = w->extent - from; /* places from the start to the end of the array */
    *last = room <= 0 ? 0 : (room + d - 1) / d;
    if (*last > w->kernel)
        *last = w->kernel;
    if (*first > *last)
        *first = *last;
}

/* How many taps of window `o` lie inside the array or its declared padding. */
static inline int64_t counted(const axis_window *w, int64_t o)
{
    const int64_t room = w->extent + w->before + w->after - o * w->stride;
    const int64_t most = room <= 0 ? 0 : (room + w->dilation - 1) / w->dilation;
    return most < w->kernel ? most : w->kernel;
}

/* body sees v, the element, and at, its place in the plane. */
#define TAPS(type, body)                                                                                               \
    for (int64_t a = first[0]; a < last[0]; a++)                                                                       \
        for (int64_t b = first[1]; b < last[1]; b++) {                                                                 \
            const int64_t line = (start[0] + a * w[0].dilation) * w[1].extent + start[1] + b * w[1].dilation;          \
            for (int64_t c = first[2]; c < last[2]; c++) {                                                             \
                const int64_t at = line * w[2].extent + start[2] + c * w[2].dilation;                                  \
                const type v = x[at];                                                                                  \
                body                                                                                                   \
            }                                                                                                          \
        }

#define DEFINE_POOL(name, type)                                                                                        \
    static void max_##name(const axis_window *w, const type *x, int64_t planes, type *y, int64_t *places)              \
    {                                                                                                                  \
        const int64_t plane = w[0].extent * w[1].extent * w[2].extent;                                                 \
        int64_t start[DEPTHS], first[DEPTHS], last[DEPTHS];                                                            \
        for (int64_t p = 0; p < planes; p++, x += plane)                                                               \
            for (int64_t i = 0; i < w[0].count; i++) {                                                                 \
                inside(w, i, start, first, last);                                                                      \
                for (int64_t j = 0; j < w[1].count; j++) {                                                             \
                    inside(w + 1, j, start + 1, first + 1, last + 1);                                                  \
                    for (int64_t k = 0; k < w[2].count; k++) {                                                         \
                        inside(w + 2, k, start + 2, first + 2, last + 2);                                              \
                        type best = -(type)INFINITY;                                                                   \
                        int64_t place = -1;                                                                            \
                        TAPS(type, if (place < 0 || v > best || (v != v && best == best)) { best = v; place = at; })   \
                        *y++ = best;                                                                                   \
                        if (places)                                                                                    \
                            *places++ = place < 0 ? -1 : p * plane + place;                                            \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
    }                                                                                                                  \
    static void average_##name(const axis_window *w, const type *x, int64_t planes, type *y, int include_padding)      \
    {                                                                                                                  \
        const int64_t plane = w[0].extent * w[1].extent * w[2].extent;                                                 \
        int64_t start[DEPTHS], first[DEPTHS], last[DEPTHS];                                                            \
        for (int64_t p = 0; p < planes; p++, x += plane)                                                               \
            for (int64_t i = 0; i < w[0].count; i++) {                                                                 \
                inside(w, i, start, first, last);                                                                      \
                for (int64_t j = 0; j < w[1].count; j++) {                                                             \
                    inside(w + 1, j, start + 1, first + 1, last + 1);                                                  \
                    for (int64_t k = 0; k < w[2].count; k++) {                                                         \
                        inside(w + 2, k, start + 2, first + 2, last + 2);                                              \
                        type total = 0;                                                                                \
                        int64_t n = counted(w, i) * counted(w + 1, j) * counted(w + 2, k);                             \
                        if (!include_padding)                                                                          \
                            n = (last[0] - first[0]) * (last[1] - first[1]) * (last[2] - first[2]);                    \
                        TAPS(type, total += v;)                                                                        \
                        *y++ = total / (type)n;                                                                        \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
    }
DEFINE_POOL(pool_f32, float)
DEFINE_POOL(pool_f64, double)

static void read_windows(const rn_call *call, int first, axis_window *w)
{
    for (int d = 0; d < DEPTHS; d++) {
        const int64_t *v = call->ints + first + d * 7;
        w[d] = (axis_window){v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
    }
}

/* IN x (N, C, ...); ints: planes, then for each of three axes its extent, number of windows, kernel, stride, dilation
 * and padding before and after. OUT the largest of each window, and (or absent) where in x it lies, int64.
 * float32 and float64. */
RN_KERNEL(max_pool)
{
    const rn_tensor *x = call->in[0], *y = call->out[0], *places = call->n_out > 1 ? call->out[1] : NULL;
    axis_window w[DEPTHS];
    read_windows(call, 1, w);
    if (x->dtype == RN_F32)
        max_pool_f32(w, x->data, call->ints[0], y->data, places ? places->data : NULL);
    else if (x->dtype == RN_F64)
        max_pool_f64(w, x->data, call->ints[0], y->data, places ? places->data : NULL);
    else
        return RN_BAD_DTYPE;
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
