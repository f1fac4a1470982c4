//! The change between two sources, and how it is carried onto a third.

use crate::guest::source::{self, Piece, SourceError};
use crate::propose::patch::conflict::Conflict;
use crate::propose::patch::merge::{self, Hunk};
use crate::propose::patch::part::{self, Part};
use std::sync::Arc;

/// A source that changes are between, or are carried onto.
#[derive(Clone, Debug)]
pub struct Text(Arc<[Piece]>);

impl Text {
    /// # Errors
    /// The text does not parse.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        Ok(Self(source::pieces(text)?.into()))
    }
}

/// What lies between two sources.
#[derive(Clone, Debug)]
pub struct Patch {
    before: Text,
    after: Text,
    parts: Vec<Part>,
}

impl Patch {
    pub fn between(before: &Text, after: &Text) -> Self {
        let parts = part::parts(&before.0, &after.0);
        Self { before: before.clone(), after: after.clone(), parts }
    }

    /// Its parts, by where they begin.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The change back, with the same parts in the same order.
    pub fn back(&self) -> Self {
        let parts = self.parts.iter().map(|part| part.back(&self.before.0)).collect();
        Self { before: self.after.clone(), after: self.before.clone(), parts }
    }

    /// A text with some parts of this change. What the text has already stays as it is.
    ///
    /// # Errors
    /// The text differs at a place that a part changes, or does not parse with them.
    pub fn onto<'a>(&self, text: &Text, parts: impl IntoIterator<Item = &'a Part>) -> Result<String, Conflict> {
        let merged = self.merged(text, parts)?;
        source::look(&merged, |_| ())?;
        Ok(merged)
    }

    /// Whether some parts of this change have a place in a text, and are not in it yet. The result need not parse.
    pub fn fits<'a>(&self, text: &Text, parts: impl IntoIterator<Item = &'a Part>) -> bool {
        let own = || text.0.iter().map(Piece::text).collect::<String>();
        self.merged(text, parts).is_ok_and(|merged| merged != own())
    }

    fn merged<'a>(&self, text: &Text, parts: impl IntoIterator<Item = &'a Part>) -> Result<String, Conflict> {
        let mut hunks: Vec<Hunk> = parts.into_iter().flat_map(|part| part.hunks.iter().cloned()).collect();
        hunks.sort_by_key(|hunk| (hunk.old.start, hunk.new.start));
        merge::merge(&self.before.0, &text.0, &self.after.0, &hunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const BASE: &str = "//! A guest.
const LR: f32 = 0.02; // rate
const DEPTH: usize = 4;

/// The model.
fn model(net: &Net, tokens: &Tensor) -> Tensor {
    let mut x = net.embed(\"wte\", tokens).rms_norm();
    for layer in 0..DEPTH {
        x = &x + attention(net, layer, &x);
        x = &x + mlp(net, layer, &x);
    }
    x.linear(&net.weight(\"head\")).softcap(15.0)
}

fn mlp(net: &Net, layer: usize, x: &Tensor) -> Tensor {
    x.linear(&net.weight((\"fc\", layer))).relu_squared()
}
";
    const SMEAR: &str = "    let mut x = net.embed(\"wte\", tokens).rms_norm();
    x = smear(net, &x);
";
    const SMEAR_FN: &str = "
/// A share of the token before.
fn smear(net: &Net, x: &Tensor) -> Tensor {
    x + x.pad(1, 1, 0) * net.weight(\"smear\")
}
";

    fn text(text: &str) -> Text {
        Text::parse(text).unwrap()
    }

    fn patch(after: &str) -> Patch {
        Patch::between(&text(BASE), &text(after))
    }

    /// A smear, another activation, and a rate.
    fn stranger() -> String {
        let embed = "    let mut x = net.embed(\"wte\", tokens).rms_norm();\n";
        BASE.replace(embed, SMEAR).replace("relu_squared", "gelu").replace("0.02", "0.03") + SMEAR_FN
    }

    fn onto(patch: &Patch, ours: &str, parts: &[usize]) -> Result<String, Conflict> {
        patch.onto(&text(ours), parts.iter().filter_map(|part| patch.parts().get(*part)))
    }

    #[test]
    fn what_needs_each_other_is_one_part() {
        let patch = patch(&stranger());
        let words: Vec<String> = patch.parts().iter().map(Part::words).collect();
        assert_eq!(
            words,
            [
                "+1 −1 lines, const LR: f32 = 0.03;",
                "+4 −0 lines, x = smear(net, &x);",
                "+1 −1 lines, x.linear(&net.weight((\"fc\", layer))).gelu()",
            ]
        );
        let values: Vec<bool> = patch.parts().iter().map(|part| part.is_constants).collect();
        assert_eq!(values, [true, false, false]);
    }

    #[test]
    fn all_parts_on_the_first_text_make_the_second() {
        let after = stranger();
        assert_eq!(onto(&patch(&after), BASE, &[0, 1, 2]).unwrap(), after);
        assert_eq!(onto(&patch(&after), &after, &[0, 1, 2]).unwrap(), after, "it has all of it");
        assert_eq!(onto(&patch(&after), BASE, &[]).unwrap(), BASE);
    }

    #[test]
    fn a_part_is_carried_onto_a_text_that_changed_elsewhere() {
        let ours = BASE
            .replace("        x = &x + mlp(net, layer, &x);\n", "        x = &x + mlp(net, layer, &x).rms_norm();\n")
            .replace("const DEPTH: usize = 4;\n", "const DEPTH: usize = 6; // deeper\nconst MORE: f32 = 1.0;\n");
        let merged = onto(&patch(&stranger()), &ours, &[1]).unwrap();
        let embed = "    let mut x = net.embed(\"wte\", tokens).rms_norm();\n";
        assert_eq!(merged, ours.replace(embed, SMEAR) + SMEAR_FN);
    }

    #[test]
    fn two_changes_of_one_statement_are_merged_by_tokens() {
        let theirs = BASE.replace("mlp(net, layer, &x);", "mlp(net, layer, &x.rms_norm());");
        let ours = BASE.replace("        x = &x + mlp", "        x = &x * 0.5 + mlp");
        let merged = onto(&patch(&theirs), &ours, &[0]).unwrap();
        assert!(merged.contains("        x = &x * 0.5 + mlp(net, layer, &x.rms_norm());\n"), "{merged}");
    }

    #[test]
    fn two_changes_of_one_place_are_a_conflict_that_names_it() {
        let ours = BASE.replace("relu_squared", "silu");
        let conflict = onto(&patch(&stranger()), &ours, &[2]).unwrap_err();
        assert_eq!(conflict, Conflict::Place { place: "x.linear(&net.weight((\"fc\", layer))).silu()".into() });
    }

    #[test]
    fn statements_at_the_same_place_follow_each_other() {
        let embed = "    let mut x = net.embed(\"wte\", tokens).rms_norm();\n";
        let ours = BASE.replace(embed, &format!("{embed}    x = other(&x);\n"));
        let merged = onto(&patch(&stranger()), &ours, &[1]).unwrap();
        assert!(merged.contains("    x = other(&x);\n    x = smear(net, &x);\n"), "{merged}");
    }

    #[test]
    fn a_part_is_taken_out_of_a_later_text() {
        let champion = stranger().replace("DEPTH: usize = 4", "DEPTH: usize = 6");
        let back = patch(&stranger()).back();
        assert_eq!(back.parts()[1].words(), "+0 −4 lines, x = smear(net, &x);");
        let without = onto(&back, &champion, &[1]).unwrap();
        assert!(!without.contains("smear") && without.contains("gelu") && without.contains("= 6"), "{without}");
    }

    /// Statements, some of which open blocks.
    fn body() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            (0..6u8).prop_map(|n| format!("    a{n}();\n")),
            (0..4u8, 0..3u8).prop_map(|(n, k)| format!("    let x{n} = f({k}, 1.5); // note\n")),
            (0..3u8).prop_map(|n| format!("    for i in 0..{n} {{\n        b{n}(i);\n    }}\n")),
        ];
        prop::collection::vec(line, 0..8)
            .prop_map(|lines| format!("const A: u32 = {};\nfn f() {{\n{}}}\n", lines.len(), lines.concat()))
    }

    proptest! {
        #[test]
        fn a_whole_patch_makes_the_other_text(before in body(), after in body()) {
            let (before, after) = (text(&before), text(&after));
            let patch = Patch::between(&before, &after);
            let made = text(&patch.onto(&before, patch.parts()).unwrap());
            prop_assert!(made.0 == after.0);
        }

        #[test]
        fn merging_with_an_equal_text_changes_nothing(before in body(), after in body()) {
            let (first, second) = (text(&before), text(&after));
            let patch = Patch::between(&first, &second);
            prop_assert_eq!(patch.onto(&second, patch.parts()).unwrap(), after);
        }

        #[test]
        fn what_merges_parses_and_has_new_lines_of_both(base in body(), ours in body(), theirs in body()) {
            let patch = Patch::between(&text(&base), &text(&theirs));
            // The value of the constant is another in each.
            let parts = patch.parts().iter().filter(|part| !part.is_constants);
            if let Ok(merged) = patch.onto(&text(&ours), parts) {
                prop_assert!(Text::parse(&merged).is_ok());
                let calls = |text: &str| -> BTreeSet<String> {
                    let found = text.lines().filter(|line| line.starts_with("    a"));
                    found.map(str::to_owned).collect()
                };
                let kept: BTreeSet<String> = calls(&base).intersection(&calls(&theirs)).cloned().collect();
                let wanted = calls(&theirs).difference(&calls(&base)).cloned().collect::<BTreeSet<_>>();
                prop_assert!(wanted.is_subset(&calls(&merged)), "{merged}");
                let of_ours = calls(&ours).difference(&calls(&base)).cloned().collect::<BTreeSet<_>>();
                prop_assert!(of_ours.is_subset(&calls(&merged)), "{merged}");
                prop_assert!(kept.intersection(&calls(&ours)).cloned().collect::<BTreeSet<_>>().is_subset(&calls(&merged)));
            }
        }
    }
}
