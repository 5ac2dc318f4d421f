/* Vectors of the instruction set being compiled for, as GCC and Clang vector extensions.
 * F32_LANES and F64_LANES: lanes of a register. */
#ifndef RN_VEC_H
#define RN_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VEC_BYTES 64
#elif defined(__AVX2__)
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif

#define F32_LANES (VEC_BYTES / 4)
#define F64_LANES (VEC_BYTES / 8)

typedef float vf32 __attribute__((vector_size(VEC_BYTES)));
typedef int32_t vi32 __attribute__((vector_size(VEC_BYTES)));
typedef double vf64 __attribute__((vector_size(VEC_BYTES)));
typedef int64_t vi64 __attribute__((vector_size(VEC_BYTES)));

#define RN_INLINE static inline __attribute__((always_inline, unused))

RN_INLINE vf32 vf32_load(const float *p) { vf32 v; memcpy(&v, p, sizeof v); return v; }
RN_INLINE void vf32_store(float *p, vf32 v) { memcpy(p, &v, sizeof v); }
RN_INLINE vf32 vf32_set(float x) { return x - (vf32){0}; }
RN_INLINE vf64 vf64_load(const double *p) { vf64 v; memcpy(&v, p, sizeof v); return v; }
RN_INLINE void vf64_store(double *p, vf64 v) { memcpy(p, &v, sizeof v); }
RN_INLINE vf64 vf64_set(double x) { return x - (vf64){0}; }
/* mask ? a : b, lane by lane; mask lanes are 0 or -1 */
RN_INLINE vf32 vf32_select(vi32 mask, vf32 a, vf32 b) { return (vf32)((mask & (vi32)a) | (~mask & (vi32)b)); }
RN_INLINE vf64 vf64_select(vi64 mask, vf64 a, vf64 b) { return (vf64)((mask & (vi64)a) | (~mask & (vi64)b)); }

#endif
