// What a guest in JavaScript is written against: tensors, layers, optimizers and the run itself.
//
// A guest exports two functions: `train(lab)` and `model(tokens)`. Tensors live in the host. Every function here is one
// operation there, unless it says otherwise; docs/mutations.md and guest-sdk/wit/0.2.0/lab.wit say what each costs.
//
// A tensor is a handle, which the host frees when it is disposed of. `lab.batches` does that at the end of each step,
// for everything that the step has made.
import * as autograd from 'lab:train/autograd@0.2.0';
import * as session from 'lab:train/session@0.2.0';
import * as state from 'lab:train/state@0.2.0';
import * as tensors from 'lab:train/tensors@0.2.0';

const dispose = Symbol.dispose ?? Symbol.for('dispose');
const f32 = Math.fround;
let made = [];

function note(handle) {
  const tensor = new Tensor(handle);
  made.push(tensor);
  return tensor;
}

/** A handle to a tensor in the host. */
export class Tensor {
  constructor(handle) {
    this.handle = handle;
  }
  get shape() {
    return Array.from(this.handle.shape());
  }
  /** The values. A guest that reads has no behaviour key; in a dry run they are zeros. */
  read() {
    return this.handle.read();
  }
  // Each takes a tensor or a number.
  add(other) {
    return typeof other === 'number' ? affine(this, 1, other) : binary('add', this, other);
  }
  sub(other) {
    return typeof other === 'number' ? affine(this, 1, -other) : binary('sub', this, other);
  }
  mul(other) {
    return typeof other === 'number' ? affine(this, other, 0) : binary('mul', this, other);
  }
  div(other) {
    return typeof other === 'number' ? affine(this, f32(1 / f32(other)), 0) : binary('div', this, other);
  }
  reshape(...shape) {
    return note(tensors.reshape(this.handle, new Uint32Array(shape)));
  }
  permute(...axes) {
    return note(tensors.permute(this.handle, new Uint32Array(axes)));
  }
  narrow(axis, start, length) {
    return note(tensors.narrow(this.handle, axis, start, length));
  }
  /** [b, t, h * dim] -> [b, t, h, dim] */
  heads(dim) {
    const [rows, time, width] = this.shape;
    return this.reshape(rows, time, width / dim, dim);
  }
  /** [b, t, h, dim] -> [b, t, h * dim] */
  mergeHeads() {
    const [rows, time, heads, dim] = this.shape;
    return this.reshape(rows, time, heads * dim);
  }
  /** The gradients by all parameters, in the order in which they were made. */
  backward() {
    const wrt = parameters().map((parameter) => parameter.handle);
    return Array.from(autograd.backward(this.handle, wrt), note);
  }
  assign(value) {
    tensors.assign(this.handle, value.handle);
  }
  blend(keep, value, scale) {
    tensors.blend(this.handle, keep, value.handle, scale);
  }
}

export const unary = (op, x) => note(tensors.unary(op, x.handle));
export const binary = (op, a, b) => note(tensors.binary(op, a.handle, b.handle));
/** x * mul + add */
export const affine = (x, mul, add) => note(tensors.affine(x.handle, mul, add));
export const full = (shape, value) => note(tensors.full(new Uint32Array(shape), value));
export const zeros = (...shape) => full(shape, 0);
export const normal = (shape, mean = 0, std = 1, stream = 0) =>
  note(tensors.normal(stream, new Uint32Array(shape), mean, std));
export const uniform = (shape, low, high, stream = 0) =>
  note(tensors.uniform(stream, new Uint32Array(shape), low, high));
export const cat = (parts, axis) => note(tensors.cat(parts.map((part) => part.handle), axis));
export const matmul = (a, b, transposeA = false, transposeB = false) =>
  note(tensors.matmul(a.handle, b.handle, transposeA, transposeB));
/** x weight^T: [.., k] with weight [n, k] -> [.., n] */
export const linear = (x, weight) => matmul(x, weight, false, true);
export const embedding = (table, indices) => note(tensors.embedding(table.handle, indices.handle));
export const gelu = (x) => unary('gelu', x);
export const reluSquared = (x) => unary('relu-squared', x);
export const softcap = (x, cap) => note(tensors.softcap(x.handle, cap));
export const rmsNorm = (x, eps = 1e-6) => note(tensors.rmsNorm(x.handle, eps));
export const rope = (x, base = 10000) => note(tensors.rope(x.handle, base));
/** Causal attention by heads: q [b, t, h, d]; k, v [b, t, g, d]. Window 0 sees everything before. */
export const attention = (q, k, v, window = 0) =>
  note(tensors.attention(q.handle, k.handle, v.handle, true, window, 1 / Math.sqrt(q.shape[3])));
export const crossEntropy = (logits, targets, cap = 0, zLoss = 0) =>
  note(tensors.crossEntropy(logits.handle, targets.handle, cap, zLoss));

const declared = new Map();

/** The parameter of that name. `init` makes its first value, if it has none yet. */
export function parameter(name, init) {
  if (!declared.has(name)) {
    const handle = state.get(name) ?? state.parameter(name, init().handle);
    declared.set(name, new Tensor(handle));
  }
  return declared.get(name);
}

export const parameters = () => [...declared.values()];

/** Adam with bias-corrected moments and decoupled weight decay (Loshchilov and Hutter, 2017). */
export class AdamW {
  constructor(parameters, lr, { beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weightDecay = 0 } = {}) {
    Object.assign(this, { lr, beta1, beta2, eps, weightDecay, step: 0 });
    this.moments = parameters.map((parameter) => {
      const none = zeros(...parameter.shape);
      return { parameter, first: state.variable(none.handle), second: state.variable(none.handle) };
    });
  }
  /** Frees the moments, which nothing else does before the run ends. */
  dispose() {
    this.moments.forEach(({ first, second }) => [first, second].forEach((moment) => moment[dispose]()));
    this.moments = [];
  }
  /** One update at `factor` times the learning rate. */
  update(grads, factor = 1) {
    this.step += 1;
    const { beta1, beta2, eps, weightDecay, step } = this;
    const how = { lr: f32(f32(this.lr) * f32(factor)), beta1, beta2, eps, weightDecay, step };
    this.moments.forEach(({ parameter, first, second }, i) =>
      tensors.adamwStep(parameter.handle, grads[i].handle, first, second, how),
    );
  }
}

/** One training run. There is no clock: schedules are made of `progress`. */
export const lab = {
  /** vocab, context and scale */
  task: () => session.task(),
  /** Share of the budget used, 0 to 1 */
  progress: () => f32(session.progress()),
  log: (key, value) => session.log(key, value.handle),
  /** Batches of tokens and targets, [rows, time] of each, until the budget is used up. */
  *batches(rows, time) {
    for (;;) {
      made.forEach((tensor) => tensor.handle[dispose]());
      made = [];
      const batch = session.nextBatch(rows, time);
      if (batch === undefined || batch === null) return;
      yield { tokens: note(batch.tokens), targets: note(batch.targets) };
    }
  },
};
