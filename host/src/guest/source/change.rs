//! What a mutation changes of the champion's source, by their tokens.

use crate::guest::source::syntax;
use crate::guest::source::token::{self, Token};
use crate::record::trial::ChangeKind;

/// The difference between two sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// Whether the second source has fewer tokens than the first.
    pub is_shorter: bool,
}

impl Change {
    /// None if one of the texts does not parse.
    pub fn between(before: &str, after: &str) -> Option<Self> {
        let tokens = |text| syntax::look(text, token::tokens).ok();
        Some(Self::of_tokens(&tokens(before)?, &tokens(after)?))
    }

    fn of_tokens(before: &[Token], after: &[Token]) -> Self {
        let differing: Vec<_> = before.iter().zip(after).filter(|(a, b)| a != b).collect();
        let are_literals = differing.iter().all(|(a, b)| a.is_literal() && b.is_literal());
        let kind = match differing.len() {
            0 | 1 if are_literals && before.len() == after.len() => ChangeKind::Constant,
            _ if are_literals && before.len() == after.len() => ChangeKind::Constants,
            _ => ChangeKind::Structure,
        };
        let written = |tokens: &[Token]| tokens.iter().filter(|token| !token.is_end()).count();
        Self { kind, is_shorter: written(after) < written(before) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(after: &str) -> Change {
        Change::between("/// One.\nconst A: f32 = 0.5;\nconst B: f32 = A * 2.0; // two\n", after).unwrap()
    }

    #[test]
    fn literals_are_constants_and_all_else_is_structure() {
        let same = change("const A: f32 = 0.5; const B: f32 = A * 2.0;");
        assert_eq!(same, Change { kind: ChangeKind::Constant, is_shorter: false });
        assert_eq!(change("const A: f32 = 0.6; const B: f32 = A * 2.0;").kind, ChangeKind::Constant);
        assert_eq!(change("const A: f32 = 0.6; const B: f32 = A * 3.0;").kind, ChangeKind::Constants);
        for structure in ["const A: f32 = -0.5; const B: f32 = A * 2.0;", "const A: f32 = 0.5; const B: f32 = A + 2.0;"]
        {
            assert_eq!(change(structure), Change { kind: ChangeKind::Structure, is_shorter: false });
        }
        assert_eq!(change("const A: f32 = 0.5;"), Change { kind: ChangeKind::Structure, is_shorter: true });
        assert_eq!(Change::between("const A: f32 = 0.5;", "const A"), None);
    }
}
