// Rotary embedding, alone and after a norm of each head (QK-norm). Halves of a head are rotated against each other, by
// angles from a table [time, dim]: for each position dim/2 cosines, then as many sines.
#include "math.cuh"

KERNEL rope_table(float* table, u32 time, u32 dim, float base) {
    u32 i = this_thread(), half = dim / 2;
    if (i >= time * half) return;
    u32 t = i / half, j = i % half;
    double frequency = math::table_power((double)base, -2.0 * (double)j / (double)dim);
    double sine, cosine;
    math::sin_cos((double)t * frequency, &sine, &cosine);
    table[t * dim + j] = (float)cosine;
    table[t * dim + half + j] = (float)sine;
}

// The pair (a, b), rotated by the table's angle, or by the opposite one where sign is −1.
__device__ void rotate(float* a, float* b, float cosine, float sine, float sign) {
    float x = *a, y = *b, s = sign * sine;
    *a = fmaf(x, cosine, -(y * s));
    *b = fmaf(x, s, y * cosine);
}

// x [batch, time, heads, dim]; a thread for each of its `pairs`.
template <class T>
__device__ void rope_pair(const T* x, const float* table, T* y, u32 pairs, u32 time, u32 heads, u32 dim, float sign) {
    u32 i = this_thread(), half = dim / 2;
    if (i >= pairs) return;
    u32 j = i % half, row = i / half, t = row / heads % time;
    float a = get(x + row * dim + j), b = get(x + row * dim + half + j);
    rotate(&a, &b, table[t * dim + j], table[t * dim + half + j], sign);
    put(y + row * dim + j, a);
    put(y + row * dim + half + j, b);
}

KERNEL rope_f32(const float* x, const float* table, float* y, u32 pairs, u32 time, u32 heads, u32 dim, float sign) {
    rope_pair(x, table, y, pairs, time, heads, dim, sign);
}
KERNEL rope_bf16(const bf16* x, const float* table, bf16* y, u32 pairs, u32 time, u32 heads, u32 dim, float sign) {
    rope_pair(x, table, y, pairs, time, heads, dim, sign);
}

// Sums over a head by its warp: of squares, and with a gradient.
template <class T>
__device__ float head_scale(const T* x, u32 dim, float eps) {
    float sum = 0.0f;
    for (u32 i = this_lane(); i < dim; i += WARP) sum = fmaf(get(x + i), get(x + i), sum);
    return 1.0f / sqrtf(warp_sum(sum) / (float)dim + eps);
}

// y = rope(rms_norm(x)): a warp for each head of each position.
template <class T>
__device__ void norm_rope_row(const T* x, const float* table, T* y, u32 rows, u32 time, u32 heads, u32 dim, float eps) {
    u32 row = this_warp(), half = dim / 2;
    if (row >= rows) return;
    x += row * dim, y += row * dim, table += row / heads % time * dim;
    float r = head_scale(x, dim, eps);
    for (u32 j = this_lane(); j < half; j += WARP) {
        float a = get(x + j) * r, b = get(x + half + j) * r;
        rotate(&a, &b, table[j], table[half + j], 1.0f);
        put(y + j, a);
        put(y + half + j, b);
    }
}

KERNEL norm_rope_f32(const float* x, const float* table, float* y, u32 rows, u32 time, u32 heads, u32 dim, float eps) {
    norm_rope_row(x, table, y, rows, time, heads, dim, eps);
}
KERNEL norm_rope_bf16(const bf16* x, const float* table, bf16* y, u32 rows, u32 time, u32 heads, u32 dim, float eps) {
    norm_rope_row(x, table, y, rows, time, heads, dim, eps);
}

// x, dy → dx of the same: dy is rotated back, then goes through the norm.
template <class T>
__device__ void norm_rope_grad_row(
    const T* x, const float* table, const T* dy, T* dx, u32 rows, u32 time, u32 heads, u32 dim, float eps
) {
    u32 row = this_warp(), half = dim / 2;
    if (row >= rows) return;
    x += row * dim, dy += row * dim, dx += row * dim, table += row / heads % time * dim;
    float r = head_scale(x, dim, eps), along = 0.0f;
    for (u32 j = this_lane(); j < half; j += WARP) {
        float a = get(dy + j), b = get(dy + half + j);
        rotate(&a, &b, table[j], table[half + j], -1.0f);
        along = fmaf(get(x + j), a, along);
        along = fmaf(get(x + half + j), b, along);
    }
    along = warp_sum(along) / (float)dim * r * r;
    for (u32 j = this_lane(); j < half; j += WARP) {
        float a = get(dy + j), b = get(dy + half + j);
        rotate(&a, &b, table[j], table[half + j], -1.0f);
        put(dx + j, r * fmaf(along, -get(x + j), a));
        put(dx + half + j, r * fmaf(along, -get(x + half + j), b));
    }
}

KERNEL norm_rope_grad_f32(
    const float* x, const float* table, const float* dy, float* dx, u32 rows, u32 time, u32 heads, u32 dim, float eps
) {
    norm_rope_grad_row(x, table, dy, dx, rows, time, heads, dim, eps);
}
KERNEL norm_rope_grad_bf16(
    const bf16* x, const float* table, const bf16* dy, bf16* dx, u32 rows, u32 time, u32 heads, u32 dim, float eps
) {
    norm_rope_grad_row(x, table, dy, dx, rows, time, heads, dim, eps);
}
