//! Every dtype through every op that takes it, on both executors, against plain Rust: casts and their edges, integers,
//! moves, halves as operands of products.

mod common;

use candle_core::Device;
use candle_executor::CandleExecutor;
use common::run;
use half::{bf16, f16};
use kernels::cpu::CpuExecutor;
use kernels::exec::Executor;
use kernels::fault::Fault;
use kernels::infer::infer;
use kernels::op::{Binary, Compare, Op};
use kernels::spec::{DType, Shape, Spec, Values};
use smallvec::smallvec;

fn executors() -> [Box<dyn Executor>; 2] {
    [Box::new(CpuExecutor::new(2, 7).unwrap()), Box::new(CandleExecutor::new(Device::Cpu, 7))]
}

fn operand(dims: &[u32], values: Values) -> (Spec, Values) {
    (Spec { shape: Shape::new(dims).unwrap(), dtype: values.dtype() }, values)
}

/// Both executors give exactly this.
#[track_caller]
fn gives(op: &Op, operands: &[(Spec, Values)], want: &Values) {
    for mut executor in executors() {
        let got = run(executor.as_mut(), op, operands).unwrap();
        assert_eq!(format!("{:?}", got[0]), format!("{want:?}"), "{} {op:?}", executor.class());
    }
}

/// Values of each dtype that say the same.
fn alike(numbers: &[u8]) -> Vec<Values> {
    let n = numbers;
    vec![
        Values::F32(n.iter().map(|&x| f32::from(x)).collect()),
        Values::U32(n.iter().map(|&x| u32::from(x)).collect()),
        Values::Bf16(n.iter().map(|&x| bf16::from_f32(f32::from(x)).to_bits()).collect()),
        Values::F16(n.iter().map(|&x| f16::from_f32(f32::from(x)).to_bits()).collect()),
        Values::U8(n.to_vec()),
        Values::I64(n.iter().map(|&x| i64::from(x)).collect()),
    ]
}

#[test]
fn casts_between_all_dtypes_keep_small_numbers() {
    let numbers = [0, 1, 2, 77, 128, 255];
    for from in alike(&numbers) {
        for to in alike(&numbers) {
            gives(&Op::Cast { to: to.dtype() }, &[operand(&[6], from.clone())], &to);
        }
        let truth = Values::Bool(numbers.iter().map(|&x| x != 0).collect());
        gives(&Op::Cast { to: DType::Bool }, &[operand(&[6], from)], &truth);
    }
    let flags = Values::Bool(vec![false, true]);
    for to in alike(&[0, 1]) {
        gives(&Op::Cast { to: to.dtype() }, &[operand(&[2], flags.clone())], &to);
    }
}

#[test]
fn casts_saturate_wrap_and_round_as_documented() {
    let floats = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.5, 2.5, 1e20, -0.0, 300.7];
    let x = || operand(&[8], Values::F32(floats.to_vec()));
    let cast = |to| Op::Cast { to };
    gives(&cast(DType::U8), &[x()], &Values::U8(vec![0, 255, 0, 0, 2, 255, 0, 255]));
    gives(&cast(DType::U32), &[x()], &Values::U32(vec![0, u32::MAX, 0, 0, 2, u32::MAX, 0, 300]));
    gives(&cast(DType::I64), &[x()], &Values::I64(vec![0, i64::MAX, i64::MIN, -1, 2, i64::MAX, 0, 300]));
    gives(&cast(DType::Bool), &[x()], &Values::Bool(vec![true, true, true, true, true, true, false, true]));
    gives(&cast(DType::Bf16), &[x()], &Values::Bf16(floats.map(|x| bf16::from_f32(x).to_bits()).to_vec()));
    gives(&cast(DType::F16), &[x()], &Values::F16(floats.map(|x| f16::from_f32(x).to_bits()).to_vec()));
    let integers = operand(&[4], Values::I64(vec![-1, 1 << 33, i64::MIN, 16_777_217]));
    gives(&cast(DType::U32), std::slice::from_ref(&integers), &Values::U32(vec![u32::MAX, 0, 0, 16_777_217]));
    gives(&cast(DType::U8), std::slice::from_ref(&integers), &Values::U8(vec![255, 0, 0, 1]));
    // Above the tie between two bf16, by less than an f32 holds.
    let beside = operand(&[2], Values::U32(vec![(1 << 25) + (1 << 17) + 1, (1 << 25) + (1 << 17)]));
    gives(&cast(DType::Bf16), &[beside], &Values::Bf16(vec![0x4c01, 0x4c00]));
    gives(&cast(DType::F32), &[integers], &Values::F32(vec![-1.0, (1u64 << 33) as f32, i64::MIN as f32, 16_777_216.0]));
}

#[test]
fn integers_wrap_and_division_by_zero_is_zero() {
    let (a, b) = (vec![7i64, -7, 7, -7, i64::MIN, 9, 1], vec![2i64, 2, -2, 0, -1, 64, 63]);
    let wanted: [(Binary, [i64; 7]); 10] = [
        (Binary::Add, [9, -5, 5, -7, i64::MAX, 73, 64]),
        (Binary::Sub, [5, -9, 9, -7, i64::MIN + 1, -55, -62]),
        (Binary::Mul, [14, -14, -14, 0, i64::MIN, 576, 63]),
        (Binary::Div, [3, -4, -4, 0, i64::MIN, 0, 0]),
        (Binary::Rem, [1, 1, -1, 0, 0, 9, 1]),
        (Binary::Maximum, [7, 2, 7, 0, -1, 64, 63]),
        (Binary::Minimum, [2, -7, -2, -7, i64::MIN, 9, 1]),
        (Binary::Xor, [5, -5, -7, -7, i64::MAX, 73, 62]),
        (Binary::Shl, [28, -28, 0, -7, 0, 0, i64::MIN]),
        (Binary::Shr, [1, -2, 0, -7, -1, 0, 0]),
    ];
    for (f, want) in wanted {
        let operands = [operand(&[7], Values::I64(a.clone())), operand(&[7], Values::I64(b.clone()))];
        gives(&Op::Binary(f), &operands, &Values::I64(want.to_vec()));
    }
    let bytes = |x: Vec<u8>| operand(&[2], Values::U8(x));
    gives(&Op::Binary(Binary::Mul), &[bytes(vec![200, 3]), bytes(vec![2, 3])], &Values::U8(vec![144, 9]));
    let words = |dims: &[u32], x: Vec<u32>| operand(dims, Values::U32(x));
    let table = [words(&[2, 1], vec![6, 9]), words(&[3], vec![4, 0, 5])];
    gives(&Op::Binary(Binary::Rem), &table, &Values::U32(vec![2, 0, 1, 1, 0, 4]));
    gives(&Op::Compare(Compare::Lt), &table, &Values::Bool(vec![false, false, false, false, false, false]));
    let flags = |x: Vec<bool>| operand(&[2], Values::Bool(x));
    let pair = [flags(vec![true, true]), flags(vec![false, true])];
    gives(&Op::Binary(Binary::Xor), &pair, &Values::Bool(vec![true, false]));
    gives(&Op::Compare(Compare::Eq), &pair, &Values::Bool(vec![false, true]));
}

#[test]
fn every_dtype_is_moved_and_picked() {
    for values in
        alike(&[1, 2, 3, 4, 5, 6]).into_iter().chain([Values::Bool(vec![true, false, true, true, false, false])])
    {
        let dtype = values.dtype();
        let x = || operand(&[2, 3], values.clone());
        let pick = |places: &[usize]| reorder(&values, places);
        gives(&Op::Permute { axes: smallvec![1, 0] }, &[x()], &pick(&[0, 3, 1, 4, 2, 5]));
        gives(&Op::Narrow { axis: 1, start: 1, len: 2 }, &[x()], &pick(&[1, 2, 4, 5]));
        gives(&Op::Cat { axis: 1 }, &[x(), x()], &pick(&[0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5]));
        gives(&Op::Reshape { shape: Shape::new(&[6]).unwrap() }, &[x()], &values);
        let padded =
            run(&mut CpuExecutor::new(1, 7).unwrap(), &Op::Pad { axis: 0, before: 1, after: 0 }, &[x()]).unwrap();
        gives(&Op::Pad { axis: 0, before: 1, after: 0 }, &[x()], &padded[0]);
        gives(&Op::Narrow { axis: 0, start: 1, len: 2 }, &[operand(&[3, 3], padded[0].clone())], &values);
        let indices = operand(&[2], Values::U32(vec![1, 0]));
        gives(&Op::Embedding, &[x(), indices], &pick(&[3, 4, 5, 0, 1, 2]));
        let places = operand(&[2, 1], Values::U32(vec![2, 0]));
        gives(&Op::Gather { axis: 1 }, &[x(), places], &pick(&[2, 3]));
        let condition = operand(&[3], Values::Bool(vec![true, false, true]));
        let other = operand(&[2, 3], pick(&[5, 4, 3, 2, 1, 0]));
        gives(&Op::Select, &[condition, x(), other], &pick(&[0, 4, 2, 3, 1, 5]));
        assert_eq!(x().0.bytes(), 6 * dtype.size());
    }
}

/// The values at `places`.
fn reorder(values: &Values, places: &[usize]) -> Values {
    fn at<T: Copy>(v: &[T], places: &[usize]) -> Vec<T> {
        places.iter().map(|&place| v[place]).collect()
    }
    match values {
        Values::F32(v) => Values::F32(at(v, places)),
        Values::U32(v) => Values::U32(at(v, places)),
        Values::Bf16(v) => Values::Bf16(at(v, places)),
        Values::F16(v) => Values::F16(at(v, places)),
        Values::U8(v) => Values::U8(at(v, places)),
        Values::I64(v) => Values::I64(at(v, places)),
        Values::Bool(v) => Values::Bool(at(v, places)),
    }
}

#[test]
fn integers_are_sorted_by_value() {
    let x = || operand(&[5], Values::I64(vec![3, -1, i64::MIN, 3, i64::MAX]));
    gives(&Op::ArgSort { descending: false }, &[x()], &Values::U32(vec![2, 1, 0, 3, 4]));
    gives(&Op::ArgSort { descending: true }, &[x()], &Values::U32(vec![4, 0, 3, 1, 2]));
    gives(&Op::ArgMax { axis: 0 }, &[x()], &Values::U32(vec![4]));
}

#[test]
fn halves_are_multiplied_as_the_f32_that_they_are() {
    let numbers: Vec<f32> = (0..35).map(|i| ((i * 37 % 19) as f32 - 9.0) / 7.0).collect();
    let product = Op::MatMul { transpose_a: false, transpose_b: true };
    for to in [DType::Bf16, DType::F16] {
        for mut executor in executors() {
            let executor = executor.as_mut();
            let x = operand(&[5, 7], Values::F32(numbers.clone()));
            let half = run(executor, &Op::Cast { to }, std::slice::from_ref(&x)).unwrap().remove(0);
            let half = operand(&[5, 7], half);
            let wide = run(executor, &Op::Cast { to: DType::F32 }, std::slice::from_ref(&half)).unwrap().remove(0);
            let wide = operand(&[5, 7], wide);
            let want = run(executor, &product, &[wide.clone(), wide.clone()]).unwrap();
            assert_eq!(run(executor, &product, &[half.clone(), half.clone()]).unwrap(), want);
            assert_eq!(run(executor, &product, &[half.clone(), wide]).unwrap(), want);
            assert_ne!(run(executor, &product, &[x.clone(), x]).unwrap(), want, "rounding shows");
        }
    }
}

#[test]
fn what_an_op_does_not_take_is_refused_by_name() {
    let spec = |dtype| Spec { shape: Shape::new(&[2, 2]).unwrap(), dtype };
    let says = |op: Op, inputs: &[DType]| {
        let specs: Vec<Spec> = inputs.iter().map(|d| spec(*d)).collect();
        let refs: Vec<&Spec> = specs.iter().collect();
        match infer(&op, &refs) {
            Err(fault @ Fault::Shape { .. }) => fault.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        says(Op::Binary(Binary::Add), &[DType::Bf16, DType::Bf16]),
        "add of [2,2] bf16 and [2,2] bf16: operand 1 is bf16, it must be f32, u32, u8 or i64"
    );
    assert_eq!(
        says(Op::Binary(Binary::Add), &[DType::U32, DType::I64]),
        "add of [2,2] u32 and [2,2] i64: operand 2 is i64, it must be u32"
    );
    assert!(says(Op::Binary(Binary::Rem), &[DType::F32; 2]).ends_with("it must be u32, u8 or i64"));
    assert!(says(Op::Binary(Binary::Pow), &[DType::U32; 2]).ends_with("it must be f32"));
    assert!(says(Op::Select, &[DType::U8, DType::F32, DType::F32]).ends_with("operand 1 is u8, it must be bool"));
    assert!(says(Op::Select, &[DType::Bool, DType::F32, DType::U8]).ends_with("operand 3 is u8, it must be f32"));
    assert!(says(Op::Gather { axis: 0 }, &[DType::F32, DType::I64]).ends_with("operand 2 is i64, it must be u32"));
    assert!(says(Op::Softmax, &[DType::F16]).ends_with("operand 1 is f16, it must be f32"));
    assert!(says(Op::MatMul { transpose_a: false, transpose_b: false }, &[DType::U8; 2]).ends_with("f32, bf16 or f16"));
}
