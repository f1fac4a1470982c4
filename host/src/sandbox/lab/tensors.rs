//! The interface `tensors`: each function is one line of a table, in the contract's order.

use crate::sandbox::lab::interface::{Interface, charge, hand_out};
use crate::sandbox::lab::state::Reply;
use crate::sandbox::lab::types::{Adamw, BinaryOp, CompareOp, Dtype, Handle, Lifted, ReduceOp, Tensor, UnaryOp};
use kernels::fault::Fault;
use kernels::op::{AdamW, Attention, Loss, Op};
use kernels::spec::{Shape, Values};
use wasmtime::component::ResourceType;

fn shape(op: &'static str, sizes: &[u32]) -> Reply<Shape> {
    Ok(Shape::new(sizes).map_err(|source| Fault::Size { op, source })?)
}

pub(super) fn link(api: &mut Interface<'_>) -> Reply<()> {
    api.0.resource("tensor", ResourceType::host::<Tensor>(), |mut cx, rep| {
        let state = cx.data_mut();
        let id = state.handles.delete(rep)?;
        state.session.release(id);
        Ok(())
    })?;
    looks(api)?;
    creation(api)?;
    shapes(api)?;
    elementwise(api)?;
    reductions(api)?;
    indexing(api)?;
    fused(api)?;
    in_place(api)
}

fn looks(api: &mut Interface<'_>) -> Reply<()> {
    api.define("[method]tensor.shape", |cx, (x,): (Handle,)| {
        let state = cx.data();
        Ok(state.session.spec(state.id(&x)?)?.shape.dims().to_vec())
    })?;
    api.define("[method]tensor.dtype", |cx, (x,): (Handle,)| {
        let state = cx.data();
        Ok(Dtype::from(state.session.spec(state.id(&x)?)?.dtype))
    })?;
    api.define("[method]tensor.read", |cx, (x,): (Handle,)| {
        let id = cx.data().id(&x)?;
        let values = cx.data_mut().session.read(id)?;
        charge(cx, values.fuel())?;
        Ok(values)
    })
}

fn creation(api: &mut Interface<'_>) -> Reply<()> {
    api.op("full", |_, (sizes, value): (Vec<u32>, f32)| {
        Ok((Op::Full { shape: shape("full", &sizes)?, value }, vec![]))
    })?;
    api.op("arange", |_, (len,): (u32,)| Ok((Op::Arange { len }, vec![])))?;
    api.define("from-f32", |cx, (sizes, values): (Vec<u32>, Vec<f32>)| {
        let id = cx.data_mut().session.constant(&sizes, Values::F32(values))?;
        hand_out(cx, id)
    })?;
    api.define("from-u32", |cx, (sizes, values): (Vec<u32>, Vec<u32>)| {
        let id = cx.data_mut().session.constant(&sizes, Values::U32(values))?;
        hand_out(cx, id)
    })?;
    api.define("from-i64", |cx, (sizes, values): (Vec<u32>, Vec<i64>)| {
        let id = cx.data_mut().session.constant(&sizes, Values::I64(values))?;
        hand_out(cx, id)
    })?;
    api.op("uniform", |_, (stream, sizes, low, high): (u32, Vec<u32>, f32, f32)| {
        Ok((Op::Uniform { shape: shape("uniform", &sizes)?, low, high, stream, position: 0 }, vec![]))
    })?;
    api.op("normal", |_, (stream, sizes, mean, std): (u32, Vec<u32>, f32, f32)| {
        Ok((Op::Normal { shape: shape("normal", &sizes)?, mean, std, stream, position: 0 }, vec![]))
    })?;
    api.op("cast", |state, (x, to): (Handle, Dtype)| Ok((Op::Cast { to: to.into() }, vec![state.id(&x)?])))
}

fn shapes(api: &mut Interface<'_>) -> Reply<()> {
    api.op("reshape", |state, (x, sizes): (Handle, Vec<u32>)| {
        Ok((Op::Reshape { shape: shape("reshape", &sizes)? }, vec![state.id(&x)?]))
    })?;
    api.op("permute", |state, (x, axes): (Handle, Vec<u32>)| {
        Ok((Op::Permute { axes: axes.into() }, vec![state.id(&x)?]))
    })?;
    api.op("narrow", |state, (x, axis, start, len): (Handle, u32, u32, u32)| {
        Ok((Op::Narrow { axis, start, len }, vec![state.id(&x)?]))
    })?;
    api.op("pad", |state, (x, axis, before, after): (Handle, u32, u32, u32)| {
        Ok((Op::Pad { axis, before, after }, vec![state.id(&x)?]))
    })?;
    api.op("cat", |state, (parts, axis): (Vec<Handle>, u32)| Ok((Op::Cat { axis }, state.ids(&parts)?)))?;
    api.op("expand", |state, (x, sizes): (Handle, Vec<u32>)| {
        Ok((Op::Expand { shape: shape("expand", &sizes)? }, vec![state.id(&x)?]))
    })
}

fn elementwise(api: &mut Interface<'_>) -> Reply<()> {
    api.op("unary", |state, (op, x): (UnaryOp, Handle)| Ok((Op::Unary(op.into()), vec![state.id(&x)?])))?;
    api.op("binary", |state, (op, a, b): (BinaryOp, Handle, Handle)| {
        Ok((Op::Binary(op.into()), vec![state.id(&a)?, state.id(&b)?]))
    })?;
    api.op("compare", |state, (op, a, b): (CompareOp, Handle, Handle)| {
        Ok((Op::Compare(op.into()), vec![state.id(&a)?, state.id(&b)?]))
    })?;
    api.op("select", |state, (condition, a, b): (Handle, Handle, Handle)| {
        Ok((Op::Select, vec![state.id(&condition)?, state.id(&a)?, state.id(&b)?]))
    })?;
    api.op("affine", |state, (x, mul, add): (Handle, f32, f32)| Ok((Op::Affine { mul, add }, vec![state.id(&x)?])))?;
    api.op("softcap", |state, (x, cap): (Handle, f32)| Ok((Op::Softcap { cap }, vec![state.id(&x)?])))
}

fn reductions(api: &mut Interface<'_>) -> Reply<()> {
    api.op("reduce", |state, (op, x, axes, keep): (ReduceOp, Handle, Vec<u32>, bool)| {
        let x = state.id(&x)?;
        let axes = state.axes(x, axes)?.into();
        let op = match op {
            ReduceOp::Sum => Op::Sum { axes, keep },
            ReduceOp::Mean => Op::Mean { axes, keep },
            ReduceOp::Max => Op::Max { axes, keep },
            ReduceOp::Min => Op::Min { axes, keep },
        };
        Ok((op, vec![x]))
    })?;
    api.op("cumsum", |state, (x, axis, reverse): (Handle, u32, bool)| {
        Ok((Op::CumSum { axis, reverse }, vec![state.id(&x)?]))
    })?;
    api.op("softmax", |state, (x,): (Handle,)| Ok((Op::Softmax, vec![state.id(&x)?])))?;
    api.op("logsumexp", |state, (x,): (Handle,)| Ok((Op::LogSumExp, vec![state.id(&x)?])))
}

fn indexing(api: &mut Interface<'_>) -> Reply<()> {
    api.op("argmax", |state, (x, axis): (Handle, u32)| Ok((Op::ArgMax { axis }, vec![state.id(&x)?])))?;
    api.op("argsort", |state, (x, descending): (Handle, bool)| Ok((Op::ArgSort { descending }, vec![state.id(&x)?])))?;
    api.op("embedding", |state, (table, indices): (Handle, Handle)| {
        Ok((Op::Embedding, vec![state.id(&table)?, state.id(&indices)?]))
    })?;
    api.op("gather", |state, (x, axis, indices): (Handle, u32, Handle)| {
        Ok((Op::Gather { axis }, vec![state.id(&x)?, state.id(&indices)?]))
    })?;
    api.op("scatter-add", |state, (x, axis, indices, values): (Handle, u32, Handle, Handle)| {
        Ok((Op::ScatterAdd { axis }, vec![state.id(&x)?, state.id(&indices)?, state.id(&values)?]))
    })
}

fn fused(api: &mut Interface<'_>) -> Reply<()> {
    api.op("matmul", |state, (a, b, transpose_a, transpose_b): (Handle, Handle, bool, bool)| {
        Ok((Op::MatMul { transpose_a, transpose_b }, vec![state.id(&a)?, state.id(&b)?]))
    })?;
    api.op("rms-norm", |state, (x, eps): (Handle, f32)| Ok((Op::RmsNorm { eps }, vec![state.id(&x)?])))?;
    api.op("layer-norm", |state, (x, eps): (Handle, f32)| Ok((Op::LayerNorm { eps }, vec![state.id(&x)?])))?;
    api.op("rope", |state, (x, base): (Handle, f32)| Ok((Op::Rope { base, inverse: false }, vec![state.id(&x)?])))?;
    api.op("attention", |state, (q, k, v, causal, window, scale): (Handle, Handle, Handle, bool, u32, f32)| {
        let how = Attention { causal, window, scale };
        Ok((Op::Attention(how), vec![state.id(&q)?, state.id(&k)?, state.id(&v)?]))
    })?;
    api.op("cross-entropy", |state, (logits, targets, softcap, z_loss): (Handle, Handle, f32, f32)| {
        Ok((Op::CrossEntropy(Loss { softcap, z_loss }), vec![state.id(&logits)?, state.id(&targets)?]))
    })?;
    api.op(
        "linear-cross-entropy",
        |state, (x, weight, targets, softcap, z_loss): (Handle, Handle, Handle, f32, f32)| {
            let op = Op::LinearCrossEntropy { loss: Loss { softcap, z_loss }, gradients: false };
            Ok((op, vec![state.id(&x)?, state.id(&weight)?, state.id(&targets)?]))
        },
    )?;
    api.op("newton-schulz", |state, (x, steps): (Handle, Vec<(f32, f32, f32)>)| {
        let coefficients = steps.into_iter().map(|(a, b, c)| [a, b, c]).collect();
        Ok((Op::NewtonSchulz { coefficients }, vec![state.id(&x)?]))
    })
}

fn in_place(api: &mut Interface<'_>) -> Reply<()> {
    api.command("assign", |cx, (x, value): (Handle, Handle)| {
        let state = cx.data_mut();
        let (x, value) = (state.id(&x)?, state.id(&value)?);
        Ok(state.session.assign(x, value)?)
    })?;
    api.command("blend", |cx, (x, keep, value, scale): (Handle, f32, Handle, f32)| {
        let state = cx.data_mut();
        let (x, value) = (state.id(&x)?, state.id(&value)?);
        Ok(state.session.blend(x, keep, value, scale)?)
    })?;
    api.command("adamw-step", |cx, (x, grad, m, v, how): (Handle, Handle, Handle, Handle, Adamw)| {
        let state = cx.data_mut();
        let (x, grad, m, v) = (state.id(&x)?, state.id(&grad)?, state.id(&m)?, state.id(&v)?);
        let Adamw { lr, beta1, beta2, eps, weight_decay, step } = how;
        Ok(state.session.adamw(x, grad, m, v, AdamW { lr, beta1, beta2, eps, weight_decay, step })?)
    })
}
