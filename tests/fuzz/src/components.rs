//! The intake of components: bytes as they come, or, if the first byte is odd, a valid module that they describe.

use arbitrary::Unstructured;
use nightlab::guest::component::Component;
use wasm_smith::{Config, Module};

/// # Panics
/// On a fault.
pub fn components(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let module = if first % 2 == 1 {
        let module = Module::new(Config::default(), &mut Unstructured::new(rest));
        module.map(|module| module.to_bytes()).unwrap_or_default()
    } else {
        rest.to_vec()
    };
    if let Ok(component) = Component::from_bytes(&module) {
        let again = Component::from_bytes(component.bytes()).expect("what was accepted is accepted again");
        assert!(again.key() == component.key());
    }
}
