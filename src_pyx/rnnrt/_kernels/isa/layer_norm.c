/* Rows brought to zero mean and unit variance, then scaled. Means and variances are held in double precision. */
#include "kernel.h"
#include "moments.h"
#include "vecmath.h"
#include "walk.h"

#define DEFINE_NORMS(name, type, E, LANES)                                                                             \
    static void layer_##name(const rn_call *call, int64_t rows, int64_t n)                                             \
    {                                                                                                                  \
        const type *x = call->in[0]->data, *scale = call->in[1]->data, *bias = call->in[2] ? call->in[2]->data : NULL; \
        type *y = call->out[0]->data, *means = call->n_out > 1 && call->out[1] ? call->out[1]->data : NULL;            \
        type *inverses = call->n_out > 2 && call->out[2] ? call->out[2]->data : NULL;                                  \
        for (int64_t r = 0; r < rows; r++, x += n, y += n) {                                                           \
            double mean, inverse;                                                                                      \
            name(x, n, call->floats[0], &mean, &inverse);                                                              \
            for (int64_t i = 0; i < n; i += LANES) {                                                                   \
                E(vec) v = (E(load_n)(x + i, n - i) - (type)mean) * (type)inverse * E(load_n)(scale + i, n - i);       \
                if (bias)                                                                                              \
                    v += E(load_n)(bias + i, n - i);                                                                   \
                E(store_n)(y + i, v, n - i);                                                                           \
            }                                                                                                          \
            if (means)                                                                                                 \
                means[r] = (type)mean;                                                                                 \
            if (inverses)                                                                                              \
                inverses[r] = (type)inverse;                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    static void group_##name(const rn_call *call, int64_t rows, int64_t channels, int64_t inner)                       \
    {                                                                                                                  \
        const type *x = call->in[0]->data, *scale = call->in[1]->data, *bias = call->in[2]->data;                      \
        type *y = call->out[0]->data;                                                                                  \
        const int64_t per_group = channels / call->ints[0];                                                            \
        for (int64_t g = 0; g < rows * call->ints[0]; g++) {                                                           \
            double mean, inverse;                                                                                      \
            name(x, per_group * inner, call->floats[0], &mean, &inverse);                                              \
            for (int64_t k = 0; k < per_group; k++, x += inner, y += inner) {                                          \
                const int64_t c = g % call->ints[0] * per_group + k;                                                   \
                for (int64_t i = 0; i < inner; i += LANES) {                                                           \
                    const E(vec) v = (E(load_n)(x + i, inner - i) - (type)mean) * (type)inverse;                       \
                    E(store_n)(y + i, v * scale[c] + bias[c], inner - i);                                              \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }
typedef vf32 vf32_vec;
typedef vf64 vf64_vec;
#define E32(name) vf32_##name
#define E64(name) vf64_##name
DEFINE_NORMS(moments_f32, float, E32, F32_LANES)
DEFINE_NORMS(moments_f64, double, E64, F64_LANES)

/* IN x, scale, bias (or absent), these as large as a row; floats: epsilon. OUT y, then means and inverse deviations
 * of the rows where asked for. float32 and float64. */
RN_KERNEL(layer_norm)
{
    const rn_tensor *x = call->in[0];
    const int64_t n = call->in[1]->size;
    if (!x->size)
        return RN_OK;
    if (x->dtype != RN_F32 && x->dtype != RN_F64)
        return RN_BAD_DTYPE;
    (x->dtype == RN_F32 ? layer_moments_f32 : layer_moments_f64)(call, x->size / n, n);
    return RN_OK;
}

/* IN x (N, C, ...), scale (C), bias (C); ints: groups of channels; floats: epsilon. OUT y. float32 and float64. */
RN_KERNEL(group_norm)
{
    const rn_tensor *x = call->in[0];
    if (!x->size)
        return RN_OK;
    if (x->dtype != RN_F32 && x->dtype != RN_F64)
        return RN_BAD_DTYPE;
    const int64_t rows = x->shape[0], channels = x->shape[1], inner = x->size / (rows * channels);
    (x->dtype == RN_F32 ? group_moments_f32 : group_moments_f64)(call, rows, channels, inner);
    return RN_OK;
}
