//! Compiled kernels: NVRTC makes them for a card, and a folder keeps them under the hash of all that they are made of.

use crate::source::whole;
use cudarc::nvrtc::{result, sys};
use kernels::fault::Fault;
use std::ffi::CString;
use std::path::Path;

/// Nothing is fused that does not say so.
const FLAGS: [&str; 2] = ["--std=c++17", "--fmad=false"];
/// Bytes of the hash before a kept cubin.
const HASH: usize = 32;

/// The compiled source of this name for an architecture such as `sm_90`.
pub fn cubin(name: &str, architecture: &str, version: (i32, i32), folder: &Path) -> Result<Vec<u8>, Fault> {
    let text = whole(name).ok_or_else(|| Fault::Executor(format!("there is no source {name}")))?;
    let architecture = format!("--gpu-architecture={architecture}");
    let options = [FLAGS[0], FLAGS[1], &architecture];
    let made_of = format!("{text}\0{}\0{}.{}", options.join("\0"), version.0, version.1);
    let key = blake3::derive_key("nightlab cubin", made_of.as_bytes());
    kept(folder, key, || compile(name, &text, &options))
}

/// Major and minor version of NVRTC.
pub fn version() -> Result<(i32, i32), Fault> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both point to integers that outlive the call.
    let done = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    done.result().map_err(|error| Fault::Executor(format!("NVRTC: {error:?}")))?;
    Ok((major, minor))
}

/// What the folder has under the key, or what is made and put there. A file that does not have the hash that it begins
/// with is made again.
fn kept(folder: &Path, key: [u8; HASH], make: impl FnOnce() -> Result<Vec<u8>, Fault>) -> Result<Vec<u8>, Fault> {
    let path = folder.join(format!("{}.cubin", blake3::Hash::from_bytes(key).to_hex()));
    if let Ok(file) = std::fs::read(&path)
        && let Some((hash, cubin)) = file.split_first_chunk::<HASH>()
        && blake3::hash(cubin) == *hash
    {
        return Ok(cubin.to_vec());
    }
    let cubin = make()?;
    let file = [&blake3::hash(&cubin).as_bytes()[..], &cubin].concat();
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&new, file))
        .and_then(|()| std::fs::rename(&new, &path));
    written.map_err(|error| Fault::Executor(format!("keeping {}: {error}", path.display())))?;
    Ok(cubin)
}

/// A program of NVRTC's, destroyed with it.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: it was made by `create_program` and is destroyed here alone. There is nothing to do about an error.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

fn compile(name: &str, text: &str, options: &[&str]) -> Result<Vec<u8>, Fault> {
    let failed = |error: &dyn std::fmt::Debug| Fault::Executor(format!("NVRTC on {name}: {error:?}"));
    let c_string = |text: &str| CString::new(text).map_err(|error| failed(&error));
    let (source, file) = (c_string(text)?, c_string(name)?);
    let program = Program(result::create_program(&source, Some(&file)).map_err(|error| failed(&error))?);
    // SAFETY: the program lives.
    if let Err(error) = unsafe { result::compile_program(program.0, options) } {
        // SAFETY: the program lives.
        let log = unsafe { result::get_program_log(program.0) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c.cast_unsigned()).collect();
        return Err(failed(&format_args!("{error:?}\n{}", String::from_utf8_lossy(&log))));
    }
    let mut size = 0;
    // SAFETY: the program lives and was compiled, and the size outlives the call.
    unsafe { sys::nvrtcGetCUBINSize(program.0, &raw mut size) }.result().map_err(|error| failed(&error))?;
    let mut cubin = vec![0u8; size];
    // SAFETY: the program lives and was compiled, and the room has the size that it told.
    unsafe { sys::nvrtcGetCUBIN(program.0, cubin.as_mut_ptr().cast()) }.result().map_err(|error| failed(&error))?;
    Ok(cubin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SOURCES;

    #[test]
    fn what_is_kept_is_made_once_and_a_broken_file_again() {
        let folder = std::env::temp_dir().join(format!("nightlab-cubins-{}", std::process::id()));
        let key = [7; HASH];
        let make = |byte: u8| move || Ok(vec![byte; 100]);
        assert_eq!(kept(&folder, key, make(1)).unwrap(), [1; 100]);
        assert_eq!(kept(&folder, key, make(2)).unwrap(), [1; 100]);
        assert_eq!(kept(&folder, [8; HASH], make(3)).unwrap(), [3; 100]);
        let path = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        for path in path.collect::<Vec<_>>() {
            let mut file = std::fs::read(&path).unwrap();
            file[50] ^= 1;
            std::fs::write(&path, file).unwrap();
        }
        assert_eq!(kept(&folder, key, make(4)).unwrap(), [4; 100]);
        let refused = kept(&folder, [9; HASH], || Err(Fault::Executor("no".to_owned())));
        assert_eq!(refused, Err(Fault::Executor("no".to_owned())));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// Where NVRTC is on the library path, it compiles every source as it stands here: `kernels/cuda` has no other
    /// includes.
    #[test]
    fn nvrtc_compiles_every_source() {
        // SAFETY: it only loads the library to see whether it is there.
        if !unsafe { sys::is_culib_present() } {
            let word = "NOT CHECKED: whether NVRTC compiles the CUDA kernels; libnvrtc is not on the library path\n";
            std::io::Write::write_all(&mut std::io::stderr(), word.as_bytes()).unwrap();
            return;
        }
        let folder = std::env::temp_dir().join(format!("nightlab-nvrtc-{}", std::process::id()));
        let version = version().unwrap();
        for (name, _) in SOURCES {
            let cubin = cubin(name, "sm_80", version, &folder).unwrap();
            assert!(cubin.starts_with(b"\x7fELF"), "{name}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
