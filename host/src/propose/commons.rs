//! The proposer whose mutations are findings of other labs. Where the champion is what a finding was made from, the
//! finding is tried as it is. Otherwise its change is carried onto the champion, if it can be.

use crate::propose::description;
use crate::propose::patch::{Patch, Text};
use crate::propose::proposer::{Desk, HYPOTHESIS_CHARS, Proposal, ProposeError, Proposer, Situation};
use crate::record::key::Hash;
use crate::record::store::{FindingRecord, Store, StoreError};
use crate::system::sanitize;

pub struct Commons {
    store: Store,
}

impl Commons {
    /// Its name in policies, logs and the store.
    pub const NAME: &'static str = "commons";
    /// What its trials are known by: they have nothing in common but where they come from.
    const OPERATOR: &'static str = "finding";

    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The finding's source, or its change on the champion.
    fn source(&self, finding: &FindingRecord, champion: &str) -> Result<String, StoreError> {
        let source = self.text(&finding.source_blob)?;
        if Hash::of(champion.as_bytes()) == finding.parent {
            return Ok(source);
        }
        // The parent may be known to the lab alone.
        let parent = match self.text(&finding.parent) {
            Err(StoreError::Missing { .. } | StoreError::Corrupt { .. }) => return Ok(source),
            parent => parent?,
        };
        let carried = carry(&parent, &source, champion).filter(|carried| carried != champion);
        Ok(carried.unwrap_or(source))
    }

    fn text(&self, blob: &Hash) -> Result<String, StoreError> {
        Ok(String::from_utf8_lossy(&self.store.get_blob(blob)?).into_owned())
    }
}

/// The champion with what lies between a parent and a source, if that has a place there.
fn carry(parent: &str, source: &str, champion: &str) -> Option<String> {
    let patch = Patch::between(&Text::parse(parent).ok()?, &Text::parse(source).ok()?);
    patch.onto(&Text::parse(champion).ok()?, patch.parts()).ok()
}

impl Proposer for Commons {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// A finding that is not tried now waits in the store, and costs nothing.
    fn is_free(&self) -> bool {
        true
    }

    fn is_refilled(&self) -> bool {
        true
    }

    fn propose(&mut self, situation: &Situation, _desk: &mut Desk) -> Result<Option<Proposal>, ProposeError> {
        let next = self.store.next_finding(&situation.task, &situation.context)?;
        let Some(finding) = next else { return Ok(None) };
        let champion = &situation.parent.source;
        let source = self.source(&finding, champion)?;
        let lab = sanitize::cut(&finding.lab, 12, "");
        Ok(Some(Proposal {
            description: description::describe(champion, &source),
            hypothesis: sanitize::line(&format!("finding of the lab {lab}: {}", finding.change), HYPOTHESIS_CHARS),
            operator: Self::OPERATOR.into(),
            credit: Some(finding.credit()),
            source,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propose::proposer::tests::{NoLedger, situation};
    use crate::record::key::{ContextKey, SourceKey};
    use crate::record::store::{NewFinding, Proof};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    /// What is proposed if a finding was made from `parent`, and the champion is `champion`.
    fn proposed(parent: &str, knows_parent: bool, source: &str, champion: &str) -> Proposal {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut situation = situation(Vec::new());
        let (task, context) = (situation.task, situation.context);
        store.start_night("p", "", &task, &context, 0).unwrap();
        if knows_parent {
            store.put_blob(parent.as_bytes()).unwrap();
        }
        let finding = NewFinding {
            text: b"finding",
            source,
            source_key: SourceKey::of(source.as_bytes()),
            lab: "lab",
            author: "author",
            licence: Some("MIT"),
            task,
            context: ContextKey::of(b"theirs"),
            parent: Hash::of(parent.as_bytes()),
            change: "a change",
            proof: Proof::Proved,
        };
        assert!(store.add_finding(&finding, 0).unwrap());
        Arc::make_mut(&mut situation.parent).source = champion.into();
        let cancelled = AtomicBool::new(false);
        let mut desk = Desk { ledger: &mut NoLedger, cancelled: &cancelled };
        Commons::new(store).propose(&situation, &mut desk).unwrap().unwrap()
    }

    #[test]
    fn a_finding_is_tried_as_it_is_or_its_change_is_carried_onto_the_champion() {
        let (parent, source) = ("const A: u32 = 1;\nconst B: u32 = 1;\n", "const A: u32 = 2;\nconst B: u32 = 1;\n");
        let as_it_is = proposed(parent, true, source, parent);
        assert_eq!((as_it_is.source.as_str(), as_it_is.description.as_str()), (source, "A 1 → 2"));
        let credit = as_it_is.credit.unwrap();
        assert_eq!((credit.author.as_str(), credit.sent.finding()), ("author", Some(Hash::of(b"finding"))));
        assert_eq!(credit.made_from, Some(Hash::of(parent.as_bytes())));
        let champion = "const A: u32 = 1;\nconst B: u32 = 7;\n";
        let carried = proposed(parent, true, source, champion);
        assert_eq!(carried.source, "const A: u32 = 2;\nconst B: u32 = 7;\n");
        assert_eq!(carried.credit, Some(credit));
        // Without the parent, and where the champion differs at the same place, the whole source is tried.
        assert_eq!(proposed(parent, false, source, champion).source, source);
        assert_eq!(proposed(parent, true, source, "const A: u32 = 9;\nconst B: u32 = 7;\n").source, source);
    }
}
