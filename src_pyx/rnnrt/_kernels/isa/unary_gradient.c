/* unary_gradient: out = g f'(v), f by number (ints[0]), v its argument x or its result y, parameters in floats. The numbers
 * are those of rnnrt/ops/unary_gradient.py. */
#include "kernel.h"
#include "vecmath.h"
#include "walk.h"

#define RARE(name)                                                                                                     \
    RN_LANES(vf32, vf32_##name, float, F32_LANES, name##f(v))                                                          \
    RN_LANES(vf64, vf64_##name, double, F64_LANES, name(v))
RARE(sinh)
RARE(cosh)

#define DEFINE_HELPERS(E, VEC, REAL)                                                                                   \
    RN_INLINE VEC E(gelu_slope)(VEC x)                                                                                 \
    {                                                                                                                  \
        const VEC bell = E(exp)((REAL)-0.5 * x * x) * (REAL)0.39894228040143267794;                                    \
        return (REAL)0.5 * (1 + E(erf)(x * (REAL)0.70710678118654752440)) + x * bell;                                  \
    }                                                                                                                  \
    RN_INLINE VEC E(gelu_tanh_slope)(VEC x)                                                                            \
    {                                                                                                                  \
        const REAL slope = (REAL)0.79788456080286535588, cubic = (REAL)0.044715;                                       \
        const VEC t = E(tanh)(slope * (x + cubic * x * x * x));                                                        \
        return (REAL)0.5 * (1 + t) + (REAL)0.5 * x * (1 - t * t) * slope * (1 + 3 * cubic * x * x);                    \
    }                                                                                                                  \
    RN_INLINE VEC E(mish_slope)(VEC x)                                                                                 \
    {                                                                                                                  \
        const VEC t = E(tanh)(E(max)(x, E(set)(0)) + E(log1p)(E(exp)(-E(abs)(x))));                                    \
        return t + x * (1 - t * t) * E(sigmoid)(x);                                                                    \
    }
#define E32(name) vf32_##name
#define E64(name) vf64_##name
DEFINE_HELPERS(E32, vf32, float)
DEFINE_HELPERS(E64, vf64, double)

/* E(name): the vector function of the type at hand; x: the argument or the result; p, q: the parameters. */
#define SLOPE_TABLE(OP)                                                                                                \
    OP(0, half / x)                                                          /* Sqrt */                                \
    OP(1, 1 / x)                                                             /* Log */                                 \
    OP(2, x)                                                                 /* Exp */                                 \
    OP(3, x * (1 - x))                                                       /* Sigmoid */                             \
    OP(4, 1 - x * x)                                                         /* Tanh */                                \
    OP(5, E(exp)(-x * x) * E(set)(1.12837916709551257390))                   /* Erf */                                 \
    OP(6, E(select)(x < 0, p * E(exp)(E(min)(x, zero)), one))                /* Elu */                                 \
    OP(7, E(select)(x > 0, one, p))                                          /* LeakyRelu */                           \
    OP(8, 1 / ((1 + E(abs)(x)) * (1 + E(abs)(x))))                           /* Softsign */                            \
    OP(9, E(sigmoid)(x))                                                     /* Softplus */                            \
    OP(10, E(select)((x > 0) & (x < 1), p, zero))                            /* HardSigmoid */                         \
    OP(11, E(gelu_slope)(x))                                                                                           \
    OP(12, E(gelu_tanh_slope)(x))                                                                                      \
    OP(13, -x * x)                                                           /* Reciprocal */                          \
    OP(14, q * E(select)(x < 0, p * E(exp)(E(min)(x, zero)), one))           /* Selu */                                \
    OP(15, E(select)(x > p, one, zero))                                      /* ThresholdedRelu */                     \
    OP(16, E(select)(x <= -3, zero, E(select)(x >= 3, one, x / 3 + half)))   /* HardSwish */                           \
    OP(17, E(select)(x < 0, E(exp)(E(min)(x, zero) / p), one))               /* Celu */                                \
    OP(18, E(mish_slope)(x))                                                                                           \
    OP(19, E(cos)(x))                                                        /* Sin */                                 \
    OP(20, -E(sin)(x))                                                       /* Cos */                                 \
    OP(21, 1 + x * x)                                                        /* Tan */                                 \
    OP(22, 1 / E(sqrt)((1 - x) * (1 + x)))                                   /* Asin */                                \
    OP(23, -1 / E(sqrt)((1 - x) * (1 + x)))                                  /* Acos */                                \
    OP(24, 1 / (1 + x * x))                                                  /* Atan */                                \
    OP(25, E(cosh)(x))                                                       /* Sinh */                                \
    OP(26, E(sinh)(x))                                                       /* Cosh */                                \
    OP(27, 1 / E(sqrt)(1 + x * x))                                           /* Asinh */                               \
    OP(28, 1 / E(sqrt)((x - 1) * (x + 1)))                                   /* Acosh */                               \
    OP(29, 1 / ((1 - x) * (1 + x)))                                          /* Atanh */                               \
    OP(30, E(select)(x > 0, one, E(select)(x < 0, -one, x)))                 /* Abs */                                 \
    OP(31, E(select)(x > 0, one, zero))                                      /* Relu */

#define CASE(number, expression)                                                                                       \
    case number:                                                                                                       \
        for (int64_t i = 0; i < n; i += LANES) {                                                                       \
            const VEC x = E(load_n)(in + i, n - i);                                                                    \
            E(store_n)(out + i, E(load_n)(g + i, n - i) * (expression), n - i);                                        \
        }                                                                                                              \
        return RN_OK;

#define DEFINE(function, type)                                                                                         \
    static int function(const rn_call *call)                                                                           \
    {                                                                                                                  \
        const type *g = call->in[0]->data, *in = call->in[1]->data;                                                    \
        type *out = call->out[0]->data;                                                                                \
        const int64_t n = call->out[0]->size;                                                                          \
        const VEC p = E(set)((type)call->floats[0]), q = E(set)((type)call->floats[1]);                                \
        const VEC zero = E(set)(0), one = E(set)(1), half = E(set)(0.5f);                                              \
        switch (call->ints[0]) { SLOPE_TABLE(CASE) }                                                                   \
        return RN_BAD_VALUE;                                                                                           \
    }

#define E(name) vf32_##name
#define VEC vf32
#define LANES F32_LANES
DEFINE(unary_gradient_f32, float)
#undef E
#undef VEC
#undef LANES
#define E(name) vf64_##name
#define VEC vf64
#define LANES F64_LANES
DEFINE(unary_gradient_f64, double)

/* IN g, v of one shape; ints: which function; floats: p, q. OUT g f'(v). float32 and float64. */
RN_KERNEL(unary_gradient)
{
    if (call->out[0]->dtype == RN_F32)
        return unary_gradient_f32(call);
    if (call->out[0]->dtype == RN_F64)
        return unary_gradient_f64(call);
    return RN_BAD_DTYPE;
}
