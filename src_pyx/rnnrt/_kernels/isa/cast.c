/* cast: elements of another type, as C converts them. */
#include "kernel.h"

/* Small integers go by way of int32, so that every instruction set gives the same for values they cannot hold. */
#define DEFINE_CAST(from, type) \
    static int cast_##from(const type *x, const rn_tensor *y)                                                          \
    {                                                                                                                  \
        const int64_t n = y->size;                                                                                     \
        switch (y->dtype) {                                                                                            \
        case RN_F32: for (int64_t i = 0; i < n; i++) ((float *)y->data)[i] = (float)x[i]; return RN_OK;                \
        case RN_F64: for (int64_t i = 0; i < n; i++) ((double *)y->data)[i] = (double)x[i]; return RN_OK;              \
        case RN_I32: for (int64_t i = 0; i < n; i++) ((int32_t *)y->data)[i] = (int32_t)x[i]; return RN_OK;            \
        case RN_I64: for (int64_t i = 0; i < n; i++) ((int64_t *)y->data)[i] = (int64_t)x[i]; return RN_OK;            \
        case RN_U8: for (int64_t i = 0; i < n; i++) ((uint8_t *)y->data)[i] = (uint8_t)(int32_t)x[i]; return RN_OK;    \
        case RN_I8: for (int64_t i = 0; i < n; i++) ((int8_t *)y->data)[i] = (int8_t)(int32_t)x[i]; return RN_OK;      \
        case RN_BOOL: for (int64_t i = 0; i < n; i++) ((uint8_t *)y->data)[i] = x[i] != 0; return RN_OK;               \
        }                                                                                                              \
        return RN_BAD_DTYPE;                                                                                           \
    }
DEFINE_CAST(f32, float)
DEFINE_CAST(f64, double)
DEFINE_CAST(i32, int32_t)
DEFINE_CAST(i64, int64_t)
DEFINE_CAST(u8, uint8_t)
DEFINE_CAST(i8, int8_t)

/* IN x. OUT y of the same shape: float32, float64, int32, int64, uint8, int8 or bool, each to each. */
RN_KERNEL(cast)
{
    const rn_tensor *x = call->in[0], *y = call->out[0];
    switch (x->dtype) {
    case RN_F32: return cast_f32(x->data, y);
    case RN_F64: return cast_f64(x->data, y);
    case RN_I32: return cast_i32(x->data, y);
    case RN_I64: return cast_i64(x->data, y);
    case RN_BOOL:
    case RN_U8: return cast_u8(x->data, y);
    case RN_I8: return cast_i8(x->data, y);
    }
    return RN_BAD_DTYPE;
}
