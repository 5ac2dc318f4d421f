/* binary: out = f(a, b) with numpy broadcasting, f by number (ints[0]). variadic folds any number of inputs. */
#include "kernel.h"
#include "vecmath.h"
#include "walk.h"

enum { ADD, SUB, MUL, DIV, MIN, MAX, PRELU };

/* One row. sa and sb are 0 (constant) or 1, known where this is inlined. */
#define ROW(number, expression)                                                                                        \
    case number:                                                                                                       \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            const VEC x = sa ? E(load_n)(a + i, n - i) : E(set)(*a), y = sb ? E(load_n)(b + i, n - i) : E(set)(*b);    \
            E(store_n)(o + i, expression, n - i);                                                                      \
        }                                                                                                              \
        return;
/* min and max give NaN when either operand is NaN */
#define DEFINE_FLOAT(name, type)                                                                                       \
    RN_INLINE void name##_row(int64_t op, type *o, const type *a, const type *b, int64_t n, int sa, int sb)            \
    {                                                                                                                  \
        switch (op) {                                                                                                  \
            ROW(ADD, x + y)                                                                                            \
            ROW(SUB, x - y)                                                                                            \
            ROW(MUL, x * y)                                                                                            \
            ROW(DIV, x / y)                                                                                            \
            ROW(MIN, E(select)((x <= y) | (x != x), x, y))                                                             \
            ROW(MAX, E(select)((x >= y) | (x != x), x, y))                                                             \
            ROW(PRELU, E(select)(x < 0, x * y, x))                                                                     \
        }                                                                                                              \
    }
#define DEFINE_INT(name, type, wide)                                                                                   \
    RN_INLINE void name##_row(int64_t op, type *o, const type *a, const type *b, int64_t n, int sa, int sb)            \
    {                                                                                                                  \
        switch (op) {                                                                                                  \
        case ADD: for (int64_t i = 0; i < n; i++) o[i] = (type)((wide)a[i * sa] + (wide)b[i * sb]); return;            \
        case SUB: for (int64_t i = 0; i < n; i++) o[i] = (type)((wide)a[i * sa] - (wide)b[i * sb]); return;            \
        case MUL: for (int64_t i = 0; i < n; i++) o[i] = (type)((wide)a[i * sa] * (wide)b[i * sb]); return;            \
        case MIN: for (int64_t i = 0; i < n; i++) o[i] = a[i * sa] < b[i * sb] ? a[i * sa] : b[i * sb]; return;        \
        case MAX: for (int64_t i = 0; i < n; i++) o[i] = a[i * sa] > b[i * sb] ? a[i * sa] : b[i * sb]; return;        \
        }                                                                                                              \
    }
#define DEFINE_WALK(name, type)                                                                                        \
    static void name(int64_t op, const rn_tensor *ta, const rn_tensor *tb, const rn_tensor *out)                       \
    {                                                                                                                  \
        const rn_tensor *in[2] = {ta, tb};                                                                             \
        rn_walk w;                                                                                                     \
        int64_t offset[2];                                                                                             \
        walk_init(&w, out, in, 2);                                                                                     \
        const int64_t n = w.shape[0];                                                                                  \
        for (int64_t row = 0; row < w.rows; row++) {                                                                   \
            walk_row(&w, row, offset);                                                                                 \
            type *o = (type *)out->data + row * n;                                                                     \
            const type *a = (const type *)ta->data + offset[0], *b = (const type *)tb->data + offset[1];               \
            if (w.stride[0][0] && w.stride[1][0])                                                                      \
                name##_row(op, o, a, b, n, 1, 1);                                                                      \
            else if (w.stride[0][0])                                                                                   \
                name##_row(op, o, a, b, n, 1, 0);                                                                      \
            else if (w.stride[1][0])                                                                                   \
                name##_row(op, o, a, b, n, 0, 1);                                                                      \
            else                                                                                                       \
                name##_row(op, o, a, b, n, 0, 0);                                                                      \
        }                                                                                                              \
    }

#define E(name) vf32_##name
#define VEC vf32
#define LANES F32_LANES
DEFINE_FLOAT(binary_f32, float)
DEFINE_WALK(binary_f32, float)
#undef E
#undef VEC
#undef LANES
#define E(name) vf64_##name
#define VEC vf64
#define LANES F64_LANES
DEFINE_FLOAT(binary_f64, double)
DEFINE_WALK(binary_f64, double)
/* unsigned arithmetic wraps where signed would be undefined */
DEFINE_INT(binary_i32, int32_t, uint32_t)
DEFINE_WALK(binary_i32, int32_t)
DEFINE_INT(binary_i64, int64_t, uint64_t)
DEFINE_WALK(binary_i64, int64_t)

static int apply(int64_t op, const rn_tensor *a, const rn_tensor *b, const rn_tensor *out)
{
    switch (out->dtype) {
    case RN_F32: binary_f32(op, a, b, out); return RN_OK;
    case RN_F64: binary_f64(op, a, b, out); return RN_OK;
    case RN_I32: binary_i32(op, a, b, out); return RN_OK;
    case RN_I64: binary_i64(op, a, b, out); return RN_OK;
    }
    return RN_BAD_DTYPE;
}

RN_KERNEL(binary) { return apply(call->ints[0], call->in[0], call->in[1], call->out[0]); }

/* IN two tensors or more; ints: op, whether to divide by their number. OUT all of them, folded from the left. */
RN_KERNEL(variadic)
{
    const rn_tensor *out = call->out[0];
    int code = apply(call->ints[0], call->in[0], call->in[1], out);
    for (int k = 2; k < call->n_in && code == RN_OK; k++)
        code = apply(call->ints[0], out, call->in[k], out);
    if (!call->ints[1] || code != RN_OK)
        return code;
    if (out->dtype == RN_F32)
        for (int64_t i = 0; i < out->size; i++)
            ((float *)out->data)[i] /= (float)call->n_in;
    else if (out->dtype == RN_F64)
        for (int64_t i = 0; i < out->size; i++)
            ((double *)out->data)[i] /= (double)call->n_in;
    else
        return RN_BAD_DTYPE;
    return RN_OK;
}
