/* Random numbers that a counter names. See rnnrt/ops/random_mask.py, whose bits these are. */
#include "kernel.h"

#include <math.h>

enum { DROPOUT, UNIFORM, NORMAL };
enum { BLOCKS = 16 }; /* made side by side */

/* Philox-4x32, ten rounds: c[w][b] is word w of the counter of block b, and becomes that block's random word. */
static void philox(uint32_t c[4][BLOCKS], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int b = 0; b < BLOCKS; b++) {
            const uint64_t one = (uint64_t)c[0][b] * 0xD2511F53u, two = (uint64_t)c[2][b] * 0xCD9E8D57u;
            c[0][b] = (uint32_t)(two >> 32) ^ c[1][b] ^ k0;
            c[2][b] = (uint32_t)(one >> 32) ^ c[3][b] ^ k1;
            c[1][b] = (uint32_t)two;
            c[3][b] = (uint32_t)one;
        }
}

/* The numbers of a block, and how many. */
static int numbers_of(int64_t kind, int wide, const uint32_t w[4], int64_t threshold, double kept, double out[4])
{
    switch (kind) {
    case DROPOUT:
        for (int i = 0; i < 4; i++)
            out[i] = w[i] >= threshold ? kept : 0;
        return 4;
    case UNIFORM:
        if (wide) {
            for (int i = 0; i < 2; i++)
                out[i] = ((w[2 * i] >> 5) * 67108864.0 + (w[2 * i + 1] >> 6)) * 0x1p-53;
            return 2;
        }
        for (int i = 0; i < 4; i++)
            out[i] = (w[i] >> 8) * 0x1p-24;
        return 4;
    default:
        for (int i = 0; i < 4; i += 2) {
            const double radius = sqrt(-2 * log((w[i] + 0.5) * 0x1p-32)), angle = w[i + 1] * (2 * M_PI * 0x1p-32);
            out[i] = radius * cos(angle);
            out[i + 1] = radius * sin(angle);
        }
        return 4;
    }
}

/* IN seed and counter (2, int64); ints: kind, stream, threshold below which a word drops an element; floats: what a kept
 * element is. OUT float32 or float64. */
RN_KERNEL(random_mask)
{
    const uint64_t *state = call->in[0]->data, stream = (uint64_t)call->ints[1];
    const rn_tensor *y = call->out[0];
    const int64_t kind = call->ints[0], n = y->size;
    const int wide = y->dtype == RN_F64;
    if (!wide && y->dtype != RN_F32)
        return RN_BAD_DTYPE;
    uint32_t c[4][BLOCKS] = {
        {(uint32_t)state[1]}, {(uint32_t)(state[1] >> 32)}, {(uint32_t)stream}, {(uint32_t)(stream >> 32)}
    };
    philox(c, (uint32_t)state[0], (uint32_t)(state[0] >> 32));
    const uint32_t k0 = c[0][0], k1 = c[1][0], high[2] = {c[2][0], c[3][0]};
    int64_t done = 0;
    for (uint64_t block = 0; done < n; block += BLOCKS) {
        for (int b = 0; b < BLOCKS; b++) {
            c[0][b] = (uint32_t)(block + b);
            c[1][b] = (uint32_t)((block + b) >> 32);
            c[2][b] = high[0];
            c[3][b] = high[1];
        }
        philox(c, k0, k1);
        for (int b = 0; b < BLOCKS && done < n; b++) {
            const uint32_t w[4] = {c[0][b], c[1][b], c[2][b], c[3][b]};
            double numbers[4];
            const int count = numbers_of(kind, wide, w, call->ints[2], call->floats[0], numbers);
            for (int i = 0; i < count && done < n; i++, done++) {
                if (wide)
                    ((double *)y->data)[done] = numbers[i];
                else
                    ((float *)y->data)[done] = (float)numbers[i];
            }
        }
    }
    return RN_OK;
}
