// c = a b: a is [rows, inner] and b [inner, columns] of signed bytes, c [rows, columns] of 32-bit integers.
#include <stdint.h>

void kernel(const int8_t *a, const int8_t *b, int32_t *c, int rows, int inner, int columns)
{
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) {
            int32_t sum = 0;
            for (int l = 0; l < inner; ++l)
                sum += a[(long)i * inner + l] * b[(long)l * columns + j];
            c[(long)i * columns + j] = sum;
        }
}
