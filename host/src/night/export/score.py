"""Loads the model beside this file and scores it, as the night did, with nothing but NumPy.

    python3 score.py                 the score on the text in search.safetensors, beside the one that was recorded
    python3 score.py FILE...         the score on other text, which it should not have been trained on

graph.json holds the model as a graph of ops: `forward` computes the logits [rows, context, vocab] of tokens
[rows, context]. Arithmetic is f32 or better; a score agrees with the recorded one in about six digits.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "U8": "u1", "U32": "<u4", "I64": "<i8", "BOOL": "?"}


def load(name):
    """The tensors of a safetensors file. bf16 comes as f32."""
    raw = (FOLDER / name).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for key, entry in json.loads(raw[8:start]).items():
        if key != "__metadata__":
            begin, end = entry["data_offsets"]
            array = np.frombuffer(raw[start + begin : start + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
            tensors[key] = from_bits(array) if entry["dtype"] == "BF16" else array
    return tensors


def from_bits(upper):
    """f32 whose upper halves are given."""
    return (upper.astype(np.uint32) << 16).view(np.float32)


def wide(x):
    return x.astype(np.float64)


def f32(x):
    return np.asarray(x, np.float32)


def cast(x, to):
    if to == "bool":
        return x != 0
    if to in ("u8", "u32", "i64"):
        dtype = {"u8": np.uint8, "u32": np.uint32, "i64": np.int64}[to]
        return to_integer(x, dtype) if x.dtype.kind == "f" else x.astype(dtype)
    x = f32(x)
    if to == "bf16":  # ties to even
        bits = x.view(np.uint32)
        rounded = from_bits((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)
        return np.where(np.isnan(x), x, rounded)
    return x.astype(np.float16) if to == "f16" else x


def to_integer(x, dtype):
    """Towards zero; beyond the range its end; NaN gives 0."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    x = np.trunc(np.where(np.isnan(x), 0, wide(x)))
    inside = (x >= float(least)) & (x < float(most))
    ends = np.where(x >= float(most), np.array(most, dtype), np.array(least, dtype))
    return np.where(inside, np.where(inside, x, 0).astype(dtype), ends)


def divide(a, b):
    return a / b if a.dtype.kind == "f" else np.where(b == 0, 0, np.floor_divide(a, b)).astype(a.dtype)


def shift(a, count, left):
    width = a.dtype.itemsize * 8
    counts = wide(count)
    inside = (counts >= 0) & (counts < width)
    count = np.where(inside, count, 0).astype(a.dtype)
    gone = 0 if left else np.where(a < 0, -1, 0)
    return np.where(inside, np.left_shift(a, count) if left else np.right_shift(a, count), gone).astype(a.dtype)


def argsort(x, descending):
    if not descending:
        return np.argsort(x, axis=-1, kind="stable").astype(np.uint32)
    order = np.argsort(np.flip(x, -1), axis=-1, kind="stable")
    return np.flip(x.shape[-1] - 1 - order, -1).astype(np.uint32)


def cumsum(x, axis, reverse):
    turned = np.flip(x, axis) if reverse else x
    sums = f32(np.cumsum(wide(turned), axis))
    return np.flip(sums, axis) if reverse else sums


def scatter_add(x, indices, values, axis):
    out, place = wide(x), list(np.indices(indices.shape, sparse=True))
    place[axis] = indices
    np.add.at(out, tuple(place), values)
    return f32(out)


def pad(x, axis, before, after):
    return np.pad(x, [(before, after) if i == axis else (0, 0) for i in range(x.ndim)])


def narrow(x, axis, start, len):
    return x[(slice(None),) * axis + (slice(start, start + len),)]


def reduce(how):
    return lambda x, axes, keep: f32(how(wide(x), axis=tuple(axes), keepdims=keep))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def logsumexp(x):
    most = x.max(-1, keepdims=True)
    return (most + np.log(np.exp(x - most).sum(-1, keepdims=True)))[..., 0]


def softmax(x):
    return np.exp(x - logsumexp(x)[..., None])


def softcap(x, cap):
    return cap * np.tanh(x / cap)


def rms_norm(x, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps)


def layer_norm(x, eps):
    return rms_norm(x - x.mean(-1, keepdims=True), eps)


def matmul(a, b, transpose_a, transpose_b):
    turned = lambda x, turn: np.swapaxes(f32(x), -1, -2) if turn else f32(x)
    return turned(a, transpose_a) @ turned(b, transpose_b)


def rope(x, base, inverse):
    assert not inverse, "only gradients rotate back"
    time, half = x.shape[1], x.shape[3] // 2
    angles = np.arange(time)[:, None] * base ** (-np.arange(half) / half)
    cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
    lower, upper = x[..., :half], x[..., half:]
    return np.concatenate([lower * cos - upper * sin, lower * sin + upper * cos], -1)


def attention(q, k, v, causal, window, scale):
    share = q.shape[2] // k.shape[2]
    k, v = np.repeat(k, share, 2), np.repeat(v, share, 2)
    distance = np.arange(q.shape[1])[:, None] - np.arange(q.shape[1])
    seen = (distance >= 0) | (not causal)
    seen &= (np.abs(distance) < window) | (window == 0)
    scores = np.where(seen, scale * np.einsum("bthd,bshd->bhts", q, k, optimize=True), -np.inf)
    return f32(np.einsum("bhts,bshd->bthd", softmax(scores), v, optimize=True)), f32(logsumexp(scores))


def cross_entropy(logits, targets, softcap, z_loss):
    z = softcap * np.tanh(logits / softcap) if softcap > 0 else logits
    all = logsumexp(z)
    rows = all - np.take_along_axis(z, targets[..., None].astype(np.int64), -1)[..., 0] + z_loss * all**2
    return f32(rows.mean()), f32(all)


def newton_schulz(x, coefficients):
    x = x / (np.sqrt((x * x).sum((-1, -2), keepdims=True)) + 1e-7)
    for a, b, c in coefficients:
        gram = x @ np.swapaxes(x, -1, -2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


# Functions that are computed in f64 and rounded once.
REAL = {
    "neg": np.negative, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square, "abs": np.abs, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0), "relu-squared": lambda x: np.maximum(x, 0) ** 2,
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x), "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "pow": np.power, "affine": lambda x, mul, add: x * float(mul) + float(add), "softcap": softcap,
    "softmax": softmax, "logsumexp": logsumexp, "rms-norm": rms_norm, "layer-norm": layer_norm, "rope": rope,
    "newton-schulz": newton_schulz,
}
OPS = {
    "full": lambda shape, value: np.full(shape, float(value), np.float32),
    "arange": lambda len: np.arange(len, dtype=np.uint32),
    "reshape": lambda x, shape: x.reshape(shape), "permute": lambda x, axes: x.transpose(axes),
    "narrow": narrow, "pad": pad, "cat": lambda *xs, axis: np.concatenate(xs, axis),
    "expand": lambda x, shape: np.broadcast_to(x, shape), "copy": lambda x: x, "cast": cast,
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": divide, "maximum": np.maximum,
    "minimum": np.minimum, "rem": lambda a, b: np.where(b == 0, 0, np.remainder(a, b)).astype(a.dtype),
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "shl": lambda a, b: shift(a, b, True), "shr": lambda a, b: shift(a, b, False),
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "select": np.where,
    "sum": reduce(np.sum), "mean": reduce(np.mean), "max": reduce(np.max), "min": reduce(np.min),
    "argmax": lambda x, axis: np.argmax(x, axis).astype(np.uint32), "argsort": argsort, "cumsum": cumsum,
    "matmul": matmul, "embedding": lambda table, indices: table[indices],
    "gather": lambda x, indices, axis: np.take_along_axis(x, indices.astype(np.int64), axis),
    "scatter-add": scatter_add, "attention": attention,
    "cross-entropy": lambda x, targets, **how: cross_entropy(wide(x), targets, **how),
    "linear-cross-entropy": lambda x, weight, targets, gradients, **how: cross_entropy(
        wide(x) @ wide(weight).T, targets, **how
    ),
}


def run(node, inputs, constants):
    """What an op makes, one array or several."""
    op = node["op"]
    attributes = {name: value for name, value in node["attributes"].items() if name != "function"}
    if op.startswith("from-"):
        made = constants[str(node["outputs"][0])]
    elif op in REAL:
        made = f32(REAL[op](*map(wide, inputs), **attributes))
    else:
        made = OPS[op](*inputs, **attributes)
    return made if isinstance(made, tuple) else (made,)


def forward(graph, state, constants, tokens):
    """Logits [rows, context, vocab] of tokens [rows, context]."""
    tensors = {int(tensor): state[name] for tensor, name in graph["state"].items()}
    tensors[graph["tokens"]] = tokens.astype(np.uint32)
    for node in graph["nodes"]:
        made = run(node, [tensors[tensor] for tensor in node["inputs"]], constants)
        tensors.update(zip(node["outputs"], made))
        for tensor in node["frees"]:
            del tensors[tensor]
    return tensors[graph["output"]]


def chunks_of(files, context):
    """Text as chunks of tokens, which are bytes: each has a token more than the model sees, for the last target."""
    try:
        text = np.frombuffer(b"".join(Path(file).read_bytes() for file in files), np.uint8)
    except OSError as error:
        sys.exit(str(error))
    count = len(text) // (context + 1)
    if count == 0:
        sys.exit(f"the text is shorter than a chunk, {context + 1} bytes")
    return text[: count * (context + 1)].reshape(count, context + 1)


def score(config, chunks):
    """Bits per byte of the targets of chunks [count, context + 1]."""
    graph, rows = json.loads((FOLDER / "graph.json").read_text()), config["rows"]
    state, constants = load("model.safetensors"), load("constants.safetensors")
    nats = 0.0
    for start in range(0, len(chunks), rows):
        # The last batch is filled up with the first chunks, so that shapes never change.
        picked = chunks[np.arange(start, start + rows) % len(chunks)].astype(np.int64)
        logits = wide(forward(graph, state, constants, picked[:, :-1]))
        rest = logsumexp(logits) - np.take_along_axis(logits, picked[:, 1:, None], -1)[..., 0]
        nats += rest[: len(chunks) - start].sum()
    return nats / math.log(2) / (len(chunks) * config["context"])


def main():
    config = json.loads((FOLDER / "config.json").read_text())
    if sys.argv[1:]:
        print(f"{score(config, chunks_of(sys.argv[1:], config['context'])):.6f} bits per byte")
        return
    if config["bpb"] is None:
        sys.exit("a secret has chosen the text that this model was scored on: name a file with other text")
    chunks = load("search.safetensors")["chunks"]
    found, recorded = score(config, chunks), config["bpb"]
    apart = found - recorded
    print(f"{found:.6f} bits per byte on {len(chunks)} chunks; {recorded:.6f} was recorded, {apart:+.1e} apart")
    if not abs(apart) < 1e-4:
        sys.exit("this is not the recorded score")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
