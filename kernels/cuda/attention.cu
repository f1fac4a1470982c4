// Attention over grouped heads, forward and backward (after Dao et al., FlashAttention, 2022).
//
// A block owns a tile of TILE queries or keys of one head, and COLUMNS of what it computes for them; it passes over the
// tiles on the other side in order, so that nothing is added by two blocks. Of a head, SLICE columns at a time are in
// shared memory. Thread (down, across) of 16 × 16 holds rows down + 16·i and columns across + 16·j of a product.
#include "math.cuh"

constexpr u32 TILE = 64;
constexpr u32 SLICE = 32;
constexpr u32 SIDE = 16;
constexpr u32 EACH = TILE / SIDE;
// Rows of shared tiles are one longer, so that a column lies in different banks.
typedef float Slice[TILE][SLICE + 1];
typedef float Scores[TILE][TILE + 1];

// q, y [batch, time, heads, dim]; k, v [batch, time, groups, dim]. A window of 0 is none; it is at most `time`.
struct Heads {
    u32 time;
    u32 heads;
    u32 groups;
    u32 dim;
    u32 causal;
    u32 window;
    float scale;
};

__device__ bool sees(const Heads& a, u32 query, u32 key) {
    if (query >= a.time || key >= a.time || (a.causal && key > query)) return false;
    return a.window == 0 || (query > key ? query - key : key - query) < a.window;
}

// The positions from `from` up to `to` that those of a tile at `start` see, or are seen by where `seen_by`.
__device__ void range_of(const Heads& a, u32 start, bool seen_by, u32* from, u32* to) {
    u32 last = smaller(start + TILE, a.time) - 1;
    *from = a.window == 0 || start < a.window ? 0 : start + 1 - a.window;
    *to = a.window == 0 ? a.time : smaller(a.time, last + a.window);
    if (a.causal && seen_by) *from = start;
    if (a.causal && !seen_by) *to = last + 1;
    *from = *from / TILE * TILE;
}

// Columns from `column` on of a tile of x; 0 outside.
template <class T>
__device__ void load(Slice& slice, const T* x, const Heads& a, u32 heads, u32 batch, u32 head, u32 start, u32 column) {
    for (u32 i = threadIdx.x; i < TILE * SLICE; i += BLOCK) {
        u32 row = i / SLICE, c = column + i % SLICE;
        bool inside = start + row < a.time && c < a.dim;
        slice[row][i % SLICE] = inside ? get(x + ((batch * a.time + start + row) * heads + head) * a.dim + c) : 0.0f;
    }
}

// s += left·rightᵀ
__device__ void add_product(float (&s)[EACH][EACH], const Slice& left, const Slice& right) {
    u32 down = threadIdx.x / SIDE, across = threadIdx.x % SIDE;
#pragma unroll 8
    for (u32 c = 0; c < SLICE; ++c) {
        float l[EACH], r[EACH];
#pragma unroll
        for (u32 i = 0; i < EACH; ++i) l[i] = left[down + SIDE * i][c], r[i] = right[across + SIDE * i][c];
#pragma unroll
        for (u32 i = 0; i < EACH; ++i) {
#pragma unroll
            for (u32 j = 0; j < EACH; ++j) s[i][j] = fmaf(l[i], r[j], s[i][j]);
        }
    }
}

// s = the product of a tile of x with a tile of y, over all columns of the heads.
template <class T>
__device__ void scores(
    float (&s)[EACH][EACH], Slice& left, Slice& right, const Heads& a, u32 batch, const T* x, u32 head, u32 x_start,
    const T* y, u32 group, u32 y_start
) {
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
#pragma unroll
        for (u32 j = 0; j < EACH; ++j) s[i][j] = 0.0f;
    }
    for (u32 column = 0; column < a.dim; column += SLICE) {
        __syncthreads();
        load(left, x, a, a.heads, batch, head, x_start, column);
        load(right, y, a, a.groups, batch, group, y_start, column);
        __syncthreads();
        add_product(s, left, right);
    }
}

// out += weights·x, or weightsᵀ·x, for COLUMNS columns of x from `first` on, whose tile begins at `start`. Passes a
// barrier before it reads the weights.
template <bool TRANSPOSED, u32 COLUMNS, class T>
__device__ void add_weighted(
    float (&out)[EACH][COLUMNS / SIDE], const Scores& weights, Slice& slice, const Heads& a, const T* x, u32 heads,
    u32 batch, u32 head, u32 start, u32 first
) {
    u32 down = threadIdx.x / SIDE, across = threadIdx.x % SIDE;
#pragma unroll
    for (u32 part = 0; part < COLUMNS / SLICE; ++part) {
        if (first + part * SLICE < a.dim) {
            __syncthreads();
            load(slice, x, a, heads, batch, head, start, first + part * SLICE);
            __syncthreads();
#pragma unroll 8
            for (u32 row = 0; row < TILE; ++row) {
                float l = slice[row][across], r = slice[row][across + SIDE];
#pragma unroll
                for (u32 i = 0; i < EACH; ++i) {
                    float weight = TRANSPOSED ? weights[row][down + SIDE * i] : weights[down + SIDE * i][row];
                    out[i][2 * part] = fmaf(weight, l, out[i][2 * part]);
                    out[i][2 * part + 1] = fmaf(weight, r, out[i][2 * part + 1]);
                }
            }
        }
    }
}

template <u32 COLUMNS>
__device__ void clear(float (&out)[EACH][COLUMNS / SIDE]) {
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
#pragma unroll
        for (u32 j = 0; j < COLUMNS / SIDE; ++j) out[i][j] = 0.0f;
    }
}

// Writes a tile of a result, each row times its factor.
template <u32 COLUMNS, class T>
__device__ void store(
    const float (&out)[EACH][COLUMNS / SIDE], const float (&factor)[EACH], T* y, const Heads& a, u32 heads, u32 batch,
    u32 head, u32 start, u32 first
) {
    u32 down = threadIdx.x / SIDE, across = threadIdx.x % SIDE;
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
        u32 position = start + down + SIDE * i;
#pragma unroll
        for (u32 j = 0; j < COLUMNS / SIDE; ++j) {
            u32 column = first + across + SIDE * j;
            if (position < a.time && column < a.dim) {
                put(y + ((batch * a.time + position) * heads + head) * a.dim + column, out[i][j] * factor[i]);
            }
        }
    }
}

// y, and the logsumexp [batch, heads, time] of the scaled scores. Grid: batch·heads, tiles of queries, parts of dim.
template <u32 COLUMNS, class T>
__device__ void attention(const T* q, const T* k, const T* v, T* y, float* logsumexp, const Heads& a) {
    __shared__ Slice left, right;
    __shared__ Scores weights;
    u32 batch = blockIdx.x / a.heads, head = blockIdx.x % a.heads, group = head / (a.heads / a.groups);
    u32 start = blockIdx.y * TILE, first = blockIdx.z * COLUMNS;
    u32 down = threadIdx.x / SIDE, across = threadIdx.x % SIDE;
    float most[EACH], total[EACH], out[EACH][COLUMNS / SIDE];
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) most[i] = -infinity(), total[i] = 0.0f;
    clear<COLUMNS>(out);
    u32 from, to;
    range_of(a, start, false, &from, &to);
    for (u32 key = from; key < to; key += TILE) {
        float s[EACH][EACH];
        scores(s, left, right, a, batch, q, head, start, k, group, key);
#pragma unroll
        for (u32 i = 0; i < EACH; ++i) {
            u32 query = start + down + SIDE * i;
            float largest = most[i];
#pragma unroll
            for (u32 j = 0; j < EACH; ++j) {
                s[i][j] *= a.scale;
                if (sees(a, query, key + across + SIDE * j)) largest = fold(MAX, largest, s[i][j]);
            }
            largest = lanes_fold(MAX, largest, SIDE);
            // What was added up is smaller beside a larger maximum. Before the first key both are −∞.
            float factor = most[i] == largest ? 1.0f : math::exp(most[i] - largest);
            float sum = 0.0f;
#pragma unroll
            for (u32 j = 0; j < EACH; ++j) {
                float p = sees(a, query, key + across + SIDE * j) ? math::exp(s[i][j] - largest) : 0.0f;
                weights[down + SIDE * i][across + SIDE * j] = p;
                sum += p;
            }
            total[i] = fmaf(total[i], factor, lanes_fold(SUM, sum, SIDE));
            most[i] = largest;
#pragma unroll
            for (u32 j = 0; j < COLUMNS / SIDE; ++j) out[i][j] *= factor;
        }
        add_weighted<false, COLUMNS>(out, weights, right, a, v, a.groups, batch, group, key, first);
    }
    float factor[EACH];
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
        u32 query = start + down + SIDE * i;
        factor[i] = 1.0f / total[i];
        if (first == 0 && across == 0 && query < a.time) {
            logsumexp[blockIdx.x * a.time + query] = most[i] + math::log(total[i]);
        }
    }
    store<COLUMNS>(out, factor, y, a, a.heads, batch, head, start, first);
}

// delta [batch, heads, time] = dy·y of each head of each position: a warp for each.
template <class T>
__device__ void attention_delta_row(const T* y, const T* dy, float* delta, u32 rows, const Heads& a) {
    u32 row = this_warp();
    if (row >= rows) return;
    u32 head = row % a.heads, position = row / a.heads % a.time, batch = row / a.heads / a.time;
    float sum = 0.0f;
    y += row * a.dim, dy += row * a.dim;
    for (u32 i = this_lane(); i < a.dim; i += WARP) sum = fmaf(get(dy + i), get(y + i), sum);
    sum = warp_sum(sum);
    if (this_lane() == 0) delta[(batch * a.heads + head) * a.time + position] = sum;
}

// Probabilities and gradients of scores: s holds the products q·k, ds those dy·v.
__device__ void through_softmax(
    float (&s)[EACH][EACH], float (&ds)[EACH][EACH], const Heads& a, const float* logsumexp, const float* delta,
    u32 query, u32 key
) {
    u32 down = threadIdx.x / SIDE, across = threadIdx.x % SIDE;
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
        u32 row = query + down + SIDE * i;
        bool inside = row < a.time;
        float all = inside ? logsumexp[row] : 0.0f, along = inside ? delta[row] : 0.0f;
#pragma unroll
        for (u32 j = 0; j < EACH; ++j) {
            bool seen = sees(a, row, key + across + SIDE * j);
            s[i][j] = seen ? math::exp(fmaf(s[i][j], a.scale, -all)) : 0.0f;
            ds[i][j] = seen ? s[i][j] * (ds[i][j] - along) * a.scale : 0.0f;
        }
    }
}

// Puts what the threads hold where all can read it. Passes a barrier first: earlier readers are done.
__device__ void share(Scores& weights, const float (&s)[EACH][EACH]) {
    u32 down = threadIdx.x / SIDE, across = threadIdx.x % SIDE;
    __syncthreads();
#pragma unroll
    for (u32 i = 0; i < EACH; ++i) {
#pragma unroll
        for (u32 j = 0; j < EACH; ++j) weights[down + SIDE * i][across + SIDE * j] = s[i][j];
    }
}

// dq. Grid: batch·heads, tiles of queries, parts of dim.
template <u32 COLUMNS, class T>
__device__ void attention_dq(
    const T* q, const T* k, const T* v, const T* dy, const float* logsumexp, const float* delta, T* dq, const Heads& a
) {
    __shared__ Slice left, right;
    __shared__ Scores weights;
    u32 batch = blockIdx.x / a.heads, head = blockIdx.x % a.heads, group = head / (a.heads / a.groups);
    u32 start = blockIdx.y * TILE, first = blockIdx.z * COLUMNS;
    float out[EACH][COLUMNS / SIDE];
    clear<COLUMNS>(out);
    u32 from, to;
    range_of(a, start, false, &from, &to);
    for (u32 key = from; key < to; key += TILE) {
        float s[EACH][EACH], ds[EACH][EACH];
        scores(s, left, right, a, batch, q, head, start, k, group, key);
        scores(ds, left, right, a, batch, dy, head, start, v, group, key);
        through_softmax(s, ds, a, logsumexp + blockIdx.x * a.time, delta + blockIdx.x * a.time, start, key);
        share(weights, ds);
        add_weighted<false, COLUMNS>(out, weights, right, a, k, a.groups, batch, group, key, first);
    }
    float factor[EACH] = {1.0f, 1.0f, 1.0f, 1.0f};
    store<COLUMNS>(out, factor, dq, a, a.heads, batch, head, start, first);
}

// dk and dv, which grow in the order of query heads, then of tiles of queries. Grid: batch·groups, tiles of keys, parts
// of dim.
template <u32 COLUMNS, class T>
__device__ void attention_dkv(
    const T* q, const T* k, const T* v, const T* dy, const float* logsumexp, const float* delta, T* dk, T* dv,
    const Heads& a
) {
    __shared__ Slice left, right;
    __shared__ Scores weights;
    u32 batch = blockIdx.x / a.groups, group = blockIdx.x % a.groups, each = a.heads / a.groups;
    u32 start = blockIdx.y * TILE, first = blockIdx.z * COLUMNS;
    float of_keys[EACH][COLUMNS / SIDE], of_values[EACH][COLUMNS / SIDE];
    clear<COLUMNS>(of_keys);
    clear<COLUMNS>(of_values);
    u32 from, to;
    range_of(a, start, true, &from, &to);
    for (u32 head = group * each; head < (group + 1) * each; ++head) {
        u32 rows = (batch * a.heads + head) * a.time;
        for (u32 query = from; query < to; query += TILE) {
            float s[EACH][EACH], ds[EACH][EACH];
            scores(s, left, right, a, batch, q, head, query, k, group, start);
            scores(ds, left, right, a, batch, dy, head, query, v, group, start);
            through_softmax(s, ds, a, logsumexp + rows, delta + rows, query, start);
            share(weights, s);
            add_weighted<true, COLUMNS>(of_values, weights, left, a, dy, a.heads, batch, head, query, first);
            share(weights, ds);
            add_weighted<true, COLUMNS>(of_keys, weights, left, a, q, a.heads, batch, head, query, first);
        }
    }
    float factor[EACH] = {1.0f, 1.0f, 1.0f, 1.0f};
    store<COLUMNS>(of_keys, factor, dk, a, a.groups, batch, group, start, first);
    store<COLUMNS>(of_values, factor, dv, a, a.groups, batch, group, start, first);
}

KERNEL attention_64_f32(const float* q, const float* k, const float* v, float* y, float* logsumexp, Heads a) {
    attention<64>(q, k, v, y, logsumexp, a);
}
KERNEL attention_128_f32(const float* q, const float* k, const float* v, float* y, float* logsumexp, Heads a) {
    attention<128>(q, k, v, y, logsumexp, a);
}
KERNEL attention_64_bf16(const bf16* q, const bf16* k, const bf16* v, bf16* y, float* logsumexp, Heads a) {
    attention<64>(q, k, v, y, logsumexp, a);
}
KERNEL attention_128_bf16(const bf16* q, const bf16* k, const bf16* v, bf16* y, float* logsumexp, Heads a) {
    attention<128>(q, k, v, y, logsumexp, a);
}

KERNEL attention_delta_f32(const float* y, const float* dy, float* delta, u32 rows, Heads a) {
    attention_delta_row(y, dy, delta, rows, a);
}
KERNEL attention_delta_bf16(const bf16* y, const bf16* dy, float* delta, u32 rows, Heads a) {
    attention_delta_row(y, dy, delta, rows, a);
}

KERNEL attention_dq_64_f32(
    const float* q, const float* k, const float* v, const float* dy, const float* logsumexp, const float* delta,
    float* dq, Heads a
) {
    attention_dq<64>(q, k, v, dy, logsumexp, delta, dq, a);
}
KERNEL attention_dq_128_f32(
    const float* q, const float* k, const float* v, const float* dy, const float* logsumexp, const float* delta,
    float* dq, Heads a
) {
    attention_dq<128>(q, k, v, dy, logsumexp, delta, dq, a);
}
KERNEL attention_dq_64_bf16(
    const bf16* q, const bf16* k, const bf16* v, const bf16* dy, const float* logsumexp, const float* delta, bf16* dq,
    Heads a
) {
    attention_dq<64>(q, k, v, dy, logsumexp, delta, dq, a);
}
KERNEL attention_dq_128_bf16(
    const bf16* q, const bf16* k, const bf16* v, const bf16* dy, const float* logsumexp, const float* delta, bf16* dq,
    Heads a
) {
    attention_dq<128>(q, k, v, dy, logsumexp, delta, dq, a);
}

KERNEL attention_dkv_64_f32(
    const float* q, const float* k, const float* v, const float* dy, const float* logsumexp, const float* delta,
    float* dk, float* dv, Heads a
) {
    attention_dkv<64>(q, k, v, dy, logsumexp, delta, dk, dv, a);
}
KERNEL attention_dkv_128_f32(
    const float* q, const float* k, const float* v, const float* dy, const float* logsumexp, const float* delta,
    float* dk, float* dv, Heads a
) {
    attention_dkv<128>(q, k, v, dy, logsumexp, delta, dk, dv, a);
}
KERNEL attention_dkv_64_bf16(
    const bf16* q, const bf16* k, const bf16* v, const bf16* dy, const float* logsumexp, const float* delta, bf16* dk,
    bf16* dv, Heads a
) {
    attention_dkv<64>(q, k, v, dy, logsumexp, delta, dk, dv, a);
}
KERNEL attention_dkv_128_bf16(
    const bf16* q, const bf16* k, const bf16* v, const bf16* dy, const float* logsumexp, const float* delta, bf16* dk,
    bf16* dv, Heads a
) {
    attention_dkv<128>(q, k, v, dy, logsumexp, delta, dk, dv, a);
}
