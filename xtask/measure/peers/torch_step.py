"""The measured models in PyTorch: sizes S, M, L and tiny, and `seed`, the seed guest (constants from its source).

    torch_step.py eager|compile SIZE FOLDER [--steps N] [--warm-up N] [--seed-guest FILE] [--gradients FILE]

FOLDER holds init_NAME.bin and tok_NAME.bin (`cargo measure peers` writes them). Prints one JSON line: milliseconds a step,
tokens a second, peak memory, page faults a step, first losses. With --gradients it writes those of the first step, as
f32 in the order of the weights, and ends.
"""
import argparse
import json
import math
import os
import re
import resource
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# vocab, layers, width, heads, tokens per sequence, sequences
SIZES = {
    "tiny": (16, 2, 16, 2, 16, 2),
    "S": (256, 4, 128, 4, 128, 16),
    "M": (256, 6, 256, 4, 256, 8),
    "L": (8192, 4, 256, 4, 256, 8),
}


class Weights:
    """Parameters taken from the file one after the other."""

    def __init__(self, path):
        self.values, self.taken = torch.from_numpy(np.fromfile(path, "<f4")), 0
        self.named = {}

    def take(self, name, *shape):
        count = math.prod(shape)
        values = self.values[self.taken : self.taken + count].view(shape).clone()
        self.taken += count
        self.named[name] = torch.nn.Parameter(values)
        return self.named[name]

    def group(self, *names):
        return [p for name, p in self.named.items() if name.split(".")[0] in names]


def rotations(time, dim, base):
    angles = torch.outer(torch.arange(time).float(), base ** (-torch.arange(0, dim, 2).float() / dim))
    return angles.cos()[:, None, :], angles.sin()[:, None, :]


def rope(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


def attend(q, k, v, mask):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
    return y.transpose(1, 2).flatten(2)


class Gpt(torch.nn.Module):
    """RMSNorm, RoPE, QK-norm, causal attention, ReLU², an output matrix of its own, softcap."""

    def __init__(self, weights, vocab, depth, width, heads, seq):
        super().__init__()
        self.heads = heads
        take = weights.take
        self.wte = take("wte", vocab, width)
        self.blocks = []
        for layer in range(depth):
            block = {name: take(f"{name}.{layer}", width, width) for name in "qkvo"}
            block["fc"] = take(f"fc.{layer}", 4 * width, width)
            block["proj"] = take(f"proj.{layer}", width, 4 * width)
            self.blocks.append(block)
        self.head = take("head", vocab, width)
        self.cos, self.sin = rotations(seq, width // heads, 10000.0)

    def norm(self, x):
        return F.rms_norm(x, x.shape[-1:])

    def forward(self, tokens, targets):
        x = self.norm(F.embedding(tokens, self.wte))
        for w in self.blocks:
            h = self.norm(x)
            q, k, v = (F.linear(h, w[name]).unflatten(-1, (self.heads, -1)) for name in "qkv")
            q, k = (self.norm(rope(part, self.cos, self.sin)) for part in (q, k))
            x = x + F.linear(attend(q, k, v, None), w["o"])
            x = x + F.linear(F.relu(F.linear(self.norm(x), w["fc"])).square(), w["proj"])
        logits = 15 * torch.tanh(F.linear(self.norm(x), self.head) / 15)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class SeedGuest(torch.nn.Module):
    """The guest that nights start from."""

    def __init__(self, weights, c, vocab):
        super().__init__()
        take, width, depth = weights.take, c["WIDTH"], c["DEPTH"]
        self.c, self.heads, hidden = c, width // c["HEAD_DIM"], c["EXPANSION"] * width
        self.wte, self.head = take("wte", vocab, width), take("head", vocab, width)
        self.blocks, seq = [], torch.arange(c["SEQ"])
        for layer in range(depth):
            block = {name: take(f"{name}.{layer}", 1) for name in ("resid", "x0")}
            block |= {name: take(f"{name}.{layer}", width, width) for name in "qkvo"}
            block["fc"], block["proj"] = take(f"fc.{layer}", hidden, width), take(f"proj.{layer}", width, hidden)
            if layer % 2 == (depth - 1) % 2:
                block["ve"] = take(f"ve.{layer}", vocab, width)
                block["gate"] = take(f"gate.{layer}", self.heads, c["GATE_INPUTS"])
            window = 0 if layer + 1 == depth else c["WINDOWS"][layer % len(c["WINDOWS"])]
            back = seq[:, None] - seq[None, :]
            block["mask"] = (back >= 0) & (back < window) if window else None
            self.blocks.append(block)
        self.cos, self.sin = rotations(c["SEQ"], c["HEAD_DIM"], c["ROPE_BASE"])

    def norm(self, x):
        return F.rms_norm(x, x.shape[-1:], eps=1e-6)

    def forward(self, tokens, targets):
        x = x0 = self.norm(F.embedding(tokens, self.wte))
        for w in self.blocks:
            x = x * w["resid"] + x0 * w["x0"]
            h = self.norm(x)
            q, k, v = (F.linear(h, w[name]).unflatten(-1, (self.heads, -1)) for name in "qkv")
            q, k = (self.norm(rope(part, self.cos, self.sin)) for part in (q, k))
            if "ve" in w:
                gates = 2 * torch.sigmoid(F.linear(h[..., : self.c["GATE_INPUTS"]], w["gate"]))
                v = v + F.embedding(tokens, w["ve"]).unflatten(-1, (self.heads, -1)) * gates.unsqueeze(-1)
            x = x + F.linear(attend(q, k, v, w["mask"]), w["o"])
            x = x + F.linear(F.relu(F.linear(self.norm(x), w["fc"])).square(), w["proj"])
        cap = self.c["SOFTCAP"]
        logits = cap * torch.tanh(F.linear(self.norm(x), self.head) / cap)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def newton_schulz(x, steps):
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if tall else x


class Muon:
    """As in the guest's library: Nesterov momentum, orthogonalised, decoupled decay."""

    def __init__(self, matrices, c):
        self.matrices, self.c = [(w, torch.zeros_like(w)) for w in matrices], c

    @torch.no_grad()
    def step(self):
        momentum, lr = self.c["MOMENTUM"], self.c["MATRIX_LR"]
        for weight, velocity in self.matrices:
            velocity.lerp_(weight.grad, 1 - momentum)
            update = newton_schulz(weight.grad.lerp(velocity, momentum), self.c["NEWTON_STEPS"])
            weight.mul_(1 - lr * self.c["WEIGHT_DECAY"])
            weight.add_(update, alpha=-lr * max(1.0, weight.size(0) / weight.size(1)) ** 0.5)
            weight.grad = None


def constants(path):
    """`const NAME: type = value;` of a guest."""
    found = re.findall(r"^const (\w+): [^=]+= &?([^;]+);", open(path).read(), re.MULTILINE)
    return {name: json.loads(value) for name, value in found}


def adamw(groups, betas):
    return torch.optim.AdamW(groups, lr=1e-3, betas=betas, eps=1e-8, weight_decay=0.0, fused=True)


def build(name, weights, seed_guest):
    """Model, optimizers, [sequences, tokens per sequence]."""
    if name in SIZES:
        vocab, depth, width, heads, seq, batch = SIZES[name]
        model = Gpt(weights, vocab, depth, width, heads, seq)
        return model, [adamw(list(weights.named.values()), (0.8, 0.95))], (batch, seq)
    c = constants(seed_guest)
    model = SeedGuest(weights, c, 256)
    groups = [
        {"params": weights.group("wte", "ve"), "lr": c["EMBED_LR"]},
        {"params": weights.group("head"), "lr": c["HEAD_LR"]},
        {"params": weights.group("resid", "x0"), "lr": c["SCALAR_LR"]},
    ]
    muon = Muon(weights.group("q", "k", "v", "o", "fc", "proj", "gate"), c)
    return model, [muon, adamw(groups, (c["BETA1"], c["BETA2"]))], (c["BATCH"], c["SEQ"])


def faults():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_minflt + used.ru_majflt


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["eager", "compile"])
    parser.add_argument("size", choices=[*SIZES, "seed"])
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--seed-guest")
    parser.add_argument("--gradients")
    args = parser.parse_args()

    weights = Weights(f"{args.folder}/init_{args.size}.bin")
    model, optimizers, (batch, seq) = build(args.size, weights, args.seed_guest)
    assert weights.taken == len(weights.values), "the file holds other weights"
    data = np.fromfile(f"{args.folder}/tok_{args.size}.bin", "<u4").astype("int64")
    data = torch.from_numpy(data).view(-1, batch, seq + 1)
    loss_of = torch.compile(model) if args.mode == "compile" else model

    times, losses, faulted = [], [], []
    for step in range(args.warm_up + args.steps):
        rows = data[step % len(data)]
        tokens, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
        before, started = faults(), time.perf_counter()
        loss = loss_of(tokens, targets)
        loss.backward()
        if args.gradients:
            torch.cat([p.grad.flatten() for p in weights.named.values()]).numpy().astype("<f4").tofile(args.gradients)
            break
        for optimizer in optimizers:
            optimizer.step()
        for parameter in weights.named.values():
            parameter.grad = None
        losses.append(loss.item())
        if step >= args.warm_up:
            times.append(time.perf_counter() - started)
            faulted.append(faults() - before)
    seconds = float(np.median(times)) if times else 0.0
    line = {
        "impl": f"torch {args.mode}",
        "cfg": args.size,
        "ms": round(seconds * 1e3, 3),
        "tok_s": round(batch * seq / seconds) if seconds else 0,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "faults": float(np.median(faulted)) if faulted else 0,
        "losses": [round(x, 7) for x in losses[:8] + losses[-1:]],
    }
    print(json.dumps(line))


main()
