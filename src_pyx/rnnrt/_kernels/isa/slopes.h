/* The derivative of any activation by its code, for the real type of real.h. Include after activations.h. */
static __attribute__((noinline)) VREAL TYPED(slope)(VREAL x, TYPED(activation) act)
{
    const REAL a = act.alpha, b = act.beta;
    const VREAL one = V(set)(1), zero = V(set)(0);
    switch (act.code) {
    case ACT_AFFINE: return V(set)(a);
    case ACT_ELU: return V(select)(x > 0, one, a * V(exp)(V(min)(x, zero)));
    case ACT_EXP: return V(exp)(x);
    case ACT_GELU: /* Phi(x) + x phi(x) */
        return (V(erf)(x * (REAL)0.70710678118654752) + 1) * (REAL)0.5
             + x * V(exp)(x * x * (REAL)-0.5) * (REAL)0.39894228040143268;
    case ACT_GELU_TANH: {
        const VREAL t = V(tanh)((x * x * x * (REAL)0.044715 + x) * (REAL)0.79788456080286536);
        const VREAL inner = (x * x * (REAL)0.134145 + 1) * (REAL)0.79788456080286536;
        return (t + 1 + x * (1 - t * t) * inner) * (REAL)0.5;
    }
    case ACT_HARD_SIGMOID: return V(select)((x * a + b > 0) & (x * a + b < 1), V(set)(a), zero);
    case ACT_HARD_SWISH: return V(select)(x <= -3, zero, V(select)(x >= 3, one, x / 3 + (REAL)0.5));
    case ACT_LEAKY_RELU: return V(select)(x >= 0, one, V(set)(a));
    case ACT_LOG_SIGMOID: return V(sigmoid)(-x);
    case ACT_MISH: {
        const VREAL t = V(tanh)(TYPED(softplus)(x));
        return t + x * (1 - t * t) * V(sigmoid)(x);
    }
    case ACT_RELU: return V(select)(x > 0, one, zero);
    case ACT_RELU6: return V(select)((x > 0) & (x < 6), one, zero);
    case ACT_SCALED_TANH: {
        const VREAL t = V(tanh)(x * b);
        return (1 - t * t) * (a * b);
    }
    case ACT_SELU:
        return V(select)(x > 0, one, (REAL)1.6732632423543772 * V(exp)(V(min)(x, zero))) * (REAL)1.0507009873554805;
    case ACT_SIGMOID: {
        const VREAL y = V(sigmoid)(x);
        return y * (1 - y);
    }
    case ACT_SOFTPLUS: return V(sigmoid)(x);
    case ACT_SOFTSIGN: {
        const VREAL d = V(abs)(x) + 1;
        return 1 / (d * d);
    }
    case ACT_SWISH: {
        const VREAL y = V(sigmoid)(x);
        return y + x * y * (1 - y);
    }
    case ACT_TANH: {
        const VREAL y = V(tanh)(x);
        return 1 - y * y;
    }
    default: return V(select)(x > a, one, zero);
    }
}
