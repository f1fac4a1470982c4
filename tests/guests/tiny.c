// The twin of tiny.rs: a bigram model with one hidden layer.
#include "lab.h"

enum { WIDTH = 16, BATCH = 8, SEQ = 32, PARAMETERS = 4 };
static const float LR = 0.02f;

static tensor model(tensor tokens, const tensor *w) {
    tensor x = rms_norm(embedding(w[0], tokens));
    tensor hidden = unary(RELU_SQUARED, linear(x, w[1]));
    return linear(add(x, linear(hidden, w[2])), w[3]);
}

void train(void) {
    struct task t = task();
    uint32_t width = (uint32_t)((float)WIDTH * t.scale);
    uint32_t shapes[PARAMETERS][2] = {{t.vocab, width}, {2 * width, width}, {width, 2 * width}, {t.vocab, width}};
    tensor w[PARAMETERS], first[PARAMETERS], second[PARAMETERS];
    size_t mark = noted();
    w[0] = parameter("wte", normal(shapes[0], 2, 0, 1));
    w[1] = parameter("fc", normal(shapes[1], 2, 0, 0.2f));
    w[2] = parameter("proj", zeros(shapes[2], 2));
    w[3] = parameter("head", zeros(shapes[3], 2));
    for (int i = 0; i < PARAMETERS; i++) {
        tensor none = zeros(shapes[i], 2);
        first[i] = variable(none);
        second[i] = variable(none);
    }
    release(mark);
    struct batch batch;
    for (uint32_t step = 1; next_batch(BATCH, SEQ, &batch); step++) {
        tensor loss = cross_entropy(model(batch.tokens, w), batch.targets), gradients[PARAMETERS];
        backward(loss, w, PARAMETERS, gradients);
        float rate = LR * (1 - progress());
        for (int i = 0; i < PARAMETERS; i++)
            lab_adamw_step(w[i], gradients[i], first[i], second[i], rate, 0.9f, 0.95f, 1e-8f, 0, step);
        log_value("loss", loss);
        release(mark);
    }
    for (int i = 0; i < PARAMETERS; i++) {
        lab_drop(first[i]);
        lab_drop(second[i]);
    }
}

tensor forward(tensor tokens) {
    tensor w[PARAMETERS] = {weight("wte"), weight("fc"), weight("proj"), weight("head")};
    return model(tokens, w);
}
