// What this machine can do at most: operations of fused multiply-adds, and bytes that are copied.
#include <stdint.h>
#include <string.h>

typedef float wide __attribute__((vector_size(64)));

// Run 12 * 32 * rounds operations on 12 independent sums; return one number of them, so that nothing is left out.
float multiply_add(int rounds)
{
    wide factor = {0}, term = {0};
    factor += 0.999f;
    term += 0.001f;
    wide a = term, b = a + a, c = b + a, d = c + a, e = d + a, f = e + a;
    wide g = f + a, h = g + a, i = h + a, j = i + a, k = j + a, l = k + a;
    for (int round = 0; round < rounds; ++round) {
        a = a * factor + term, b = b * factor + term, c = c * factor + term, d = d * factor + term;
        e = e * factor + term, f = f * factor + term, g = g * factor + term, h = h * factor + term;
        i = i * factor + term, j = j * factor + term, k = k * factor + term, l = l * factor + term;
    }
    wide all = a + b + c + d + e + f + g + h + i + j + k + l;
    return all[0];
}

// Copy one half of some bytes to the other, again and again.
void copy(char *bytes, long half, int times)
{
    for (int time = 0; time < times; ++time) {
        memcpy(bytes + half, bytes, (size_t)half);
        __asm__ volatile("" ::: "memory");
    }
}

// Take bytes out of all caches.
void flush(char *bytes, long count)
{
#if defined(__x86_64__)
    for (long at = 0; at < count; at += 64)
        __builtin_ia32_clflush(bytes + at);
    __builtin_ia32_mfence();
#elif defined(__aarch64__)
    for (long at = 0; at < count; at += 64)
        __asm__ volatile("dc civac, %0" ::"r"(bytes + at) : "memory");
    __asm__ volatile("dsb sy" ::: "memory");
#else
    (void)bytes, (void)count;
#endif
}
