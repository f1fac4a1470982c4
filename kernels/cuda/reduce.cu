// Folds over axes, running sums, and order.
#include "common.cuh"

// y [rows, chunks] from x [rows, n]: each chunk of CHUNK elements is folded by a warp. Folded again until one is left,
// which is divided.
constexpr u32 CHUNK = 1024;

KERNEL fold_rows(u32 how, const float* x, float* y, u32 rows, u32 n, u32 chunks, float divisor) {
    u32 at = this_warp();
    if (at >= rows * chunks) return;
    u32 row = at / chunks, start = at % chunks * CHUNK, end = smaller(n, start + CHUNK);
    float value = fold_start(how);
    for (u32 i = start + this_lane(); i < end; i += WARP) {
        float element = x[row * n + i];
        value = fold(how, value, how == SQUARES ? element * element : element);
    }
    value = lanes_fold(how, value, WARP);
    if (this_lane() == 0) y[at] = value / divisor;
}

// y [outer, chunks, inner] from x [outer, n, inner]: each chunk of COLUMN elements is folded by a thread, in order.
constexpr u32 COLUMN = 64;

KERNEL fold_columns(u32 how, const float* x, float* y, u32 outer, u32 n, u32 inner, u32 chunks, float divisor) {
    u32 at = this_thread();
    if (at >= outer * chunks * inner) return;
    u32 column = at % inner, chunk = at / inner % chunks, row = at / inner / chunks;
    float value = fold_start(how);
    for (u32 i = chunk * COLUMN; i < smaller(n, (chunk + 1) * COLUMN); ++i) {
        float element = x[(row * n + i) * inner + column];
        value = fold(how, value, how == SQUARES ? element * element : element);
    }
    y[at] = value / divisor;
}

// Running sums along the middle axis of x [outer, n, inner], in runs of RUN elements: in each run they grow in order
// from 0, and what came before the run is added. First the sum of each run, then what comes before each, then the
// results.
constexpr u32 RUN = 256;

__device__ u32 place_of(u32 i, u32 n, u32 reverse) { return reverse ? n - 1 - i : i; }

// sums [outer, runs, inner]
KERNEL cumsum_runs(const float* x, float* sums, u32 outer, u32 n, u32 inner, u32 runs, u32 reverse) {
    u32 at = this_thread();
    if (at >= outer * runs * inner) return;
    u32 column = at % inner, run = at / inner % runs, row = at / inner / runs;
    float sum = 0.0f;
    for (u32 i = run * RUN; i < smaller(n, (run + 1) * RUN); ++i) {
        sum += x[(row * n + place_of(i, n, reverse)) * inner + column];
    }
    sums[at] = sum;
}

// Sums become what comes before each run.
KERNEL cumsum_before(float* sums, u32 outer, u32 inner, u32 runs) {
    u32 at = this_thread();
    if (at >= outer * inner) return;
    u32 column = at % inner, row = at / inner;
    float before = 0.0f;
    for (u32 run = 0; run < runs; ++run) {
        float* place = sums + (row * runs + run) * inner + column;
        float sum = *place;
        *place = before;
        before += sum;
    }
}

KERNEL cumsum(const float* x, const float* before, float* y, u32 outer, u32 n, u32 inner, u32 runs, u32 reverse) {
    u32 at = this_thread();
    if (at >= outer * runs * inner) return;
    u32 column = at % inner, run = at / inner % runs, row = at / inner / runs;
    float sum = 0.0f;
    for (u32 i = run * RUN; i < smaller(n, (run + 1) * RUN); ++i) {
        u32 element = (row * n + place_of(i, n, reverse)) * inner + column;
        sum += x[element];
        y[element] = before[at] + sum;
    }
}

// A number that orders as the element does: NaN above every number, −0 as 0.
__device__ u64 rank_of(float x) {
    if (is_nan(x)) return ~0ull;
    u32 bits = __float_as_uint(x + 0.0f);
    return bits >> 31 ? ~bits : bits | 0x80000000;
}
__device__ u64 rank_of(u8 x) { return x; }
__device__ u64 rank_of(u32 x) { return x; }
__device__ u64 rank_of(i64 x) { return (u64)x ^ 1ull << 63; }

// The first place of the largest along the middle axis of x [outer, n, inner].
template <class T>
__device__ void argmax_all(const T* x, u32* y, u32 outer, u32 n, u32 inner) {
    u32 at = this_thread();
    if (at >= outer * inner) return;
    const T* first = x + at / inner * n * inner + at % inner;
    u64 best = rank_of(*first);
    u32 place = 0;
    for (u32 i = 1; i < n; ++i) {
        u64 rank = rank_of(first[i * inner]);
        if (rank > best) best = rank, place = i;
    }
    y[at] = place;
}

KERNEL argmax_f32(const float* x, u32* y, u32 outer, u32 n, u32 inner) {
    argmax_all(x, y, outer, n, inner);
}
KERNEL argmax_i64(const i64* x, u32* y, u32 outer, u32 n, u32 inner) {
    argmax_all(x, y, outer, n, inner);
}
KERNEL argmax_u32(const u32* x, u32* y, u32 outer, u32 n, u32 inner) {
    argmax_all(x, y, outer, n, inner);
}
KERNEL argmax_u8(const u8* x, u32* y, u32 outer, u32 n, u32 inner) {
    argmax_all(x, y, outer, n, inner);
}

// Order along rows of n, by a bitonic network over rows padded to a power of two. Ranks with their places never tie, so
// that there is one order, and equals keep theirs. What pads a row comes last.
__device__ u64 this_thread_of_many() { return (u64)blockIdx.x * BLOCK + threadIdx.x; }

template <class T>
__device__ void sort_start_all(const T* x, u64* ranks, u32* at, u64 total, u32 n, u32 padded, u32 descending) {
    u64 i = this_thread_of_many();
    if (i >= total) return;
    u32 place = (u32)(i % padded);
    u64 rank = ~0ull;
    if (place < n) rank = rank_of(x[i / padded * n + place]) ^ (descending ? ~0ull : 0);
    ranks[i] = rank;
    at[i] = place;
}

KERNEL sort_start_f32(const float* x, u64* ranks, u32* at, u64 total, u32 n, u32 padded, u32 descending) {
    sort_start_all(x, ranks, at, total, n, padded, descending);
}
KERNEL sort_start_i64(const i64* x, u64* ranks, u32* at, u64 total, u32 n, u32 padded, u32 descending) {
    sort_start_all(x, ranks, at, total, n, padded, descending);
}
KERNEL sort_start_u32(const u32* x, u64* ranks, u32* at, u64 total, u32 n, u32 padded, u32 descending) {
    sort_start_all(x, ranks, at, total, n, padded, descending);
}
KERNEL sort_start_u8(const u8* x, u64* ranks, u32* at, u64 total, u32 n, u32 padded, u32 descending) {
    sort_start_all(x, ranks, at, total, n, padded, descending);
}

// One stage: pairs `apart`, in runs of `run` that alternate between rising and falling.
KERNEL sort_stage(u64* ranks, u32* at, u64 total, u32 padded, u32 run, u32 apart) {
    u64 i = this_thread_of_many();
    u64 j = i ^ apart;
    if (i >= total || j < i) return;
    bool rising = (i % padded & run) == 0;
    bool above = ranks[i] > ranks[j] || (ranks[i] == ranks[j] && at[i] > at[j]);
    if (above != rising) return;
    u64 rank = ranks[i];
    ranks[i] = ranks[j];
    ranks[j] = rank;
    u32 place = at[i];
    at[i] = at[j];
    at[j] = place;
}

KERNEL sort_end(const u32* at, u32* y, u32 total, u32 n, u32 padded) {
    u32 i = this_thread();
    if (i < total) y[i] = at[(u64)(i / n) * padded + i % n];
}
