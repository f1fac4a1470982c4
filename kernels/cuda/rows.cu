// Norms and softmax: a warp for each row along the last axis. The lanes take the elements in turn, and a tree over the
// lanes ends each sum.
#include "math.cuh"

__device__ float row_max(const float* x, u32 n) {
    float most = -infinity();
    for (u32 i = this_lane(); i < n; i += WARP) most = fold(MAX, most, x[i]);
    return warp_max(most);
}

template <class A, class B>
__device__ float row_dot(const A* a, const B* b, u32 n) {
    float sum = 0.0f;
    for (u32 i = this_lane(); i < n; i += WARP) sum = fmaf(get(a + i), get(b + i), sum);
    return warp_sum(sum);
}

__device__ float row_mean(const float* x, u32 n) {
    float sum = 0.0f;
    for (u32 i = this_lane(); i < n; i += WARP) sum += x[i];
    return warp_sum(sum) / (float)n;
}

KERNEL softmax(const float* x, float* y, u32 rows, u32 n) {
    u32 row = this_warp();
    if (row >= rows) return;
    x += row * n, y += row * n;
    float most = row_max(x, n), sum = 0.0f;
    for (u32 i = this_lane(); i < n; i += WARP) {
        y[i] = math::exp(x[i] - most);
        sum += y[i];
    }
    sum = warp_sum(sum);
    for (u32 i = this_lane(); i < n; i += WARP) y[i] /= sum;
}

// y = softmax(x), dy → dx = y·(dy − y·dy).
KERNEL softmax_grad(const float* y, const float* dy, float* dx, u32 rows, u32 n) {
    u32 row = this_warp();
    if (row >= rows) return;
    y += row * n, dy += row * n, dx += row * n;
    float along = row_dot(y, dy, n);
    for (u32 i = this_lane(); i < n; i += WARP) dx[i] = y[i] * (dy[i] - along);
}

KERNEL logsumexp(const float* x, float* y, u32 rows, u32 n) {
    u32 row = this_warp();
    if (row >= rows) return;
    x += row * n;
    float most = row_max(x, n), sum = 0.0f;
    for (u32 i = this_lane(); i < n; i += WARP) sum += math::exp(x[i] - most);
    sum = warp_sum(sum);
    if (this_lane() == 0) y[row] = fabsf(most) == infinity() ? most : most + math::log(sum);
}

// 1/√(mean(x²) + eps)
template <class T>
__device__ float rms_scale(const T* x, u32 n, float eps) {
    return 1.0f / sqrtf(row_dot(x, x, n) / (float)n + eps);
}

template <class T>
__device__ void rms_norm_row(const T* x, T* y, u32 rows, u32 n, float eps) {
    u32 row = this_warp();
    if (row >= rows) return;
    x += row * n, y += row * n;
    float r = rms_scale(x, n, eps);
    for (u32 i = this_lane(); i < n; i += WARP) put(y + i, get(x + i) * r);
}

KERNEL rms_norm_f32(const float* x, float* y, u32 rows, u32 n, float eps) {
    rms_norm_row(x, y, rows, n, eps);
}
KERNEL rms_norm_bf16(const bf16* x, bf16* y, u32 rows, u32 n, float eps) {
    rms_norm_row(x, y, rows, n, eps);
}

// dx = r·(dy − x·r²·(x·dy)/n)
template <class T>
__device__ void rms_norm_grad_row(const T* x, const T* dy, T* dx, u32 rows, u32 n, float eps) {
    u32 row = this_warp();
    if (row >= rows) return;
    x += row * n, dy += row * n, dx += row * n;
    float r = rms_scale(x, n, eps);
    float along = row_dot(x, dy, n) / (float)n * r * r;
    for (u32 i = this_lane(); i < n; i += WARP) put(dx + i, r * fmaf(along, -get(x + i), get(dy + i)));
}

KERNEL rms_norm_grad_f32(const float* x, const float* dy, float* dx, u32 rows, u32 n, float eps) {
    rms_norm_grad_row(x, dy, dx, rows, n, eps);
}
KERNEL rms_norm_grad_bf16(const bf16* x, const bf16* dy, bf16* dx, u32 rows, u32 n, float eps) {
    rms_norm_grad_row(x, dy, dx, rows, n, eps);
}

// 1/√(variance + eps)
__device__ float layer_scale(const float* x, float mean, u32 n, float eps) {
    float squares = 0.0f;
    for (u32 i = this_lane(); i < n; i += WARP) squares = fmaf(x[i] - mean, x[i] - mean, squares);
    return 1.0f / sqrtf(warp_sum(squares) / (float)n + eps);
}

KERNEL layer_norm(const float* x, float* y, u32 rows, u32 n, float eps) {
    u32 row = this_warp();
    if (row >= rows) return;
    x += row * n, y += row * n;
    float mean = row_mean(x, n), r = layer_scale(x, mean, n, eps);
    for (u32 i = this_lane(); i < n; i += WARP) y[i] = (x[i] - mean) * r;
}

// dx = r·(dy − mean(dy) − x̂·mean(dy·x̂)), with x̂ = r·(x − mean).
KERNEL layer_norm_grad(const float* x, const float* dy, float* dx, u32 rows, u32 n, float eps) {
    u32 row = this_warp();
    if (row >= rows) return;
    x += row * n, dy += row * n, dx += row * n;
    float mean = row_mean(x, n), r = layer_scale(x, mean, n, eps), shift = row_mean(dy, n), along = 0.0f;
    for (u32 i = this_lane(); i < n; i += WARP) along = fmaf(x[i] - mean, dy[i], along);
    along = warp_sum(along) / (float)n * r * r;
    for (u32 i = this_lane(); i < n; i += WARP) dx[i] = r * fmaf(along, mean - x[i], dy[i] - shift);
}
