//! Guests in other languages than Rust. The tools of their makers turn a file into a component, in the compiler's
//! child: an empty environment, no network, nothing to read but the system's files and the tool's own. Some of these
//! tools run parts of the guest while they build it, so they build the user's own files alone; strangers send
//! components.

use crate::guest::component::{CONTRACT_WIT, Component, ComponentError, MAX_COMPONENT_BYTES};
use crate::guest::toolchain::confine::{NOT_CONFINED, Order};
use crate::guest::toolchain::diagnostics::printable;
use crate::system::confinement::{Memory, Paths, Rlimits};
use crate::system::process::{self, End};
use crate::system::scratch::Scratch;
use crate::system::untrusted_folder::{Folder, UntrustedFileError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files of the system that the tools read and execute.
const SYSTEM: [&str; 3] = ["/usr", "/lib", "/lib64"];
const SYSTEM_READ: [&str; 5] =
    ["/etc/ld.so.cache", "/etc/ssl/openssl.cnf", "/etc/alternatives", "/dev/null", "/dev/urandom"];
/// What an installed program has in the folder above its own. The folder itself may be somebody's home.
const INSTALLED: [&str; 6] = ["bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg"];
/// Processor seconds of a tool, and its wall time as a multiple of them.
const SECONDS: u64 = 600;
const WALL: u32 = 3;
const MEMORY_BYTES: u64 = 4 << 30;
/// Tools write the interpreter more than once.
const FILE_BYTES: u64 = 512 << 20;
const FILES: u64 = 1024;
/// Lines of a tool's output that an error repeats, the last ones.
const LAST_LINES: usize = 12;

/// A language of guests beside Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    C,
    JavaScript,
    Python,
}

/// Why a file did not become a component.
#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    #[error("guests in {language} need {tool}, which is not here: `{advice}` brings it")]
    Missing { language: &'static str, tool: &'static str, advice: &'static str },
    #[error("{tool} did not build it:\n{said}")]
    Failed { tool: &'static str, said: String },
    #[error("what {tool} built is refused: {error}")]
    Refused { tool: &'static str, error: ComponentError },
    #[error("what {tool} built: {error}")]
    Unreadable { tool: &'static str, error: UntrustedFileError },
    #[error("the compiler was not started: {0}")]
    NotConfined(String),
    #[error("{what}: {error}")]
    System { what: String, error: io::Error },
}

/// A tool that is here.
#[derive(Clone, Debug)]
pub struct Tool {
    language: Language,
    program: PathBuf,
    args: Vec<String>,
    /// Files and folders of its own.
    own: Vec<PathBuf>,
    /// Where JavaScript's modules are.
    modules: Option<PathBuf>,
}

impl Language {
    pub const ALL: [Self; 3] = [Self::C, Self::JavaScript, Self::Python];

    /// The language of a file, by the end of its name.
    pub fn of(file: &Path) -> Option<Self> {
        let end = file.extension()?;
        Self::ALL.into_iter().find(|language| end == language.end())
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::JavaScript => "js",
            Self::Python => "py",
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Self::C => "clang with wasi-libc",
            Self::JavaScript => "componentize-js",
            Self::Python => "componentize-py",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::C => {
                "apt-get install --no-install-recommends clang lld wasi-libc libclang-rt-14-dev-wasm32 (of the clang there)"
            }
            Self::JavaScript => "npm install -g @bytecodealliance/componentize-js",
            Self::Python => "pip install componentize-py",
        }
    }

    /// The files of the SDK, which lie beside the guest's.
    fn sdk(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::C => &[("lab.h", include_str!("../../../../guest-sdk/c/lab.h"))],
            Self::JavaScript => &[
                ("lab.js", include_str!("../../../../guest-sdk/javascript/lab.js")),
                ("glue.js", include_str!("../../../../guest-sdk/javascript/glue.js")),
                ("build.mjs", include_str!("../../../../guest-sdk/javascript/build.mjs")),
            ],
            Self::Python => &[
                ("lab.py", include_str!("../../../../guest-sdk/python/lab.py")),
                ("glue.py", include_str!("../../../../guest-sdk/python/glue.py")),
            ],
        }
    }

    /// The tool for this language. Modules of JavaScript are looked for from `beside` upwards, and with node.
    ///
    /// # Errors
    /// It is not here; the error says what brings it.
    pub fn find(self, beside: &Path) -> Result<Tool, LanguageError> {
        let found = match self {
            Self::C => c(),
            Self::JavaScript => javascript(beside),
            Self::Python => python(),
        };
        let missing = LanguageError::Missing { language: self.name(), tool: self.tool(), advice: self.advice() };
        found.ok_or(missing)
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    process::on_path(name).into_iter().next()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn c() -> Option<Tool> {
    let (clang, linker) = (on_path("clang")?, on_path("wasm-ld")?);
    // Debian's place, and that of other distributions.
    let library = ["/usr/lib/wasm32-wasi/libc.a", "/usr/share/wasi-sysroot/lib/wasm32-wasi/libc.a"];
    library.iter().find(|path| Path::new(path).is_file())?;
    let mut args = words("--target=wasm32-wasi -std=c17 -O2 -g -mexec-model=reactor train.c -o train.wasm");
    args.push(format!("-B{}", linker.parent()?.display()));
    let program = clang.canonicalize().ok()?;
    Some(Tool { language: Language::C, own: installed_with(&program), program, args, modules: None })
}

fn javascript(beside: &Path) -> Option<Tool> {
    let program = on_path("node")?.canonicalize().ok()?;
    let with_node = program.parent()?.parent()?.join("lib/node_modules");
    let beside = beside.canonicalize().ok();
    let upwards = beside.iter().flat_map(|folder| folder.ancestors()).map(|folder| folder.join("node_modules"));
    let is_here = |modules: &PathBuf| modules.join("@bytecodealliance/componentize-js/package.json").is_file();
    let modules = upwards.chain([with_node, "/usr/local/lib/node_modules".into()]).find(is_here)?;
    let args = words("build.mjs wit");
    let own = installed_with(&program).into_iter().chain([modules.clone()]).collect();
    Some(Tool { language: Language::JavaScript, program, args, own, modules: Some(modules) })
}

fn python() -> Option<Tool> {
    let script = on_path("componentize-py")?;
    let text = fs::read(&script).ok()?;
    let first = text.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok())?;
    let program = PathBuf::from(first.strip_prefix("#!")?.trim());
    let mut args = vec![script.display().to_string()];
    args.extend(words("-q -d wit -w guest componentize glue -o train.wasm"));
    // An environment has its packages with itself and the library with the interpreter behind it.
    let own = [&script, &program, &program.canonicalize().ok()?].map(|file| installed_with(file)).concat();
    Some(Tool { language: Language::Python, program, args, own, modules: None })
}

/// The files that were installed with a program.
fn installed_with(program: &Path) -> Vec<PathBuf> {
    let prefix = program.parent().and_then(Path::parent);
    let parts = prefix.into_iter().flat_map(|prefix| INSTALLED.map(|part| prefix.join(part)));
    parts.chain([program.to_owned()]).filter(|path| path.exists()).collect()
}

impl Tool {
    /// The tool in one line.
    pub fn describe(&self) -> String {
        let place = self.modules.as_ref().unwrap_or(&self.program);
        format!("{} ({})", self.language.tool(), place.display())
    }

    /// Builds a component from the text of a guest's file, in a child of the binary `host`, or of this one.
    ///
    /// # Errors
    /// The tool refuses the text, or it cannot be run.
    pub fn build(&self, text: &str, host: Option<&Path>) -> Result<Component, LanguageError> {
        let at = |what: &str| {
            let what = what.to_owned();
            move |error| LanguageError::System { what, error }
        };
        let work = Scratch::new().map_err(at("temporary files"))?;
        let root = work.path().canonicalize().map_err(at("temporary files"))?;
        let guest = format!("train.{}", self.language.end());
        let files = self.language.sdk().iter().copied().chain([(guest.as_str(), text), ("wit/lab.wit", CONTRACT_WIT)]);
        for folder in ["wit", "temporary"] {
            fs::create_dir(root.join(folder)).map_err(at("temporary files"))?;
        }
        for (name, text) in files {
            fs::write(root.join(name), text).map_err(at("temporary files"))?;
        }
        if let Some(modules) = &self.modules {
            std::os::unix::fs::symlink(modules, root.join("node_modules")).map_err(at("temporary files"))?;
        }
        self.run(&root, host)?;
        let tool = self.language.tool();
        let folder = Folder::open(&root).map_err(at("temporary files"))?;
        let bytes = folder
            .read_bytes(Path::new("train.wasm"), MAX_COMPONENT_BYTES as u64)
            .map_err(|error| LanguageError::Unreadable { tool, error })?;
        Component::from_bytes(&bytes).map_err(|error| LanguageError::Refused { tool, error })
    }

    fn run(&self, root: &Path, host: Option<&Path>) -> Result<(), LanguageError> {
        let helper = [host.unwrap_or(Path::new(process::THIS_PROGRAM)).to_owned(), "__compile".into()];
        let tool = self.language.tool();
        let ended = self
            .order(root)
            .carry_out(&helper, root, Duration::from_secs(SECONDS) * WALL, &|| false)
            .map_err(|error| LanguageError::System { what: format!("the process of {tool}"), error })?;
        let said = ended.stderr.text();
        match ended.end {
            End::Exited(status) if status.success() => Ok(()),
            End::Exited(status) if status.code() == Some(NOT_CONFINED) => {
                Err(LanguageError::NotConfined(printable(&said, "")))
            }
            End::Exited(status) => Err(LanguageError::Failed { tool, said: last_lines(&said, &status.to_string()) }),
            End::Stopped | End::TimedOut => {
                Err(LanguageError::Failed { tool, said: last_lines(&said, "it did not end in time") })
            }
        }
    }

    fn order(&self, root: &Path) -> Order {
        let system = || SYSTEM.iter().map(PathBuf::from);
        let own = || system().chain(self.own.iter().cloned()).filter(|path| path.exists());
        let read = own().chain(SYSTEM_READ.iter().map(PathBuf::from).filter(|path| path.exists())).collect();
        Order {
            program: self.program.clone(),
            args: self.args.clone(),
            temporary: root.join("temporary"),
            paths: Paths { read, write: vec![root.to_owned()], execute: own().collect() },
            limits: Rlimits {
                memory: Memory::Written(MEMORY_BYTES),
                file_bytes: FILE_BYTES,
                files: FILES,
                cpu_seconds: Some(SECONDS),
            },
            parent: std::process::id(),
            is_other_language: true,
            probe: None,
        }
    }
}

/// The end of what a tool said, and how it ended if it said nothing.
fn last_lines(said: &str, ended: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    if last.is_empty() { ended.to_owned() } else { printable(&last, "") }
}
