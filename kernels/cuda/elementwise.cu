// Functions of one, two and three operands: a thread for each element. They have the bits of the CPU's kernels.
#include "math.cuh"

// The codes of kernels/src/op/functions.rs.
enum Unary : u32 {
    NEG, EXP, LOG, SQRT, RSQRT, SQUARE, ABS, SIN, COS, TANH, SIGMOID, RELU, RELU_SQUARED, GELU, SILU,
    SIGN, FLOOR, CEIL, ROUND
};
enum Binary : u32 { ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, POW, REM, AND, OR, XOR, SHL, SHR };
enum Compare : u32 { EQ, NE, LT, LE, GT, GE };

__device__ float relu(float x) { return x > 0.0f || is_nan(x) ? x : 0.0f; }
__device__ float gelu_inner(float x) { return 0.7978846f * fmaf(0.044715f * x * x, x, x); }

__device__ float unary(u32 f, float x) {
    switch (f) {
        case NEG: return -x;
        case EXP: return math::exp(x);
        case LOG: return math::log(x);
        case SQRT: return sqrtf(x);
        case RSQRT: return 1.0f / sqrtf(x);
        case SQUARE: return x * x;
        case ABS: return fabsf(x);
        case SIN: return math::sin(x);
        case COS: return math::cos(x);
        case TANH: return math::tanh(x);
        case SIGMOID: return math::sigmoid(x);
        case RELU: return relu(x);
        case RELU_SQUARED: return relu(x) * relu(x);
        case GELU: return 0.5f * x * (1.0f + math::tanh(gelu_inner(x)));
        case SILU: return x * math::sigmoid(x);
        case SIGN: return x == 0.0f || is_nan(x) ? x : copysignf(1.0f, x);
        case FLOOR: return floorf(x);
        case CEIL: return ceilf(x);
        default: return rintf(x);
    }
}

// f'(x), where y = f(x).
__device__ float slope(u32 f, float x, float y) {
    switch (f) {
        case NEG: return -1.0f;
        case EXP: return y;
        case LOG: return 1.0f / x;
        case SQRT: return 0.5f / y;
        case RSQRT: return -0.5f * y * y * y;
        case SQUARE: return 2.0f * x;
        case ABS: return x == 0.0f ? 0.0f : copysignf(1.0f, x);
        case SIN: return math::cos(x);
        case COS: return -math::sin(x);
        case TANH: return fmaf(y, -y, 1.0f);
        case SIGMOID: return y * (1.0f - y);
        case RELU: return x > 0.0f ? 1.0f : 0.0f;
        case RELU_SQUARED: return 2.0f * relu(x);
        case GELU: {
            float t = math::tanh(gelu_inner(x));
            float inner = 0.7978846f * (3.0f * 0.044715f * x * x + 1.0f);
            return 0.5f * (1.0f + t) + 0.5f * x * fmaf(t, -t, 1.0f) * inner;
        }
        default: {
            float s = math::sigmoid(x);
            return s + y * (1.0f - s);
        }
    }
}

template <class T>
__device__ void unary_all(u32 f, const T* x, T* y, u32 n) {
    u32 i = this_thread();
    if (i < n) put(y + i, unary(f, get(x + i)));
}

KERNEL unary_f32(u32 f, const float* x, float* y, u32 n) {
    unary_all(f, x, y, n);
}
KERNEL unary_bf16(u32 f, const bf16* x, bf16* y, u32 n) {
    unary_all(f, x, y, n);
}

template <class T>
__device__ void unary_grad_all(u32 f, const T* x, const T* y, const T* dy, T* dx, u32 n) {
    u32 i = this_thread();
    if (i >= n) return;
    bool step = f >= SIGN; // no gradient flows
    put(dx + i, step ? 0.0f : get(dy + i) * slope(f, get(x + i), get(y + i)));
}

KERNEL unary_grad_f32(u32 f, const float* x, const float* y, const float* dy, float* dx, u32 n) {
    unary_grad_all(f, x, y, dy, dx, n);
}
KERNEL unary_grad_bf16(u32 f, const bf16* x, const bf16* y, const bf16* dy, bf16* dx, u32 n) {
    unary_grad_all(f, x, y, dy, dx, n);
}

// Whether MAXIMUM or MINIMUM takes a.
__device__ bool takes_a(u32 f, float a, float b) { return is_nan(a) || (f == MAXIMUM ? a >= b : a <= b); }

__device__ float binary(u32 f, float a, float b) {
    switch (f) {
        case ADD: return a + b;
        case SUB: return a - b;
        case MUL: return a * b;
        case DIV: return a / b;
        case POW: return (float)math::pow64((double)a, (double)b);
        default: return takes_a(f, a, b) ? a : b;
    }
}

template <class T>
__device__ void binary_all(u32 f, const T* a, const T* b, T* y, u32 n, const Walk& walk) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 at[2];
    places(walk, i, at);
    put(y + i, binary(f, get(a + at[0]), get(b + at[1])));
}

KERNEL binary_f32(u32 f, const float* a, const float* b, float* y, u32 n, Walk walk) {
    binary_all(f, a, b, y, n, walk);
}
KERNEL binary_bf16(u32 f, const bf16* a, const bf16* b, bf16* y, u32 n, Walk walk) {
    binary_all(f, a, b, y, n, walk);
}

// Integers wrap around; division rounds down, and by zero gives zero.
__device__ u64 quotient(u64 a, u64 b) { return b == 0 ? 0 : a / b; }
__device__ u64 remainder_of(u64 a, u64 b) { return b == 0 ? 0 : a % b; }
__device__ i64 remainder_of(i64 a, i64 b) {
    if (b == 0 || b == -1) return 0;
    i64 rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
__device__ i64 quotient(i64 a, i64 b) {
    if (b == 0) return 0;
    if (b == -1) return (i64)(0 - (u64)a);
    return a / b - (remainder_of(a, b) != a % b ? 1 : 0);
}

__device__ bool is_negative(i64 x) { return x < 0; }
__device__ bool is_negative(u64) { return false; }

// WIDE is u64 for unsigned elements, i64 for signed ones; `bits` is the width of an element.
template <class WIDE>
__device__ WIDE integer(u32 f, WIDE a, WIDE b, u32 bits) {
    bool within = !is_negative(b) && (u64)b < bits;
    switch (f) {
        case ADD: return (WIDE)((u64)a + (u64)b);
        case SUB: return (WIDE)((u64)a - (u64)b);
        case MUL: return (WIDE)((u64)a * (u64)b);
        case DIV: return quotient(a, b);
        case REM: return remainder_of(a, b);
        case MAXIMUM: return a > b ? a : b;
        case MINIMUM: return a < b ? a : b;
        case AND: return a & b;
        case OR: return a | b;
        case XOR: return a ^ b;
        case SHL: return within ? (WIDE)((u64)a << (u64)b) : (WIDE)0;
        default: return within ? (WIDE)(a >> b) : is_negative(a) ? (WIDE)-1 : (WIDE)0;
    }
}

template <class T, class WIDE>
__device__ void integer_all(u32 f, const T* a, const T* b, T* y, u32 n, const Walk& walk) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 at[2];
    places(walk, i, at);
    y[i] = (T)integer(f, (WIDE)a[at[0]], (WIDE)b[at[1]], 8 * (u32)sizeof(T));
}

KERNEL binary_i64(u32 f, const i64* a, const i64* b, i64* y, u32 n, Walk walk) {
    integer_all<i64, i64>(f, a, b, y, n, walk);
}
KERNEL binary_u32(u32 f, const u32* a, const u32* b, u32* y, u32 n, Walk walk) {
    integer_all<u32, u64>(f, a, b, y, n, walk);
}
KERNEL binary_u8(u32 f, const u8* a, const u8* b, u8* y, u32 n, Walk walk) {
    integer_all<u8, u64>(f, a, b, y, n, walk);
}

template <class T>
__device__ void compare_all(u32 f, const T* a, const T* b, u8* y, u32 n, const Walk& walk) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 at[2];
    places(walk, i, at);
    T l = a[at[0]], r = b[at[1]];
    y[i] = f == EQ ? l == r : f == NE ? l != r : f == LT ? l < r : f == LE ? l <= r : f == GT ? l > r : l >= r;
}

KERNEL compare_f32(u32 f, const float* a, const float* b, u8* y, u32 n, Walk walk) {
    compare_all(f, a, b, y, n, walk);
}
KERNEL compare_i64(u32 f, const i64* a, const i64* b, u8* y, u32 n, Walk walk) {
    compare_all(f, a, b, y, n, walk);
}
KERNEL compare_u32(u32 f, const u32* a, const u32* b, u8* y, u32 n, Walk walk) {
    compare_all(f, a, b, y, n, walk);
}
KERNEL compare_u8(u32 f, const u8* a, const u8* b, u8* y, u32 n, Walk walk) {
    compare_all(f, a, b, y, n, walk);
}

// da = dy where MAXIMUM or MINIMUM took a, else 0.
KERNEL chosen_grad(u32 f, const float* a, const float* b, const float* dy, float* da, u32 n) {
    u32 i = this_thread();
    if (i < n) da[i] = takes_a(f, a[i], b[i]) ? dy[i] : 0.0f;
}

// Of the base: dy·b·a^(b−1), and 0 where b is 0. Of the exponent: dy·a^b·ln a, and 0 where a is 0 and b not negative.
KERNEL pow_grad(u32 of_exponent, const float* a, const float* b, const float* dy, float* dx, u32 n) {
    u32 i = this_thread();
    if (i >= n) return;
    double x = (double)a[i], e = (double)b[i];
    if (of_exponent) {
        double rate = math::pow64(x, e) * (x < 0.0 ? (double)not_a_number() : math::log64(x));
        dx[i] = x == 0.0 && e >= 0.0 ? 0.0f : dy[i] * (float)rate;
    } else {
        dx[i] = e == 0.0 ? 0.0f : dy[i] * (float)(e * math::pow64(x, e - 1.0));
    }
}

KERNEL affine(const float* x, float* y, u32 n, float mul, float add) {
    u32 i = this_thread();
    if (i < n) y[i] = fmaf(x[i], mul, add);
}

KERNEL softcap(const float* x, float* y, u32 n, float cap) {
    u32 i = this_thread();
    if (i < n) y[i] = cap * math::tanh(x[i] / cap);
}

// y = softcap(x), dy → dx.
KERNEL softcap_grad(const float* y, const float* dy, float* dx, u32 n, float cap) {
    u32 i = this_thread();
    if (i >= n) return;
    float t = y[i] / cap;
    dx[i] = dy[i] * fmaf(t, -t, 1.0f);
}
