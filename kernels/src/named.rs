//! Enums whose variants have a code and a name: each variant is one row that holds its documentation, code and name.

/// Defines such an enum, with `ALL` in order of code and `name`. Numbers after a name are other macros' columns.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $code:literal $text:literal $($column:literal)*,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $doc])+ $variant = $code,)+ }

        impl $name {
            /// Every variant, in order of code.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$variant),+];

            /// The name that the contract, profiles and messages use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}
pub(crate) use named;
