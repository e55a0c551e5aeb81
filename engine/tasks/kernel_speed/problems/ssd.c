// State space duality: S <- exp(g) S + k v^T, out = S^T q, for every sequence and head, S of [keys, values].
//
// q and k are [batch, tokens, heads, keys], v and out [batch, tokens, heads, values], g [batch, tokens, heads], up to 0.
#include <math.h>
#include <stdlib.h>

static void run_head(const float *q, const float *k, const float *v, const float *g, float *out, int tokens, int heads,
                     int keys, int values)
{
    float *state = calloc((size_t)keys * values, sizeof(float));
    for (int t = 0; t < tokens; ++t) {
        size_t row = (size_t)t * heads;
        float kept = expf(g[row]);
        for (int j = 0; j < values; ++j) {
            float sum = 0.0f;
            for (int i = 0; i < keys; ++i) {
                float *cell = state + (size_t)i * values + j;
                *cell = kept * *cell + k[row * keys + i] * v[row * values + j];
                sum += *cell * q[row * keys + i];
            }
            out[row * values + j] = sum;
        }
    }
    free(state);
}

void kernel(const float *q, const float *k, const float *v, const float *g, float *out, int batch, int tokens, int heads,
            int keys, int values)
{
    for (int b = 0; b < batch; ++b)
        for (int h = 0; h < heads; ++h) {
            size_t row = (size_t)b * tokens * heads + h;
            run_head(q + row * keys, k + row * keys, v + row * values, g + row, out + row * values, tokens, heads, keys,
                     values);
        }
}
