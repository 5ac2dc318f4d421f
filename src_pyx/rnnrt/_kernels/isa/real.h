/* One body for float and double: include after defining RN_REAL_BITS as 32 or 64, as often as wanted.
 * REAL, VREAL, VMASK, LANES: scalar, vector, its comparison result, lanes. V(exp) is vf32_exp or vf64_exp;
 * TYPED(name) is name_f32 or name_f64. */
#undef REAL
#undef VREAL
#undef VMASK
#undef LANES
#undef V
#undef TYPED
#if RN_REAL_BITS == 32
#define REAL float
#define VREAL vf32
#define VMASK vi32
#define LANES F32_LANES
#define V(name) vf32_##name
#define TYPED(name) name##_f32
#else
#define REAL double
#define VREAL vf64
#define VMASK vi64
#define LANES F64_LANES
#define V(name) vf64_##name
#define TYPED(name) name##_f64
#endif
