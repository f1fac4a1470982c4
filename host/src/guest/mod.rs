//! A guest before it runs: its source, the compiler, the component, and the reference that its author reads. May import
//! `record` and `system`. Start with [`source`], then follow the text through [`toolchain`] to [`component`].

pub mod component;
pub mod reference;
pub mod seed;
pub mod source;
pub mod toolchain;
