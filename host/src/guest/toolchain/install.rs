//! Prepares a toolchain: builds the standard library for the target and the SDK once, into the cache. Each part is
//! built beside its final place and renamed under a file lock. So a killed installation leaves nothing half made, and
//! two hosts don't build twice.

use crate::guest::toolchain::error::ToolchainError;
use crate::guest::toolchain::find::Toolchain;
use crate::guest::toolchain::places::{built_sysroot, cache_folder, sdk_folder};
use crate::guest::toolchain::rustc::{FLAGS, Rustc, SDK, TARGET, has_std, library_folder};
use crate::system::atomic_file::folder_of;
use crate::system::process;
use crate::system::scratch::Scratch;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "cargo-web", "lld"];
const ADVICE: &str = "Run `rustup target add wasm32-unknown-unknown`, or on Debian and Ubuntu `sudo apt-get install \
    --no-install-recommends rustc-web rust-web-src cargo-web lld`";

/// Enough for a download of about 20 MB, or for no answer.
const RUSTUP_LIMIT: Duration = Duration::from_secs(60);
/// Enough for about 200 MB of packages.
const APT_LIMIT: Duration = Duration::from_secs(900);
/// The build takes half a minute on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);

impl Toolchain {
    /// Finds a toolchain, or prepares one: the target by rustup, Debian's packages if the user is root, or the standard
    /// library from its sources. `progress` receives one line for each slow step.
    pub fn find_or_install(progress: &mut dyn FnMut(&str)) -> Result<Self, ToolchainError> {
        if let Some(ready) = Self::find()? {
            return Ok(ready);
        }
        install(progress)
    }
}

fn install(progress: &mut dyn FnMut(&str)) -> Result<Toolchain, ToolchainError> {
    let cache = cache_folder()?;
    let folder = cache.join("toolchain");
    let at = |source: io::Error| ToolchainError::Cache { path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(at)?;
    let lock = File::create(folder.join("lock")).map_err(at)?;
    lock.lock().map_err(at)?;
    // Another host may have finished in the meantime.
    let rustc = choose(&cache, progress)?;
    let sysroot = built_sysroot(&rustc, &cache);
    if !rustc.has_target() && !has_std(&sysroot) {
        progress("building the standard library for WebAssembly (once, about a minute)");
        build_library(&rustc, &sysroot, &folder)?;
    }
    build_sdk(&rustc, &cache, &folder)?;
    Toolchain::ready(rustc, &cache)
        .ok_or(ToolchainError::Missing { tried: "no linker (wasm-ld or rust-lld)".into(), advice: ADVICE })
}

/// Chooses a compiler in this order: one with the target, one with a built library, one whose library can be built. It
/// looks first without installing, then after asking rustup, then after installing Debian's packages. Nothing is
/// installed beside a compiler that the user named.
fn choose(cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Rustc, ToolchainError> {
    let ready =
        |rustc: &Rustc| rustc.linker().is_some() && (rustc.has_target() || has_std(&built_sysroot(rustc, cache)));
    let buildable =
        |rustc: &Rustc| rustc.linker().is_some() && rustc.library_sources().is_some() && rustc.cargo().is_some();
    let mut tried = Vec::new();
    if let Some(rustc) = Rustc::all().map_err(ToolchainError::unasked)?.into_iter().find(ready) {
        return Ok(rustc);
    }
    let may_install = Rustc::named().is_none();
    if let Some(rustup) = process::on_path("rustup").first()
        && may_install
    {
        progress("asking rustup for the target wasm32-unknown-unknown");
        let mut command = process::command(rustup);
        command.args(["target", "add", TARGET]);
        match process::output(command, RUSTUP_LIMIT) {
            Ok(_) => {
                if let Some(rustc) = Rustc::all().map_err(ToolchainError::unasked)?.into_iter().find(ready) {
                    return Ok(rustc);
                }
            }
            Err(error) => tried.push(format!("rustup: {error}")),
        }
    }
    if let Some(rustc) = Rustc::all().map_err(ToolchainError::unasked)?.into_iter().find(buildable) {
        return Ok(rustc);
    }
    if let Some(apt) = process::on_path("apt-get").first()
        && may_install
        && rustix::process::geteuid().is_root()
    {
        progress("installing rustc-web, rust-web-src, cargo-web and lld");
        let mut command = process::command(apt);
        command
            .args(["install", "-y", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive");
        match process::output(command, APT_LIMIT) {
            Ok(_) => {
                if let Some(rustc) = Rustc::all().map_err(ToolchainError::unasked)?.into_iter().find(buildable) {
                    return Ok(rustc);
                }
            }
            Err(error) => tried.push(format!("apt-get: {error}")),
        }
    }
    tried.push("no rustc with the target or with its library's sources".into());
    Err(ToolchainError::Missing { tried: tried.join("; "), advice: ADVICE })
}

/// Cargo's home folder, found by cargo's own rules. It holds sources that the standard library needs.
fn cargo_home(named: Option<OsString>, home: Option<PathBuf>) -> Result<PathBuf, ToolchainError> {
    let named = named.filter(|name| !name.is_empty()).map(PathBuf::from);
    named.or_else(|| home.map(|home| home.join(".cargo"))).ok_or(ToolchainError::NoCargoHome)
}

/// Runs a step of the installation. An error names the step.
fn step(name: &str, command: std::process::Command) -> Result<(), ToolchainError> {
    process::output(command, BUILD_LIMIT)
        .map(drop)
        .map_err(|output| ToolchainError::Failed { step: name.into(), output })
}

fn build_library(rustc: &Rustc, sysroot: &Path, folder: &Path) -> Result<(), ToolchainError> {
    let at = |source: io::Error| ToolchainError::Cache { path: folder.to_owned(), source };
    let (Some(cargo), Some(sources)) = (rustc.cargo(), rustc.library_sources()) else {
        return Err(ToolchainError::Missing { tried: "the library's sources are gone".into(), advice: ADVICE });
    };
    let work = Scratch::new_in(folder).map_err(at)?;
    let manifest = "[package]\nname = \"library\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
        [profile.release]\npanic = \"abort\"\n";
    fs::create_dir(work.path().join("src")).map_err(at)?;
    fs::write(work.path().join("Cargo.toml"), manifest).map_err(at)?;
    fs::write(work.path().join("src/lib.rs"), "#![no_std]\n").map_err(at)?;
    let cargo_home = cargo_home(std::env::var_os("CARGO_HOME"), std::env::home_dir())?;
    // Otherwise every guest's panic messages would contain paths of this machine.
    let flags = [(&sources, "/std"), (&cargo_home, "/cargo"), (&work.path().to_owned(), "/build")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .join("\u{1f}");
    let mut command = process::command(&cargo);
    command
        .args(["build", "--release", "--target", TARGET, "-Zbuild-std=std,panic_abort"])
        .current_dir(work.path())
        .env("RUSTC", &rustc.path)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", work.path().join("target"))
        // Only the trusted standard library may use unstable features; guests are compiled without them.
        .env("RUSTC_BOOTSTRAP", "1");
    step("building the standard library", command)?;

    let made = work.path().join("sysroot");
    let libraries = library_folder(&made);
    fs::create_dir_all(&libraries).map_err(at)?;
    for file in fs::read_dir(work.path().join("target").join(TARGET).join("release/deps")).map_err(at)? {
        let file = file.map_err(at)?;
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("liblibrary-") {
            fs::copy(file.path(), libraries.join(name)).map_err(at)?;
        }
    }
    place(&made, sysroot).map_err(at)
}

fn build_sdk(rustc: &Rustc, cache: &Path, folder: &Path) -> Result<(), ToolchainError> {
    let at = |source: io::Error| ToolchainError::Cache { path: folder.to_owned(), source };
    let to = sdk_folder(rustc, cache);
    if to.is_dir() {
        return Ok(());
    }
    let work = Scratch::new_in(folder).map_err(at)?;
    for (name, text) in SDK {
        let path = work.path().join(name);
        fs::create_dir_all(folder_of(&path).map_err(at)?).map_err(at)?;
        fs::write(path, text).map_err(at)?;
    }
    let made = work.path().join("sdk");
    fs::create_dir(&made).map_err(at)?;
    let mut command = process::command(&rustc.path);
    command
        .args(["lib.rs", "--crate-name=guest_sdk", "--crate-type=rlib", "--edition=2024", "--cap-lints=allow"])
        .args(["--target", TARGET, "--out-dir", "sdk"])
        .args(FLAGS)
        .arg(format!("--remap-path-prefix={}=/guest-sdk", work.path().display()))
        .arg("--remap-path-prefix=lib.rs=/guest-sdk/lib.rs")
        .current_dir(work.path());
    if !rustc.has_target() {
        command.arg("--sysroot").arg(built_sysroot(rustc, cache));
    }
    step("compiling the guest SDK", command)?;
    place(&made, &to).map_err(at)
}

/// Moves a finished folder to its place, and replaces an unusable one.
fn place(made: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(made, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cargo_home_that_is_nowhere_is_an_error() {
        let home = || Some(PathBuf::from("/h"));
        assert_eq!(cargo_home(Some("/c".into()), home()).unwrap(), Path::new("/c"));
        assert_eq!(cargo_home(Some("".into()), home()).unwrap(), Path::new("/h/.cargo"));
        assert!(matches!(cargo_home(None, None), Err(ToolchainError::NoCargoHome)));
    }
}
