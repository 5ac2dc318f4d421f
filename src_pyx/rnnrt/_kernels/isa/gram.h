/* Products summed over rows, for the real type of real.h: C = A^T G over N rows, C of M x columns. Needs walk.h.
 *
 * A's rows lie `lda` apart; row k of G is found by `row_of`. Columns come in panels, c0..c1 of them; rows of C are
 * `ldc` apart; G has `width` columns, and C more where they do not fill a panel. `sums`, if not NULL, gets the sums of G's rows. Every entry of C has one accumulator that goes through
 * the rows in order, whatever the share of columns. */
#ifndef RN_GRAM
#define RN_GRAM
#define GRAM_ROWS 96 /* rows whose columns of a tile stay in the first cache */
#define GRAM_M (VEC_BYTES == 64 ? 6 : 3)
#define GRAM_P 4

/* In which order the rows of a block of G (T, B) are summed: step by step forwards or backwards, or row by row. */
enum rn_order { ORDER_STEPS, ORDER_STEPS_BACK, ORDER_ROWS };
typedef struct {
    int64_t T, B;
    enum rn_order order;
} rn_rows;

RN_INLINE int64_t rn_row_of(const rn_rows *rows, int64_t k)
{
    if (rows->order == ORDER_ROWS)
        return k % rows->T * rows->B + k / rows->T;
    return rows->order == ORDER_STEPS ? k : (rows->T - 1 - k / rows->B) * rows->B + k % rows->B;
}
#endif

RN_INLINE void TYPED(gram_tile)(const int M, const int P, int64_t N, const REAL *a, int64_t lda, const REAL *g, REAL *c,
                                int64_t ldc)
{
    VREAL acc[GRAM_M][GRAM_P];
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
        for (int p = 0; p < P; p++)
            acc[m][p] = V(load)(c + m * ldc + p * LANES);
    for (int64_t k = 0; k < N; k++) {
        VREAL row[GRAM_P];
#pragma GCC unroll 8
        for (int p = 0; p < P; p++)
            row[p] = V(load)(g + (k * P + p) * LANES);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
            const VREAL x = V(set)(a[k * lda + m]);
#pragma GCC unroll 8
            for (int p = 0; p < P; p++)
                acc[m][p] += x * row[p];
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++)
#pragma GCC unroll 8
        for (int p = 0; p < P; p++)
            V(store)(c + m * ldc + p * LANES, acc[m][p]);
}

#define GRAM_CASE(M, P)                                                                                                \
    case 8 * P + M:                                                                                                    \
        if (M <= GRAM_M)                                                                                               \
            TYPED(gram_tile)(M <= GRAM_M ? M : 1, P, N, a, lda, g, c, ldc);                                            \
        return;
static void TYPED(gram_any)(int M, int P, int64_t N, const REAL *a, int64_t lda, const REAL *g, REAL *c, int64_t ldc)
{
    switch (8 * P + M) {
        GRAM_CASE(1, 1) GRAM_CASE(2, 1) GRAM_CASE(3, 1) GRAM_CASE(4, 1) GRAM_CASE(5, 1) GRAM_CASE(6, 1)
        GRAM_CASE(1, 2) GRAM_CASE(2, 2) GRAM_CASE(3, 2) GRAM_CASE(4, 2) GRAM_CASE(5, 2) GRAM_CASE(6, 2)
        GRAM_CASE(1, 3) GRAM_CASE(2, 3) GRAM_CASE(3, 3) GRAM_CASE(4, 3) GRAM_CASE(5, 3) GRAM_CASE(6, 3)
        GRAM_CASE(1, 4) GRAM_CASE(2, 4) GRAM_CASE(3, 4) GRAM_CASE(4, 4) GRAM_CASE(5, 4) GRAM_CASE(6, 4)
    }
}
#undef GRAM_CASE

static void TYPED(gram)(const rn_rows *rows, int64_t M, const REAL *a, int64_t lda, const REAL *g, int64_t ldg,
                        int64_t width, int64_t c0, int64_t c1, REAL *c, int64_t ldc, REAL *sums)
{
    REAL block[GRAM_ROWS * GRAM_P * LANES] __attribute__((aligned(64)));
    const int64_t total = rows->T * rows->B, tiles = (M + GRAM_M - 1) / GRAM_M;
    for (int64_t m = 0; m < M; m++)
        memset(c + m * ldc + c0 * LANES, 0, (size_t)((c1 - c0) * LANES) * sizeof(REAL));
    if (sums)
        memset(sums + c0 * LANES, 0, (size_t)((c1 - c0) * LANES) * sizeof(REAL));
    for (int64_t k0 = 0; k0 < total; k0 += GRAM_ROWS) {
        const int64_t N = total - k0 < GRAM_ROWS ? total - k0 : GRAM_ROWS;
        for (int64_t p = c0; p < c1; p += GRAM_P) {
            const int P = c1 - p < GRAM_P ? (int)(c1 - p) : GRAM_P;
            VREAL sum[GRAM_P];
            for (int q = 0; sums && q < P; q++)
                sum[q] = V(load)(sums + (p + q) * LANES);
            for (int64_t k = 0; k < N; k++) {
                const REAL *from = g + rn_row_of(rows, k0 + k) * ldg + p * LANES;
                for (int q = 0; q < P; q++) {
                    const VREAL x = V(load_n)(from + q * LANES, width - (p + q) * LANES);
                    V(store)(block + (k * P + q) * LANES, x);
                    if (sums)
                        sum[q] += x;
                }
            }
            for (int q = 0; sums && q < P; q++)
                V(store)(sums + (p + q) * LANES, sum[q]);
            for (int64_t tile = 0, m = 0; tile < tiles; tile++) {
                const int rest = (int)((M - m + tiles - tile - 1) / (tiles - tile));
                TYPED(gram_any)(rest, P, N, a + k0 * lda + m, lda, block, c + m * ldc + p * LANES, ldc);
                m += rest;
            }
        }
    }
}
