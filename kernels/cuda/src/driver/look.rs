//! What of NVIDIA's there is on this machine, in words. Nothing of it needs to work.

use super::gpu::driver_version;
use super::products::Products;
use super::{cubins, libraries};
use cudarc::driver::{DriverError, result::device, sys};
use std::path::Path;

/// A library or a card that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In a word.
    pub name: &'static str,
    /// Whether it is there and new enough to be asked.
    pub is_there: bool,
    /// What it is, or how to get it.
    pub text: String,
}

/// Driver, compiler, library of products and cards.
pub fn look() -> Vec<Found> {
    let mut all = Vec::new();
    let mut say = |name, found: Result<String, String>| {
        let is_there = found.is_ok();
        let text = found.unwrap_or_else(|why| why);
        all.push(Found { name, is_there, text });
        is_there
    };
    let missing =
        |library: &libraries::Library| Err(format!("{} is not on the library path: {}", library.name, library.remedy));
    let [driver, nvrtc, cublaslt] = libraries::all();
    let has_driver = match driver.is_there {
        true => say("driver", driver_words()),
        false => say("driver", missing(&driver)),
    };
    say(
        "NVRTC",
        match nvrtc.is_there {
            true => cubins::version().map(|(a, b)| format!("{a}.{b}")).map_err(|fault| fault.to_string()),
            false => missing(&nvrtc),
        },
    );
    say(
        "cuBLASLt",
        match cublaslt.is_there {
            true => Ok(dotted(Products::version())),
            false => missing(&cublaslt),
        },
    );
    if has_driver {
        match cards() {
            Ok(cards) if cards.is_empty() => {
                say("card", Err("the driver shows none; CUDA_VISIBLE_DEVICES may hide them".to_owned()));
            }
            Ok(cards) => cards.into_iter().for_each(|card| {
                say("card", Ok(card));
            }),
            Err(why) => {
                say("card", Err(why));
            }
        }
    }
    all
}

/// The driver's own version, where Linux tells it, and the newest CUDA that it runs.
fn driver_words() -> Result<String, String> {
    let version = driver_version().map_err(|fault| fault.to_string())?;
    let cuda = format!("for CUDA up to {}.{}", version / 1000, version % 1000 / 10);
    let own = std::fs::read_to_string(Path::new("/proc/driver/nvidia/version")).unwrap_or_default();
    Ok(match own.lines().next().and_then(|line| line.split_once(':')) {
        Some((_, own)) => format!("{cuda} ({})", own.trim()),
        None => cuda,
    })
}

/// As 130002 of cuBLASLt 13.0.2.
fn dotted(version: usize) -> String {
    format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
}

fn cards() -> Result<Vec<String>, String> {
    let failed = |error: DriverError| format!("the driver: {error:?}");
    cudarc::driver::result::init().map_err(failed)?;
    (0..device::get_count().map_err(failed)?).map(|number| card(number).map_err(failed)).collect()
}

fn card(number: i32) -> Result<String, DriverError> {
    use sys::CUdevice_attribute as Attribute;
    let card = device::get(number)?;
    let name = device::get_name(card)?;
    // SAFETY: the driver has just named the card.
    let (bytes, major, minor) = unsafe {
        let major = Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
        let minor = Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR;
        (device::total_mem(card)?, device::get_attribute(card, major)?, device::get_attribute(card, minor)?)
    };
    Ok(format!("{number}: {name}, {:.0} GiB, compute capability {major}.{minor}", bytes as f64 / f64::from(1 << 30)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_its_remedy() {
        for Found { name, is_there, text } in look() {
            assert!(is_there || text.len() > 20, "{name}: {text}");
            assert!(!text.contains("panicked"), "{text}");
        }
        assert_eq!(dotted(130_002), "13.0.2");
    }
}
