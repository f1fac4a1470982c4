"""What a guest in Python is written against: tensors with operators, layers, optimizers and the run itself.

A guest has two functions: `train(lab)` and `model(tokens)`. Tensors live in the host. Every function here is one
operation there, unless it says otherwise; docs/mutations.md and guest-sdk/wit/0.2.0/lab.wit say what each costs.
"""

import math
import struct

from wit_world.imports import autograd, session, state, tensors
from wit_world.imports.tensors import BinaryOp, CompareOp, Dtype, ReduceOp, UnaryOp

F32, U32, BF16, F16, U8, I64, BOOL = Dtype


def f32(x):
    """The nearest number of 32 bits, in which the host computes."""
    return struct.unpack("f", struct.pack("f", x))[0]


class Tensor:
    """A handle to a tensor in the host, which frees it when the handle is gone."""

    __slots__ = ("handle",)

    def __init__(self, handle):
        self.handle = handle

    @property
    def shape(self):
        return self.handle.shape()

    @property
    def dtype(self):
        return self.handle.dtype()

    def read(self):
        """The values. A guest that reads has no behaviour key; in a dry run they are zeros."""
        return self.handle.read()

    def item(self):
        return self.read()[0]

    # Operators. A number stands for itself.

    def __add__(self, other):
        return affine(self, 1.0, other) if isinstance(other, (int, float)) else binary(BinaryOp.ADD, self, other)

    def __sub__(self, other):
        return affine(self, 1.0, -other) if isinstance(other, (int, float)) else binary(BinaryOp.SUB, self, other)

    def __mul__(self, other):
        return affine(self, other, 0.0) if isinstance(other, (int, float)) else binary(BinaryOp.MUL, self, other)

    def __truediv__(self, other):
        if isinstance(other, (int, float)):
            return affine(self, f32(1.0) / f32(other), 0.0)
        return binary(BinaryOp.DIV, self, other)

    def __radd__(self, other):
        return affine(self, 1.0, other)

    def __rsub__(self, other):
        return affine(self, -1.0, other)

    def __rmul__(self, other):
        return affine(self, other, 0.0)

    def __neg__(self):
        return unary(UnaryOp.NEG, self)

    def __matmul__(self, other):
        return matmul(self, other)

    # Shape.

    def reshape(self, *shape):
        return Tensor(tensors.reshape(self.handle, list(shape)))

    def permute(self, *axes):
        return Tensor(tensors.permute(self.handle, list(axes)))

    def narrow(self, axis, start, length):
        return Tensor(tensors.narrow(self.handle, axis, start, length))

    def split(self, size, axis=-1):
        """Pieces of `size` positions along an axis."""
        axis %= len(self.shape)
        return [self.narrow(axis, start, size) for start in range(0, self.shape[axis], size)]

    def expand(self, *shape):
        return Tensor(tensors.expand(self.handle, list(shape)))

    def cast(self, dtype):
        return Tensor(tensors.cast(self.handle, dtype))

    def heads(self, dim):
        """[b, t, h * dim] -> [b, t, h, dim]."""
        rows, time, width = self.shape
        return self.reshape(rows, time, width // dim, dim)

    def merge_heads(self):
        """[b, t, h, dim] -> [b, t, h * dim]."""
        rows, time, heads, dim = self.shape
        return self.reshape(rows, time, heads * dim)

    # Functions.

    def sum(self, *axes, keep=False):
        return Tensor(tensors.reduce(ReduceOp.SUM, self.handle, list(axes), keep))

    def mean(self, *axes, keep=False):
        return Tensor(tensors.reduce(ReduceOp.MEAN, self.handle, list(axes), keep))

    def detach(self):
        return Tensor(autograd.detach(self.handle))

    def backward(self):
        """The gradients by all parameters, in the order in which they were made."""
        return [Tensor(g) for g in autograd.backward(self.handle, [p.handle for p in nn.parameters()])]

    # In place, on parameters, buffers and variables.

    def assign(self, value):
        tensors.assign(self.handle, value.handle)

    def blend(self, keep, value, scale):
        """self <- keep * self + scale * value."""
        tensors.blend(self.handle, keep, value.handle, scale)


def unary(op, x):
    return Tensor(tensors.unary(op, x.handle))


def binary(op, a, b):
    return Tensor(tensors.binary(op, a.handle, b.handle))


def compare(op, a, b):
    return Tensor(tensors.compare(op, a.handle, b.handle))


def where(condition, a, b):
    return Tensor(tensors.select(condition.handle, a.handle, b.handle))


def affine(x, mul, add):
    """x * mul + add."""
    return Tensor(tensors.affine(x.handle, mul, add))


def full(shape, value):
    return Tensor(tensors.full(list(shape), value))


def zeros(*shape):
    return full(shape, 0.0)


def normal(*shape, mean=0.0, std=1.0, stream=0):
    return Tensor(tensors.normal(stream, list(shape), mean, std))


def uniform(*shape, low=0.0, high=1.0, stream=0):
    return Tensor(tensors.uniform(stream, list(shape), low, high))


def cat(parts, axis):
    return Tensor(tensors.cat([part.handle for part in parts], axis))


def matmul(a, b, transpose_a=False, transpose_b=False):
    return Tensor(tensors.matmul(a.handle, b.handle, transpose_a, transpose_b))


def linear(x, weight):
    """x weight^T: [.., k] with weight [n, k] -> [.., n]."""
    return matmul(x, weight, False, True)


def embedding(table, indices):
    return Tensor(tensors.embedding(table.handle, indices.handle))


def gelu(x):
    return unary(UnaryOp.GELU, x)


def relu_squared(x):
    return unary(UnaryOp.RELU_SQUARED, x)


def softcap(x, cap):
    return Tensor(tensors.softcap(x.handle, cap))


def softmax(x):
    return Tensor(tensors.softmax(x.handle))


def rms_norm(x, eps=1e-6):
    return Tensor(tensors.rms_norm(x.handle, eps))


def layer_norm(x, eps=1e-5):
    return Tensor(tensors.layer_norm(x.handle, eps))


def rope(x, base=10000.0):
    return Tensor(tensors.rope(x.handle, base))


def attention(q, k, v, window=0):
    """Causal attention by heads: q [b, t, h, d]; k, v [b, t, g, d]. Window 0 sees everything before."""
    return Tensor(tensors.attention(q.handle, k.handle, v.handle, True, window, 1.0 / math.sqrt(q.shape[-1])))


def cross_entropy(logits, targets, softcap=0.0, z_loss=0.0):
    return Tensor(tensors.cross_entropy(logits.handle, targets.handle, softcap, z_loss))


class nn:
    """Parameters and layers. Each has a name, by which it is found again when the model is evaluated."""

    _made = {}

    @classmethod
    def parameter(cls, name, init):
        """The parameter of that name. `init()` makes its first value, if it has none yet."""
        if name not in cls._made:
            found = state.get(name)
            handle = state.parameter(name, init().handle) if found is None else found
            cls._made[name] = Tensor(handle)
        return cls._made[name]

    @classmethod
    def parameters(cls):
        return list(cls._made.values())

    class Linear:
        def __init__(self, name, fan_in, fan_out, std=None):
            std = 1.0 / math.sqrt(fan_in) if std is None else std
            self.weight = nn.parameter(name, lambda: normal(fan_out, fan_in, std=std))

        def __call__(self, x):
            return linear(x, self.weight)

    class Embedding:
        def __init__(self, name, count, width, std=1.0):
            self.weight = nn.parameter(name, lambda: normal(count, width, std=std))

        def __call__(self, indices):
            return embedding(self.weight, indices)


class AdamW:
    """Adam with bias-corrected moments and decoupled weight decay (Loshchilov and Hutter, 2017)."""

    def __init__(self, parameters, lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0):
        self.lr, self.betas, self.eps, self.weight_decay, self.steps = lr, betas, eps, weight_decay, 0
        self.moments = []
        for parameter in parameters:
            none = zeros(*parameter.shape)
            first, second = state.variable(none.handle), state.variable(none.handle)
            self.moments.append((parameter.handle, first, second))

    def step(self, grads, factor=1.0):
        """One update at `factor` times the learning rate."""
        self.steps += 1
        lr = f32(f32(self.lr) * f32(factor))
        how = tensors.Adamw(lr, *self.betas, self.eps, self.weight_decay, self.steps)
        for (parameter, first, second), grad in zip(self.moments, grads, strict=True):
            tensors.adamw_step(parameter, grad.handle, first, second, how)


class Lab:
    """One training run. There is no clock: schedules are made of `progress`."""

    def task(self):
        """vocab, context and scale."""
        return session.task()

    def batches(self, rows, time):
        """Tokens and targets, [rows, time] of each, until the budget is used up. A batch is freed before the next."""
        while (batch := session.next_batch(rows, time)) is not None:
            with batch.tokens as tokens, batch.targets as targets:
                yield Tensor(tokens), Tensor(targets)

    def progress(self):
        """Share of the budget used, 0 to 1."""
        return f32(session.progress())

    def log(self, key, value):
        session.log(key, value.handle)
