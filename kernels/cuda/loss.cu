// Cross-entropy with softcap and z-loss: a block for each row of logits, which takes further rows where there are more
// than blocks. Of a linear cross-entropy these are the rows of one chunk, whose logits become gradients in place.
#include "math.cuh"

// Scalars of the loss; a softcap or z-loss of 0 is none.
struct Loss {
    float softcap;
    float z_loss;
};

__device__ float capped(float logit, Loss how) {
    return how.softcap > 0.0f ? how.softcap * math::tanh(logit / how.softcap) : logit;
}

// The largest capped logit of a row, and the sum of e^(logit − largest).
template <class T>
__device__ void row_of_logits(const T* logits, u32 vocab, Loss how, float* most, float* sum) {
    float largest = -infinity(), total = 0.0f;
    for (u32 i = threadIdx.x; i < vocab; i += BLOCK) largest = fold(MAX, largest, capped(get(logits + i), how));
    largest = block_fold(MAX, largest);
    for (u32 i = threadIdx.x; i < vocab; i += BLOCK) total += math::exp(capped(get(logits + i), how) - largest);
    *sum = block_fold(SUM, total);
    *most = largest;
}

// Each row's loss and logsumexp. The difference of the logits comes first: beside a large logit, the logarithm of the
// sum is rounded away.
template <class T>
__device__ void cross_entropy_rows(
    const T* logits, const u32* targets, float* losses, float* logsumexp, u32 rows, u32 vocab, Loss how
) {
    for (u32 row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* own = logits + row * vocab;
        float most, sum;
        row_of_logits(own, vocab, how, &most, &sum);
        if (threadIdx.x == 0) {
            float chosen = capped(get(own + smaller(targets[row], vocab - 1)), how);
            float log = math::log(sum), all = most + log;
            float loss = (most - chosen) + log;
            losses[row] = how.z_loss > 0.0f ? fmaf(how.z_loss * all, all, loss) : loss;
            logsumexp[row] = all;
        }
    }
}

KERNEL cross_entropy_f32(
    const float* logits, const u32* targets, float* losses, float* logsumexp, u32 rows, u32 vocab, Loss how
) {
    cross_entropy_rows(logits, targets, losses, logsumexp, rows, vocab, how);
}
KERNEL cross_entropy_bf16(
    const bf16* logits, const u32* targets, float* losses, float* logsumexp, u32 rows, u32 vocab, Loss how
) {
    cross_entropy_rows(logits, targets, losses, logsumexp, rows, vocab, how);
}

// dlogits = (softmax·(1 + 2·z_loss·logsumexp) − one-hot)·dy/count, through the softcap; `count` is the number of rows
// that the loss is a mean over. dlogits may be the logits: a thread writes what it alone reads by then.
template <class T>
__device__ void cross_entropy_grad_rows(
    const T* logits, const u32* targets, const float* dy, T* dlogits, u32 rows, u32 vocab, float count, Loss how
) {
    float scale = *dy / count;
    for (u32 row = blockIdx.x; row < rows; row += gridDim.x) {
        const T* own = logits + row * vocab;
        T* out = dlogits + row * vocab;
        u32 target = smaller(targets[row], vocab - 1);
        float most, sum;
        row_of_logits(own, vocab, how, &most, &sum);
        float all = most + math::log(sum);
        float each = (how.z_loss > 0.0f ? fmaf(2.0f * how.z_loss, all, 1.0f) : 1.0f) / sum;
        for (u32 i = threadIdx.x; i < vocab; i += BLOCK) {
            float logit = capped(get(own + i), how), p = math::exp(logit - most);
            float slope = i == target ? fmaf(p, each, -1.0f) * scale : p * (each * scale);
            float t = logit / how.softcap;
            put(out + i, how.softcap > 0.0f ? slope * fmaf(t, -t, 1.0f) : slope);
        }
    }
}

KERNEL cross_entropy_grad_f32(
    const float* logits, const u32* targets, const float* dy, float* dlogits, u32 rows, u32 vocab, float count,
    Loss how
) {
    cross_entropy_grad_rows(logits, targets, dy, dlogits, rows, vocab, count, how);
}
KERNEL cross_entropy_grad_bf16(
    const bf16* logits, const u32* targets, const float* dy, bf16* dlogits, u32 rows, u32 vocab, float count,
    Loss how
) {
    cross_entropy_grad_rows(logits, targets, dy, dlogits, rows, vocab, count, how);
}
