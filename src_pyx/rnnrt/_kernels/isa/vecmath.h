/* Vectorised transcendental functions; tools/fit_math.py shows where the coefficients come from.
 * float32: exp, log within 2 ulp, sigmoid 3, tanh 5, erf 6. NaN gives NaN, infinities give the limits.
 * float64: each lane through libm. */
#ifndef RN_VECMATH_H
#define RN_VECMATH_H

#include <math.h>

#include "vec.h"

RN_INLINE vf32 vf32_abs(vf32 a) { return (vf32)((vi32)a & 0x7fffffff); }
RN_INLINE vf64 vf64_abs(vf64 a) { return (vf64)((vi64)a & 0x7fffffffffffffffLL); }
RN_INLINE vf32 vf32_with_sign(vf32 magnitude, vf32 sign)
{
    return (vf32)(((vi32)magnitude & 0x7fffffff) | ((vi32)sign & (int32_t)0x80000000));
}

/* 2^n for -126 <= n <= 127 */
RN_INLINE vf32 vf32_pow2(vi32 n) { return (vf32)((n + 127) << 23); }

/* x = k ln2 + r, k an integer; gives k and exp(r) - 1 for x in [-104, 89] */
RN_INLINE vf32 vf32_exp_parts(vf32 x, vf32 *k)
{
    const vf32 magic = vf32_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    *k = x * 1.44269504f + magic - magic;
    const vf32 r = (x - *k * 0.693359375f) - *k * -2.12194440e-4f;
    const vf32 p = (((r * 0.00139012898f + 0.00836314447f) * r + 0.0416668542f) * r + 0.166665778f) * r + 0.5f;
    return r * r * p + r;
}

/* y 2^k for -126 <= k <= 127 */
RN_INLINE vf32 vf32_scale(vf32 y, vf32 k)
{
#if defined(__AVX512F__)
    return (vf32)_mm512_scalef_ps((__m512)y, (__m512)k);
#else
    const vf32 magic = vf32_set(12582912.0f + 127.0f);
    return y * (vf32)((vi32)(k + magic) << 23);
#endif
}

RN_INLINE vf32 vf32_exp(vf32 x)
{
    vf32 k;
    const vf32 y = vf32_exp_parts(vf32_min(vf32_max(x, vf32_set(-104.0f)), vf32_set(89.0f)), &k) + 1.0f;
#if defined(__AVX512F__)
    return vf32_scale(y, k);
#else
    const vi32 n = __builtin_convertvector(k, vi32), half = n >> 1; /* twice, so that neither factor leaves the range */
    return y * vf32_pow2(half) * vf32_pow2(n - half);
#endif
}

RN_INLINE vf32 vf32_expm1(vf32 x)
{
    vf32 k;
    const vf32 y = vf32_exp_parts(vf32_min(vf32_max(x, vf32_set(-40.0f)), vf32_set(89.0f)), &k);
    const vf32 scale = vf32_scale(vf32_set(1), k - 1);
    const vf32 r = (y * scale + (scale - 0.5f)) * 2.0f;
    return vf32_select(x == 0.0f, x, r);
}

RN_INLINE vf32 vf32_log(vf32 x)
{
    const vi32 tiny = x < 1.17549435e-38f;
    const vf32 scaled = vf32_select(tiny, x * 8388608.0f, x);
    /* the mantissa in [sqrt(1/2), sqrt(2)) */
    const vi32 bits = (vi32)scaled - 0x3f3504f3;
    const vi32 exponent = (bits >> 23) - (tiny & 23);
    const vf32 f = (vf32)((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    const vf32 e = __builtin_convertvector(exponent, vf32);
    vf32 p = f * -0.0797410905f + 0.126556501f;
    p = p * f - 0.129892901f;
    p = p * f + 0.142099515f;
    p = p * f - 0.166415811f;
    p = p * f + 0.200012013f;
    p = p * f - 0.25000304f;
    p = p * f + 0.333333313f;
    const vf32 square = f * f;
    vf32 y = square * f * p + e * -2.12194440e-4f;
    y = y - square * 0.5f;
    y = (y + f) + e * 0.693359375f;
    y = vf32_select(x == 0.0f, vf32_set(-INFINITY), y);
    y = vf32_select(x < 0.0f, vf32_set(NAN), y);
    return vf32_select((x == INFINITY) | (x != x), x, y);
}

RN_INLINE vf32 vf32_log1p(vf32 x)
{
    const vf32 u = x + 1.0f;
    const vf32 y = vf32_log(u) + (x - (u - 1.0f)) / u;
    return vf32_select((u == 1.0f) | (x == INFINITY), x, vf32_select(u <= 0.0f, vf32_log(u), y));
}

/* tanh as a fraction p / q with q >= 1 and |p| <= q, so that a product of gates needs one division */
RN_INLINE vf32 vf32_tanh_parts(vf32 x, vf32 *q)
{
    const vf32 c = vf32_min(vf32_max(x, vf32_set(-9.02f)), vf32_set(9.02f));
    const vf32 t = c * c;
    const vf32 p = (((t * 1.33177327e-08f + 2.05824363e-05f) * t + 0.0034939677f) * t + 0.133796602f) * t + 1.0f;
    *q = (((t * 7.76144816e-07f + 0.000328298571f) * t + 0.0258708149f) * t + 0.467129767f) * t + 1.0f;
    return vf32_min(vf32_max(c * p, -*q), *q);
}

RN_INLINE vf32 vf32_tanh(vf32 x)
{
    vf32 q;
    const vf32 p = vf32_tanh_parts(x, &q);
    return p / q;
}

/* 1 + exp(-x), the reciprocal of the sigmoid; the clamp lets one factor scale, and what it cuts off is flushed anyway */
RN_INLINE vf32 vf32_sigmoid_reciprocal(vf32 x)
{
    vf32 k;
    const vf32 y = vf32_exp_parts(vf32_min(vf32_max(-x, vf32_set(-87.0f)), vf32_set(88.3f)), &k) + 1.0f;
    return 1.0f + vf32_scale(y, k);
}

RN_INLINE vf32 vf32_sigmoid(vf32 x) { return 1.0f / vf32_sigmoid_reciprocal(x); }

RN_INLINE vf32 vf32_erf(vf32 x)
{
    const vf32 c = vf32_min(vf32_max(x, vf32_set(-3.93f)), vf32_set(3.93f));
    const vf32 t = c * c;
    vf32 p = t * 2.04193861e-06f + 0.000284783862f;
    p = p * t + 0.00377896451f;
    p = p * t + 0.0527882501f;
    p = p * t + 0.190770239f;
    p = p * t + 1.12837911f;
    vf32 q = t * 3.80024539e-05f + 0.00116503751f;
    q = q * t + 0.0149961496f;
    q = q * t + 0.114251688f;
    q = q * t + 0.502398431f;
    q = q * t + 1.0f;
    return vf32_min(vf32_max(c * p / q, vf32_set(-1.0f)), vf32_set(1.0f));
}

/* name(x) with scalar function call f on every lane */
#define RN_LANES(type, name, scalar, lanes, call)                                                                      \
    RN_INLINE type name(type x)                                                                                        \
    {                                                                                                                  \
        for (int i = 0; i < lanes; i++) {                                                                              \
            const scalar v = x[i];                                                                                     \
            x[i] = call;                                                                                               \
        }                                                                                                              \
        return x;                                                                                                      \
    }
RN_LANES(vf64, vf64_exp, double, F64_LANES, exp(v))
RN_LANES(vf64, vf64_expm1, double, F64_LANES, expm1(v))
RN_LANES(vf64, vf64_log, double, F64_LANES, log(v))
RN_LANES(vf64, vf64_log1p, double, F64_LANES, log1p(v))
RN_LANES(vf64, vf64_tanh, double, F64_LANES, tanh(v))
RN_LANES(vf64, vf64_erf, double, F64_LANES, erf(v))
RN_LANES(vf32, vf32_sin, float, F32_LANES, sinf(v))
RN_LANES(vf32, vf32_cos, float, F32_LANES, cosf(v))
RN_LANES(vf64, vf64_sin, double, F64_LANES, sin(v))
RN_LANES(vf64, vf64_cos, double, F64_LANES, cos(v))
RN_LANES(vf32, vf32_sqrt, float, F32_LANES, sqrtf(v))
RN_LANES(vf64, vf64_sqrt, double, F64_LANES, sqrt(v))
RN_LANES(vf32, vf32_floor, float, F32_LANES, floorf(v))
RN_LANES(vf64, vf64_floor, double, F64_LANES, floor(v))
RN_LANES(vf32, vf32_ceil, float, F32_LANES, ceilf(v))
RN_LANES(vf64, vf64_ceil, double, F64_LANES, ceil(v))
RN_LANES(vf32, vf32_round, float, F32_LANES, rintf(v)) /* half to even */
RN_LANES(vf64, vf64_round, double, F64_LANES, rint(v))

RN_INLINE vf64 vf64_sigmoid_reciprocal(vf64 x) { return 1.0 + vf64_exp(-x); }
RN_INLINE vf64 vf64_sigmoid(vf64 x) { return 1.0 / vf64_sigmoid_reciprocal(x); }
RN_INLINE vf64 vf64_tanh_parts(vf64 x, vf64 *q)
{
    *q = vf64_set(1);
    return vf64_tanh(x);
}

#endif
