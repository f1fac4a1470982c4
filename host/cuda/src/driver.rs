//! An NVIDIA GPU as a backend, and what its driver needs of the second wall.

use crate::backend::OnDevice;
use cuda_kernels::Device;
use cuda_kernels::driver::{self, Gpu};
use nightlab::sandbox::backend::{Backend, Card, Needs, Part, Starter};
use nightlab::system::confinement::{Calls, Paths};
use std::path::{Path, PathBuf};

/// Where libraries are, and what they and the driver read when they are loaded.
const READ: [&str; 14] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/cuda",
    "/opt/cuda",
    "/etc/ld.so.cache",
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/maps",
    "/sys/bus/pci",
    "/sys/devices",
];
/// The folder of devices, what those of a GPU begin with, and that of Windows' Linux.
const DEVICES: &str = "/dev";
const OF_A_GPU: &str = "nvidia";
const OF_WINDOWS: &str = "dxg";
/// Memory of this machine that a driver maps for itself.
const MEMORY_BYTES: u64 = 16 << 30;
/// A compiled kernel is smaller.
const FILE_BYTES: u64 = 64 << 20;
const FILES: u64 = 1024;

/// A card by NVIDIA's driver.
pub fn driver(card: Card) -> Starter {
    let devices = devices(Path::new(DEVICES));
    let libraries = std::env::var_os("LD_LIBRARY_PATH");
    let libraries = libraries.iter().flat_map(std::env::split_paths).filter(|folder| folder.is_absolute());
    let read = READ.iter().map(PathBuf::from).chain(libraries).collect();
    let write = devices.iter().cloned().chain([card.folder.clone()]).collect();
    Starter {
        needs: Needs {
            at_start: Paths { read, write, execute: Vec::new() },
            afterwards: Paths { write: devices, ..Paths::default() },
            memory_bytes: MEMORY_BYTES,
            file_bytes: FILE_BYTES,
            files: FILES,
            calls: Calls::Driving,
        },
        start: Box::new(move |share| {
            let gpu = Gpu::open(card.number as usize, &card.folder)?;
            let class = gpu.class().to_owned();
            Ok(Box::new(OnDevice::new(gpu, class, share)) as Box<dyn Backend>)
        }),
        look: Box::new(|| driver::look().into_iter().map(part).collect()),
    }
}

fn part(found: driver::Found) -> Part {
    let driver::Found { name, is_there, text } = found;
    Part { name: name.to_owned(), is_there, text }
}

/// The nodes through which a process reaches a driver of GPUs.
fn devices(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_of_a_gpu = |name: &str| name.starts_with(OF_A_GPU) || name == OF_WINDOWS;
    let mut nodes: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is_of_a_gpu)).map(|entry| entry.path()).collect();
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_finds_the_nodes_of_gpus_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("nightlab-nodes-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("nvidia-caps")).unwrap();
        for name in ["nvidia0", "nvidiactl", "nvidia-uvm", "dxg", "sda", "mem", "null", "dxgx"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names = ["dxg", "nvidia-caps", "nvidia-uvm", "nvidia0", "nvidiactl"];
        assert_eq!(devices(&folder), names.map(|name| folder.join(name)));
        std::fs::remove_dir_all(&folder).unwrap();
        let needs = driver(Card { number: 0, folder: folder.clone() }).needs;
        assert_eq!(needs.afterwards.read, Vec::<PathBuf>::new());
        assert!(needs.afterwards.execute.is_empty() && needs.at_start.execute.is_empty());
        assert!(!needs.afterwards.write.contains(&folder), "what was compiled is not written after the start");
    }
}
