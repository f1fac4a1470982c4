// What all kernels share: numbers and their storage, walks over broadcast operands, folds over a warp and a block.
//
// Blocks have BLOCK threads. Every sum is made in one fixed order, and no two threads write the same element, so that a
// result depends on the operands alone. Compilers may not fuse on their own (-fmad=false): what is fused says fmaf.
// Nothing is included, so that NVRTC needs no headers.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

constexpr u32 BLOCK = 256;
#define KERNEL extern "C" __global__ void __launch_bounds__(BLOCK)
constexpr u32 WARP = 32;
constexpr u32 ALL_LANES = 0xffffffff;
constexpr u32 MAX_RANK = 6;

__device__ float infinity() { return __uint_as_float(0x7f800000); }
__device__ float not_a_number() { return __uint_as_float(0x7fc00000); }
__device__ bool is_nan(float x) { return x != x; }
__device__ u32 smaller(u32 a, u32 b) { return a < b ? a : b; }

// The element or pair of this thread, in a grid of one dimension.
__device__ u32 this_thread() { return blockIdx.x * BLOCK + threadIdx.x; }
// The row of this thread's warp, where each warp has a row of its own.
__device__ u32 this_warp() { return blockIdx.x * (BLOCK / WARP) + threadIdx.x / WARP; }
__device__ u32 this_lane() { return threadIdx.x % WARP; }

// The upper half of an f32: storage. Arithmetic is done in f32.
struct bf16 {
    u16 bits;
};

__device__ float bf16_to_float(u16 bits) { return __uint_as_float((u32)bits << 16); }

// The nearest, ties to even; NaN is the quiet one.
__device__ u16 float_to_bf16(float x) {
    u32 bits = __float_as_uint(x);
    return is_nan(x) ? 0x7fc0 : (u16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

__device__ float f16_to_float(u16 bits) {
    u32 size = bits & 0x7fff;
    if (size > 0x7c00) return not_a_number();
    float magnitude = size == 0x7c00 ? infinity() : __uint_as_float(size << 13) * __uint_as_float(0x77800000); // 2^112
    return bits >> 15 ? -magnitude : magnitude;
}

__device__ float get(const float* x) { return *x; }
__device__ float get(const bf16* x) { return bf16_to_float(x->bits); }
__device__ void put(float* y, float value) { *y = value; }
__device__ void put(bf16* y, float value) { y->bits = float_to_bf16(value); }

// An output of these sizes, row-major, and where up to three operands lie under it: a step of 0 repeats.
struct Walk {
    u32 rank;
    u32 sizes[MAX_RANK];
    u32 steps[3][MAX_RANK];
    u32 starts[3];
};

// Where the operands of element i are.
template <u32 OPERANDS>
__device__ void places(const Walk& walk, u32 i, u32 (&at)[OPERANDS]) {
#pragma unroll
    for (u32 k = 0; k < OPERANDS; ++k) at[k] = walk.starts[k];
#pragma unroll
    for (u32 axis = MAX_RANK; axis-- > 0;) {
        if (axis < walk.rank) {
            u32 index = i % walk.sizes[axis];
            i /= walk.sizes[axis];
#pragma unroll
            for (u32 k = 0; k < OPERANDS; ++k) at[k] += index * walk.steps[k][axis];
        }
    }
}

// How elements are put together. Squares are squared as they are read.
enum Fold : u32 { SUM = 0, MAX = 1, MIN = 2, SQUARES = 3 };

__device__ float fold_start(u32 how) { return how == MAX ? -infinity() : how == MIN ? infinity() : 0.0f; }

// A partial result and one more; NaN stays.
__device__ float fold(u32 how, float a, float b) {
    if (how == MAX) return b > a || is_nan(b) ? b : a;
    if (how == MIN) return b < a || is_nan(b) ? b : a;
    return a + b;
}

// Over `width` neighbouring lanes, a power of two: a tree of halves. All of them get the result.
__device__ float lanes_fold(u32 how, float x, u32 width) {
    for (u32 half = width / 2; half > 0; half /= 2) x = fold(how, x, __shfl_xor_sync(ALL_LANES, x, half));
    return x;
}

__device__ float warp_sum(float x) { return lanes_fold(SUM, x, WARP); }
__device__ float warp_max(float x) { return lanes_fold(MAX, x, WARP); }

// Over the block: its warps, then their results in order. All threads have to come here, and all get the result.
__device__ float block_fold(u32 how, float x) {
    __shared__ float of_warps[BLOCK / WARP];
    x = lanes_fold(how, x, WARP);
    __syncthreads(); // nobody reads the results of an earlier fold any more
    if (this_lane() == 0) of_warps[threadIdx.x / WARP] = x;
    __syncthreads();
    x = of_warps[0];
    for (u32 i = 1; i < BLOCK / WARP; ++i) x = fold(how, x, of_warps[i]);
    return x;
}
