//! Which bytes are a component of the contract, and which are refused.

use super::*;
use crate::guest::component::strip::StripError;
use crate::guest::component::strip::without_custom_sections;
use crate::record::outcome::GuestFault;
use proptest::prelude::*;
use wasm_encoder::{
    CodeSection, CustomSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemorySection, MemoryType, Module, RawSection, TypeSection, ValType,
};

/// A core module of the contract's world with one import from `from`. Its `forward` returns its tokens.
fn core(from: &str, function: &str, exports: &[&str], memory: MemoryType) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([], [ValType::F64]);
    let mut imports = ImportSection::new();
    imports.import(from, function, EntityType::Function(3));
    let mut functions = FunctionSection::new();
    functions.function(0).function(1).function(2);
    let mut memories = MemorySection::new();
    memories.memory(memory);
    let mut exported = ExportSection::new();
    exported.export("memory", ExportKind::Memory, 0);
    for name in exports {
        let index = ["train", "forward", "cabi_realloc"].iter().position(|n| n == name).unwrap() as u32 + 1;
        exported.export(name, ExportKind::Func, index);
    }
    let mut code = CodeSection::new();
    for body in 0..3 {
        let mut f = Function::new([]);
        match body {
            0 => f.instructions().call(0).drop(),
            1 => f.instructions().local_get(0),
            _ => f.instructions().unreachable(),
        };
        f.instructions().end();
        code.function(&f);
    }
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories).section(&exported).section(&code);
    module.finish()
}

const MEMORY: MemoryType =
    MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
const ALL: [&str; 3] = ["train", "forward", "cabi_realloc"];

fn guest() -> Vec<u8> {
    core("lab:train/session@0.2.0", "progress", &ALL, MEMORY)
}

#[test]
fn data_segments_are_counted() {
    let mut module = guest();
    let mut data = wasm_encoder::DataSection::new();
    data.active(0, &wasm_encoder::ConstExpr::i32_const(8), [7; 300]).passive([1; 20]);
    wasm_encoder::Section::append_to(&data, &mut module);
    assert_eq!(componentise(&module).unwrap().data_bytes().unwrap(), 320);
    assert_eq!(componentise(&guest()).unwrap().data_bytes().unwrap(), 0);
}

fn with_custom(mut module: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    use wasm_encoder::Encode;
    let section = CustomSection { name: name.into(), data: data.into() };
    module.push(CUSTOM_ID);
    section.encode(&mut module);
    module
}

const CUSTOM_ID: u8 = 0;

#[test]
fn golden_key() {
    let component = componentise(&guest()).unwrap();
    assert_eq!(component.key().to_string(), "3bf59aecc9e93487673347bcf868944eba8af6c21e9ecd519e6f29b1426630b2");
    assert_eq!(Component::from_bytes(component.bytes()).unwrap(), component);
    assert_eq!(Component::from_bytes(&guest()).unwrap(), component);
}

#[test]
fn imports_beyond_the_contract_are_named() {
    for (from, power) in [
        ("wasi:http/types@0.2.0", "network"),
        ("wasi:cli/exit@0.3.0", "WASI 0.2"),
        ("wasi_snapshot_preview1", "system interface"),
        ("env", "symbols"),
    ] {
        let error = componentise(&core(from, "f", &ALL, MEMORY)).unwrap_err();
        assert_eq!(error.fault(), GuestFault::ForbiddenImport);
        assert!(error.to_string().contains(from) && error.to_string().contains(power), "{error}");
    }
}

#[test]
fn another_world_is_refused() {
    for bytes in [
        core("lab:train/session@0.2.0", "progress", &["train"], MEMORY),
        core("lab:train/session@0.2.0", "clock", &ALL, MEMORY),
        core("lab:train/session@0.2.0", "task", &ALL, MEMORY),
    ] {
        assert_eq!(componentise(&bytes).unwrap_err().fault(), GuestFault::WrongWorld);
    }
    // A component that exports nothing at all.
    assert_eq!(Component::from_bytes(b"\0asm\x0d\0\x01\0").unwrap_err().fault(), GuestFault::WrongWorld);
}

#[test]
fn shared_and_wide_memories_are_refused() {
    for memory in [MemoryType { shared: true, maximum: Some(2), ..MEMORY }, MemoryType { memory64: true, ..MEMORY }] {
        let error = componentise(&core("lab:train/session@0.2.0", "progress", &ALL, memory)).unwrap_err();
        assert_eq!(error.fault(), GuestFault::InvalidComponent);
    }
}

#[test]
fn size_is_checked_before_anything_else() {
    let error = Component::from_bytes(&vec![0; MAX_COMPONENT_BYTES + 1]).unwrap_err();
    assert_eq!(error.fault(), GuestFault::ComponentTooLarge);
    assert_eq!(Component::from_bytes(&vec![0; MAX_COMPONENT_BYTES]).unwrap_err().fault(), GuestFault::InvalidComponent);
}

#[test]
fn a_world_of_its_own_is_ignored() {
    let plain = componentise(&guest()).unwrap();
    for name in ["component-type", "component-type:guest"] {
        assert_eq!(componentise(&with_custom(guest(), name, b"\xff\xff nonsense")).unwrap().key(), plain.key());
    }
}

#[test]
fn nesting_is_bounded() {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..2000 {
        let mut outer = b"\0asm\x0d\0\x01\0".to_vec();
        wasm_encoder::Section::append_to(&RawSection { id: 4, data: &bytes }, &mut outer);
        bytes = outer;
    }
    assert!(Component::from_bytes(&bytes).is_err());
    assert!(matches!(without_custom_sections(&bytes), Err(StripError::TooDeep)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn custom_sections_do_not_count(name in "[a-z.]{1,12}", data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let plain = componentise(&guest()).unwrap();
        let core = componentise(&with_custom(guest(), &format!(".debug_{name}"), &data)).unwrap();
        prop_assert_ne!(core.bytes(), plain.bytes());
        prop_assert_eq!(core.key(), plain.key());
        let outer = Component::from_bytes(&with_custom(plain.bytes().to_vec(), &name, &data)).unwrap();
        prop_assert_eq!(outer.key(), plain.key());
    }

    #[test]
    fn damaged_bytes_are_answered(at in 0usize..2000, to in any::<u8>()) {
        let plain = componentise(&guest()).unwrap();
        let mut bytes = plain.bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        let _ = Component::from_bytes(&bytes);
    }
}
