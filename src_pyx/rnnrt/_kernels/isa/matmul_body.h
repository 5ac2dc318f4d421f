/* The kernels of matrix products, for the real type of real.h. */
#include "panel_tile.h"
#include "panel_rows.h"
#include "gram.h"

typedef struct {
    int64_t rows, N, K;
    const REAL *init, *a, *b;
    REAL *c;
} TYPED(product_job);

static void TYPED(product_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(product_job) *job = argument;
    const int64_t panels = (job->N + LANES - 1) / LANES;
    int64_t r0 = 0, r1 = job->rows, p0 = 0, p1 = panels;
    if (job->rows >= 12 * n_threads) {
        r0 = job->rows * thread / n_threads;
        r1 = job->rows * (thread + 1) / n_threads;
    } else {
        p0 = panels * thread / n_threads;
        p1 = panels * (thread + 1) / n_threads;
    }
    if (p0 < p1)
        TYPED(product_rows)(r1 - r0, job->N, job->K, p0, p1, job->init, job->a + r0 * job->K, job->K, job->b,
                            job->c + r0 * job->N, job->N);
}

/* IN a (rows, K), panels of b, init (padded N); ints: N, K. OUT c (rows, N) */
static int TYPED(matmul_packed)(const rn_call *call)
{
    TYPED(product_job) job = {.N = call->ints[0], .K = call->ints[1]};
    job.rows = call->out[0]->size / (job.N ? job.N : 1);
    job.a = call->in[0]->data;
    job.b = call->in[1]->data;
    job.init = call->in[2]->data;
    job.c = call->out[0]->data;
    const double work = 2.0 * job.rows * job.N * job.K;
    rn_parallel(TYPED(product_task), &job, work > THREAD_WORK ? rn_thread_limit() : 1, work < LONG_WORK);
    return RN_OK;
}

/* Panels of b (K, N), its rows `ldb` apart. */
static void TYPED(pack)(const REAL *b, int64_t ldb, int64_t K, int64_t N, REAL *panels)
{
    for (int64_t p = 0; p * LANES < N; p++) {
        const int64_t width = N - p * LANES < LANES ? N - p * LANES : LANES;
        for (int64_t k = 0; k < K; k++, panels += LANES) {
            if (width < LANES)
                memset(panels, 0, LANES * sizeof(REAL));
            memcpy(panels, b + k * ldb + p * LANES, (size_t)width * sizeof(REAL));
        }
    }
}

/* IN a (..., M, K), b (..., K, N), both computed; ints: M, N, K, rank of the batch, its extents, then the strides in
 * matrices of a and of b along each. Scratch: the panels of one b, and a padded row of zeros. OUT c (..., M, N) */
static int TYPED(matmul)(const rn_call *call)
{
    const int64_t M = call->ints[0], N = call->ints[1], K = call->ints[2], rank = call->ints[3];
    const int64_t *extents = call->ints + 4, *as = extents + rank, *bs = as + rank;
    const int64_t panels = (N + LANES - 1) / LANES, count = M > 0 && N > 0 ? call->out[0]->size / (M * N) : 0;
    const REAL *a = call->in[0]->data, *b = call->in[1]->data;
    REAL *c = call->out[0]->data, *packed = call->scratch, *zeros = packed + panels * K * LANES;
    int64_t last = -1;
    memset(zeros, 0, (size_t)(panels * LANES) * sizeof(REAL));
    for (int64_t at = 0; at < count; at++) {
        int64_t rest = at, ai = 0, bi = 0;
        for (int64_t axis = rank - 1; axis >= 0; axis--) {
            ai += rest % extents[axis] * as[axis];
            bi += rest % extents[axis] * bs[axis];
            rest /= extents[axis];
        }
        if (bi != last)
            TYPED(pack)(b + bi * K * N, N, K, N, packed);
        last = bi;
        TYPED(product_rows)(M, N, K, 0, panels, zeros, a + ai * M * K, K, packed, c + at * M * N, N);
    }
    return RN_OK;
}

/* Panels of b (N, K) across: what `pack` makes of its transpose. */
static void TYPED(pack_transposed)(const REAL *b, int64_t K, int64_t N, REAL *panels)
{
    for (int64_t p = 0; p * LANES < N; p++, panels += K * LANES) {
        const int64_t width = N - p * LANES < LANES ? N - p * LANES : LANES;
        if (width < LANES)
            memset(panels, 0, (size_t)(K * LANES) * sizeof(REAL));
        for (int64_t lane = 0; lane < width; lane++)
            for (int64_t k = 0; k < K; k++)
                panels[k * LANES + lane] = b[(p * LANES + lane) * K + k];
    }
}

typedef struct {
    int64_t M, N, K;
    const REAL *a, *b;
    REAL *c;
} TYPED(gram_job);

static void TYPED(gram_task)(void *argument, int thread, int n_threads, rn_barrier_state *barrier)
{
    const TYPED(gram_job) *job = argument;
    const int64_t panels = (job->N + LANES - 1) / LANES;
    const TYPED(gram_source) source = {job->M, job->M, 0, panels * LANES, job->a, job->c};
    TYPED(gram)(1, job->K, &source, 1, job->b, job->N, 0, job->N, panels * thread / n_threads,
                panels * (thread + 1) / n_threads, NULL);
}

/* IN a (M, K) or, turned, (K, M); b (K, N) or, turned, (N, K); a row (N,) to add, or none. ints: M, N, K, whether a is
 * turned, whether b is; not both. Scratch: the panels of b and a padded row, or the product with padded rows.
 * OUT c (M, N) */
static int TYPED(gemm)(const rn_call *call)
{
    const int64_t M = call->ints[0], N = call->ints[1], K = call->ints[2], panels = (N + LANES - 1) / LANES;
    const REAL *a = call->in[0]->data, *b = call->in[1]->data, *row = call->in[2] ? call->in[2]->data : NULL;
    REAL *c = call->out[0]->data, *scratch = call->scratch;
    const double work = 2.0 * M * N * K;
    const int threads = work > THREAD_WORK ? rn_thread_limit() : 1, is_short = work < LONG_WORK;
    if (call->ints[3]) {
        TYPED(gram_job) job = {M, N, K, a, b, scratch};
        rn_parallel(TYPED(gram_task), &job, threads, is_short);
        for (int64_t m = 0; m < M; m++) {
            memcpy(c + m * N, scratch + m * panels * LANES, (size_t)N * sizeof(REAL));
            for (int64_t n = 0; row && n < N; n++)
                c[m * N + n] += row[n];
        }
        return RN_OK;
    }
    REAL *init = scratch + panels * K * LANES;
    memset(init, 0, (size_t)(panels * LANES) * sizeof(REAL));
    if (row)
        memcpy(init, row, (size_t)N * sizeof(REAL));
    if (call->ints[4])
        TYPED(pack_transposed)(b, K, N, scratch);
    else
        TYPED(pack)(b, N, K, N, scratch);
    TYPED(product_job) job = {M, N, K, init, a, scratch, c};
    rn_parallel(TYPED(product_task), &job, threads, is_short);
    return RN_OK;
}
