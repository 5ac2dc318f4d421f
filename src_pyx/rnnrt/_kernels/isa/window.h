/* Where the windows of a pool lie, over up to three spatial axes. */
#ifndef RN_WINDOW_H
#define RN_WINDOW_H

#include "kernel.h"

enum { DEPTHS = 3 };

/* One spatial axis; ints hold one after the other. */
typedef struct {
    int64_t extent, count, kernel, stride, dilation, before, after;
} axis_window;

static inline int64_t ceil_div(int64_t a, int64_t b) { return b == 1 ? a : (a + b - 1) / b; }

/* Taps [first, last) of the window that begins at `start` lie inside the array. */
static inline void inside(const axis_window *w, int64_t o, int64_t *start, int64_t *first, int64_t *last)
{
    const int64_t from = o * w->stride - w->before, room = w->extent - from;
    *start = from;
    *first = from < 0 ? ceil_div(-from, w->dilation) : 0;
    *last = room <= 0 ? 0 : ceil_div(room, w->dilation);
    if (*last > w->kernel)
        *last = w->kernel;
    if (*first > *last)
        *first = *last;
}

/* How many taps of window `o` count: those inside the array, or its declared padding too. */
static inline int64_t counted(const axis_window *w, int64_t o, int include_padding)
{
    int64_t start, first, last;
    if (include_padding) {
        const int64_t room = w->extent + w->before + w->after - o * w->stride;
        last = room <= 0 ? 0 : ceil_div(room, w->dilation);
        return last < w->kernel ? last : w->kernel;
    }
    inside(w, o, &start, &first, &last);
    return last - first;
}

static inline void read_windows(const rn_call *call, int first, axis_window *w)
{
    for (int d = 0; d < DEPTHS; d++) {
        const int64_t *v = call->ints + first + d * 7;
        w[d] = (axis_window){v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
    }
}

#endif
