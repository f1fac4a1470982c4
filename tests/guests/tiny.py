"""The twin of tiny.rs: a bigram model with one hidden layer."""

from lab import AdamW, cross_entropy, embedding, Lab, linear, nn, normal, relu_squared, rms_norm, zeros

WIDTH, BATCH, SEQ, LR = 16, 8, 32, 0.02


def parameters():
    task = Lab().task()
    width = int(WIDTH * task.scale)
    return (
        nn.parameter("wte", lambda: normal(task.vocab, width)),
        nn.parameter("fc", lambda: normal(2 * width, width, std=0.2)),
        nn.parameter("proj", lambda: zeros(width, 2 * width)),
        nn.parameter("head", lambda: zeros(task.vocab, width)),
    )


def model(tokens):
    wte, fc, proj, head = parameters()
    x = rms_norm(embedding(wte, tokens))
    return linear(x + linear(relu_squared(linear(x, fc)), proj), head)


def step(lab, adam, tokens, targets):
    loss = cross_entropy(model(tokens), targets)
    adam.step(loss.backward(), 1.0 - lab.progress())
    lab.log("loss", loss)


def train(lab):
    parameters()
    adam = AdamW(nn.parameters(), LR)
    for tokens, targets in lab.batches(BATCH, SEQ):
        step(lab, adam, tokens, targets)
