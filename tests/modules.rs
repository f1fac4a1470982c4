//! Modules that nobody wrote: wasm-smith generates valid ones, with and without the imports and exports of a guest.
//! Each goes through the whole intake, and what is accepted runs dry in its child. None is the machine's fault.

use crate::common::{Place, guest, toolchain};
use nightlab::guest::component::Component;
use nightlab::guest::source::Source;
use nightlab::record::outcome::Status;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use wasm_smith::{Config, Module};

/// Names how many modules are generated; 10,000 take some minutes.
const COUNT: &str = "HOST_TEST_MODULES";
const USUAL: u64 = 200;
/// Random bytes that a module is made of.
const BYTES: usize = 6000;

/// What a module has to export to become a guest, as the contract lowers it.
const EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "train"))
    (func (export "forward") (param i32) (result i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))"#;

/// The module of a number: any, or one that looks like a guest from outside.
pub fn module(number: u64, imports: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = [0; BYTES];
    blake3::Hasher::new_derive_key("lab test modules").update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let mut config = Config { max_imports: 20, max_funcs: 30, max_memories: 1, ..Config::default() };
    // Only what guests may use, so that more of them are accepted. Others are in one of four.
    if !number.is_multiple_of(4) {
        config = Config {
            exports: Some(wat::parse_str(EXPORTS).unwrap()),
            available_imports: Some(imports.to_vec()),
            memory64_enabled: false,
            threads_enabled: false,
            simd_enabled: number.is_multiple_of(2),
            relaxed_simd_enabled: false,
            exceptions_enabled: false,
            gc_enabled: false,
            tail_call_enabled: false,
            multi_value_enabled: true,
            reference_types_enabled: number.is_multiple_of(9),
            // The memory of the exports is one more.
            max_memories: 0,
            extended_const_enabled: number.is_multiple_of(3),
            custom_page_sizes_enabled: false,
            wide_arithmetic_enabled: false,
            disallow_traps: number.is_multiple_of(5),
            allow_start_export: number.is_multiple_of(7),
            min_funcs: 3,
            ..config
        };
    }
    Module::new(config, &mut arbitrary::Unstructured::new(&bytes)).ok().map(|module| module.to_bytes())
}

/// A module that imports what guests may use.
pub fn imports() -> Vec<u8> {
    toolchain().compile(&Source::parse(&guest("guests/tiny")).unwrap()).unwrap()
}

#[test]
fn generated_modules_are_refused_or_run() {
    let count = std::env::var(COUNT).map_or(USUAL, |count| count.parse().unwrap());
    let place = Place::new();
    let imports = imports();
    let (sandbox, spec) = (&place.bench.sandbox, &place.bench.spec);
    let ended = std::thread::scope(|scope| {
        let part = |first: u64| {
            let imports = &imports;
            scope.spawn(move || {
                let mut ended: BTreeMap<String, u64> = BTreeMap::new();
                for number in (first..count).step_by(2) {
                    let how = match module(number, imports).map(|bytes| Component::from_bytes(&bytes)) {
                        None => "not generated".into(),
                        Some(Err(refusal)) => format!("refused: {}", refusal.fault().name()),
                        Some(Ok(component)) => {
                            let dry = sandbox.dry_run(component.bytes(), spec, &mut || ControlFlow::Continue(()));
                            let status = dry.map_or_else(|status| status, |_| Status::Completed);
                            assert!(status.is_result(), "module {number}: {status:?}");
                            // What the parent takes for valid, the engine does.
                            assert_ne!(status.name(), "invalid-component", "module {number}: {status:?}");
                            format!("ran: {}", status.name())
                        }
                    };
                    *ended.entry(how).or_default() += 1;
                }
                ended
            })
        };
        let parts = [part(0), part(1)].map(|part| part.join().unwrap());
        parts.into_iter().flatten().fold(BTreeMap::new(), |mut all: BTreeMap<String, u64>, (how, n)| {
            *all.entry(how).or_default() += n;
            all
        })
    });
    println!("{ended:#?}");
    let of = |start: &str| ended.iter().filter(|(how, _)| how.starts_with(start)).map(|(_, n)| n).sum::<u64>();
    assert!(of("ran: ") > count / 20 && of("refused: ") > count / 20, "both doors are tried: {ended:?}");
}
