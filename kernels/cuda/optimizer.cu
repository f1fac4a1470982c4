// Updates in place, and what of a Newton–Schulz iteration is not a product.
#include "common.cuh"

// x ← keep·x + scale·value.
KERNEL blend(float* x, const float* value, u32 n, float keep, float scale) {
    u32 i = this_thread();
    if (i < n) x[i] = fmaf(scale, value[i], keep * x[i]);
}

// Scalars of a step; fix1 and fix2 are 1 − beta^step.
struct Step {
    float lr;
    float beta1;
    float beta2;
    float eps;
    float weight_decay;
    float fix1;
    float fix2;
};

// AdamW: x, m and v in place.
KERNEL adamw(float* x, const float* grad, float* m, float* v, u32 n, Step c) {
    u32 i = this_thread();
    if (i >= n) return;
    float g = grad[i];
    float first = fmaf(c.beta1, m[i], (1.0f - c.beta1) * g);
    float second = fmaf(c.beta2, v[i], (1.0f - c.beta2) * g * g);
    float decayed = x[i] - c.lr * c.weight_decay * x[i];
    m[i] = first;
    v[i] = second;
    x[i] = decayed - c.lr * ((first / c.fix1) / (sqrtf(second / c.fix2) + c.eps));
}

// y = x/(|x| + 1e−7) of each matrix of `size` elements, from the sums of their squares.
KERNEL over_norm(const float* x, const float* squares, float* y, u32 n, u32 size) {
    u32 i = this_thread();
    if (i < n) y[i] = x[i] / (sqrtf(squares[i / size]) + 1e-7f);
}
