/* Reductions for the real type of real.h. Sums and products are held in double precision, whatever the type. */

/* A register's worth of doubles from at most F64_LANES elements; `fill` beyond n. */
RN_INLINE vf64 TYPED(wide_load)(const REAL *p, int64_t n, double fill)
{
#if RN_REAL_BITS == 32
    typedef float half __attribute__((vector_size(VEC_BYTES / 2)));
    half v;
    if (n >= F64_LANES) {
        memcpy(&v, p, sizeof v);
        return __builtin_convertvector(v, vf64);
    }
#else
    if (n >= F64_LANES)
        return vf64_load(p);
#endif
    vf64 w = vf64_set(fill);
    for (int i = 0; i < F64_LANES; i++)
        if (i < n)
            w[i] = p[i];
    return w;
}

/* The larger or the smaller; NaN when either is NaN. */
RN_INLINE VREAL TYPED(extreme)(int op, VREAL a, VREAL x)
{
    const VMASK keep = op == MAX ? a >= x : a <= x;
    return V(select)(keep | (a != a), a, x);
}
RN_INLINE REAL TYPED(extreme_one)(int op, REAL a, REAL x)
{
    return (op == MAX ? a >= x : a <= x) || a != a ? a : x;
}

/* The innermost axis is reduced: LANES of it at a time. */
RN_INLINE REAL TYPED(extreme_row)(int op, const rn_reduction *r, const REAL *x)
{
    const REAL worst = op == MAX ? -(REAL)INFINITY : (REAL)INFINITY;
    const int64_t n = r->inner;
    VREAL acc = V(set)(worst);
    REAL rest = worst;
    for (int64_t k = 0; k < r->gone.count; k++) {
        const REAL *row = x + axes_offset(&r->gone, k);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            acc = TYPED(extreme)(op, acc, V(load)(row + i));
        for (; i < n; i++)
            rest = TYPED(extreme_one)(op, rest, row[i]);
    }
    for (int i = 0; i < LANES; i++)
        rest = TYPED(extreme_one)(op, rest, acc[i]);
    return rest;
}

RN_INLINE REAL TYPED(wide_row)(int op, const rn_reduction *r, const REAL *x)
{
    const int64_t n = r->inner;
    const double top = op == LOG_SUM_EXP ? finite_or_zero(TYPED(extreme_row)(MAX, r, x)) : 0;
    const double fill = wide_neutral(op);
    vf64 acc[2] = {wide_start(op), wide_start(op)};
    for (int64_t k = 0; k < r->gone.count; k++) {
        const REAL *row = x + axes_offset(&r->gone, k);
        int64_t i = 0;
        for (; i + 2 * F64_LANES <= n; i += 2 * F64_LANES)
            for (int j = 0; j < 2; j++) {
                const vf64 part = TYPED(wide_load)(row + i + j * F64_LANES, F64_LANES, fill);
                acc[j] = wide_step(op, acc[j], part, vf64_set(top));
            }
        for (; i < n; i += F64_LANES)
            acc[0] = wide_step(op, acc[0], TYPED(wide_load)(row + i, n - i, fill), vf64_set(top));
    }
    double total = op == PROD ? 1 : 0;
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < F64_LANES; i++)
            total = op == PROD ? total * acc[j][i] : total + acc[j][i];
    return (REAL)wide_end(op, total, top, (double)(r->gone.count * n));
}

/* The innermost axis is kept: LANES columns of it at a time, each with one accumulator. */
RN_INLINE void TYPED(extreme_columns)(int op, const rn_reduction *r, const REAL *x, REAL *y)
{
    for (int64_t i = 0; i < r->inner; i += LANES) {
        const int64_t left = r->inner - i;
        VREAL acc = V(set)(op == MAX ? -(REAL)INFINITY : (REAL)INFINITY);
        for (int64_t k = 0; k < r->gone.count; k++)
            acc = TYPED(extreme)(op, acc, V(load_n)(x + axes_offset(&r->gone, k) + i, left));
        V(store_n)(y + i, acc, left);
    }
}

RN_INLINE void TYPED(wide_columns)(int op, const rn_reduction *r, const REAL *x, REAL *y)
{
    if (op == LOG_SUM_EXP)
        TYPED(extreme_columns)(MAX, r, x, y);
    for (int64_t i = 0; i < r->inner; i += F64_LANES) {
        const int64_t left = r->inner - i;
        vf64 top = {0}, acc = wide_start(op);
        for (int lane = 0; op == LOG_SUM_EXP && lane < F64_LANES && lane < left; lane++)
            top[lane] = finite_or_zero(y[i + lane]);
        for (int64_t k = 0; k < r->gone.count; k++)
            acc = wide_step(op, acc, TYPED(wide_load)(x + axes_offset(&r->gone, k) + i, left, 0), top);
        for (int lane = 0; lane < F64_LANES && lane < left; lane++)
            y[i + lane] = (REAL)wide_end(op, acc[lane], top[lane], (double)r->gone.count);
    }
}

/* Called with a constant op: one loop each. */
RN_INLINE void TYPED(reduce_as)(int op, const rn_reduction *r, const REAL *x, REAL *y)
{
    const int extreme = op == MAX || op == MIN;
    for (int64_t o = 0; o < r->kept.count; o++) {
        const REAL *from = x + axes_offset(&r->kept, o);
        if (r->rows)
            y[o] = extreme ? TYPED(extreme_row)(op, r, from) : TYPED(wide_row)(op, r, from);
        else if (extreme)
            TYPED(extreme_columns)(op, r, from, y + o * r->inner);
        else
            TYPED(wide_columns)(op, r, from, y + o * r->inner);
    }
}

static int TYPED(reduce)(int64_t op, const rn_reduction *r, const REAL *x, REAL *y)
{
    switch (op) {
    case SUM: TYPED(reduce_as)(SUM, r, x, y); return RN_OK;
    case MEAN: TYPED(reduce_as)(MEAN, r, x, y); return RN_OK;
    case MAX: TYPED(reduce_as)(MAX, r, x, y); return RN_OK;
    case MIN: TYPED(reduce_as)(MIN, r, x, y); return RN_OK;
    case PROD: TYPED(reduce_as)(PROD, r, x, y); return RN_OK;
    case L1: TYPED(reduce_as)(L1, r, x, y); return RN_OK;
    case L2: TYPED(reduce_as)(L2, r, x, y); return RN_OK;
    case SUM_SQUARE: TYPED(reduce_as)(SUM_SQUARE, r, x, y); return RN_OK;
    case LOG_SUM: TYPED(reduce_as)(LOG_SUM, r, x, y); return RN_OK;
    case LOG_SUM_EXP: TYPED(reduce_as)(LOG_SUM_EXP, r, x, y); return RN_OK;
    }
    return RN_BAD_VALUE;
}
