//! `cargo xtask bindings [--check]`: writes `guest-sdk/src/bindings.rs` from the contract, or checks that the committed
//! file matches the contract. So the SDK itself needs no generator and no proc macro.
//!
//! `cargo xtask golden`: writes the golden digests and vectors of the numerics class, as computed on this machine. A
//! test in `bits` compares them; if they change, it is a new class.
//!
//! `cargo xtask cuda [--accept]`: compiles the CUDA kernels and compares what they take of a card with the committed
//! table, or writes the table.
//!
//! `cargo xtask features`: lists the packages that the README's two commands would build twice.
//!
//! `cargo xtask fuzz [--seconds N] [TARGET…]`: runs the fuzz targets of `tests/fuzz`; `--keep` keeps what they found.

mod cuda;
mod features;
mod fuzz;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

const CONTRACT: &str = "wit/0.2.0";
const BINDINGS: &str = "src/bindings.rs";

fn main() -> Result<()> {
    if fuzz::is_compiler() {
        return fuzz::compile();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = sdk().join(BINDINGS);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bindings"] => std::fs::write(&path, generate()?).with_context(|| format!("writing {}", path.display())),
        ["bindings", "--check"] => check_bindings(&path),
        ["golden"] => golden(),
        ["cuda"] => cuda::run(false),
        ["cuda", "--accept"] => cuda::run(true),
        ["features"] => features::check(),
        ["fuzz", ref rest @ ..] => fuzz::run(rest),
        _ => bail!(
            "usage: cargo xtask bindings [--check] | cargo xtask golden | cargo xtask cuda [--accept] | \
             cargo xtask features | cargo xtask fuzz [--seconds N] [TARGET…]"
        ),
    }
}

fn golden() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bits/golden");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("digests.txt", bits::report(&bits::digests(bits::Variant::plain())?))?;
    write("vectors.txt", bits::vectors::text()?)
}

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk")
}

/// The formatted Rust source of the contract's bindings.
fn generate() -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(sdk().join(CONTRACT)).context("reading the contract")?;
    let world = resolve.select_world(&[package], Some("guest"))?;
    let options = Opts {
        format: true,
        runtime_path: Some("crate::rt".into()),
        pub_export_macro: true,
        default_bindings_module: Some("guest_sdk::bindings".into()),
        export_macro_name: Some("export_guest".into()),
        disable_run_ctors_once_workaround: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let (_, source) = files.iter().next().context("the generator made no file")?;
    Ok(String::from_utf8(source.to_vec())?)
}

fn check_bindings(path: &Path) -> Result<()> {
    let committed = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    if committed != generate()? {
        bail!("{} is out of date with the contract: run `cargo xtask bindings` and commit it", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_bindings_are_those_of_the_contract() {
        check_bindings(&sdk().join(BINDINGS)).unwrap();
    }
}
