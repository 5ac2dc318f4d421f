/* unary: out = f(in), f by number (ints[0]), parameters in floats. float32 and float64. */
#include "kernel.h"
#include "vecmath.h"
#include "walk.h"

/* E(name): the vector function of the type at hand; x: the argument; p, q: the parameters. */
#define UNARY_TABLE(OP)                                                                                                \
    OP(0, E(sqrt)(x))                                                                                                  \
    OP(1, E(log)(x))                                                                                                   \
    OP(2, E(exp)(x))                                                                                                   \
    OP(3, E(sigmoid)(x))                                                                                               \
    OP(4, E(tanh)(x))                                                                                                  \
    OP(5, E(erf)(x))                                                                                                   \
    OP(6, E(select)(x < 0, p * E(expm1)(E(min)(x, zero)), x)) /* Elu */                                                \
    OP(7, E(select)(x < 0, p * x, x))                         /* LeakyRelu */                                          \
    OP(8, x / (1 + E(abs)(x)))                                                                                         \
    OP(9, E(max)(x, zero) + E(log1p)(E(exp)(-E(abs)(x))))                                                              \
    OP(10, E(min)(E(max)(p * x + q, zero), one))                                                                       \
    OP(11, half * x * (1 + E(erf)(x * E(set)(0.70710678118654752440))))                                                \
    OP(12, half * x * (1 + E(tanh)(E(set)(0.79788456080286535588) * (x + E(set)(0.044715) * x * x * x))))              \
    OP(13, 1 / x)                                                                                                      \
    OP(14, E(floor)(x))                                                                                                \
    OP(15, E(ceil)(x))                                                                                                 \
    OP(16, E(round)(x))                                                                                                \
    OP(17, q * E(select)(x < 0, p * E(expm1)(E(min)(x, zero)), x)) /* Selu */                                          \
    OP(18, E(select)(x <= p, zero, x))                             /* ThresholdedRelu */                               \
    OP(19, x * E(min)(E(max)(x / 6 + half, zero), one))            /* HardSwish */                                     \
    OP(20, E(max)(x, zero) + E(min)(p * E(expm1)(E(min)(x, zero) / p), zero)) /* Celu */                               \
    OP(21, x * E(tanh)(E(max)(x, zero) + E(log1p)(E(exp)(-E(abs)(x)))))       /* Mish */                               \
    OP(22, E(sin)(x))                                                                                                  \
    OP(23, E(cos)(x))                                                                                                  \
    OP(24, -x)                                                                                                         \
    OP(25, E(abs)(x))                                                                                                  \
    OP(26, E(max)(x, zero))                                                                                            \
    OP(27, E(select)(x > 0, one, E(select)(x < 0, -one, x)))

#define CASE(number, expression)                                                                                       \
    case number:                                                                                                       \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            const VEC x = E(load_n)(in + i, n - i);                                                                    \
            E(store_n)(out + i, expression, n - i);                                                                    \
        }                                                                                                              \
        return RN_OK;

#define DEFINE(function, type)                                                                                         \
    static int function(int64_t op, const type *in, type *out, int64_t n, type p_, type q_)                           \
    {                                                                                                                  \
        const VEC p = E(set)(p_), q = E(set)(q_), zero = E(set)(0), one = E(set)(1), half = E(set)(0.5f);              \
        (void)p, (void)q, (void)zero, (void)one, (void)half;                                                           \
        switch (op) { UNARY_TABLE(CASE) }                                                                              \
        return RN_BAD_VALUE;                                                                                           \
    }

#define E(name) vf32_##name
#define VEC vf32
#define LANES F32_LANES
DEFINE(unary_f32, float)
#undef E
#undef VEC
#undef LANES
#define E(name) vf64_##name
#define VEC vf64
#define LANES F64_LANES
DEFINE(unary_f64, double)

RN_KERNEL(unary)
{
    const rn_tensor *in = call->in[0], *out = call->out[0];
    const double p = call->n_floats > 0 ? call->floats[0] : 0, q = call->n_floats > 1 ? call->floats[1] : 0;
    if (in->dtype == RN_F32)
        return unary_f32(call->ints[0], in->data, out->data, out->size, (float)p, (float)q);
    if (in->dtype == RN_F64)
        return unary_f64(call->ints[0], in->data, out->data, out->size, p, q);
    return RN_BAD_DTYPE;
}
