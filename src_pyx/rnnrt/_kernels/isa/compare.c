/* Comparisons, logic, and choices: bool comes out, or decides. */
#include "copy.h"
#include "walk.h"

#include <math.h>

enum { EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, AND, OR, XOR };

/* One row. sa and sb are 0 (constant) or 1, known where this is inlined. */
#define ROW(number, operation)                                                                                         \
    case number:                                                                                                       \
        for (int64_t i = 0; i < n; i++)                                                                                \
            o[i] = a[i * sa] operation b[i * sb];                                                                      \
        return;
#define DEFINE_COMPARE(name, type)                                                                                     \
    RN_INLINE void name##_row(int64_t op, uint8_t *o, const type *a, const type *b, int64_t n, int sa, int sb)         \
    {                                                                                                                  \
        switch (op) {                                                                                                  \
            ROW(EQUAL, ==)                                                                                             \
            ROW(LESS, <)                                                                                               \
            ROW(LESS_EQUAL, <=)                                                                                        \
            ROW(GREATER, >)                                                                                            \
            ROW(GREATER_EQUAL, >=)                                                                                     \
            ROW(AND, &&)                                                                                               \
            ROW(OR, ||)                                                                                                \
            ROW(XOR, !=) /* of bools */                                                                                \
        }                                                                                                              \
    }                                                                                                                  \
    static void name(int64_t op, const rn_tensor *const *in, const rn_tensor *out)                                     \
    {                                                                                                                  \
        rn_walk w;                                                                                                     \
        int64_t offset[2];                                                                                             \
        walk_init(&w, out, in, 2);                                                                                     \
        const int64_t n = w.shape[0];                                                                                  \
        for (int64_t row = 0; row < w.rows; row++) {                                                                   \
            walk_row(&w, row, offset);                                                                                 \
            uint8_t *o = (uint8_t *)out->data + row * n;                                                               \
            const type *a = (const type *)in[0]->data + offset[0], *b = (const type *)in[1]->data + offset[1];         \
            if (w.stride[0][0] && w.stride[1][0])                                                                      \
                name##_row(op, o, a, b, n, 1, 1);                                                                      \
            else if (w.stride[0][0])                                                                                   \
                name##_row(op, o, a, b, n, 1, 0);                                                                      \
            else                                                                                                       \
                name##_row(op, o, a, b, n, 0, (int)w.stride[1][0]);                                                    \
        }                                                                                                              \
    }
DEFINE_COMPARE(compare_f32, float)
DEFINE_COMPARE(compare_f64, double)
DEFINE_COMPARE(compare_i32, int32_t)
DEFINE_COMPARE(compare_i64, int64_t)
DEFINE_COMPARE(compare_u8, uint8_t)

/* IN a, b of float32, float64, int32, int64, uint8 or bool, broadcast; ints: op. OUT bool. */
RN_KERNEL(compare)
{
    switch (call->in[0]->dtype) {
    case RN_F32: compare_f32(call->ints[0], call->in, call->out[0]); return RN_OK;
    case RN_F64: compare_f64(call->ints[0], call->in, call->out[0]); return RN_OK;
    case RN_I32: compare_i32(call->ints[0], call->in, call->out[0]); return RN_OK;
    case RN_I64: compare_i64(call->ints[0], call->in, call->out[0]); return RN_OK;
    case RN_BOOL:
    case RN_U8: compare_u8(call->ints[0], call->in, call->out[0]); return RN_OK;
    }
    return RN_BAD_DTYPE;
}

#define DEFINE_WHERE(type)                                                                                             \
    RN_INLINE void where_row_##type(type *o, const uint8_t *c, const type *a, const type *b, int64_t n, int64_t sc,    \
                                    int64_t sa, int64_t sb)                                                            \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            const type x = a[i * sa], y = b[i * sb];                                                                   \
            o[i] = c[i * sc] ? x : y;                                                                                  \
        }                                                                                                              \
    }                                                                                                                  \
    static void where_##type(const rn_tensor *const *in, const rn_tensor *out)                                         \
    {                                                                                                                  \
        rn_walk w;                                                                                                     \
        int64_t offset[3];                                                                                             \
        walk_init(&w, out, in, 3);                                                                                     \
        const int64_t n = w.shape[0], sc = w.stride[0][0], sa = w.stride[1][0], sb = w.stride[2][0];                   \
        for (int64_t row = 0; row < w.rows; row++) {                                                                   \
            walk_row(&w, row, offset);                                                                                 \
            type *o = (type *)out->data + row * n;                                                                     \
            const uint8_t *c = (const uint8_t *)in[0]->data + offset[0];                                               \
            const type *a = (const type *)in[1]->data + offset[1], *b = (const type *)in[2]->data + offset[2];         \
            if (sc && sa && sb)                                                                                        \
                where_row_##type(o, c, a, b, n, 1, 1, 1);                                                              \
            else if (sc && sa)                                                                                         \
                where_row_##type(o, c, a, b, n, 1, 1, 0);                                                              \
            else if (sc && sb)                                                                                         \
                where_row_##type(o, c, a, b, n, 1, 0, 1);                                                              \
            else                                                                                                       \
                where_row_##type(o, c, a, b, n, sc, sa, sb);                                                           \
        }                                                                                                              \
    }
DEFINE_WHERE(uint8_t)
DEFINE_WHERE(uint16_t)
DEFINE_WHERE(uint32_t)
DEFINE_WHERE(uint64_t)

/* IN condition (bool), a, b, broadcast. OUT a where the condition holds, else b; elements of any type. */
RN_KERNEL(where)
{
    switch (rn_item_size(call->out[0]->dtype)) {
    case 1: where_uint8_t(call->in, call->out[0]); return RN_OK;
    case 2: where_uint16_t(call->in, call->out[0]); return RN_OK;
    case 4: where_uint32_t(call->in, call->out[0]); return RN_OK;
    case 8: where_uint64_t(call->in, call->out[0]); return RN_OK;
    }
    return RN_BAD_DTYPE;
}

enum { NOT, IS_NAN, IS_INF };

/* `which` of IS_INF: 1 the negative infinity, 2 the positive one, 3 either */
#define TEST(type)                                                                                                     \
    for (int64_t i = 0; i < out->size; i++) {                                                                          \
        const type v = ((const type *)in->data)[i];                                                                    \
        o[i] = op == NOT      ? v == 0                                                                                 \
               : op == IS_NAN ? v != v                                                                                 \
                              : (v == -INFINITY && (which & 1)) || (v == INFINITY && (which & 2));                     \
    }                                                                                                                  \
    return RN_OK;

/* IN x; ints: op, which. OUT bool. Bools for NOT, float32 and float64 for the others. */
RN_KERNEL(test)
{
    const rn_tensor *in = call->in[0], *out = call->out[0];
    const int64_t op = call->ints[0], which = call->ints[1];
    uint8_t *o = out->data;
    switch (in->dtype) {
    case RN_F32: TEST(float)
    case RN_F64: TEST(double)
    case RN_BOOL:
        for (int64_t i = 0; i < out->size; i++)
            o[i] = !((const uint8_t *)in->data)[i];
        return RN_OK;
    }
    return RN_BAD_DTYPE;
}
