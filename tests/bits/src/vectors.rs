//! Small cases of every op with operands and results in full, for authors of another implementation.

use crate::cases::{self, Case};
use crate::{RANDOM_SEED, Variant};
use kernels::fault::Fault;
use kernels::spec::Values;
use std::fmt::Write;

/// How many small cases of one op are shown.
const SHOWN: usize = 2;

/// For each case a line with the op and one line for each operand and result: its sizes and the bits of its elements in
/// hexadecimal. Results are what the op makes, then what it leaves in the operands that it writes.
pub fn text() -> Result<String, Fault> {
    let executor = Variant::plain().executor()?;
    let mut shown: Vec<Case> = Vec::new();
    for case in cases::all().into_iter().filter(|case| case.readable) {
        if shown.iter().filter(|other| other.op.name() == case.op.name()).count() < SHOWN {
            shown.push(case);
        }
    }
    let mut text = format!("random seed {RANDOM_SEED}\n");
    for case in shown {
        let results = case.run(&mut executor.sibling(RANDOM_SEED))?;
        let _ = writeln!(text, "\n{} {:?}", case.op.name(), case.op);
        for (spec, values) in &case.inputs {
            line(&mut text, &format!("in {spec}"), values);
        }
        if let Some(values) = &case.data {
            line(&mut text, "data", values);
        }
        for (spec, values) in &results {
            line(&mut text, &format!("out {spec}"), values);
        }
    }
    Ok(text)
}

fn line(text: &mut String, what: &str, values: &Values) {
    let elements: String = match values {
        Values::F32(values) => values.iter().map(|x| format!(" {:08x}", x.to_bits())).collect(),
        Values::U32(values) => values.iter().map(|x| format!(" {x:08x}")).collect(),
        Values::Bf16(values) | Values::F16(values) => values.iter().map(|x| format!(" {x:04x}")).collect(),
        Values::U8(values) => values.iter().map(|x| format!(" {x:02x}")).collect(),
        Values::I64(values) => values.iter().map(|x| format!(" {x:016x}")).collect(),
        Values::Bool(values) => values.iter().map(|x| format!(" {}", u8::from(*x))).collect(),
    };
    let _ = writeln!(text, "  {what}:{elements}");
}
