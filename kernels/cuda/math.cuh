// Elementary functions: the polynomials of kernels/src/cpu/math.rs and power.rs in the same order, so that each has the
// bits of the CPU's class. Their errors are documented there.
#pragma once
#include "common.cuh"

namespace math {

// 1.5·2^23 and 1.5·2^52: adding one rounds a small number to an integer, which then stands in the low mantissa bits.
constexpr float ROUND = 12582912.0f;
constexpr double ROUND64 = 6755399441055744.0;
constexpr double LOG2_E = 1.44269504088896340736;

// n and r with x = n·ln 2 + r, |r| ≤ ln 2 / 2.
__device__ int reduce(float x, float* r) {
    float shifted = fmaf(x, (float)LOG2_E, ROUND);
    float n = shifted - ROUND;
    *r = fmaf(n, 2.1219444e-4f, fmaf(n, -0.6933594f, x));
    return (int)(__float_as_uint(shifted) - __float_as_uint(ROUND));
}

// e^r − 1 for |r| ≤ ln 2 / 2.
__device__ float expm1_reduced(float r) {
    float p = fmaf(1.0f / 40320.0f, r, 1.0f / 5040.0f);
    p = fmaf(p, r, 1.0f / 720.0f);
    p = fmaf(p, r, 1.0f / 120.0f);
    p = fmaf(p, r, 1.0f / 24.0f);
    p = fmaf(p, r, 1.0f / 6.0f);
    p = fmaf(p, r, 0.5f);
    return fmaf(p * r, r, r);
}

__device__ float exp2_int(int n) { return __uint_as_float((u32)(n + 127) << 23); }

__device__ float exp(float x) {
    float clamped = x > 89.0f ? 89.0f : x;
    clamped = clamped < -105.0f ? -105.0f : clamped;
    if (is_nan(x)) return x;
    float r;
    int n = reduce(clamped, &r);
    int half = n >> 1;
    return (1.0f + expm1_reduced(r)) * exp2_int(half) * exp2_int(n - half);
}

__device__ float log(float x) {
    bool tiny = x < 1.17549435e-38f;
    float scaled = tiny ? x * 8388608.0f : x;
    u32 bits = __float_as_uint(scaled) - 0x3f3504f3;
    float m = __uint_as_float((bits & 0x007fffff) + 0x3f3504f3);
    float n = (float)(((int)bits >> 23) - (tiny ? 23 : 0));
    float f = m - 1.0f;
    float s = f / (2.0f + f);
    float z = s * s;
    float p = fmaf(1.0f / 11.0f, z, 1.0f / 9.0f);
    p = fmaf(p, z, 1.0f / 7.0f);
    p = fmaf(p, z, 0.2f);
    p = fmaf(p, z, 1.0f / 3.0f);
    float h = 0.5f * f * f;
    float tail = fmaf(s, fmaf(2.0f * z, p, h), n * -2.1219444e-4f);
    float y = fmaf(n, 0.6933594f, f - (h - tail));
    if (x < 0.0f || is_nan(x)) return not_a_number();
    return x == infinity() ? x : x == 0.0f ? -infinity() : y;
}

__device__ float tanh(float x) {
    if (is_nan(x)) return x;
    float a = fabsf(x) > 10.0f ? 10.0f : fabsf(x);
    float r;
    float power = exp2_int(reduce(2.0f * a, &r));
    float e = fmaf(power, expm1_reduced(r), power - 1.0f);
    return copysignf(e / (e + 2.0f), x);
}

__device__ float sigmoid(float x) { return 1.0f / (1.0f + math::exp(-x)); }

// Beyond 2^50 the angle counts as 0.
__device__ void sin_cos(double x, double* sine, double* cosine) {
    if (fabs(x) > 1.125899906842624e15 && fabs(x) < (double)infinity()) x = 0.0;
    double shifted = fma(x, 0.63661977236758134308, ROUND64);
    double n = shifted - ROUND64;
    u64 quadrant = (u64)__double_as_longlong(shifted);
    double r = fma(n, -6.123233995736766e-17, fma(n, -1.57079632679489661923, x));
    double z = r * r;
    double p = fma(1.0 / 6227020800.0, z, -1.0 / 39916800.0);
    p = fma(p, z, 1.0 / 362880.0);
    p = fma(p, z, -1.0 / 5040.0);
    p = fma(p, z, 1.0 / 120.0);
    p = fma(p, z, -1.0 / 6.0);
    double s = fma(p * z, r, r);
    p = fma(-1.0 / 87178291200.0, z, 1.0 / 479001600.0);
    p = fma(p, z, -1.0 / 3628800.0);
    p = fma(p, z, 1.0 / 40320.0);
    p = fma(p, z, -1.0 / 720.0);
    p = fma(p, z, 1.0 / 24.0);
    p = fma(p, z, -0.5);
    double c = fma(p, z, 1.0);
    bool swapped = quadrant & 1;
    *sine = (quadrant & 2 ? -1.0 : 1.0) * (swapped ? c : s);
    *cosine = ((quadrant + 1) & 2 ? -1.0 : 1.0) * (swapped ? s : c);
}

__device__ float sin(float x) {
    double s, c;
    sin_cos((double)x, &s, &c);
    return (float)s;
}

__device__ float cos(float x) {
    double s, c;
    sin_cos((double)x, &s, &c);
    return (float)c;
}

// base^exponent for base > 0: for tables, not for elements.
__device__ double table_power(double base, double exponent) {
    u64 bits = (u64)__double_as_longlong(base);
    double n = (double)((int)(bits >> 52) - 1023);
    double m = __longlong_as_double((i64)((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull));
    double s = (m - 1.0) / (m + 1.0);
    double z = s * s;
    double series = 0.0;
    for (int i = 23; i >= 0; --i) series = fma(series, z, 1.0 / (double)(2 * i + 1));
    double x = (n * 0.693147180559945309417 + 2.0 * s * series) * exponent;
    double k = rint(x * LOG2_E);
    k = k < -1022.0 ? -1022.0 : k > 1023.0 ? 1023.0 : k;
    double r = x - k * 0.693147180559945309417;
    double e = 1.0;
    for (int i = 20; i >= 1; --i) e = (e * r / (double)i) + 1.0;
    return e * __longlong_as_double((i64)(k + 1023.0) << 52);
}

// ln x for x ≥ 0 that came from an f32.
__device__ double log64(double x) {
    u64 bits = (u64)__double_as_longlong(x) - 0x3fe6a09e667f3bcdull;
    double n = (double)((i64)bits >> 52);
    double m = __longlong_as_double((i64)((bits & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull));
    double s = (m - 1.0) / (m + 1.0);
    double z = s * s;
    double p = fma(1.0 / 19.0, z, 1.0 / 17.0);
    p = fma(p, z, 1.0 / 15.0);
    p = fma(p, z, 1.0 / 13.0);
    p = fma(p, z, 1.0 / 11.0);
    p = fma(p, z, 1.0 / 9.0);
    p = fma(p, z, 1.0 / 7.0);
    p = fma(p, z, 0.2);
    p = fma(p, z, 1.0 / 3.0);
    double y = fma(n, 6.931471803691238e-1, fma(2.0 * s, z * p, 2.0 * s) + n * 1.9082149292705877e-10);
    return x == 0.0 ? (double)-infinity() : x == (double)infinity() ? x : y;
}

// e^x where the result is an f32 or near its range.
__device__ double exp64(double x) {
    if (x != x) return x;
    double clamped = x > 100.0 ? 100.0 : x < -120.0 ? -120.0 : x;
    double shifted = fma(clamped, LOG2_E, ROUND64);
    double n = shifted - ROUND64;
    double r = fma(n, -1.9082149292705877e-10, fma(n, -6.931471803691238e-1, clamped));
    double p = fma(1.0 / 39916800.0, r, 1.0 / 3628800.0);
    p = fma(p, r, 1.0 / 362880.0);
    p = fma(p, r, 1.0 / 40320.0);
    p = fma(p, r, 1.0 / 5040.0);
    p = fma(p, r, 1.0 / 720.0);
    p = fma(p, r, 1.0 / 120.0);
    p = fma(p, r, 1.0 / 24.0);
    p = fma(p, r, 1.0 / 6.0);
    p = fma(p, r, 0.5);
    p = fma(p * r, r, r) + 1.0;
    u64 power = (u64)__double_as_longlong(shifted) - (u64)__double_as_longlong(ROUND64) + 1023;
    return p * __longlong_as_double((i64)(power << 52));
}

// a^b with the special cases of C's pow.
__device__ double pow64(double a, double b) {
    bool whole = floor(b) == b;
    bool odd = whole && fabs(b) < 9007199254740992.0 && floor(b * 0.5) * 2.0 != b;
    double y = fabs(a) == 1.0 ? 1.0 : exp64(b * log64(fabs(a)));
    if (odd) y = copysign(y, a);
    if (b == 0.0 || a == 1.0) return 1.0;
    if (a != a || b != b || (a < 0.0 && a > (double)-infinity() && !whole)) return (double)not_a_number();
    return y;
}

} // namespace math
