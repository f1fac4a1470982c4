//! What fuzzing tries: one function for each kind of input that strangers send. It panics where something is wrong.
//! `targets/` hands the functions to libFuzzer, and the test below gives them their kept inputs.

mod answers;
mod components;
mod frames;
mod operations;
mod policies;
mod signed;
mod sources;

pub use answers::answers;
pub use components::components;
pub use frames::frames;
pub use operations::operations;
pub use policies::policies;
pub use signed::signed;
pub use sources::sources;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 7] = [
        ("answers", answers),
        ("components", components),
        ("frames", frames),
        ("operations", operations),
        ("policies", policies),
        ("signed", signed),
        ("sources", sources),
    ];

    fn names_in(folder: &str) -> BTreeSet<String> {
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_target_has_a_corpus() {
        let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!((names_in("targets"), names_in("corpus")), (known.clone(), known));
    }

    /// Each kept input, cut short, and with each of some bits turned.
    #[test]
    fn kept_inputs_and_their_like_find_nothing() {
        for (name, target) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            for file in std::fs::read_dir(corpus).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                target(&bytes);
                for turn in 0..16 {
                    let at = bytes.len() * turn / 16;
                    target(&bytes[..at]);
                    let mut turned = bytes.clone();
                    if let Some(byte) = turned.get_mut(at + turn) {
                        *byte ^= 1 << (turn % 8);
                    }
                    target(&turned);
                }
            }
        }
    }
}
