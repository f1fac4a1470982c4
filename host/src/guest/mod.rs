//! A guest before it runs: its source, the compiler, the component, and the SDK reference. May import `record` and
//! `system`. Start with [`source`], then follow the text through [`toolchain`] to [`component`].

pub mod component;
mod price_list;
pub mod reference;
pub mod seed;
pub mod source;
pub mod toolchain;
