/* Vectors of the instruction set being compiled for, as GCC and Clang vector extensions.
 * F32_LANES and F64_LANES: lanes of a register. */
#ifndef RN_VEC_H
#define RN_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

/* min and max that keep a NaN of the first operand: x86's instructions with their operands swapped */
#if defined(__AVX512F__)
RN_INLINE vf32 vf32_min(vf32 a, vf32 b) { return (vf32)_mm512_min_ps((__m512)b, (__m512)a); }
RN_INLINE vf32 vf32_max(vf32 a, vf32 b) { return (vf32)_mm512_max_ps((__m512)b, (__m512)a); }
RN_INLINE vf64 vf64_min(vf64 a, vf64 b) { return (vf64)_mm512_min_pd((__m512d)b, (__m512d)a); }
RN_INLINE vf64 vf64_max(vf64 a, vf64 b) { return (vf64)_mm512_max_pd((__m512d)b, (__m512d)a); }
#elif defined(__AVX2__)
RN_INLINE vf32 vf32_min(vf32 a, vf32 b) { return (vf32)_mm256_min_ps((__m256)b, (__m256)a); }
RN_INLINE vf32 vf32_max(vf32 a, vf32 b) { return (vf32)_mm256_max_ps((__m256)b, (__m256)a); }
RN_INLINE vf64 vf64_min(vf64 a, vf64 b) { return (vf64)_mm256_min_pd((__m256d)b, (__m256d)a); }
RN_INLINE vf64 vf64_max(vf64 a, vf64 b) { return (vf64)_mm256_max_pd((__m256d)b, (__m256d)a); }
#elif defined(__x86_64__)
RN_INLINE vf32 vf32_min(vf32 a, vf32 b) { return (vf32)_mm_min_ps((__m128)b, (__m128)a); }
RN_INLINE vf32 vf32_max(vf32 a, vf32 b) { return (vf32)_mm_max_ps((__m128)b, (__m128)a); }
RN_INLINE vf64 vf64_min(vf64 a, vf64 b) { return (vf64)_mm_min_pd((__m128d)b, (__m128d)a); }
RN_INLINE vf64 vf64_max(vf64 a, vf64 b) { return (vf64)_mm_max_pd((__m128d)b, (__m128d)a); }
#else
RN_INLINE vf32 vf32_min(vf32 a, vf32 b) { return vf32_select(a > b, b, a); }
RN_INLINE vf32 vf32_max(vf32 a, vf32 b) { return vf32_select(a < b, b, a); }
RN_INLINE vf64 vf64_min(vf64 a, vf64 b) { return vf64_select(a > b, b, a); }
RN_INLINE vf64 vf64_max(vf64 a, vf64 b) { return vf64_select(a < b, b, a); }
#endif

#endif
