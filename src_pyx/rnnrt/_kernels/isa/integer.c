/* divide: quotients of integers, and what is left over. */
#include "kernel.h"
#include "walk.h"

#include <math.h>

enum { QUOTIENT, FLOOR_MOD, TRUNCATED_MOD };

/* The quotient is cut towards zero; -1 is set apart because the lowest number has no opposite. */
#define DEFINE_WHOLE(suffix, type, wide)                                                                               \
    RN_INLINE type one_##suffix(int64_t op, type a, type b)                                                            \
    {                                                                                                                  \
        if (op == QUOTIENT)                                                                                            \
            return b == -1 ? (type)(0 - (wide)a) : a / b;                                                              \
        const type rest = b == -1 ? 0 : a % b;                                                                         \
        return op == FLOOR_MOD && rest && (rest < 0) != (b < 0) ? rest + b : rest;                                     \
    }                                                                                                                  \
    RN_INLINE int refused_##suffix(type b) { return b == 0; }
#define DEFINE_REAL(suffix, type, remainder)                                                                           \
    RN_INLINE type one_##suffix(int64_t op, type a, type b)                                                            \
    {                                                                                                                  \
        const type rest = remainder(a, b);                                                                             \
        return op == FLOOR_MOD && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;                                \
    }                                                                                                                  \
    RN_INLINE int refused_##suffix(type b) { (void)b; return 0; }
#define DEFINE_WALK(suffix, type)                                                                                      \
    static int all_##suffix(int64_t op, const rn_tensor *const *in, const rn_tensor *out)                              \
    {                                                                                                                  \
        rn_walk w;                                                                                                     \
        int64_t offset[2];                                                                                             \
        walk_init(&w, out, in, 2);                                                                                     \
        const int64_t n = w.shape[0], sa = w.stride[0][0], sb = w.stride[1][0];                                        \
        for (int64_t row = 0; row < w.rows; row++) {                                                                   \
            walk_row(&w, row, offset);                                                                                 \
            type *o = (type *)out->data + row * n;                                                                     \
            const type *a = (const type *)in[0]->data + offset[0], *b = (const type *)in[1]->data + offset[1];         \
            for (int64_t i = 0; i < n; i++) {                                                                          \
                if (refused_##suffix(b[i * sb]))                                                                       \
                    return RN_DIV_ZERO;                                                                                \
                o[i] = one_##suffix(op, a[i * sa], b[i * sb]);                                                         \
            }                                                                                                          \
        }                                                                                                              \
        return RN_OK;                                                                                                  \
    }
DEFINE_WHOLE(i32, int32_t, uint32_t)
DEFINE_WHOLE(i64, int64_t, uint64_t)
DEFINE_REAL(f32, float, fmodf)
DEFINE_REAL(f64, double, fmod)
DEFINE_WALK(i32, int32_t)
DEFINE_WALK(i64, int64_t)
DEFINE_WALK(f32, float)
DEFINE_WALK(f64, double)

/* IN a, b, broadcast; ints: op. OUT the quotient (int32, int64) or the rest (float32 and float64 too).
 * A zero divisor of integers stops the run. */
RN_KERNEL(divide)
{
    const rn_tensor *out = call->out[0];
    switch (out->dtype) {
    case RN_I32: return all_i32(call->ints[0], call->in, out);
    case RN_I64: return all_i64(call->ints[0], call->in, out);
    case RN_F32: return call->ints[0] == QUOTIENT ? RN_BAD_VALUE : all_f32(call->ints[0], call->in, out);
    case RN_F64: return call->ints[0] == QUOTIENT ? RN_BAD_VALUE : all_f64(call->ints[0], call->in, out);
    }
    return RN_BAD_DTYPE;
}
