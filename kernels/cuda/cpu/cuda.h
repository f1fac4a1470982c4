// CUDA on a CPU: as much of the language as the kernels of this folder use, so that they compile as plain C++.
//
// A thread is a fiber. Fibers switch where CUDA's threads wait for each other: at __syncthreads and at exchanges within
// a warp. Between these a thread runs alone, and threads, warps and blocks run in one of two orders: a kernel whose
// threads race gives other numbers in the other order. Shared memory is filled with NaN before each block.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

// Device functions are private to the one source that all kernels are compiled as, and so are the shared variables in
// them, instances of templates included.
#define __device__ static
#define __global__
#define __launch_bounds__(threads)
#define __shared__ static __attribute__((section("shared_memory")))
#define __syncthreads() cuda::wait_for_block(__LINE__)
#define __shfl_xor_sync(mask, value, lanes) cuda::shuffle_xor(mask, value, lanes, __LINE__)
#define __ballot_sync(mask, condition) cuda::ballot(mask, condition, __LINE__)

struct dim3 {
    unsigned x, y, z;
};

namespace cuda {
// Of the thread that runs.
extern dim3 thread_at, block_at, grid_size;

// Waits until all threads of the block are here. `line` names the place.
void wait_for_block(int line);
// Gives a value to the warp, waits for its other lanes, and takes that of another lane.
unsigned exchange(unsigned mask, unsigned value, unsigned from_lane, int line);
unsigned ballot(unsigned mask, bool condition, int line);

inline float shuffle_xor(unsigned mask, float value, unsigned lanes, int line) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    bits = exchange(mask, bits, thread_at.x % 32 ^ lanes, line);
    memcpy(&value, &bits, 4);
    return value;
}
} // namespace cuda

#define threadIdx cuda::thread_at
#define blockIdx cuda::block_at
#define gridDim cuda::grid_size

template <class TO, class FROM>
inline TO same_bits(FROM from) {
    static_assert(sizeof(TO) == sizeof(FROM), "of one size");
    TO to;
    memcpy(&to, &from, sizeof to);
    return to;
}
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline unsigned atomicMin(unsigned* at, unsigned value) {
    unsigned old = *at;
    if (value < old) *at = value;
    return old;
}
