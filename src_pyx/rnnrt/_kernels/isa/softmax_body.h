/* Softmax and its logarithm for the real type of real.h.
 * Element k of the axis goes to accumulator k mod LANES, whether these are lanes or columns of their own: the bits do
 * not depend on how the other axes lie. */

RN_INLINE REAL TYPED(lanes_sum)(VREAL v)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            v[i] += v[i + half];
    return v[0];
}

RN_INLINE VREAL TYPED(larger)(VREAL a, VREAL x) { return V(select)((a >= x) | (a != a), a, x); }

/* The axis is contiguous. */
RN_INLINE void TYPED(softmax_row)(int log, const REAL *x, REAL *y, int64_t n)
{
    VREAL top = V(set)(-(REAL)INFINITY), total = {0};
    REAL most = -(REAL)INFINITY;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        top = TYPED(larger)(top, V(load)(x + i));
    for (; i < n; i++)
        most = most >= x[i] || most != most ? most : x[i];
    for (int lane = 0; lane < LANES; lane++)
        most = most >= top[lane] || most != most ? most : top[lane];
    for (i = 0; i < n; i += LANES) {
        VREAL e = V(exp)(V(load_n)(x + i, n - i) - most);
        for (int lane = 0; n - i < LANES && lane < LANES; lane++)
            e[lane] = lane < n - i ? e[lane] : 0;
        total += e;
        if (!log)
            V(store_n)(y + i, e, n - i);
    }
    const REAL sum = TYPED(lanes_sum)(total);
    const VREAL shift = V(log)(V(set)(sum));
    for (i = 0; i < n; i += LANES)
        V(store_n)(y + i, log ? V(load_n)(x + i, n - i) - most - shift : V(load_n)(y + i, n - i) / sum, n - i);
}

/* At most LANES columns side by side; elements of the axis are `step` apart. */
RN_INLINE void TYPED(softmax_columns)(int log, const REAL *x, REAL *y, int64_t n, int64_t step, int64_t left)
{
    VREAL top = V(set)(-(REAL)INFINITY), total[LANES] = {{0}};
    for (int64_t k = 0; k < n; k++)
        top = TYPED(larger)(top, V(load_n)(x + k * step, left));
    for (int64_t k = 0; k < n; k++) {
        const VREAL e = V(exp)(V(load_n)(x + k * step, left) - top);
        total[k % LANES] += e;
        if (!log)
            V(store_n)(y + k * step, e, left);
    }
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            total[i] += total[i + half];
    const VREAL sum = total[0], shift = V(log)(sum);
    for (int64_t k = 0; k < n; k++)
        V(store_n)(y + k * step, log ? V(load_n)(x + k * step, left) - top - shift : V(load_n)(y + k * step, left) / sum,
                   left);
}

RN_INLINE void TYPED(softmax_all)(int log, const REAL *x, REAL *y, int64_t outer, int64_t n, int64_t inner)
{
    for (int64_t o = 0; o < outer; o++, x += n * inner, y += n * inner)
        if (inner == 1)
            TYPED(softmax_row)(log, x, y, n);
        else
            for (int64_t i = 0; i < inner; i += LANES)
                TYPED(softmax_columns)(log, x + i, y + i, n, inner, inner - i);
}
