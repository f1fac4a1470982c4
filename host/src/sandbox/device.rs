//! What experiments compute on: the processor, or a GPU by the program `host-cuda`. `host` itself knows no driver.

use crate::record::outcome::Status;
use crate::sandbox::backend::Card;
use crate::system::cache::{self, CacheError};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// The environment variable that names the program for GPUs.
pub const VARIABLE: &str = "HOST_CUDA";
/// Its name beside this program.
const PROGRAM: &str = "host-cuda";
/// Folder of the cache for kernels that are compiled on this machine.
const FOLDER: &str = "cuda";
/// Variables that the program gets: where its libraries are, and which cards there are.
const HANDED_ON: [&str; 3] = ["LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"];
/// What the class of a GPU begins with, and its longest name.
const PREFIX: &str = "cuda-";
const CLASS_BYTES: usize = 64;

/// Where experiments are trained and scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Device {
    /// On this machine's processor.
    #[default]
    Cpu,
    /// On the GPU of a number.
    Cuda { card: u32 },
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let card = match text.split_once(':') {
            None if text == "cpu" => return Ok(Self::Cpu),
            None if text == "cuda" => Some(0),
            Some(("cuda", number)) => number.parse().ok(),
            None | Some(_) => None,
        };
        card.map(|card| Self::Cuda { card }).ok_or_else(|| "cpu, cuda or cuda:N is expected".to_owned())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { card: 0 } => f.write_str("cuda"),
            Self::Cuda { card } => write!(f, "cuda:{card}"),
        }
    }
}

/// A device cannot be used here. This is the machine's fault, and says nothing about a guest.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "there is no `{PROGRAM}` in {}, and GPUs need it: `cargo build --release -p nightlab-host-cuda` makes it; \
         {VARIABLE} can name it elsewhere",
        .0.display()
    )]
    NoProgram(PathBuf),
    #[error("{VARIABLE} names {}, which is no file", .0.display())]
    NoSuchFile(PathBuf),
    #[error("cannot find the path of this program, beside which `{PROGRAM}` should be: {0}; {VARIABLE} can name it")]
    NoPath(std::io::Error),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("--device {device} does not work here: {status}; `host doctor` says what is missing")]
    Refused { device: Device, status: Status },
    #[error("{} says that its numerics class is {class:?}, which is none of a GPU", .program.display())]
    Class { program: PathBuf, class: String },
}

/// A card and the program whose children compute on it.
#[derive(Clone, Debug)]
pub struct Accelerator {
    program: PathBuf,
    card: Card,
    /// Numerics class, once the program was asked.
    class: Option<String>,
}

impl Accelerator {
    /// The card of a number, by the program that the user names or that is beside this one.
    pub fn find(card: u32) -> Result<Self, DeviceError> {
        let program = match std::env::var_os(VARIABLE).map(PathBuf::from) {
            Some(named) if named.is_file() => named,
            Some(named) => return Err(DeviceError::NoSuchFile(named)),
            None => {
                let folder = std::env::current_exe().map_err(DeviceError::NoPath)?.with_file_name("");
                let beside = folder.join(PROGRAM);
                if beside.is_file() { beside } else { Err(DeviceError::NoProgram(folder))? }
            }
        };
        Self::new(program, card, cache::cache_dir()?.join(FOLDER))
    }

    /// The card of a number. `folder` keeps what is compiled for it.
    pub fn new(program: PathBuf, card: u32, folder: PathBuf) -> Result<Self, DeviceError> {
        let failed = |source| CacheError::Io { path: folder.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        // Children start in another folder.
        let absolute = |path: &Path| std::path::absolute(path).map_err(failed);
        let (program, folder) = (absolute(&program)?, absolute(&folder)?);
        Ok(Self { program, card: Card { number: card, folder }, class: None })
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Takes the class that the program has told.
    pub(super) fn of_class(self, class: String) -> Result<Self, DeviceError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        if !class.starts_with(PREFIX) || class.len() > CLASS_BYTES || !class.bytes().all(plain) {
            return Err(DeviceError::Class { program: self.program, class: class.chars().take(CLASS_BYTES).collect() });
        }
        Ok(Self { class: Some(class), ..self })
    }

    pub(super) fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    pub(super) fn device(&self) -> Device {
        Device::Cuda { card: self.card.number }
    }

    /// The program, with nothing of the environment but what a driver needs.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear();
        command.envs(HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command
    }

    /// What follows the arguments of every child.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let Card { number, folder } = &self.card;
        let class = self.class.as_ref().map(OsString::from);
        [number.to_string().into(), folder.into()].into_iter().chain(class).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::Cuda { card: 0 }, Device::Cuda { card: 3 }] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for wrong in ["gpu", "cuda:", "cuda:x", "cpu:0", ""] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_do_not_depend_on_where_a_child_starts() {
        let folder = tempfile::tempdir().unwrap();
        let card = Accelerator::new("here/host-cuda".into(), 1, folder.path().into()).unwrap();
        assert_eq!(card.program(), std::env::current_dir().unwrap().join("here/host-cuda"));
        assert_eq!(card.arguments(), ["1".into(), OsString::from(folder.path())]);
        assert_eq!(card.device(), Device::Cuda { card: 1 });
    }

    #[test]
    fn a_class_that_is_none_of_a_gpu_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let card = || Accelerator::new("host-cuda".into(), 0, folder.path().join("cuda")).unwrap();
        assert_eq!(card().of_class("cuda-sm_90-1234".into()).unwrap().class(), Some("cuda-sm_90-1234"));
        for wrong in ["cpu-2", "cuda-\n", &format!("cuda-{}", "a".repeat(CLASS_BYTES))] {
            assert!(matches!(card().of_class(wrong.into()), Err(DeviceError::Class { .. })), "{wrong}");
        }
    }
}
