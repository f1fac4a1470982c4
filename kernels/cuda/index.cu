// Tables read and written by index. An index that is out of range is a fault that the host raises when it next reads;
// until then the last row stands in, so that nothing outside the table is touched.
#include "common.cuh"

// *first becomes the least position of an index that is not below the limit. The smallest of integers is the same in
// any order.
KERNEL check_indices(const u32* indices, u32 n, u32 limit, u32* first) {
    u32 i = this_thread();
    if (i < n && indices[i] >= limit) atomicMin(first, i);
}

// y [n / width, width]: rows of the table in the order of the indices.
template <class T>
__device__ void embedding_all(const T* table, const u32* indices, T* y, u32 n, u32 rows, u32 width) {
    u32 i = this_thread();
    if (i < n) y[i] = table[smaller(indices[i / width], rows - 1) * width + i % width];
}

KERNEL embedding_1(const u8* table, const u32* indices, u8* y, u32 n, u32 rows, u32 width) {
    embedding_all(table, indices, y, n, rows, width);
}
KERNEL embedding_2(const u16* table, const u32* indices, u16* y, u32 n, u32 rows, u32 width) {
    embedding_all(table, indices, y, n, rows, width);
}
KERNEL embedding_4(const u32* table, const u32* indices, u32* y, u32 n, u32 rows, u32 width) {
    embedding_all(table, indices, y, n, rows, width);
}
KERNEL embedding_8(const u64* table, const u32* indices, u64* y, u32 n, u32 rows, u32 width) {
    embedding_all(table, indices, y, n, rows, width);
}

// dtable [rows, width] from dy [count, width]: a warp for each row looks at all indices, 32 at a time, and adds its own
// rows of dy in order.
KERNEL embedding_grad(const u32* indices, const float* dy, float* dtable, u32 count, u32 rows, u32 width) {
    u32 row = this_warp();
    if (row >= rows) return;
    float* out = dtable + row * width;
    for (u32 c = this_lane(); c < width; c += WARP) out[c] = 0.0f;
    for (u32 start = 0; start < count; start += WARP) {
        u32 i = start + this_lane();
        u32 mine = __ballot_sync(ALL_LANES, i < count && indices[i] == row);
        for (; mine != 0; mine &= mine - 1) {
            const float* from = dy + (start + __ffs((int)mine) - 1) * width;
            for (u32 c = this_lane(); c < width; c += WARP) out[c] += from[c];
        }
    }
}

// y [outer, picked, inner] = x [outer, n, inner] at the indices; `total` elements.
template <class T>
__device__ void gather_all(const T* x, const u32* indices, T* y, u32 total, u32 n, u32 picked, u32 inner) {
    u32 i = this_thread();
    if (i >= total) return;
    u32 row = i / inner / picked * n + smaller(indices[i], n - 1);
    y[i] = x[row * inner + i % inner];
}

KERNEL gather_1(const u8* x, const u32* indices, u8* y, u32 total, u32 n, u32 picked, u32 inner) {
    gather_all(x, indices, y, total, n, picked, inner);
}
KERNEL gather_2(const u16* x, const u32* indices, u16* y, u32 total, u32 n, u32 picked, u32 inner) {
    gather_all(x, indices, y, total, n, picked, inner);
}
KERNEL gather_4(const u32* x, const u32* indices, u32* y, u32 total, u32 n, u32 picked, u32 inner) {
    gather_all(x, indices, y, total, n, picked, inner);
}
KERNEL gather_8(const u64* x, const u32* indices, u64* y, u32 total, u32 n, u32 picked, u32 inner) {
    gather_all(x, indices, y, total, n, picked, inner);
}

// Adds values [outer, picked, inner] to y [outer, n, inner] at their indices: a thread for each column, which it alone
// writes, in order.
KERNEL scatter_add(const float* values, const u32* indices, float* y, u32 outer, u32 n, u32 picked, u32 inner) {
    u32 at = this_thread();
    if (at >= outer * inner) return;
    u32 row = at / inner, column = at % inner;
    for (u32 p = 0; p < picked; ++p) {
        u32 i = (row * picked + p) * inner + column;
        y[(row * n + smaller(indices[i], n - 1)) * inner + column] += values[i];
    }
}
