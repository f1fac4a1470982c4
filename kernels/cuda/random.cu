// Random numbers: Philox 4×32-10, a function of seed, stream and position. They have the bits of the CPU's kernels.
#include "math.cuh"

// Where a draw begins: element i is at position + i.
struct Draw {
    u64 seed;
    u64 position;
    u32 stream;
    u32 unused;
};

// The two words of the pair of element i; `first` tells which of them is its own.
__device__ void words(Draw draw, u32 i, u32* a, u32* b, bool* first) {
    u64 element = draw.position + i, block = element / 4;
    u32 lane = (u32)(element % 4);
    u32 c0 = (u32)block, c1 = (u32)(block >> 32), c2 = draw.stream, c3 = 0;
    u32 k0 = (u32)draw.seed, k1 = (u32)(draw.seed >> 32);
    for (u32 round = 0; round < 10; ++round) {
        u64 p0 = (u64)c0 * 0xD2511F53u, p1 = (u64)c2 * 0xCD9E8D57u;
        c0 = (u32)(p1 >> 32) ^ c1 ^ k0, c1 = (u32)p1;
        c2 = (u32)(p0 >> 32) ^ c3 ^ k1, c3 = (u32)p0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    *a = lane & 2 ? c2 : c0;
    *b = lane & 2 ? c3 : c1;
    *first = (lane & 1) == 0;
}

__device__ float unit(u32 word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

// In [low, low + span), none above `below`.
KERNEL uniform(float* y, u32 n, Draw draw, float low, float span, float below) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 a, b;
    bool first;
    words(draw, i, &a, &b, &first);
    float value = fmaf(unit(first ? a : b), span, low);
    y[i] = value > below ? below : value;
}

// By Box–Muller.
KERNEL normal(float* y, u32 n, Draw draw, float mean, float deviation) {
    u32 i = this_thread();
    if (i >= n) return;
    u32 a, b;
    bool first;
    words(draw, i, &a, &b, &first);
    float radius = sqrtf(-2.0f * math::log(1.0f - unit(a)));
    double sine, cosine;
    math::sin_cos((double)unit(b) * 6.28318530717958647692, &sine, &cosine);
    y[i] = fmaf(radius * (float)(first ? cosine : sine), deviation, mean);
}
