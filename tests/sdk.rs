//! The SDK inside a guest: every function compared with plain loops, and named state of every dtype from training to
//! the exported model.

use crate::common::{Place, guest};
use kernels::spec::{DType, Values};
use nightlab::record::outcome::Status;
use nightlab::record::store::Model;
use nightlab::sandbox::RunSpec;
use std::ops::ControlFlow;

#[test]
fn functions_agree_with_plain_loops_and_state_of_every_dtype_is_kept() {
    let place = Place::new();
    let run = place.run(&place.compile(&guest("guests/sdk")), 1);
    assert_eq!(run.outcome.status, Status::Completed);
    assert!(run.outcome.score.unwrap().bpb < place.bench.task.unigram_bpb);

    let record = place.bench.store.find_experiment(&run.key).unwrap().unwrap();
    let Model::Kept(state) = place.bench.store.model(&record).unwrap() else { panic!("its model is gone") };
    let of = |name: &str| state.tensors.iter().find(|(n, ..)| n == name).map(|(_, _, _, values)| values.clone());
    assert_eq!(of("shift.bf16"), Some(Values::Bf16(vec![0, 0x3f80, 0x4020])));
    assert_eq!(of("shift.f16"), Some(Values::F16(vec![0, 0x3c00, 0x4100])));
    assert_eq!(of("count.u8"), Some(Values::U8(vec![0, 1, 2])));
    assert_eq!(of("count.u32"), Some(Values::U32(vec![0, 1, 2])));
    assert_eq!(of("count.i64"), Some(Values::I64(vec![0, 1, 2])));
    assert_eq!(of("flag.bool"), Some(Values::Bool(vec![false, true, true])));

    let exported = nightlab::record::safetensors::of_state(&state).unwrap();
    let exported = safetensors::SafeTensors::deserialize(&exported).unwrap();
    for (name, _, spec, _) in &state.tensors {
        let tensor = exported.tensor(name).unwrap();
        assert_eq!(tensor.data().len() as u64, spec.bytes(), "{name}");
        let expected = match spec.dtype {
            DType::F32 => safetensors::Dtype::F32,
            DType::U32 => safetensors::Dtype::U32,
            DType::Bf16 => safetensors::Dtype::BF16,
            DType::F16 => safetensors::Dtype::F16,
            DType::U8 => safetensors::Dtype::U8,
            DType::I64 => safetensors::Dtype::I64,
            DType::Bool => safetensors::Dtype::BOOL,
        };
        assert_eq!(tensor.dtype(), expected, "{name}");
    }
}

#[test]
fn a_mistake_is_told_with_the_operation_and_the_guests_line() {
    let place = Place::new();
    let text = guest("guests/mistakes");
    let component = place.compile(&text);
    let mistakes = text.lines().zip(1..).filter_map(|(line, number)| Some((number, line.split_once("), // ")?.1)));
    let mut made = 0;
    for (context, (line, said)) in (1..).zip(mistakes) {
        let spec = RunSpec { context, ..place.bench.spec.clone() };
        let Err(Status::GuestFault { message, .. }) =
            place.bench.sandbox.dry_run(component.bytes(), &spec, &mut || ControlFlow::Continue(()))
        else {
            panic!("mistake {context} passes: {said}");
        };
        assert!(message.starts_with(said), "mistake {context}: {message}");
        assert!(message.contains(&format!("at train.rs:{line}:")), "mistake {context} is in line {line}: {message}");
        made += 1;
    }
    assert!(made > 30, "{made} mistakes");
}
