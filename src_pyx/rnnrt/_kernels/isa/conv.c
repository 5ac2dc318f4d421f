/* Convolutions over any number of spatial axes, and transposed ones as convolutions over spread-out inputs. */
#include "kernel.h"
#include "vec.h"

#define RN_CONV_AXES 6 /* beside batch and channels */

enum { CONV_GROUP, CONV_CHANNELS_AS_COLUMNS, CONV_BLOCK, CONV_AXES };
enum { AXIS_KERNEL, AXIS_STRIDE, AXIS_DILATION, AXIS_PAD, AXIS_SPREAD, AXIS_INTS };

typedef struct {
    int64_t kernel, stride, dilation, pad, spread; /* spread: distance of X's elements, zeros between them */
    int64_t in, out;
} conv_axis;

typedef struct {
    int rank;
    int64_t C, M, K, taps, positions, extent; /* per group; taps of a kernel; elements of a channel of Y and of X */
    conv_axis axis[RN_CONV_AXES];
} conv_shape;

/* Where tap k of an output at o reads along an axis; -1 for padding and the zeros between spread-out elements. */
RN_INLINE int64_t conv_source(const conv_axis *a, int64_t o, int64_t k)
{
    const int64_t u = o * a->stride + k * a->dilation - a->pad;
    if (a->spread == 1)
        return u >= 0 && u < a->in ? u : -1;
    return u >= 0 && u % a->spread == 0 && u / a->spread < a->in ? u / a->spread : -1;
}

/* Offset in a channel of X of the row along the last axis that tap `tap` of the outputs at `outer` reads, both counted
 * over all axes but the last; -1 where that row is padding. */
RN_INLINE int64_t conv_row(const conv_shape *s, int64_t outer, int64_t tap)
{
    int64_t offset = 0, step = s->axis[s->rank - 1].in;
    for (int i = s->rank - 2; i >= 0; i--) {
        const conv_axis *a = s->axis + i;
        const int64_t u = conv_source(a, outer % a->out, tap % a->kernel);
        if (u < 0)
            return -1;
        offset += u * step;
        step *= a->in;
        outer /= a->out;
        tap /= a->kernel;
    }
    return offset;
}

static conv_shape conv_shape_of(const rn_call *call)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    const int64_t group = call->ints[CONV_GROUP];
    conv_shape s = {.rank = x->ndim - 2, .taps = 1, .positions = 1, .extent = 1};
    for (int i = 0; i < s.rank; i++) {
        const int64_t *ints = call->ints + CONV_AXES + i * AXIS_INTS;
        s.axis[i] = (conv_axis){ints[AXIS_KERNEL], ints[AXIS_STRIDE], ints[AXIS_DILATION], ints[AXIS_PAD],
                                ints[AXIS_SPREAD], x->shape[2 + i], y->shape[2 + i]};
        s.taps *= s.axis[i].kernel;
        s.positions *= y->shape[2 + i];
        s.extent *= x->shape[2 + i];
    }
    s.C = x->shape[1] / group;
    s.M = y->shape[1] / group;
    s.K = s.C * s.taps;
    return s;
}

#define RN_REAL_BITS 32
#include "real.h"
#include "conv_body.h"
#undef RN_REAL_BITS
#define RN_REAL_BITS 64
#include "real.h"
#include "conv_body.h"

RN_KERNEL(conv) { return call->in[0]->dtype == RN_F64 ? conv_f64(call) : conv_f32(call); }
