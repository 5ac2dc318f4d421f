/* Weights between the layouts of their owners and panels, for the real type of real.h.
 *
 * Gate g, unit u, depth k of a matrix lies at order[g] * gate + u * unit + k * depth. Where gates are packed in parts,
 * a part is some consecutive gates of the IR's order, all panels of one part before those of the next:
 *     part -> [panel][depth][gate][lane]            what steps read      (pack_part)
 *     part -> columns [panel][gate][lane] of a row  gradients of gates   (unpack_part writes their products back)
 * The way back along a step reads the other way round: depth in panels of LANES, gates and units as what is summed over:
 *     [panel of depth][part: panel, gate, lane][lane]                    (pack_across) */
#ifndef RN_PART
#define RN_PART
typedef struct {
    int first, gates; /* gates == 0 ends a list */
} rn_part;
#endif

typedef struct {
    int64_t gate, unit, depth;
    const int64_t *order;
} TYPED(matrix);

static TYPED(matrix) TYPED(matrix_of)(const int64_t *ints, int gates, int64_t H, int64_t K)
{
    const int keras = ints[INT_WEIGHTS] == WEIGHTS_KERAS;
    return (TYPED(matrix)){keras ? H : H * K, keras ? 1 : K, keras ? gates * H : 1, ints + INT_ORDER};
}

/* Panels p0..p1 of one part. */
static void TYPED(pack_part)(REAL *panels, const REAL *source, TYPED(matrix) m, rn_part part, int64_t H, int64_t K,
                             int64_t p0, int64_t p1)
{
    for (int64_t p = p0; p < p1; p++) {
        REAL *to = panels + p * K * part.gates * LANES;
        const int64_t units = H - p * LANES < LANES ? H - p * LANES : LANES, step = part.gates * LANES;
        if (units < LANES)
            memset(to, 0, (size_t)(K * step) * sizeof(REAL));
        for (int g = 0; g < part.gates; g++) {
            const REAL *from = source + m.order[part.first + g] * m.gate + p * LANES * m.unit;
            if (m.unit == 1)
                for (int64_t k = 0; k < K; k++)
                    memcpy(to + k * step + g * LANES, from + k * m.depth, (size_t)units * sizeof(REAL));
            else
                for (int64_t k = 0; k < K; k++)
                    for (int64_t u = 0; u < units; u++)
                        to[k * step + g * LANES + u] = from[k * m.depth + u * m.unit];
        }
    }
}

/* Gates and units of all parts as rows of a matrix whose columns are the depth: its panels p0..p1. */
static void TYPED(pack_across)(REAL *panels, const REAL *source, TYPED(matrix) m, const rn_part *parts, int64_t H,
                               int64_t K, int64_t p0, int64_t p1)
{
    const int64_t units = (H + LANES - 1) / LANES;
    int64_t rows = 0;
    for (const rn_part *part = parts; part->gates; part++)
        rows += part->gates * units * LANES;
    for (int64_t p = p0; p < p1; p++) {
        REAL *to = panels + p * rows * LANES;
        const int64_t k0 = p * LANES, width = K - k0 < LANES ? K - k0 : LANES;
        for (const rn_part *part = parts; part->gates; part++)
            for (int64_t q = 0; q < units; q++)
                for (int g = 0; g < part->gates; g++)
                    for (int64_t u = q * LANES; u < (q + 1) * LANES; u++, to += LANES) {
                        memset(to, 0, LANES * sizeof(REAL));
                        const REAL *from = source + m.order[part->first + g] * m.gate + u * m.unit + k0 * m.depth;
                        for (int64_t k = 0; u < H && k < width; k++)
                            to[k] = from[k * m.depth];
                    }
    }
}

/* Rows k0..k1 (depths) of products with the columns of all parts, `ld` apart, into a matrix like the weights'. */
static void TYPED(unpack_parts)(REAL *target, const REAL *products, int64_t ld, TYPED(matrix) m, const rn_part *parts,
                                int64_t H, int64_t k0, int64_t k1)
{
    const int64_t panels = (H + LANES - 1) / LANES;
    for (int64_t k = k0; k < k1; k++) {
        const REAL *from = products + k * ld;
        for (const rn_part *part = parts; part->gates; part++)
            for (int64_t p = 0; p < panels; p++)
                for (int g = 0; g < part->gates; g++, from += LANES) {
                    REAL *to = target + m.order[part->first + g] * m.gate + p * LANES * m.unit + k * m.depth;
                    for (int64_t u = 0; u < LANES && p * LANES + u < H; u++)
                        to[u * m.unit] = from[u];
                }
    }
}
