/* power: x to the y with numpy broadcasting. */
#include "kernel.h"
#include "walk.h"

#include <math.h>

#define DEFINE_POWER(name, type, function)                                                                             \
    static void name(const rn_tensor *const *in, const rn_tensor *out)                                                 \
    {                                                                                                                  \
        rn_walk w;                                                                                                     \
        int64_t offset[2];                                                                                             \
        walk_init(&w, out, in, 2);                                                                                     \
        const int64_t n = w.shape[0], sa = w.stride[0][0], sb = w.stride[1][0];                                        \
        for (int64_t row = 0; row < w.rows; row++) {                                                                   \
            walk_row(&w, row, offset);                                                                                 \
            type *o = (type *)out->data + row * n;                                                                     \
            const type *a = (const type *)in[0]->data + offset[0], *b = (const type *)in[1]->data + offset[1];         \
            if (!sb && (*b == 3))                                                                          \
                for (int64_t i = 0; i < n; i++)                                                                        \
                    o[i] = a[i * sa] * a[i * sa] * a[i * sa];                                                          \
            else                                                                                                       \
                for (int64_t i = 0; i < n; i++)                                                                        \
                    o[i] = function(a[i * sa], b[i * sb]);                                                             \
        }                                                                                                              \
    }
DEFINE_POWER(power_f32, float, powf)
DEFINE_POWER(power_f64, double, pow)

/* IN x, y. OUT x to the y; float32 and float64. */
RN_KERNEL(power)
{
    const rn_tensor *out = call->out[0];
    if (out->dtype != RN_F32 && out->dtype != RN_F64)
        return RN_BAD_DTYPE;
    (out->dtype == RN_F32 ? power_f32 : power_f64)(call->in, out);
    return RN_OK;
}
