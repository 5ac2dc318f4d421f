/* Register tiles of products with panel-packed weights, for the real type of real.h.
 *
 * A panel holds LANES hidden units with G gates each as [k][gate][LANES]. A tile is M rows by P panels by G gates of
 * accumulators, each one summed over k in order, so that no result depends on how rows and panels are grouped:
 *     out[row][panel][gate][lane] = init[row][panel][gate][lane] + sum over k of a[row][k] panel[k][gate][lane]
 * init        IN   rows `ldi` apart (0: the same bias for each row)
 * last        IN   not NULL: the last gate of panel q starts from last[q * last_stride] instead
 * a           IN   rows `lda` apart
 * w           IN   panels `ps` apart
 * out         OUT  rows `ldo` apart; may be init itself */
#undef TILE_ARGS
#undef TILE_PASS
#define TILE_ARGS                                                                                                      \
    const REAL *init, int64_t ldi, const REAL *last, int64_t last_stride, const REAL *a, int64_t lda, const REAL *w,   \
        int64_t ps, int64_t K, REAL *out, int64_t ldo
#define TILE_PASS init, ldi, last, last_stride, a, lda, w, ps, K, out, ldo

RN_INLINE void TYPED(tile)(const int M, const int P, const int G, TILE_ARGS)
{
    VREAL acc[8][8];
    const int cols = P * G;
#pragma GCC unroll 8
    for (int r = 0; r < M; r++)
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++)
            acc[r][c] = last && c % G == G - 1 ? V(load)(last + c / G * last_stride) : V(load)(init + r * ldi + c * LANES);
    if (M < cols) { /* fewer rows than columns: the rows' values stay in registers */
        for (int64_t k = 0; k < K; k++) {
            VREAL row[8];
#pragma GCC unroll 8
            for (int r = 0; r < M; r++)
                row[r] = V(set)(a[r * lda + k]);
#pragma GCC unroll 8
            for (int c = 0; c < cols; c++) {
                const VREAL weight = V(load)(w + c / G * ps + (k * G + c % G) * LANES);
#pragma GCC unroll 8
                for (int r = 0; r < M; r++)
                    acc[r][c] += row[r] * weight;
            }
        }
    } else {
        for (int64_t k = 0; k < K; k++) {
            VREAL weight[8];
#pragma GCC unroll 8
            for (int c = 0; c < cols; c++)
                weight[c] = V(load)(w + c / G * ps + (k * G + c % G) * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < M; r++) {
                const VREAL row = V(set)(a[r * lda + k]);
#pragma GCC unroll 8
                for (int c = 0; c < cols; c++)
                    acc[r][c] += row * weight[c];
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < M; r++)
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++)
            V(store)(out + r * ldo + c * LANES, acc[r][c]);
}

/* Accumulators that fit the register file beside weights and row values. */
#define TILE_ACC (VEC_BYTES == 64 ? 24 : 12)
#define TILE_FITS(M, P, G) ((M) * (P) * (G) <= TILE_ACC && (P) * (G) <= 8)

/* Most rows a tile of G gates takes. */
RN_INLINE int TYPED(tile_rows)(const int G) { return G < 3 ? 6 : TILE_ACC / G; }

/* Most panels a tile of M rows takes, out of `left`. */
RN_INLINE int TYPED(tile_panels)(const int M, const int G, int64_t left)
{
    int P = 8;
    while (P > 1 && (P > left || !TILE_FITS(M, P, G)))
        P /= 2;
    return P;
}

#define TILE_CASE(M, P)                                                                                                \
    case 16 * P + M:                                                                                                   \
        if (TILE_FITS(M, P, G))                                                                                        \
            TYPED(tile)(M, P, G, TILE_PASS);                                                                           \
        return;
#define TILE_CASES(P)                                                                                                  \
    TILE_CASE(1, P) TILE_CASE(2, P) TILE_CASE(3, P) TILE_CASE(4, P)                                                    \
    TILE_CASE(5, P) TILE_CASE(6, P) TILE_CASE(7, P) TILE_CASE(8, P)

/* The tile of M rows and P panels; G is known when this is compiled. */
RN_INLINE void TYPED(tile_any)(const int G, int M, int P, TILE_ARGS)
{
    switch (16 * P + M) {
        TILE_CASES(1)
        TILE_CASES(2)
        TILE_CASES(4)
        TILE_CASES(8)
    }
}

#undef TILE_CASE
#undef TILE_CASES
