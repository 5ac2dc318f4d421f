/* Walks along one axis: largest and smallest places, running sums, sequences backwards, the k best. */
#include "copy.h"
#include "index.h"

/* x as (outer, n, inner) around its axis. */
typedef struct {
    int64_t outer, n, inner;
} rn_around;

static inline rn_around around(const rn_tensor *x, int64_t axis)
{
    rn_around a = {1, x->shape[axis], 1};
    for (int64_t d = 0; d < axis; d++)
        a.outer *= x->shape[d];
    for (int64_t d = axis + 1; d < x->ndim; d++)
        a.inner *= x->shape[d];
    return a;
}

/* Whether v comes before w: NaN is the largest of all when the largest are sought, and the last otherwise. */
#define BEFORE(largest, v, w)                                                                                          \
    ((largest) ? (v) > (w) || ((v) != (v) && (w) == (w)) : (v) < (w) || ((w) != (w) && (v) == (v)))
/* As above, but NaN comes first either way. */
#define BETTER(largest, v, w) ((w) == (w) && ((v) != (v) || ((largest) ? (v) > (w) : (v) < (w))))

#define DEFINE_ALONG(suffix, type, wide)                                                                               \
    static void arg_##suffix(rn_around a, const type *x, int64_t *y, int largest, int last)                            \
    {                                                                                                                  \
        for (int64_t o = 0; o < a.outer; o++, x += a.n * a.inner)                                                      \
            for (int64_t i = 0; i < a.inner; i++) {                                                                    \
                int64_t best = last ? a.n - 1 : 0;                                                                     \
                for (int64_t k = 1; k < a.n; k++) {                                                                    \
                    const int64_t at = last ? a.n - 1 - k : k;                                                         \
                    if (BETTER(largest, x[at * a.inner + i], x[best * a.inner + i]))                                   \
                        best = at;                                                                                     \
                }                                                                                                      \
                *y++ = best;                                                                                           \
            }                                                                                                          \
    }                                                                                                                  \
    static void cumsum_##suffix(rn_around a, const type *x, type *y, int exclusive, int reverse)                       \
    {                                                                                                                  \
        const int64_t step = reverse ? -a.inner : a.inner, start = reverse ? (a.n - 1) * a.inner : 0;                  \
        for (int64_t o = 0; o < a.outer && a.n; o++, x += a.n * a.inner, y += a.n * a.inner) {                         \
            const type *from = x + start;                                                                              \
            type *to = y + start;                                                                                      \
            for (int64_t i = 0; i < a.inner; i++)                                                                      \
                to[i] = exclusive ? 0 : from[i];                                                                       \
            for (int64_t k = 1; k < a.n; k++) {                                                                        \
                const type *term = exclusive ? from : from + step;                                                     \
                for (int64_t i = 0; i < a.inner; i++)                                                                  \
                    to[step + i] = (type)((wide)to[i] + (wide)term[i]);                                                \
                from += step;                                                                                          \
                to += step;                                                                                            \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void top_k_##suffix(rn_around a, const type *x, type *y, int64_t *places, int64_t k, int largest)           \
    {                                                                                                                  \
        for (int64_t o = 0; o < a.outer; o++, x += a.n * a.inner, y += k * a.inner, places += k * a.inner)             \
            for (int64_t i = 0; i < a.inner; i++) {                                                                    \
                int64_t have = 0;                                                                                      \
                for (int64_t j = 0; j < a.n && k; j++) {                                                               \
                    const type v = x[j * a.inner + i];                                                                 \
                    if (have == k && !BEFORE(largest, v, y[(k - 1) * a.inner + i]))                                    \
                        continue;                                                                                      \
                    have += have < k;                                                                                  \
                    int64_t at = have - 1;                                                                             \
                    for (; at > 0 && BEFORE(largest, v, y[(at - 1) * a.inner + i]); at--) {                            \
                        y[at * a.inner + i] = y[(at - 1) * a.inner + i];                                               \
                        places[at * a.inner + i] = places[(at - 1) * a.inner + i];                                     \
                    }                                                                                                  \
                    y[at * a.inner + i] = v;                                                                           \
                    places[at * a.inner + i] = j;                                                                      \
                }                                                                                                      \
            }                                                                                                          \
    }
DEFINE_ALONG(f32, float, float)
DEFINE_ALONG(f64, double, double)
DEFINE_ALONG(i32, int32_t, uint32_t)
DEFINE_ALONG(i64, int64_t, uint64_t)

#define EACH_TYPE(dtype, call_)                                                                                        \
    switch (dtype) {                                                                                                   \
    case RN_F32: call_(f32); return RN_OK;                                                                             \
    case RN_F64: call_(f64); return RN_OK;                                                                             \
    case RN_I32: call_(i32); return RN_OK;                                                                             \
    case RN_I64: call_(i64); return RN_OK;                                                                             \
    }                                                                                                                  \
    return RN_BAD_DTYPE;

/* IN x; ints: axis, whether the largest is sought, whether the last of equals. OUT its place, int64.
 * float32, float64, int32, int64; so for the kernels below. */
RN_KERNEL(arg_extreme)
{
    const rn_tensor *x = call->in[0];
    const rn_around a = around(x, call->ints[0]);
#define CALL(suffix) arg_##suffix(a, x->data, call->out[0]->data, (int)call->ints[1], (int)call->ints[2])
    EACH_TYPE(x->dtype, CALL)
#undef CALL
}

/* IN x; ints: axis, exclusive, reverse. OUT the sums up to each element. */
RN_KERNEL(cumsum)
{
    const rn_tensor *x = call->in[0];
    const rn_around a = around(x, call->ints[0]);
#define CALL(suffix) cumsum_##suffix(a, x->data, call->out[0]->data, (int)call->ints[1], (int)call->ints[2])
    EACH_TYPE(x->dtype, CALL)
#undef CALL
}

/* IN x; ints: axis, k, whether the largest are sought; scratch: int64 for each output. OUT values, places (or absent);
 * of equals the first comes first. */
RN_KERNEL(top_k)
{
    const rn_tensor *x = call->in[0], *places = call->n_out > 1 ? call->out[1] : NULL;
    const rn_around a = around(x, call->ints[0]);
    int64_t *where = places ? places->data : call->scratch;
#define CALL(suffix) top_k_##suffix(a, x->data, call->out[0]->data, where, call->ints[1], (int)call->ints[2])
    EACH_TYPE(x->dtype, CALL)
#undef CALL
}

/* IN x, lengths (int64 or int32) of the rows; ints: whether time comes before batch in the first two axes.
 * OUT x with the first steps of each row backwards. Elements of any type. */
RN_KERNEL(reverse_sequence)
{
    const rn_tensor *x = call->in[0], *lengths = call->in[1], *y = call->out[0];
    const int time_first = (int)call->ints[0];
    const int64_t steps = x->shape[time_first ? 0 : 1], batch = x->shape[time_first ? 1 : 0];
    int64_t item = rn_item_size(x->dtype);
    if (!item || !rn_holds_indices(lengths))
        return RN_BAD_DTYPE;
    for (int d = 2; d < x->ndim; d++)
        item *= x->shape[d];
    for (int64_t b = 0; b < batch; b++) {
        const int64_t n = rn_index_at(lengths, b);
        if (n < 0 || n > steps)
            return RN_BAD_VALUE;
        for (int64_t t = 0; t < steps && item; t++) {
            const int64_t s = t < n ? n - 1 - t : t, to = time_first ? t * batch + b : b * steps + t;
            const int64_t from = time_first ? s * batch + b : b * steps + s;
            memcpy((char *)y->data + to * item, (const char *)x->data + from * item, (size_t)item);
        }
    }
    return RN_OK;
}
