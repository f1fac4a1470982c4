//! Links the WASI interfaces that a component imports, in whatever version and with whatever functions it names them.

use crate::sandbox::lab::State;
use crate::sandbox::wasi::answers::{self, Thing};
use wasmtime::Engine;
use wasmtime::component::types::{Component, ComponentItem};
use wasmtime::component::{Linker, ResourceType};

/// The packages that are there, in any version 0.2.
const PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// Whether an interface of this name is answered.
pub fn is_answered(interface: &str) -> bool {
    let parts = interface.strip_prefix("wasi:").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(package, name)| PACKAGES.contains(&package) && name.contains("@0.2."))
}

/// Defines the imports of a component that are WASI's. The check of components says which of them there may be.
///
/// # Errors
/// An interface has something else than functions and types.
pub fn link(linker: &mut Linker<State>, engine: &Engine, component: &Component) -> wasmtime::Result<()> {
    for (import, item) in component.imports(engine).filter(|(name, _)| is_answered(name)) {
        let ComponentItem::ComponentInstance(interface) = item.ty else {
            return Err(wasmtime::Error::msg(format!("{import} is not an interface")));
        };
        let unversioned = import.split('@').next().unwrap_or_default();
        let mut api = linker.instance(import)?;
        for (function, item) in interface.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let (answer, name) = (answers::of(unversioned, function), format!("{unversioned} {function}"));
                    api.func_new(function, move |mut cx, function, parameters, results| {
                        answer.give(&name, &mut cx, &function, parameters, results)
                    })?;
                }
                ComponentItem::Resource(_) => api.resource(function, ResourceType::host::<Thing>(), |_, _| Ok(()))?,
                ComponentItem::Type(_) => {}
                _ => return Err(wasmtime::Error::msg(format!("{import} has `{function}`, which is not a function"))),
            }
        }
    }
    Ok(())
}
