// The contract lab:train@0.2.0 for guests in C, by the canonical ABI of the component model. docs/mutations.md and
// guest-sdk/wit/0.2.0/lab.wit say what the functions do and cost.
//
//     #include "lab.h"
//
//     void train(void) { ... }                  declares parameters, loops over next_batch until it has none
//     tensor forward(tensor tokens) { ... }     tokens [rows, time] to logits [rows, time, vocab]
//
// A tensor is a handle. Each handle that a function of this header returns is noted, and `release(mark)` drops all that
// came after `mark = noted()`: once for each step of the training.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int32_t tensor;

#define LAB_IMPORT(interface, name) \
    __attribute__((import_module("lab:train/" interface "@0.2.0"), import_name(name))) extern
#define LAB_EXPORT(name) __attribute__((export_name(name)))

// Sizes of a shape, a list of axes or of tensors: SHAPE(8, 32).
#define SHAPE(...) ((uint32_t[]){__VA_ARGS__}), (sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

enum dtype { F32, U32, BF16, F16, U8, I64, BOOL };
enum unary_op {
    NEG, EXP, LOG, SQRT, RSQRT, SQUARE, ABS, SIN, COS, TANH, SIGMOID, RELU, RELU_SQUARED, GELU, SILU, SIGN, FLOOR, CEIL,
    ROUND
};
enum binary_op { ADD, SUB, MUL, DIV, MAXIMUM, MINIMUM, POW, REM, AND, OR, XOR, SHL, SHR };
enum compare_op { EQ, NE, LT, LE, GT, GE };
enum reduce_op { SUM, MEAN, MAX, MIN };

struct lab_list { uint32_t *at; size_t count; };
struct task { uint32_t vocab, context; float scale; };
struct batch { tensor tokens, targets; };
struct maybe_batch { uint8_t some; struct batch value; };
struct maybe_tensor { uint8_t some; tensor value; };

// The functions as they are imported.
LAB_IMPORT("tensors", "[resource-drop]tensor") void lab_drop(tensor);
LAB_IMPORT("tensors", "[method]tensor.shape") void lab_shape(tensor, struct lab_list *);
LAB_IMPORT("tensors", "[method]tensor.dtype") int32_t lab_dtype(tensor);
LAB_IMPORT("tensors", "[method]tensor.read") void lab_read(tensor, struct lab_list *);
LAB_IMPORT("tensors", "full") tensor lab_full(const uint32_t *, size_t, float);
LAB_IMPORT("tensors", "arange") tensor lab_arange(uint32_t);
LAB_IMPORT("tensors", "from-f32") tensor lab_from_f32(const uint32_t *, size_t, const float *, size_t);
LAB_IMPORT("tensors", "from-u32") tensor lab_from_u32(const uint32_t *, size_t, const uint32_t *, size_t);
LAB_IMPORT("tensors", "from-i64") tensor lab_from_i64(const uint32_t *, size_t, const int64_t *, size_t);
LAB_IMPORT("tensors", "uniform") tensor lab_uniform(uint32_t, const uint32_t *, size_t, float, float);
LAB_IMPORT("tensors", "normal") tensor lab_normal(uint32_t, const uint32_t *, size_t, float, float);
LAB_IMPORT("tensors", "cast") tensor lab_cast(tensor, int32_t);
LAB_IMPORT("tensors", "reshape") tensor lab_reshape(tensor, const uint32_t *, size_t);
LAB_IMPORT("tensors", "permute") tensor lab_permute(tensor, const uint32_t *, size_t);
LAB_IMPORT("tensors", "narrow") tensor lab_narrow(tensor, uint32_t, uint32_t, uint32_t);
LAB_IMPORT("tensors", "pad") tensor lab_pad(tensor, uint32_t, uint32_t, uint32_t);
LAB_IMPORT("tensors", "cat") tensor lab_cat(const tensor *, size_t, uint32_t);
LAB_IMPORT("tensors", "expand") tensor lab_expand(tensor, const uint32_t *, size_t);
LAB_IMPORT("tensors", "unary") tensor lab_unary(int32_t, tensor);
LAB_IMPORT("tensors", "binary") tensor lab_binary(int32_t, tensor, tensor);
LAB_IMPORT("tensors", "compare") tensor lab_compare(int32_t, tensor, tensor);
LAB_IMPORT("tensors", "select") tensor lab_select(tensor, tensor, tensor);
LAB_IMPORT("tensors", "affine") tensor lab_affine(tensor, float, float);
LAB_IMPORT("tensors", "softcap") tensor lab_softcap(tensor, float);
LAB_IMPORT("tensors", "reduce") tensor lab_reduce(int32_t, tensor, const uint32_t *, size_t, bool);
LAB_IMPORT("tensors", "cumsum") tensor lab_cumsum(tensor, uint32_t, bool);
LAB_IMPORT("tensors", "softmax") tensor lab_softmax(tensor);
LAB_IMPORT("tensors", "logsumexp") tensor lab_logsumexp(tensor);
LAB_IMPORT("tensors", "argmax") tensor lab_argmax(tensor, uint32_t);
LAB_IMPORT("tensors", "argsort") tensor lab_argsort(tensor, bool);
LAB_IMPORT("tensors", "embedding") tensor lab_embedding(tensor, tensor);
LAB_IMPORT("tensors", "gather") tensor lab_gather(tensor, uint32_t, tensor);
LAB_IMPORT("tensors", "scatter-add") tensor lab_scatter_add(tensor, uint32_t, tensor, tensor);
LAB_IMPORT("tensors", "matmul") tensor lab_matmul(tensor, tensor, bool, bool);
LAB_IMPORT("tensors", "rms-norm") tensor lab_rms_norm(tensor, float);
LAB_IMPORT("tensors", "layer-norm") tensor lab_layer_norm(tensor, float);
LAB_IMPORT("tensors", "rope") tensor lab_rope(tensor, float);
LAB_IMPORT("tensors", "attention") tensor lab_attention(tensor, tensor, tensor, bool, uint32_t, float);
LAB_IMPORT("tensors", "cross-entropy") tensor lab_cross_entropy(tensor, tensor, float, float);
LAB_IMPORT("tensors", "linear-cross-entropy")
tensor lab_linear_cross_entropy(tensor, tensor, tensor, float, float);
LAB_IMPORT("tensors", "newton-schulz") tensor lab_newton_schulz(tensor, const float (*)[3], size_t);
LAB_IMPORT("tensors", "assign") void lab_assign(tensor, tensor);
LAB_IMPORT("tensors", "blend") void lab_blend(tensor, float, tensor, float);
LAB_IMPORT("tensors", "adamw-step")
void lab_adamw_step(tensor, tensor, tensor, tensor, float, float, float, float, float, uint32_t);
LAB_IMPORT("autograd", "backward") void lab_backward(tensor, const tensor *, size_t, struct lab_list *);
LAB_IMPORT("autograd", "detach") tensor lab_detach(tensor);
LAB_IMPORT("autograd", "set-recording") bool lab_set_recording(bool);
LAB_IMPORT("autograd", "begin-checkpoint") void lab_begin_checkpoint(void);
LAB_IMPORT("autograd", "end-checkpoint") void lab_end_checkpoint(void);
LAB_IMPORT("state", "parameter") tensor lab_parameter(const char *, size_t, tensor);
LAB_IMPORT("state", "buffer") tensor lab_buffer(const char *, size_t, tensor);
LAB_IMPORT("state", "variable") tensor lab_variable(tensor);
LAB_IMPORT("state", "get") void lab_get(const char *, size_t, struct maybe_tensor *);
LAB_IMPORT("session", "task") void lab_task(struct task *);
LAB_IMPORT("session", "next-batch") void lab_next_batch(uint32_t, uint32_t, struct maybe_batch *);
LAB_IMPORT("session", "progress") double lab_progress(void);
LAB_IMPORT("session", "log") void lab_log(const char *, size_t, tensor);
LAB_IMPORT("session", "log-number") void lab_log_number(const char *, size_t, double);
LAB_IMPORT("session", "fail") void lab_fail(const char *, size_t);

// What the host calls.
LAB_EXPORT("train") void train(void);
LAB_EXPORT("forward") tensor forward(tensor tokens);
LAB_EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
    (void)old_size;
    return size == 0 ? (void *)align : realloc(old, size);
}

// Handles that wait for `release`.
static struct { tensor *at; size_t count, room; } lab_notes;

static inline void fail(const char *message) {
    lab_fail(message, strlen(message));
    __builtin_trap();
}

static tensor note(tensor made) {
    if (lab_notes.count == lab_notes.room) {
        lab_notes.room = lab_notes.room ? 2 * lab_notes.room : 256;
        lab_notes.at = realloc(lab_notes.at, lab_notes.room * sizeof(tensor));
        if (!lab_notes.at) fail("no memory for handles");
    }
    return lab_notes.at[lab_notes.count++] = made;
}

static inline size_t noted(void) { return lab_notes.count; }

static inline void release(size_t mark) {
    while (lab_notes.count > mark) lab_drop(lab_notes.at[--lab_notes.count]);
}

// A handle that `release` leaves alone: the last one that was noted.
static inline tensor kept(tensor last) {
    lab_notes.count--;
    return last;
}

// Operations.
static inline tensor full(const uint32_t *shape, size_t rank, float value) { return note(lab_full(shape, rank, value)); }
static inline tensor zeros(const uint32_t *shape, size_t rank) { return full(shape, rank, 0); }
static inline tensor normal(const uint32_t *shape, size_t rank, float mean, float std) {
    return note(lab_normal(0, shape, rank, mean, std));
}
static inline tensor uniform(const uint32_t *shape, size_t rank, float low, float high) {
    return note(lab_uniform(0, shape, rank, low, high));
}
static inline tensor cast(tensor x, enum dtype to) { return note(lab_cast(x, to)); }
static inline tensor reshape(tensor x, const uint32_t *shape, size_t rank) { return note(lab_reshape(x, shape, rank)); }
static inline tensor narrow(tensor x, uint32_t axis, uint32_t start, uint32_t len) {
    return note(lab_narrow(x, axis, start, len));
}
static inline tensor unary(enum unary_op op, tensor x) { return note(lab_unary(op, x)); }
static inline tensor binary(enum binary_op op, tensor a, tensor b) { return note(lab_binary(op, a, b)); }
static inline tensor add(tensor a, tensor b) { return binary(ADD, a, b); }
static inline tensor mul(tensor a, tensor b) { return binary(MUL, a, b); }
static inline tensor affine(tensor x, float mul, float add) { return note(lab_affine(x, mul, add)); }
static inline tensor softcap(tensor x, float cap) { return note(lab_softcap(x, cap)); }
static inline tensor embedding(tensor table, tensor indices) { return note(lab_embedding(table, indices)); }
static inline tensor matmul(tensor a, tensor b, bool transpose_a, bool transpose_b) {
    return note(lab_matmul(a, b, transpose_a, transpose_b));
}
// x w^T: [.., k] with w [n, k] to [.., n].
static inline tensor linear(tensor x, tensor weight) { return matmul(x, weight, false, true); }
static inline tensor rms_norm(tensor x) { return note(lab_rms_norm(x, 1e-6f)); }
static inline tensor rope(tensor x, float base) { return note(lab_rope(x, base)); }
static inline tensor attention(tensor q, tensor k, tensor v, uint32_t window, float scale) {
    return note(lab_attention(q, k, v, true, window, scale));
}
static inline tensor cross_entropy(tensor logits, tensor targets) {
    return note(lab_cross_entropy(logits, targets, 0, 0));
}

// The model's named state.
static inline tensor parameter(const char *name, tensor init) { return kept(note(lab_parameter(name, strlen(name), init))); }
static inline tensor variable(tensor init) { return kept(note(lab_variable(init))); }
static tensor weight(const char *name) {
    struct maybe_tensor found;
    lab_get(name, strlen(name), &found);
    if (!found.some) fail("no parameter or buffer of that name was declared");
    return note(found.value);
}

// Gradients of `loss` by each of `wrt`.
static void backward(tensor loss, const tensor *wrt, size_t count, tensor *gradients) {
    struct lab_list list;
    lab_backward(loss, wrt, count, &list);
    for (size_t i = 0; i < count; i++) gradients[i] = note((tensor)list.at[i]);
    free(list.at);
}

static inline struct task task(void) {
    struct task found;
    lab_task(&found);
    return found;
}

// The next batch; false once the budget is used up.
static inline bool next_batch(uint32_t rows, uint32_t time, struct batch *batch) {
    struct maybe_batch next;
    lab_next_batch(rows, time, &next);
    if (next.some) *batch = (struct batch){note(next.value.tokens), note(next.value.targets)};
    return next.some;
}

static inline float progress(void) { return (float)lab_progress(); }
static inline void log_value(const char *key, tensor value) { lab_log(key, strlen(key), value); }
