//! Instruction sets: each kernel's body is written once and compiled once per path, so that all paths agree in bits.

/// A set of instructions that this machine is known to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    Avx2,
    Neon,
}

impl Path {
    /// Runs everywhere; slow where the build target has no fused multiply-add.
    pub fn portable() -> Self {
        Self(Set::Portable)
    }

    /// AVX2 and FMA, if this machine has them.
    pub fn avx2() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return Some(Self(Set::Avx2));
        }
        None
    }

    /// NEON. It belongs to the base of its architecture, so bodies are compiled for it as they are.
    pub fn neon() -> Option<Self> {
        cfg!(target_feature = "neon").then_some(Self(Set::Neon))
    }

    /// Those that this machine has, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::avx2(), Self::neon(), Some(Self::portable())].into_iter().flatten()
    }

    /// The fastest one here.
    pub fn detect() -> Self {
        Self::all().next().unwrap_or(Self::portable())
    }

    /// The one of this name, if this machine has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|path| path.name() == name)
    }

    /// Name, as in reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            Set::Avx2 => "avx2",
            Set::Neon => "neon",
        }
    }

    pub(super) fn is_avx2(self) -> bool {
        self.0 == Set::Avx2
    }
}

/// Defines a function that takes a [`Path`] first and runs its body compiled for that path.
macro_rules! kernel {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name(path: $crate::cpu::path::Path, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            if path.is_avx2() {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx2,fma")]
                    fn avx2($($arg: $ty),*) $(-> $ret)? {
                        body($($arg),*)
                    }
                    // SAFETY: a path of AVX2 exists only where detection found AVX2 and FMA.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(super) use kernel;
