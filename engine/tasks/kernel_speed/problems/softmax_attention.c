// Causal softmax attention: out_t = sum over s <= t of softmax(q_t . k_s / sqrt(keys)) v_s.
//
// q and k are [batch, tokens, heads, keys], v and out [batch, tokens, heads, values].
#include <math.h>
#include <stdlib.h>

static float dot(const float *x, const float *y, int size)
{
    float sum = 0.0f;
    for (int i = 0; i < size; ++i)
        sum += x[i] * y[i];
    return sum;
}

// Turn scores into weights that sum to one.
static void softmax(float *scores, int count)
{
    float high = scores[0], sum = 0.0f;
    for (int s = 1; s < count; ++s)
        high = scores[s] > high ? scores[s] : high;
    for (int s = 0; s < count; ++s) {
        scores[s] = expf(scores[s] - high);
        sum += scores[s];
    }
    for (int s = 0; s < count; ++s)
        scores[s] /= sum;
}

void kernel(const float *q, const float *k, const float *v, float *out, int batch, int tokens, int heads, int keys,
            int values)
{
    float *scores = malloc(sizeof(float) * (size_t)tokens), scale = 1.0f / sqrtf((float)keys);
    for (int b = 0; b < batch; ++b)
        for (int h = 0; h < heads; ++h)
            for (int t = 0; t < tokens; ++t) {
                size_t first = (size_t)b * tokens * heads + h, row = first + (size_t)t * heads;
                for (int s = 0; s <= t; ++s)
                    scores[s] = scale * dot(q + row * keys, k + (first + (size_t)s * heads) * keys, keys);
                softmax(scores, t + 1);
                for (int j = 0; j < values; ++j) {
                    float sum = 0.0f;
                    for (int s = 0; s <= t; ++s)
                        sum += scores[s] * v[(first + (size_t)s * heads) * values + j];
                    out[row * values + j] = sum;
                }
            }
    free(scores);
}
