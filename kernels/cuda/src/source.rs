//! The texts of the kernels. They include the headers by name and nothing else.

/// Name and text of each source.
pub const SOURCES: [(&str, &str); 10] = [
    ("attention.cu", include_str!("../attention.cu")),
    ("elementwise.cu", include_str!("../elementwise.cu")),
    ("index.cu", include_str!("../index.cu")),
    ("loss.cu", include_str!("../loss.cu")),
    ("moves.cu", include_str!("../moves.cu")),
    ("optimizer.cu", include_str!("../optimizer.cu")),
    ("random.cu", include_str!("../random.cu")),
    ("reduce.cu", include_str!("../reduce.cu")),
    ("rope.cu", include_str!("../rope.cu")),
    ("rows.cu", include_str!("../rows.cu")),
];

/// Name and text of what they include.
pub const HEADERS: [(&str, &str); 2] =
    [("common.cuh", include_str!("../common.cuh")), ("math.cuh", include_str!("../math.cuh"))];

/// Names of the kernels that a source defines, in order.
pub fn kernels_of(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.strip_prefix("KERNEL ")?.split('(').next())
}

/// A source with its headers in the place of includes, for a compiler that has no files.
pub fn whole(name: &str) -> Option<String> {
    let (_, source) = SOURCES.iter().find(|(own, _)| *own == name)?;
    let own = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.starts_with("#include") && !line.starts_with("#pragma once"));
        lines.map(|line| format!("{line}\n")).collect()
    };
    Some(HEADERS.iter().map(|(_, text)| own(text)).chain([own(source)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_listed_and_every_kernel_is_found() {
        let folder = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut names: Vec<String> = folder
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|n| n.ends_with(".cu"))
            .collect();
        names.sort();
        assert_eq!(names, SOURCES.map(|(name, _)| name));
        for (name, text) in SOURCES {
            let found: Vec<&str> = kernels_of(text).collect();
            assert_eq!(found.len(), text.matches("KERNEL").count(), "{name}");
            assert!(
                found.iter().all(|kernel| kernel.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')),
                "{found:?}"
            );
        }
    }
}
