// The twin of tiny.rs: a bigram model with one hidden layer.
import {
  AdamW, crossEntropy, embedding, lab, linear, normal, parameter, parameters, reluSquared, rmsNorm, zeros,
} from './lab.js';

const [WIDTH, BATCH, SEQ, LR] = [16, 8, 32, 0.02];

function weights() {
  const { vocab, scale } = lab.task();
  const width = Math.trunc(WIDTH * scale);
  return [
    parameter('wte', () => normal([vocab, width])),
    parameter('fc', () => normal([2 * width, width], 0, 0.2)),
    parameter('proj', () => zeros(width, 2 * width)),
    parameter('head', () => zeros(vocab, width)),
  ];
}

export function model(tokens) {
  const [wte, fc, proj, head] = weights();
  const x = rmsNorm(embedding(wte, tokens));
  return linear(x.add(linear(reluSquared(linear(x, fc)), proj)), head);
}

export function train(lab) {
  weights();
  const adam = new AdamW(parameters(), LR);
  for (const { tokens, targets } of lab.batches(BATCH, SEQ)) {
    const loss = crossEntropy(model(tokens), targets);
    adam.update(loss.backward(), 1 - lab.progress());
    lab.log('loss', loss);
  }
  adam.dispose();
}
