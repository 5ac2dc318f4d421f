/* Copies between strided boxes of elements of 1, 2, 4 or 8 bytes. */
#ifndef RN_COPY_H
#define RN_COPY_H

#include "kernel.h"

#include <string.h>

static inline int64_t rn_item_size(int32_t dtype)
{
    switch (dtype) {
    case RN_F64: case RN_I64: case RN_U64: return 8;
    case RN_F32: case RN_I32: case RN_U32: return 4;
    case RN_I16: case RN_U16: return 2;
    case RN_BOOL: case RN_U8: case RN_I8: return 1;
    default: return 0;
    }
}

typedef struct {
    int ndim;
    int64_t shape[RN_MAX_DIMS];
    int64_t from[RN_MAX_DIMS]; /* strides in elements */
    int64_t to[RN_MAX_DIMS];
} rn_box;

/* Drop axes of extent 1 and join neighbours that are contiguous on both sides. */
static inline void rn_box_simplify(rn_box *box)
{
    int n = 0;
    for (int i = 0; i < box->ndim; i++) {
        if (box->shape[i] == 1)
            continue;
        if (n && box->from[n - 1] == box->from[i] * box->shape[i] && box->to[n - 1] == box->to[i] * box->shape[i]) {
            box->shape[n - 1] *= box->shape[i];
            box->from[n - 1] = box->from[i];
            box->to[n - 1] = box->to[i];
        } else {
            box->shape[n] = box->shape[i];
            box->from[n] = box->from[i];
            box->to[n] = box->to[i];
            n++;
        }
    }
    if (!n) {
        box->shape[0] = 1;
        box->from[0] = box->to[0] = 1;
        n = 1;
    }
    box->ndim = n;
}

#define TILE 16

/* One or two axes of one element type. The strides are those of the box's last axes. */
#define DEFINE_COPY(type)                                                                                              \
    static inline void copy_row_##type(const type *from, int64_t from_step, type *to, int64_t to_step, int64_t n)     \
    {                                                                                                                  \
        if (from_step == 1 && to_step == 1)                                                                            \
            memcpy(to, from, n * sizeof *to);                                                                          \
        else if (from_step == 0 && to_step == 1)                                                                       \
            for (int64_t i = 0; i < n; i++)                                                                            \
                to[i] = *from;                                                                                         \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++)                                                                            \
                to[i * to_step] = from[i * from_step];                                                                 \
    }                                                                                                                  \
    static inline void copy_plane_##type(const type *from, type *to, const int64_t *shape, const int64_t *fs,         \
                                         const int64_t *ts)                                                            \
    {                                                                                                                  \
        if (fs[0] == 1 && ts[1] == 1 && fs[1] != 1) { /* a transposition: by tiles, so that both sides stay in cache */\
            for (int64_t i0 = 0; i0 < shape[0]; i0 += TILE)                                                            \
                for (int64_t j0 = 0; j0 < shape[1]; j0 += TILE)                                                        \
                    for (int64_t i = i0; i < i0 + TILE && i < shape[0]; i++)                                           \
                        for (int64_t j = j0; j < j0 + TILE && j < shape[1]; j++)                                       \
                            to[i * ts[0] + j] = from[i + j * fs[1]];                                                   \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t i = 0; i < shape[0]; i++)                                                                         \
            copy_row_##type(from + i * fs[0], fs[1], to + i * ts[0], ts[1], shape[1]);                                 \
    }                                                                                                                  \
    static inline void copy_box_##type(const rn_box *box, int axis, const type *from, type *to)                       \
    {                                                                                                                  \
        if (axis == box->ndim - 1)                                                                                     \
            copy_row_##type(from, box->from[axis], to, box->to[axis], box->shape[axis]);                               \
        else if (axis == box->ndim - 2)                                                                                \
            copy_plane_##type(from, to, box->shape + axis, box->from + axis, box->to + axis);                          \
        else                                                                                                           \
            for (int64_t i = 0; i < box->shape[axis]; i++)                                                             \
                copy_box_##type(box, axis + 1, from + i * box->from[axis], to + i * box->to[axis]);                    \
    }

DEFINE_COPY(uint8_t)
DEFINE_COPY(uint16_t)
DEFINE_COPY(uint32_t)
DEFINE_COPY(uint64_t)

/* Copy a box; offsets are in elements. */
static inline int rn_copy_box(rn_box box, int32_t dtype, const void *from, int64_t from_offset, void *to,
                              int64_t to_offset)
{
    for (int i = 0; i < box.ndim; i++)
        if (box.shape[i] == 0)
            return RN_OK;
    rn_box_simplify(&box);
    switch (rn_item_size(dtype)) {
    case 1: copy_box_uint8_t(&box, 0, (const uint8_t *)from + from_offset, (uint8_t *)to + to_offset); return RN_OK;
    case 2: copy_box_uint16_t(&box, 0, (const uint16_t *)from + from_offset, (uint16_t *)to + to_offset); return RN_OK;
    case 4: copy_box_uint32_t(&box, 0, (const uint32_t *)from + from_offset, (uint32_t *)to + to_offset); return RN_OK;
    case 8: copy_box_uint64_t(&box, 0, (const uint64_t *)from + from_offset, (uint64_t *)to + to_offset); return RN_OK;
    default: return RN_BAD_DTYPE;
    }
}

/* Strides of a C-contiguous tensor. */
static inline void rn_strides(const rn_tensor *t, int64_t *strides)
{
    int64_t step = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        strides[i] = step;
        step *= t->shape[i];
    }
}

#endif
