// Kernels with mistakes, each of a kind that the emulation has to find.
#include "common.cuh"

KERNEL reads_beyond(const float* x, float* y) {
    y[threadIdx.x] = x[threadIdx.x + 1];
}

KERNEL writes_beyond_shared(const float* x, float* y) {
    __shared__ float all[BLOCK];
    float* place = all;
    place[threadIdx.x + 1] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[threadIdx.x];
}

KERNEL leaves_before_a_barrier(const float* x, float* y) {
    if (threadIdx.x == 7) return;
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL waits_at_two_places(const float* x, float* y) {
    if (threadIdx.x % 2 == 0) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    y[threadIdx.x] = x[threadIdx.x];
}

KERNEL exchanges_in_half_a_warp(const float* x, float* y) {
    y[threadIdx.x] = 0.0f;
    if (threadIdx.x % WARP < 16) return;
    y[threadIdx.x] = warp_sum(x[threadIdx.x]);
}

// Lacks a barrier.
KERNEL races(const float* x, float* y) {
    __shared__ float all[BLOCK];
    all[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = all[BLOCK - 1 - threadIdx.x];
}

// Lacks a barrier between what is read and what takes its place, which only a warp that runs ahead shows.
KERNEL overtakes(const float* x, float* y) {
    __shared__ float all[BLOCK];
    all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[BLOCK - 1 - threadIdx.x];
    all[threadIdx.x] = warp_sum(x[threadIdx.x]);
}

KERNEL reads_what_nobody_wrote(const float* x, float* y) {
    __shared__ float all[BLOCK];
    if (threadIdx.x != 9) all[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = all[threadIdx.x];
}
