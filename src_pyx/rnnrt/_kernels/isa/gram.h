/* Products summed over rows, for the real type of real.h: C = A^T G over N rows, C of M x columns. Needs walk.h.
 *
 * Rows come in runs, evenly apart within each. Columns come in panels; G has `width` of them, C more where they do not
 * fill a panel. Every entry of C has one accumulator that goes through the rows in order, whatever the share of
 * columns, and so have the sums of G's rows. */
#ifndef RN_GRAM
#define RN_GRAM
#define GRAM_ROWS 128 /* rows whose columns of a tile stay in the first cache */
#define GRAM_M (VEC_BYTES == 64 ? 6 : 3)
#define GRAM_P 4
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

/* N rows of P panels of G one after the other; their sums, if wanted. */
static void TYPED(gram_pack)(int P, int64_t N, const REAL *g, int64_t ldg, int64_t width, REAL *block, REAL *sums)
{
    VREAL sum[GRAM_P];
    for (int q = 0; sums && q < P; q++)
        sum[q] = V(load)(sums + q * LANES);
    for (int64_t k = 0; k < N; k++)
        for (int q = 0; q < P; q++) {
            const VREAL x = V(load_n)(g + k * ldg + q * LANES, width - q * LANES);
            V(store)(block + (k * P + q) * LANES, x);
            if (sums)
                sum[q] += x;
        }
    for (int q = 0; sums && q < P; q++)
        V(store)(sums + q * LANES, sum[q]);
}

/* One A: C = A^T G; A's rows of an inner run lie `lda` apart, and runs `run` apart. */
typedef struct {
    int64_t M, lda, run, ldc;
    const REAL *a;
    REAL *c;
} TYPED(gram_source);

/* Columns c0..c1 of the products of every source with G, whose rows lie likewise; G is read from memory once. */
static void TYPED(gram)(int64_t runs, int64_t rows, const TYPED(gram_source) *sources, int n_sources, const REAL *g,
                        int64_t ldg, int64_t g_run, int64_t width, int64_t c0, int64_t c1, REAL *sums)
{
    REAL block[GRAM_ROWS * GRAM_P * LANES] __attribute__((aligned(64)));
    const size_t own = (size_t)((c1 - c0) * LANES) * sizeof(REAL);
    for (int k = 0; k < n_sources; k++)
        for (int64_t m = 0; m < sources[k].M; m++)
            memset(sources[k].c + m * sources[k].ldc + c0 * LANES, 0, own);
    if (sums)
        memset(sums + c0 * LANES, 0, own);
    for (int64_t run = 0; run < runs; run++)
        for (int64_t k0 = 0; k0 < rows; k0 += GRAM_ROWS) {
            const int64_t N = rows - k0 < GRAM_ROWS ? rows - k0 : GRAM_ROWS;
            for (int64_t p = c0; p < c1; p += GRAM_P) {
                const int P = c1 - p < GRAM_P ? (int)(c1 - p) : GRAM_P;
                TYPED(gram_pack)(P, N, g + run * g_run + k0 * ldg + p * LANES, ldg, width - p * LANES, block,
                                 sums ? sums + p * LANES : NULL);
                for (int k = 0; k < n_sources; k++) {
                    const TYPED(gram_source) *s = sources + k;
                    const REAL *a = s->a + run * s->run + k0 * s->lda;
                    const int64_t tiles = (s->M + GRAM_M - 1) / GRAM_M;
                    for (int64_t tile = 0, m = 0; tile < tiles; tile++) {
                        const int M = (int)((s->M - m + tiles - tile - 1) / (tiles - tile));
                        TYPED(gram_any)(M, P, N, a + m, s->lda, block, s->c + m * s->ldc + p * LANES, s->ldc);
                        m += M;
                    }
                }
            }
        }
}
