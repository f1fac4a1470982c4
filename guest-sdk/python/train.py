"""A GPT in a page, after nanoGPT. Try it: host try guest-sdk/python/train.py"""

from lab import AdamW, attention, cross_entropy, gelu, Lab, nn, rms_norm, rope, softcap

n_layer, n_head, n_embd = 2, 3, 96  # the model
batch_size, block_size = 16, 192  # tokens of a step
learning_rate, min_lr, decay_share = 6e-3, 0.05, 0.5  # AdamW, and how the rate falls at the end
betas, weight_decay = (0.8, 0.95), 0.1


class CausalSelfAttention:
    def __init__(self, name):
        self.c_attn = nn.Linear(f"{name}.c_attn", n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(f"{name}.c_proj", n_embd, n_embd, std=0.0)

    def __call__(self, x):
        q, k, v = (part.heads(n_embd // n_head) for part in self.c_attn(x).split(n_embd))
        q, k = rms_norm(rope(q)), rms_norm(rope(k))  # positions are rotations
        return self.c_proj(attention(q, k, v).merge_heads())


class MLP:
    def __init__(self, name):
        self.c_fc = nn.Linear(f"{name}.c_fc", n_embd, 4 * n_embd)
        self.c_proj = nn.Linear(f"{name}.c_proj", 4 * n_embd, n_embd, std=0.0)

    def __call__(self, x):
        return self.c_proj(gelu(self.c_fc(x)))


class Block:
    def __init__(self, name):
        self.attn, self.mlp = CausalSelfAttention(f"{name}.attn"), MLP(f"{name}.mlp")

    def __call__(self, x):
        x = x + self.attn(rms_norm(x))
        return x + self.mlp(rms_norm(x))


class GPT:
    def __init__(self, vocab_size):
        self.wte = nn.Embedding("wte", vocab_size, n_embd)
        self.h = [Block(f"h{layer}") for layer in range(n_layer)]
        self.lm_head = nn.Linear("lm_head", n_embd, vocab_size, std=0.001)

    def __call__(self, idx):
        x = rms_norm(self.wte(idx))
        for block in self.h:
            x = block(x)
        return softcap(self.lm_head(rms_norm(x)), 15.0)


def lr_at(progress):
    """The learning rate's factor: 1, then a line down to `min_lr` over the last part of the budget."""
    return min_lr + (1.0 - min_lr) * min(1.0, (1.0 - progress) / decay_share)


def train(lab):
    model = GPT(lab.task().vocab)
    optimizer = AdamW(nn.parameters(), learning_rate, betas, weight_decay=weight_decay)
    for x, y in lab.batches(batch_size, block_size):
        loss = cross_entropy(model(x), y)
        optimizer.step(loss.backward(), lr_at(lab.progress()))
        lab.log("loss", loss)


def model(tokens):
    return GPT(Lab().task().vocab)(tokens)
