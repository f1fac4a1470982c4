// What only moves elements, fills them in or changes their type. Moves depend on the width of an element alone.
#include "common.cuh"

// Permute, narrow, expand: y has the elements of x that the walk finds.
template <class T>
__device__ void move_all(const T* x, T* y, u32 n, const Walk& walk) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 at[1];
    places(walk, i, at);
    y[i] = x[at[0]];
}

KERNEL move_1(const u8* x, u8* y, u32 n, Walk walk) {
    move_all(x, y, n, walk);
}
KERNEL move_2(const u16* x, u16* y, u32 n, Walk walk) {
    move_all(x, y, n, walk);
}
KERNEL move_4(const u32* x, u32* y, u32 n, Walk walk) {
    move_all(x, y, n, walk);
}
KERNEL move_8(const u64* x, u64* y, u32 n, Walk walk) {
    move_all(x, y, n, walk);
}

// Cat: the n elements of x, `len` to a row, go into rows of `width` of y, from `start` on.
template <class T>
__device__ void place_all(const T* x, T* y, u32 n, u32 len, u32 width, u32 start) {
    u32 i = this_thread();
    if (i < n) y[i / len * width + start + i % len] = x[i];
}

KERNEL place_1(const u8* x, u8* y, u32 n, u32 len, u32 width, u32 start) {
    place_all(x, y, n, len, width, start);
}
KERNEL place_2(const u16* x, u16* y, u32 n, u32 len, u32 width, u32 start) {
    place_all(x, y, n, len, width, start);
}
KERNEL place_4(const u32* x, u32* y, u32 n, u32 len, u32 width, u32 start) {
    place_all(x, y, n, len, width, start);
}
KERNEL place_8(const u64* x, u64* y, u32 n, u32 len, u32 width, u32 start) {
    place_all(x, y, n, len, width, start);
}

// Pad: the n elements of y, `width` to a row, are those of x, `len` to a row, from `start` on, and 0 elsewhere.
template <class T>
__device__ void pad_all(const T* x, T* y, u32 n, u32 len, u32 width, u32 start) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 column = i % width;
    y[i] = column >= start && column - start < len ? x[i / width * len + column - start] : (T)0;
}

KERNEL pad_1(const u8* x, u8* y, u32 n, u32 len, u32 width, u32 start) {
    pad_all(x, y, n, len, width, start);
}
KERNEL pad_2(const u16* x, u16* y, u32 n, u32 len, u32 width, u32 start) {
    pad_all(x, y, n, len, width, start);
}
KERNEL pad_4(const u32* x, u32* y, u32 n, u32 len, u32 width, u32 start) {
    pad_all(x, y, n, len, width, start);
}
KERNEL pad_8(const u64* x, u64* y, u32 n, u32 len, u32 width, u32 start) {
    pad_all(x, y, n, len, width, start);
}

// y = a where the condition holds, else b.
template <class T>
__device__ void select_all(const u8* condition, const T* a, const T* b, T* y, u32 n, const Walk& walk) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 at[3];
    places(walk, i, at);
    y[i] = condition[at[0]] ? a[at[1]] : b[at[2]];
}

KERNEL select_1(const u8* condition, const u8* a, const u8* b, u8* y, u32 n, Walk walk) {
    select_all(condition, a, b, y, n, walk);
}
KERNEL select_2(const u8* condition, const u16* a, const u16* b, u16* y, u32 n, Walk walk) {
    select_all(condition, a, b, y, n, walk);
}
KERNEL select_4(const u8* condition, const u32* a, const u32* b, u32* y, u32 n, Walk walk) {
    select_all(condition, a, b, y, n, walk);
}
KERNEL select_8(const u8* condition, const u64* a, const u64* b, u64* y, u32 n, Walk walk) {
    select_all(condition, a, b, y, n, walk);
}

KERNEL full(float* y, u32 n, float value) {
    u32 i = this_thread();
    if (i < n) y[i] = value;
}

KERNEL arange(u32* y, u32 n) {
    u32 i = this_thread();
    if (i < n) y[i] = i;
}

// The codes of kernels/src/spec.rs.
enum DType : u32 { F32, U32, BF16, F16, U8, I64, BOOL };

// The nearest, ties to even; from 65520 on infinity; NaN is the quiet one.
__device__ u16 float_to_f16(float x) {
    if (is_nan(x)) return 0x7e00;
    u32 bits = __float_as_uint(x), size = bits & 0x7fffffff;
    // Adding a half leaves, in the last bits of the sum, the multiple of the least step that is nearest.
    u32 tiny = __float_as_uint(__uint_as_float(size) + 0.5f) - __float_as_uint(0.5f);
    u32 normal = (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13;
    u32 magnitude = size >= 0x47800000 ? 0x7c00 : size < 0x38800000 ? tiny : normal;
    return (u16)(magnitude | (bits >> 16 & 0x8000));
}

// An f32 next to x that rounds to the same bf16 and f16 as x itself: what is cut off sets the last bit.
__device__ float to_odd(i64 x) {
    u64 size = x < 0 ? 0 - (u64)x : (u64)x;
    int digits = 64 - __clzll((i64)size);
    int cut = digits > 24 ? digits - 24 : 0;
    u64 kept = size >> cut;
    u64 odd = kept | (kept << cut != size ? 1 : 0);
    float value = (float)odd * (float)(1ull << cut);
    return x < 0 ? -value : value;
}

// Towards zero, beyond the range its end, NaN gives 0. `end` is the first number above the range.
__device__ u32 float_to_unsigned(float x, float end, u32 most) { return x >= end ? most : x > 0.0f ? (u32)x : 0; }
__device__ i64 float_to_i64(float x) {
    if (is_nan(x)) return 0;
    if (x >= 9223372036854775808.0f) return 0x7fffffffffffffffll;
    return x <= -9223372036854775808.0f ? (i64)0x8000000000000000ull : (i64)x;
}

// y = x as another type. bf16 and f16 go through f32, integers through i64.
KERNEL cast(u32 from, u32 to, const void* x, void* y, u32 n) {
    u32 i = this_thread();
    if (i >= n) return;
    if (from == F32 || from == BF16 || from == F16) {
        float value = from == F32    ? ((const float*)x)[i]
                      : from == BF16 ? bf16_to_float(((const u16*)x)[i])
                                     : f16_to_float(((const u16*)x)[i]);
        switch (to) {
            case F32: ((float*)y)[i] = value; break;
            case U32: ((u32*)y)[i] = float_to_unsigned(value, 4294967296.0f, 0xffffffff); break;
            case BF16: ((u16*)y)[i] = float_to_bf16(value); break;
            case F16: ((u16*)y)[i] = float_to_f16(value); break;
            case U8: ((u8*)y)[i] = (u8)float_to_unsigned(value, 256.0f, 255); break;
            case I64: ((i64*)y)[i] = float_to_i64(value); break;
            default: ((u8*)y)[i] = value != 0.0f;
        }
        return;
    }
    i64 value = from == U32 ? (i64)((const u32*)x)[i] : from == I64 ? ((const i64*)x)[i] : (i64)((const u8*)x)[i];
    switch (to) {
        case F32: ((float*)y)[i] = (float)value; break;
        case U32: ((u32*)y)[i] = (u32)value; break;
        case BF16: ((u16*)y)[i] = float_to_bf16(to_odd(value)); break;
        case F16: ((u16*)y)[i] = float_to_f16(to_odd(value)); break;
        case U8: ((u8*)y)[i] = (u8)value; break;
        case I64: ((i64*)y)[i] = value; break;
        default: ((u8*)y)[i] = value != 0;
    }
}
