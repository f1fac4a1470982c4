//! This machine, as the rest may use it: folders, processes, walls, and text that somebody else wrote. May import nothing
//! of the host. Start with [`confinement`] for the second wall and [`sanitize`] for strangers' words.

pub mod atomic_file;
pub mod cache;
pub mod clock;
pub mod confinement;
pub mod environment;
pub mod process;
pub mod sanitize;
pub mod untrusted_folder;
