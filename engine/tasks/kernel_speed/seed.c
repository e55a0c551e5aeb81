// The delta rule, forwards: for every sequence and head a state S of [keys, values], zero at first, and at every token
//
//     S <- S + beta k (v - S^T k)^T,    out = S^T q
//
// q and k are [batch, tokens, heads, keys], v and out [batch, tokens, heads, values], beta [batch, tokens, heads].
#include <stdlib.h>

// y = S^T x
static void read_state(const float *state, const float *x, float *y, int keys, int values)
{
    for (int j = 0; j < values; ++j) {
        float sum = 0.0f;
        for (int i = 0; i < keys; ++i)
            sum += state[i * values + j] * x[i];
        y[j] = sum;
    }
}

// S += k w^T
static void add_to_state(float *state, const float *k, const float *w, int keys, int values)
{
    for (int j = 0; j < values; ++j)
        for (int i = 0; i < keys; ++i)
            state[i * values + j] += k[i] * w[j];
}

// One token: change the state, and read it.
static void step(float *state, const float *q, const float *k, const float *v, float beta, float *out, int keys,
                 int values)
{
    float write[values];
    read_state(state, k, write, keys, values);
    for (int j = 0; j < values; ++j)
        write[j] = beta * (v[j] - write[j]);
    add_to_state(state, k, write, keys, values);
    read_state(state, q, out, keys, values);
}

// One head of one sequence, whose tokens lie `heads` rows apart.
static void run_head(const float *q, const float *k, const float *v, const float *beta, float *out, int tokens,
                     int heads, int keys, int values)
{
    float *state = calloc((size_t)keys * values, sizeof(float));
    for (int t = 0; t < tokens; ++t) {
        size_t row = (size_t)t * heads;
        step(state, q + row * keys, k + row * keys, v + row * values, beta[row], out + row * values, keys, values);
    }
    free(state);
}

void kernel(const float *q, const float *k, const float *v, const float *beta, float *out, int batch, int tokens,
            int heads, int keys, int values)
{
    for (int b = 0; b < batch; ++b)
        for (int h = 0; h < heads; ++h) {
            size_t row = (size_t)b * tokens * heads + h;
            run_head(q + row * keys, k + row * keys, v + row * values, beta + row, out + row * values, tokens, heads,
                     keys, values);
        }
}
