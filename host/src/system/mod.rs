//! Access to this machine: folders, processes, confinement, and safe handling of untrusted text. May not import other
//! rooms. Start with [`confinement`] for the second wall,
//! [`walls`] for what tests it, and [`sanitize`] for untrusted text.

pub mod atomic_file;
pub mod cache;
pub mod clock;
pub mod confinement;
pub mod environment;
pub mod process;
pub mod sanitize;
pub(crate) mod scratch;
pub mod stack;
pub mod tied;
pub mod untrusted_folder;
pub mod user_file;
pub mod walls;
