// Runs kernels that it is told to, on buffers that it is given: what a driver and a GPU would do, and the products that
// cuBLASLt would. Commands come on stdin, bytes that were asked for go to stdout. Numbers are little-endian u32.
//
// The test compiles this behind the kernels and a table of them: `static const Kernel KERNELS[]`.
#pragma once

#include "fibers.h"
#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

namespace runner {

static void read(void* to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) != bytes) exit(4);
}

static unsigned number() {
    unsigned value;
    read(&value, sizeof value);
    return value;
}

// A buffer of exactly its size, so that the address sanitizer sees what goes beyond it.
struct Buffer {
    char* data;
    size_t bytes;
};
static std::vector<Buffer> buffers;

static char* place() {
    unsigned buffer = number(), start = number();
    return buffers.at(buffer).data + start;
}

// Arguments as they were sent: pointers, and values by their bytes.
typedef std::vector<std::string> Arguments;

template <class... A, size_t... I>
static void call(void (*kernel)(A...), const Arguments& arguments, std::index_sequence<I...>) {
    std::tuple<A...> values;
    (memcpy(&std::get<I>(values), arguments[I].data(), sizeof(A)), ...);
    kernel(std::get<I>(values)...);
}

// Whether the arguments are as many and as long as the kernel takes.
template <class... A>
static bool fits(void (*)(A...), const Arguments& arguments) {
    const size_t sizes[] = {sizeof(A)...};
    bool all = arguments.size() == sizeof...(A);
    for (size_t i = 0; all && i < sizeof...(A); ++i) all = arguments[i].size() == sizes[i];
    return all;
}

struct Kernel {
    const char* name;
    bool (*fits)(const Arguments&);
    void (*call)(const Arguments&);
};

template <class... A>
static void call_all(void (*kernel)(A...), const Arguments& arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

#define ENTRY(name)                                                                      \
    {                                                                                     \
        #name, [](const runner::Arguments& a) { return runner::fits(name, a); },          \
            [](const runner::Arguments& a) { runner::call_all(name, a); }                 \
    }

template <size_t N>
static void launch(const Kernel (&kernels)[N], bool backward) {
    std::string name(number(), ' ');
    read(&name[0], name.size());
    dim3 grid = {number(), number(), number()};
    cuda::grid_size = grid;
    Arguments arguments(number());
    for (std::string& argument : arguments) {
        unsigned size = number();
        if (size == 0) {
            char* pointer = place();
            argument.assign((const char*)&pointer, sizeof pointer);
        } else {
            argument.resize(size);
            read(&argument[0], size);
        }
    }
    const Kernel* kernel = std::find_if(kernels, kernels + N, [&](const Kernel& k) { return name == k.name; });
    if (kernel == kernels + N) cuda::fail(name.c_str(), "there is no such kernel");
    if (!kernel->fits(arguments)) cuda::fail(kernel->name, "it takes other arguments");
    unsigned blocks = grid.x * grid.y * grid.z;
    for (unsigned i = 0; i < blocks; ++i) {
        unsigned block = backward ? blocks - 1 - i : i;
        cuda::block_at = {block % grid.x, block / grid.x % grid.y, block / grid.x / grid.y};
        cuda::run_block(kernel->name, backward, [&] { kernel->call(arguments); });
    }
}

// An element of a factor, by the code of its dtype: f32, bf16 or f16.
static float element(const char* data, unsigned dtype, size_t i) {
    if (dtype == 0) return ((const float*)data)[i];
    unsigned short bits = ((const unsigned short*)data)[i];
    return dtype == 2 ? bf16_to_float(bits) : f16_to_float(bits);
}

// c = a′·b′, added to c where `add`; ′ is the flagged transpose.
static void product() {
    const char *a = place(), *b = place();
    float* c = (float*)place();
    unsigned dtype = number(), batch = number(), m = number(), n = number(), k = number();
    bool transpose_a = number(), transpose_b = number(), shared_b = number(), add = number();
    for (size_t i = 0; i < batch; ++i) {
        size_t from_a = i * m * k, from_b = shared_b ? 0 : i * k * n;
        for (size_t row = 0; row < m; ++row) {
            for (size_t column = 0; column < n; ++column) {
                float* out = c + (i * m + row) * n + column;
                float sum = add ? *out : 0.0f;
                for (size_t l = 0; l < k; ++l) {
                    float x = element(a, dtype, from_a + (transpose_a ? l * m + row : row * k + l));
                    float y = element(b, dtype, from_b + (transpose_b ? column * k + l : l * n + column));
                    sum = fmaf(x, y, sum);
                }
                *out = sum;
            }
        }
    }
}

template <size_t N>
static int run(const Kernel (&kernels)[N]) {
    bool backward = false;
    for (int command; (command = getchar()) != EOF;) {
        switch (command) {
            case 'a': { // allocate: the next buffer; all bytes are 0xff, which is NaN
                Buffer buffer = {nullptr, number()};
                buffer.data = (char*)malloc(buffer.bytes);
                memset(buffer.data, 0xff, buffer.bytes);
                buffers.push_back(buffer);
                break;
            }
            case 'd': // drop a buffer
                free(std::exchange(buffers.at(number()).data, nullptr));
                break;
            case 'u': { // upload
                char* to = place();
                read(to, number());
                break;
            }
            case 'r': { // read
                const char* from = place();
                fwrite(from, 1, number(), stdout);
                fflush(stdout);
                break;
            }
            case 'f': { // fill with 0xff
                char* to = place();
                memset(to, 0xff, number());
                break;
            }
            case 'c': { // copy
                char *from = place(), *to = place();
                memcpy(to, from, number());
                break;
            }
            case 'o': backward = number(); break;
            case 'l': launch(kernels, backward); break;
            case 'p': product(); break;
            default: return 5;
        }
    }
    return 0;
}

} // namespace runner
