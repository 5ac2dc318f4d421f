/* Operands that hold indices: int32 or int64. */
#ifndef RN_INDEX_H
#define RN_INDEX_H

#include "kernel.h"

static inline int rn_holds_indices(const rn_tensor *t) { return t->dtype == RN_I64 || t->dtype == RN_I32; }

static inline int64_t rn_index_at(const rn_tensor *t, int64_t i)
{
    return t->dtype == RN_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}

#endif
