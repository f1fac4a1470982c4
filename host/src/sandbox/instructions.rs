//! Which instruction path the tensor engine uses: the fastest one on this machine, or the one that the user names.
//! Results do not depend on it, so it is in no record and no key.

use kernels::cpu::path::Path;

/// The environment variable that names a path.
pub const VARIABLE: &str = "HOST_CPU_PATH";

/// The variable names a path that this machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} is {asked:?}; this machine has {}", names())]
pub struct NoSuchPath {
    asked: String,
}

/// The path to use.
pub fn chosen() -> Result<Path, NoSuchPath> {
    choose(std::env::var_os(VARIABLE).map(|name| name.to_string_lossy().into_owned()))
}

fn choose(asked: Option<String>) -> Result<Path, NoSuchPath> {
    match asked {
        None => Ok(Path::detect()),
        Some(asked) => Path::named(&asked).ok_or(NoSuchPath { asked }),
    }
}

/// The names of the paths on this machine.
pub fn names() -> String {
    Path::all().map(Path::name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_asked_for_by_name() {
        assert_eq!(choose(None), Ok(Path::detect()));
        assert_eq!(choose(Some("portable".into())), Ok(Path::portable()));
        let refused = choose(Some("sse".into())).unwrap_err().to_string();
        assert!(refused.starts_with("HOST_CPU_PATH is \"sse\"; this machine has ") && refused.ends_with("portable"));
    }
}
