/* batch_norm: one mean, factor and bias for each channel. */
#include "kernel.h"
#include "vec.h"
#include "walk.h"

#define DEFINE_BATCH_NORM(name, type, VEC, LANES, E)                                                                   \
    static void name(const type *x, const type *mean, const type *factor, const type *bias, type *y, int64_t rows,     \
                     int64_t channels, int64_t inner)                                                                  \
    {                                                                                                                  \
        if (inner == 1) { /* the channels themselves lie side by side */                                               \
            for (int64_t r = 0; r < rows; r++, x += channels, y += channels)                                           \
                for (int64_t c = 0; c < channels; c += LANES) {                                                        \
                    const int64_t n = channels - c;                                                                    \
                    const VEC centred = E(load_n)(x + c, n) - E(load_n)(mean + c, n);                                  \
                    E(store_n)(y + c, centred * E(load_n)(factor + c, n) + E(load_n)(bias + c, n), n);                 \
                }                                                                                                      \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t r = 0; r < rows; r++)                                                                             \
            for (int64_t c = 0; c < channels; c++, x += inner, y += inner) {                                           \
                const VEC m = E(set)(mean[c]), f = E(set)(factor[c]), b = E(set)(bias[c]);                             \
                for (int64_t i = 0; i < inner; i += LANES)                                                             \
                    E(store_n)(y + i, (E(load_n)(x + i, inner - i) - m) * f + b, inner - i);                           \
            }                                                                                                          \
    }
#define E32(name) vf32_##name
#define E64(name) vf64_##name
DEFINE_BATCH_NORM(batch_norm_f32, float, vf32, F32_LANES, E32)
DEFINE_BATCH_NORM(batch_norm_f64, double, vf64, F64_LANES, E64)

/* IN x (N, C, ...), mean (C), factor (C), bias (C). OUT (x - mean) * factor + bias; float32 and float64. */
RN_KERNEL(batch_norm)
{
    const rn_tensor *x = call->in[0], *m = call->in[1], *f = call->in[2], *b = call->in[3], *y = call->out[0];
    if (!x->size)
        return RN_OK;
    const int64_t rows = x->shape[0], channels = x->shape[1], inner = x->size / (rows * channels);
    if (x->dtype == RN_F32)
        batch_norm_f32(x->data, m->data, f->data, b->data, y->data, rows, channels, inner);
    else if (x->dtype == RN_F64)
        batch_norm_f64(x->data, m->data, f->data, b->data, y->data, rows, channels, inner);
    else
        return RN_BAD_DTYPE;
    return RN_OK;
}
