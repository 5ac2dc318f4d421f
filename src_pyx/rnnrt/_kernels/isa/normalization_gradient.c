/* The gradient of bringing rows to zero mean and unit variance. Sums are held in double precision. */
#include "kernel.h"
#include "moments.h"

/* Element i goes to accumulator i mod ACCUMULATORS. */
#define DEFINE_ROWS(name, type, moments)                                                                               \
    static void name(const type *g, const type *x, type *dx, type *unit, int64_t rows, int64_t n, double epsilon)      \
    {                                                                                                                  \
        for (int64_t r = 0; r < rows; r++, g += n, x += n) {                                                           \
            double mean, inverse, sums[ACCUMULATORS] = {0}, products[ACCUMULATORS] = {0}, sum = 0, product = 0;        \
            moments(x, n, epsilon, &mean, &inverse);                                                                   \
            if (unit)                                                                                                  \
                for (int64_t i = 0; i < n; i++)                                                                        \
                    unit[r * n + i] = (type)((x[i] - mean) * inverse);                                                 \
            if (!dx)                                                                                                   \
                continue;                                                                                              \
            int64_t i = 0;                                                                                             \
            for (; i + ACCUMULATORS <= n; i += ACCUMULATORS)                                                           \
                for (int k = 0; k < ACCUMULATORS; k++) {                                                               \
                    sums[k] += g[i + k];                                                                               \
                    products[k] += g[i + k] * (x[i + k] - mean);                                                       \
                }                                                                                                      \
            for (int k = 0; i + k < n; k++) {                                                                          \
                sums[k] += g[i + k];                                                                                   \
                products[k] += g[i + k] * (x[i + k] - mean);                                                           \
            }                                                                                                          \
            for (int k = 0; k < ACCUMULATORS; k++) {                                                                   \
                sum += sums[k];                                                                                        \
                product += products[k];                                                                                \
            }                                                                                                          \
            const double shift = sum / (double)n, slope = product / (double)n * inverse * inverse;                     \
            for (i = 0; i < n; i++)                                                                                    \
                dx[r * n + i] = (type)((g[i] - shift - (x[i] - mean) * slope) * inverse);                              \
        }                                                                                                              \
    }
DEFINE_ROWS(rows_f32, float, moments_f32)
DEFINE_ROWS(rows_f64, double, moments_f64)

/* IN g, the gradient of the normalised rows u, and x; ints: length of a row; floats: epsilon. OUT the gradient of x, and u,
 * each where asked for. float32 and float64. */
RN_KERNEL(normalization_gradient)
{
    const rn_tensor *g = call->in[0], *x = call->in[1];
    void *dx = call->out[0] ? call->out[0]->data : NULL;
    void *unit = call->n_out > 1 && call->out[1] ? call->out[1]->data : NULL;
    const int64_t n = call->ints[0];
    if (!x->size)
        return RN_OK;
    if (x->dtype == RN_F32)
        rows_f32(g->data, x->data, dx, unit, x->size / n, n, call->floats[0]);
    else if (x->dtype == RN_F64)
        rows_f64(g->data, x->data, dx, unit, x->size / n, n, call->floats[0]);
    else
        return RN_BAD_DTYPE;
    return RN_OK;
}
