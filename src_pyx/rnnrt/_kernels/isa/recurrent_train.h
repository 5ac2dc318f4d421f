/* The forward kernels with weights as they come, for the real type of real.h: packs them, then runs the kernel. */
#include "recurrent_pack.h"

typedef struct {
    const rn_call *call;
    const rn_part *parts, *bias_parts;
    int gates, merge; /* merge: Wb + Rb, but for a last part that stands for Rb of the last gate alone */
    REAL *W, *R, *bias, *P;
} TYPED(pack_job);

static void TYPED(pack_bias)(const TYPED(pack_job) *job, int64_t d, int64_t p0, int64_t p1)
{
    const rn_tensor *given = job->call->in[IN_BIAS];
    const int64_t *ints = job->call->ints, *order = ints + INT_ORDER, H = ints[INT_H], panels = (H + LANES - 1) / LANES;
    const int64_t rows = given ? given->size / (ints[INT_D] * job->gates * H) : 0;
    const REAL *Wb = given ? (const REAL *)given->data + d * rows * job->gates * H : NULL;
    const REAL *Rb = rows > 1 ? Wb + job->gates * H : NULL;
    int64_t width = 0;
    for (const rn_part *part = job->bias_parts; part->gates; part++)
        width += part->gates;
    REAL *to = job->bias + d * width * panels * LANES;
    for (const rn_part *part = job->bias_parts; part->gates; part++) {
        /* linear_before_reset: n has its input bias among the gates, its recurrent one apart */
        const int apart = part->first == job->gates;
        for (int64_t p = p0; p < p1; p++)
            for (int g = 0; g < part->gates; g++)
                for (int64_t lane = 0; lane < LANES; lane++) {
                    const int64_t u = p * LANES + lane, gate = apart ? job->gates - 1 : part->first + g;
                    const int alone = !job->merge && gate == job->gates - 1;
                    REAL sum = 0;
                    if (u < H && Wb && !apart)
                        sum += Wb[order[gate] * H + u];
                    if (u < H && Rb && (apart || !alone))
                        sum += Rb[order[gate] * H + u];
                    to[(p * part->gates + g) * LANES + lane] = sum;
                }
        to += part->gates * panels * LANES;
    }
}

static void TYPED(pack_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(pack_job) *job = argument;
    const rn_call *call = job->call;
    const int64_t *ints = call->ints, H = ints[INT_H], I = call->in[IN_X]->shape[2], panels = (H + LANES - 1) / LANES;
    const int64_t p0 = panels * thread / n_threads, p1 = panels * (thread + 1) / n_threads, G = job->gates;
    for (int64_t d = 0; d < ints[INT_D]; d++) {
        REAL *W = job->W + d * G * panels * LANES * I, *R = job->R + d * G * panels * LANES * H;
        for (const rn_part *part = job->parts; part->gates; part++) {
            TYPED(pack_part)(W, (const REAL *)call->in[IN_W]->data + d * G * H * I, TYPED(matrix_of)(ints, (int)G, H, I),
                             *part, H, I, p0, p1);
            TYPED(pack_part)(R, (const REAL *)call->in[IN_R]->data + d * G * H * H, TYPED(matrix_of)(ints, (int)G, H, H),
                             *part, H, H, p0, p1);
            W += part->gates * panels * LANES * I;
            R += part->gates * panels * LANES * H;
        }
        TYPED(pack_bias)(job, d, p0, p1);
        if (call->in[IN_P]) {
            const int64_t order[] = {0, 1, 2};
            const TYPED(matrix) rows = {H, 1, 1, order};
            TYPED(pack_part)(job->P + d * 3 * panels * LANES, (const REAL *)call->in[IN_P]->data + d * 3 * H, rows,
                             (rn_part){0, 3}, H, 1, p0, p1);
        }
    }
}

/* Scratch starts with the packed weights. */
static int TYPED(recurrent_train)(const rn_call *call, int gates, const rn_part *parts, const rn_part *bias_parts,
                                  int merge, int (*kernel)(const rn_call *call))
{
    const int64_t *ints = call->ints, D = ints[INT_D], H = ints[INT_H], I = call->in[IN_X]->shape[2];
    const int64_t hs = (H + LANES - 1) / LANES * LANES;
    TYPED(pack_job) job = {call, parts, bias_parts, gates, merge, .W = call->scratch};
    job.R = job.W + D * gates * hs * I;
    job.bias = job.R + D * gates * hs * H;
    job.P = job.bias + D * (gates + !merge) * hs;
    rn_parallel(TYPED(pack_task), &job, (int)ints[INT_THREADS], (int)ints[INT_SHORT]);
    const rn_tensor W = {.data = job.W}, R = {.data = job.R}, bias = {.data = job.bias}, P = {.data = job.P};
    const rn_tensor *in[IN_COUNT];
    memcpy(in, call->in, sizeof in);
    in[IN_W] = &W;
    in[IN_R] = &R;
    in[IN_BIAS] = &bias;
    in[IN_P] = call->in[IN_P] ? &P : NULL;
    rn_call inner = *call;
    inner.in = in;
    inner.scratch = job.P + D * 3 * hs;
    return kernel(&inner);
}
