/* What a forward pass keeps for the backward one, for the real type of real.h: the workspace of one direction.
 *
 * rows   (T, B, gates, hs)  the gates of every step. A cell's fast path keeps them after their activations, its general
 *                           path before; the backward pass leaves the gradients before the activations in their place.
 * h, c   (T+1, B, hs)       states in the order of the walk, the initial ones first
 * a      (T+1, B, hs)       h times the dropout of the recurrent product; h itself where there is none
 * modes  (T, B)             what each row does in each step, where sequence lengths or a mask decide
 *
 * rnnrt/ops/recurrent_train.py reserves it for registers of 64 bytes, so that one size serves every instruction set. */
#ifndef RN_KEPT_SHAPE
#define RN_KEPT_SHAPE
typedef struct {
    int gates, has_c, has_drop;
} rn_kept_shape;
#endif

typedef struct {
    REAL *rows, *h, *c, *a;
    uint8_t *modes;
    int64_t ks; /* a row of `rows` */
} TYPED(kept);

static TYPED(kept) TYPED(kept_of)(const rn_tensor *workspace, rn_kept_shape shape, int64_t D, int64_t T, int64_t B,
                                  int64_t H, int64_t d)
{
    const int64_t hs = (H + LANES - 1) / LANES * LANES, states = (T + 1) * B * hs;
    TYPED(kept) kept = {.rows = (REAL *)workspace->data + workspace->size / D * d, .ks = shape.gates * hs};
    kept.h = kept.rows + T * B * kept.ks;
    kept.c = kept.h + states;
    kept.a = shape.has_drop ? kept.c + shape.has_c * states : kept.h;
    kept.modes = (uint8_t *)(kept.h + (1 + shape.has_c + shape.has_drop) * states);
    return kept;
}
