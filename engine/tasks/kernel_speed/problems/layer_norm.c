// Layer norm: every row of x, [rows, width], less its mean, over its standard deviation, times weight plus bias.
#include <math.h>

void kernel(const float *x, const float *weight, const float *bias, float *out, int rows, int width)
{
    for (int r = 0; r < rows; ++r) {
        const float *row = x + (long)r * width;
        float mean = 0.0f, variance = 0.0f;
        for (int i = 0; i < width; ++i)
            mean += row[i] / width;
        for (int i = 0; i < width; ++i)
            variance += (row[i] - mean) * (row[i] - mean) / width;
        for (int i = 0; i < width; ++i)
            out[(long)r * width + i] = (row[i] - mean) / sqrtf(variance + 1e-5f) * weight[i] + bias[i];
    }
}
