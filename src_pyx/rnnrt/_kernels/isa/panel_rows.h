/* Matrix products with panel-packed right sides, for the real type of real.h; include after panel_tile.h.
 * A panel is LANES columns of B as [k][LANES], zeros beyond the last column. */
#ifndef ROWS_AT_ONCE
#define ROWS_AT_ONCE 48 /* of an edge that does not fill a panel */
#endif

/* rows x panels p0..p1 of C = init + A B. `init` is one padded row, added to each row; C's rows are `ldc` apart and
 * every panel is stored whole. */
RN_INLINE void TYPED(panel_rows)(int64_t rows, int64_t p0, int64_t p1, const REAL *init, const REAL *a, int64_t lda,
                                 const REAL *b, int64_t K, REAL *c, int64_t ldc)
{
    const int64_t ps = K * LANES, most = TYPED(tile_rows)(1), blocks = (rows + most - 1) / most;
    if (!rows)
        return;
    for (int64_t p = p0; p < p1;) {
        const int P = TYPED(tile_panels)((int)((rows + blocks - 1) / blocks), 1, p1 - p);
        int64_t row = 0;
        for (int64_t left = blocks; left; left--) {
            const int M = (int)((rows - row + left - 1) / left);
            TYPED(tile_any)(1, M, P, init + p * LANES, 0, NULL, 0, a + row * lda, lda, b + p * ps, ps, K,
                            c + row * ldc + p * LANES, ldc);
            row += M;
        }
        p += P;
    }
}

/* rows x N of C = init + A B, C's rows exactly N long. The last panel goes through a buffer where N does not fill it. */
RN_INLINE void TYPED(product_rows)(int64_t rows, int64_t N, int64_t K, int64_t p0, int64_t p1, const REAL *init,
                                   const REAL *a, int64_t lda, const REAL *b, REAL *c, int64_t ldc)
{
    REAL edge[ROWS_AT_ONCE * LANES] __attribute__((aligned(64)));
    const int64_t whole = N / LANES, rest = N - whole * LANES;
    TYPED(panel_rows)(rows, p0, p1 < whole ? p1 : whole, init, a, lda, b, K, c, ldc);
    if (!rest || p1 <= whole)
        return;
    for (int64_t row = 0; row < rows; row += ROWS_AT_ONCE) {
        const int64_t count = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
        TYPED(panel_rows)(count, 0, 1, init + whole * LANES, a + row * lda, lda, b + whole * K * LANES, K, edge, LANES);
        for (int64_t r = 0; r < count; r++)
            memcpy(c + (row + r) * ldc + whole * LANES, edge + r * LANES, (size_t)rest * sizeof(REAL));
    }
}
