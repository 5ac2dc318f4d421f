/* Any activation by its code, for the real type of real.h: the general path of the recurrent kernels. The codes are
 * those of rnnrt/ops/recurrent_pack.py. */
#ifndef RN_ACTIVATION_CODES
#define RN_ACTIVATION_CODES
enum rn_activation {
    ACT_AFFINE, ACT_ELU, ACT_EXP, ACT_GELU, ACT_GELU_TANH, ACT_HARD_SIGMOID, ACT_HARD_SWISH, ACT_LEAKY_RELU,
    ACT_LOG_SIGMOID, ACT_MISH, ACT_RELU, ACT_RELU6, ACT_SCALED_TANH, ACT_SELU, ACT_SIGMOID, ACT_SOFTPLUS, ACT_SOFTSIGN,
    ACT_SWISH, ACT_TANH, ACT_THRESHOLDED_RELU
};
#endif

typedef struct {
    int code;
    REAL alpha, beta;
} TYPED(activation);

RN_INLINE VREAL TYPED(clamp)(VREAL x, REAL low, REAL high) { return V(min)(V(max)(x, V(set)(low)), V(set)(high)); }

RN_INLINE VREAL TYPED(softplus)(VREAL x)
{
    return V(max)(x, V(set)(0)) + V(log1p)(V(exp)(-V(abs)(x)));
}

RN_INLINE VREAL TYPED(elu)(VREAL x, REAL alpha)
{
    return V(select)(x > 0, x, alpha * V(expm1)(V(min)(x, V(set)(0))));
}

static __attribute__((noinline)) VREAL TYPED(activate)(VREAL x, TYPED(activation) act)
{
    const REAL a = act.alpha, b = act.beta;
    switch (act.code) {
    case ACT_AFFINE: return x * a + b;
    case ACT_ELU: return TYPED(elu)(x, a);
    case ACT_EXP: return V(exp)(x);
    case ACT_GELU: return x * (REAL)0.5 * (V(erf)(x * (REAL)0.70710678118654752) + 1);
    case ACT_GELU_TANH:
        return x * (REAL)0.5 * (V(tanh)((x * x * x * (REAL)0.044715 + x) * (REAL)0.79788456080286536) + 1);
    case ACT_HARD_SIGMOID: return TYPED(clamp)(x * a + b, 0, 1);
    case ACT_HARD_SWISH: return x * TYPED(clamp)(x / 6 + (REAL)0.5, 0, 1);
    case ACT_LEAKY_RELU: return V(select)(x >= 0, x, x * a);
    case ACT_LOG_SIGMOID: return -TYPED(softplus)(-x);
    case ACT_MISH: return x * V(tanh)(TYPED(softplus)(x));
    case ACT_RELU: return V(max)(x, V(set)(0));
    case ACT_RELU6: return TYPED(clamp)(x, 0, 6);
    case ACT_SCALED_TANH: return V(tanh)(x * b) * a;
    case ACT_SELU: return TYPED(elu)(x, (REAL)1.6732632423543772) * (REAL)1.0507009873554805;
    case ACT_SIGMOID: return V(sigmoid)(x);
    case ACT_SOFTPLUS: return TYPED(softplus)(x);
    case ACT_SOFTSIGN: return x / (V(abs)(x) + 1);
    case ACT_SWISH: return x * V(sigmoid)(x);
    case ACT_TANH: return V(tanh)(x);
    default: return V(select)(x > a, x, V(set)(0));
    }
}
