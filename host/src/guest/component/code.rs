//! Validates untrusted code, and bounds what it takes to compile it. A compiler's time and memory grow with a
//! function's variables times its branches: each may have another value after each. They grow with the square of a
//! function's blocks too. The bounds are several times what an interpreter has; without them, a megabyte of code takes
//! minutes and gigabytes. Pure.

use wasmparser::{
    BinaryReaderError, CompositeInnerType, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, Parser,
    Payload, ValidPayload, Validator, ValidatorResources, WasmFeatures, WasmModuleResources,
};

/// Functions of all modules together. SpiderMonkey and CPython have 27 thousand.
pub const MOST_FUNCTIONS: u64 = 100_000;
/// Bytes of a function. The largest one of CPython has 427 kB.
pub const MOST_BODY_BYTES: u64 = 1 << 20;
/// Parameters and results of a function or block, together. CPython has 18.
pub const MOST_VALUES: usize = 32;
/// Variables (parameters and locals) times branches of a function. SpiderMonkey has up to 0.7 million; a million takes
/// a third of a second.
pub const MOST_STATES: u64 = 4_000_000;
/// The same of all functions together. SpiderMonkey has 30 million.
pub const MOST_STATES_IN_ALL: u64 = 80_000_000;
/// Blocks of a function, with those that the compiler makes of other instructions. CPython has 16,511.
pub const MOST_BLOCKS: u64 = 40_000;
/// The squares of these, of all functions together. SpiderMonkey has 1.1 thousand million; as many as this take 5 to 15
/// seconds.
pub const MOST_BLOCK_SQUARES: u64 = 3_000_000_000;

/// Why code is refused.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    #[error(transparent)]
    Invalid(#[from] BinaryReaderError),
    /// Beyond a bound.
    #[error("{0}")]
    TooComplex(String),
}

/// WebAssembly 2.0 with the features that compilers enable by default; the engine of [`crate::sandbox`] accepts the
/// same. No relaxed SIMD, threads, 64-bit or multiple memories, tail calls, exceptions or garbage collection, of which
/// `externref` is a part here.
fn features() -> WasmFeatures {
    (WasmFeatures::WASM2 | WasmFeatures::EXTENDED_CONST | WasmFeatures::COMPONENT_MODEL) - WasmFeatures::GC_TYPES
}

/// Validates a module or component with its nested ones.
///
/// # Errors
/// It is invalid, or beyond a bound.
pub fn validate(bytes: &[u8]) -> Result<(), CodeError> {
    let mut validator = Validator::new_with_features(features());
    let (mut functions, mut all) = (Vec::new(), Size::default());
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload?;
        if let Payload::TypeSection(types) = &payload {
            for ty in types.clone().into_iter_err_on_gc_types() {
                let ty = ty?;
                within("values are passed to or from a function", ty.params().len() + ty.results().len(), MOST_VALUES)?;
            }
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            all.add(&function, &body)?;
            functions.push((function, body));
        }
    }
    let mut room = FuncValidatorAllocations::default();
    for (function, body) in functions {
        let mut validator = function.into_validator(room);
        validator.validate(&body)?;
        room = validator.into_allocations();
    }
    Ok(())
}

/// What all functions so far have.
#[derive(Default)]
struct Size {
    functions: u64,
    states: u64,
    block_squares: u64,
}

impl Size {
    fn add(&mut self, function: &FuncToValidate<ValidatorResources>, body: &FunctionBody) -> Result<(), CodeError> {
        self.functions += 1;
        within("functions", self.functions, MOST_FUNCTIONS)?;
        within("bytes are in a function", body.range().len() as u64, MOST_BODY_BYTES)?;
        let ty = function.resources.sub_type_at(function.ty).map(|ty| &ty.composite_type.inner);
        // The validator has refused functions of another type.
        let mut variables = if let Some(CompositeInnerType::Func(ty)) = ty { ty.params().len() as u64 } else { 0 };
        for locals in body.get_locals_reader()? {
            variables = variables.saturating_add(u64::from(locals?.0));
        }
        let Blocks { branches, hidden } = Blocks::of(body)?;
        let blocks = branches + hidden;
        within("blocks are in a function", blocks, MOST_BLOCKS)?;
        self.block_squares = self.block_squares.saturating_add(blocks * blocks);
        within("are the squares of the blocks of all functions", self.block_squares, MOST_BLOCK_SQUARES)?;
        let states = branches.saturating_mul(variables);
        within("are variables times branches of a function", states, MOST_STATES)?;
        self.states = self.states.saturating_add(states);
        within("are variables times branches of all functions", self.states, MOST_STATES_IN_ALL)
    }
}

/// Where the control of a function parts or meets.
#[derive(Default)]
struct Blocks {
    /// By the function's own instructions. An element of a table is made when it is first asked for, which takes two.
    branches: u64,
    /// In what the compiler makes of an instruction: a check that may trap, what comes back from a call, a loop.
    hidden: u64,
}

impl Blocks {
    fn of(body: &FunctionBody) -> Result<Self, BinaryReaderError> {
        use Operator as Op;
        let mut found = Self::default();
        for operator in body.get_operators_reader()? {
            let (branches, hidden) = match operator? {
                Op::Block { .. } | Op::Loop { .. } | Op::If { .. } | Op::Else | Op::End => (1, 0),
                Op::Br { .. } | Op::BrIf { .. } => (1, 0),
                Op::BrTable { targets } => (u64::from(targets.len()) + 1, 0),
                Op::CallIndirect { .. } | Op::TableGet { .. } | Op::TableSet { .. } => (2, 0),
                Op::Return | Op::Unreachable | Op::Call { .. } => (0, 1),
                Op::I32DivS | Op::I32DivU | Op::I32RemS | Op::I32RemU => (0, 2),
                Op::I64DivS | Op::I64DivU | Op::I64RemS | Op::I64RemU => (0, 2),
                Op::I32TruncF32S | Op::I32TruncF32U | Op::I32TruncF64S | Op::I32TruncF64U => (0, 2),
                Op::I64TruncF32S | Op::I64TruncF32U | Op::I64TruncF64S | Op::I64TruncF64U => (0, 2),
                Op::MemoryGrow { .. } | Op::MemoryInit { .. } | Op::MemoryCopy { .. } | Op::MemoryFill { .. } => (0, 4),
                Op::TableGrow { .. } | Op::TableInit { .. } | Op::TableCopy { .. } | Op::TableFill { .. } => (0, 4),
                Op::DataDrop { .. } | Op::ElemDrop { .. } => (0, 4),
                _ => (0, 0),
            };
            found.branches += branches;
            found.hidden += hidden;
        }
        Ok(found)
    }
}

pub(super) fn within<N: PartialOrd + std::fmt::Display>(what: &str, found: N, limit: N) -> Result<(), CodeError> {
    if found <= limit {
        return Ok(());
    }
    Err(CodeError::TooComplex(format!("{found} {what}; the limit is {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(module: &str) -> Option<String> {
        match validate(&wat::parse_str(module).unwrap()) {
            Ok(()) => None,
            Err(CodeError::TooComplex(what)) => Some(what),
            Err(other) => panic!("{other}"),
        }
    }

    fn times(count: u64, text: &str) -> String {
        text.repeat(usize::try_from(count).unwrap())
    }

    #[test]
    fn what_takes_minutes_to_compile_is_refused() {
        let functions = |count| format!("(module {})", times(count, "(func)"));
        let values = |count| format!("(module (type (func {})))", times(count, "(param i32)"));
        // Each block is a branch where it begins, and one where it ends; the function ends with one.
        let states = |variables: u64, blocks| {
            format!("(func (param i64) {} {})", times(variables - 1, "(local i32)"), times(blocks, "(block)"))
        };
        let state = |variables: u64, blocks| format!("(module {})", states(variables, blocks));
        // Three times 30,001 squared leave room for the square of 17,315, and not for that of 17,317.
        let squares = |last| format!("(module {} {})", times(3, &states(1, 15_000)), states(1, last));
        let all = |count| format!("(module {})", times(count, &states(1000, 1999)));
        for (holds, fails, words) in [
            (functions(MOST_FUNCTIONS), functions(MOST_FUNCTIONS + 1), "functions"),
            (values(MOST_VALUES as u64), values(MOST_VALUES as u64 + 1), "passed"),
            (state(1000, 1999), state(1000, 2000), "of a function"),
            (state(1, 19_999), state(1, 20_000), "blocks are in a function"),
            (squares(8657), squares(8658), "squares of the blocks"),
            (all(20), all(21), "of all functions"),
        ] {
            assert_eq!(refusal(&holds), None);
            let refused = refusal(&fails).unwrap();
            assert!(refused.contains(words), "{refused}");
        }
        // What takes blocks without having any.
        for (instructions, blocks) in [
            ("(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))", 4),
            ("(drop (i32.trunc_f32_s (f32.const 0)))", 2),
            ("(drop (i64.div_u (i64.const 1) (i64.const 1)))", 2),
            ("(call 0)", 1),
        ] {
            let module = |count| format!("(module (memory 1) (func {}))", times(count, instructions));
            assert_eq!(refusal(&module(MOST_BLOCKS / blocks - 1)), None);
            assert!(refusal(&module(MOST_BLOCKS / blocks)).unwrap().contains("blocks are in a function"));
        }
        let long = format!("(module (func {}))", times(MOST_BODY_BYTES, "nop "));
        assert!(refusal(&long).unwrap().contains("bytes are in a function"));
        let locals = times(999, "(local i32)");
        let table = format!("(module (func (param i32) {locals} (br_table {} (local.get 0))))", times(4000, "0 "));
        assert!(refusal(&table).unwrap().contains("of a function"));
        let calls = |count| {
            let calls = times(count, "(call_indirect (i32.const 0))");
            format!("(module (table 1 funcref) (func (param i32) {locals} {calls}))")
        };
        assert_eq!(refusal(&calls(1999)), None);
        assert!(refusal(&calls(2000)).unwrap().contains("of a function"));
    }
}
