//! What is sent to be tried, and the text that stands for it.

use crate::community::{Content, Submission};
use crate::guest::component::Card;
use crate::record::key::Hash;
use crate::record::store::{Store, StoreError};
use std::borrow::Cow;
use std::ops::Range;

/// A card alone claims the component of somebody else, or one that nobody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its source is the card of the component {0}, without the component: send the `.wasm` file itself")]
pub struct CardAlone(Hash);

/// Refuses a source that is a card.
///
/// # Errors
/// It names the component.
pub fn check(content: &Content) -> Result<(), CardAlone> {
    let Content::Source(text) = content else { return Ok(()) };
    Card::read(text).map_or(Ok(()), |card| Err(CardAlone(card.component())))
}

/// The source, or the card of the component.
pub fn text(content: &Content) -> Cow<'_, str> {
    match content {
        Content::Source(text) => Cow::Borrowed(text),
        Content::Component(bytes) => Cow::Owned(Card::of(bytes).text().to_owned()),
    }
}

/// Where the component lies in the file of a submission, if it is one: before the claim.
pub fn component_in(file: &[u8], submission: &Submission) -> Option<Range<usize>> {
    let Content::Component(bytes) = &submission.content else { return None };
    let after = submission.claim.as_ref().map_or(0, |claim| claim.to_bytes().len());
    let end = file.len().checked_sub(after)?;
    Some(end.checked_sub(bytes.len())?..end)
}

/// The text to try. The store keeps the component that it names.
///
/// # Errors
/// The store cannot be written.
pub fn keep(content: &Content, store: &Store) -> Result<String, StoreError> {
    if let Content::Component(bytes) = content {
        store.put_blob(bytes)?;
    }
    Ok(text(content).into_owned())
}
