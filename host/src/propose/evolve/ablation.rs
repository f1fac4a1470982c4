//! Takes single parts of the champion back, to see whether they earn anything: each part by which a kept mutation
//! changed its predecessor, if the champion still has it. What is as good without a part is shorter, and the judge may
//! keep it. Other values of constants are left alone: they do not make a source longer. Pure.

use crate::propose::evolve::carried::{Written, part_words};
use crate::propose::evolve::model::change;
use crate::propose::evolve::search::Mutation;
use crate::propose::patch::Text;

pub const NAME: &str = "ablation";

/// The champion without single parts of the mutations in its lineage.
pub fn ablations<'a>(champion: &'a Text, lineage: &'a [Written]) -> impl Iterator<Item = Mutation> + 'a {
    lineage.iter().flat_map(move |kept| {
        let back = kept.patch.back();
        (0..back.parts().len()).filter_map(move |index| {
            let part = back.parts().get(index).filter(|part| !part.is_constants)?;
            let source = back.fits(champion, [part]).then(|| back.onto(champion, [part]).ok()).flatten()?;
            let name = change::part_name(index + 1, kept.number);
            Some(Mutation { source, description: format!("without {name}: {}", part_words(part)), operator: NAME })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::patch::Patch;

    const SEED: &str = "fn f() {\n    a();\n    b();\n    c(1);\n}\n";
    const FIRST: &str = "fn f() {\n    a();\n    more();\n    b();\n    c(one, two);\n}\n";
    const SECOND: &str = "fn f() {\n    a();\n    more();\n    b();\n    c(one, two);\n    last();\n}\n";

    fn written(number: u64, before: &str, after: &str) -> Written {
        let [before, after] = [before, after].map(|text| Text::parse(text).unwrap());
        Written { number, patch: Patch::between(&before, &after).into() }
    }

    #[test]
    fn each_part_of_each_keep_is_taken_out_alone() {
        let lineage = [written(3, SEED, FIRST), written(7, FIRST, SECOND)];
        let champion = Text::parse(SECOND).unwrap();
        let found: Vec<Mutation> = ablations(&champion, &lineage).collect();
        let sources: Vec<&str> = found.iter().map(|mutation| mutation.source.as_str()).collect();
        assert_eq!(
            sources,
            [
                "fn f() {\n    a();\n    b();\n    c(one, two);\n    last();\n}\n",
                "fn f() {\n    a();\n    more();\n    b();\n    c(1);\n    last();\n}\n",
                FIRST,
            ]
        );
        assert_eq!(found[0].description, "without part 1 of #3: +0 −1 lines, more();");
    }

    #[test]
    fn what_the_champion_no_longer_has_is_left_alone() {
        let other = Text::parse("fn g() {}\n").unwrap();
        assert_eq!(ablations(&other, &[written(3, SEED, FIRST)]).count(), 0);
    }

    #[test]
    fn values_of_constants_are_left_alone() {
        let champion = Text::parse("const A: u32 = 2;\n").unwrap();
        let kept = written(3, "const A: u32 = 1;\n", "const A: u32 = 2;\n");
        assert_eq!(ablations(&champion, &[kept]).count(), 0);
    }
}
