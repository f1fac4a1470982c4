//! Bounds what a component is made of, before it is validated. A validator copies the names and compares the types of
//! what is put together, each time anew, and an engine makes all instances; without bounds, some kilobytes take hours
//! and gigabytes. The bounds are several times what an interpreter has. Looks at sections alone. Pure.

use crate::guest::component::code::{CodeError, within};
use wasmparser::{ComponentInstance, Instance, Parser, Payload};

/// Deepest nesting of components and modules. Encoders produce one level.
pub const MOST_DEPTH: u64 = 4;
/// Modules and components within a component. CPython has 15.
pub const MOST_PARTS: u64 = 64;
/// Instances of components. What encoders make has one.
pub const MOST_INSTANCES: u64 = 8;
/// Instances of modules. CPython has 14.
pub const MOST_MODULE_INSTANCES: u64 = 32;
/// What a component imports and exports, what its instances are given, and what functions it converts. CPython has 300.
pub const MOST_LINKS: u64 = 2_000;
/// Functions and the like that modules import. CPython has 2,333.
pub const MOST_IMPORTS: u64 = 5_000;
/// Segments of data and of tables. SpiderMonkey has 10,001, CPython 1,861.
pub const MOST_SEGMENTS: u64 = 30_000;
/// Types of functions and the like. SpiderMonkey has some hundreds.
pub const MOST_TYPES: u64 = 20_000;
/// Bytes of names, types and instances, in modules the names of imports and exports. CPython has 260 kB.
pub const MOST_LINK_BYTES: u64 = 2 << 20;

#[derive(Default)]
struct Shape {
    depth: u64,
    parts: u64,
    instances: u64,
    module_instances: u64,
    links: u64,
    imports: u64,
    segments: u64,
    types: u64,
    link_bytes: u64,
}

/// Checks a module or component with its nested ones.
///
/// # Errors
/// It does not parse, or is beyond a bound.
pub fn check(bytes: &[u8]) -> Result<(), CodeError> {
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(bytes) {
        shape.add(&payload?)?;
        shape.is_within()?;
    }
    Ok(())
}

impl Shape {
    fn add(&mut self, payload: &Payload) -> Result<(), CodeError> {
        let range = match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.parts += 1;
                self.depth += 1;
                return Ok(());
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                return Ok(());
            }
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.module_instances += u64::from(matches!(instance?, Instance::Instantiate { .. }));
                }
                section.range()
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    self.instances += 1;
                    self.links += match instance? {
                        ComponentInstance::Instantiate { args, .. } => args.len() as u64,
                        ComponentInstance::FromExports(exports) => exports.len() as u64,
                    };
                }
                section.range()
            }
            Payload::ComponentCanonicalSection(section) => {
                // The engine makes code of its own for calls between such components, which nothing here bounds.
                if self.depth > 0 {
                    return Err(CodeError::TooComplex("a nested component has functions of its own".into()));
                }
                self.links += u64::from(section.count());
                section.range()
            }
            Payload::ComponentImportSection(section) => {
                self.links += u64::from(section.count());
                section.range()
            }
            Payload::ComponentExportSection(section) => {
                self.links += u64::from(section.count());
                section.range()
            }
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    self.types += group?.types().len() as u64;
                    self.is_within()?;
                }
                return Ok(());
            }
            Payload::CoreTypeSection(section) => {
                self.types += u64::from(section.count());
                section.range()
            }
            Payload::ComponentTypeSection(section) => {
                self.types += u64::from(section.count());
                section.range()
            }
            Payload::ComponentAliasSection(section) => section.range(),
            Payload::ImportSection(section) => {
                self.imports += u64::from(section.count());
                section.range()
            }
            Payload::DataSection(section) => {
                self.segments += u64::from(section.count());
                return Ok(());
            }
            Payload::ElementSection(section) => {
                self.segments += u64::from(section.count());
                return Ok(());
            }
            Payload::ExportSection(section) => section.range(),
            _ => return Ok(()),
        };
        self.link_bytes += range.len() as u64;
        Ok(())
    }

    fn is_within(&self) -> Result<(), CodeError> {
        within("levels of components are nested", self.depth, MOST_DEPTH)?;
        within("modules and components are nested", self.parts, MOST_PARTS)?;
        within("instances of components", self.instances, MOST_INSTANCES)?;
        within("instances of modules", self.module_instances, MOST_MODULE_INSTANCES)?;
        within("imports, exports, arguments and conversions", self.links, MOST_LINKS)?;
        within("imports of modules", self.imports, MOST_IMPORTS)?;
        within("segments of data and tables", self.segments, MOST_SEGMENTS)?;
        within("types", self.types, MOST_TYPES)?;
        within("bytes of names, types and instances", self.link_bytes, MOST_LINK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(component: &str) -> Option<String> {
        check(&wat::parse_str(component).unwrap()).err().map(|error| error.to_string())
    }

    fn times(count: u64, text: &str) -> String {
        text.repeat(usize::try_from(count).unwrap())
    }

    #[test]
    fn what_takes_hours_to_validate_is_refused() {
        let nested = |depth| format!("{}{}", times(depth + 1, "(component "), times(depth + 1, ")"));
        let parts = |count| format!("(component {})", times(count, "(core module)"));
        let instances = |count| format!("(component (component $c) {})", times(count, "(instance (instantiate $c))"));
        let modules =
            |count| format!("(component (core module $m) {})", times(count, "(core instance (instantiate $m))"));
        let import = |number: u64| format!("(import \"a{number}\" (func))");
        let links = |count| format!("(component {})", (0..count).map(import).collect::<String>());
        let imports = |count| format!("(module {})", times(count, "(import \"a\" \"b\" (func))"));
        let segments = |count| format!("(module (memory 1) {})", times(count, "(data \"\")"));
        let types = |count| format!("(module {})", times(count, "(type (func))"));
        let name = |bytes| format!("(module (func (export \"{}\")))", times(bytes, "x"));
        // The length of a name of so many bytes takes three; the counts, the kind and the index take one each.
        let rest = 3 + 3;
        let names = |bytes: u64| {
            let last = MOST_LINK_BYTES - 20 * 100_006 - rest;
            let all: String = (0..20).map(|_| name(100_000)).chain([name(last + bytes)]).collect();
            format!("(component {})", all.replace("(module", "(core module"))
        };
        for (holds, fails, words) in [
            (nested(MOST_DEPTH), nested(MOST_DEPTH + 1), "levels"),
            (parts(MOST_PARTS), parts(MOST_PARTS + 1), "modules and components"),
            (instances(MOST_INSTANCES), instances(MOST_INSTANCES + 1), "instances of components"),
            (modules(MOST_MODULE_INSTANCES), modules(MOST_MODULE_INSTANCES + 1), "instances of modules"),
            (links(MOST_LINKS), links(MOST_LINKS + 1), "imports, exports"),
            (imports(MOST_IMPORTS), imports(MOST_IMPORTS + 1), "imports of modules"),
            (segments(MOST_SEGMENTS), segments(MOST_SEGMENTS + 1), "segments"),
            (types(MOST_TYPES), types(MOST_TYPES + 1), "types"),
            (names(0), names(1), "bytes of names"),
        ] {
            assert_eq!(refusal(&holds), None, "{words}");
            let refused = refusal(&fails).unwrap();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn nested_components_only_pass_on() {
        let own = "(component (component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
                   (func (export \"f\") (canon lift (core func $i \"f\")))))";
        assert!(refusal(own).unwrap().contains("functions of its own"));
    }
}
