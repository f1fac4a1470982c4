//! What is sent to be tried, and the text that stands for it.

use crate::community::Content;
use crate::guest::component::Card;
use crate::record::store::{Store, StoreError};
use std::borrow::Cow;

/// The source, or the card of the component.
pub fn text(content: &Content) -> Cow<'_, str> {
    match content {
        Content::Source(text) => Cow::Borrowed(text),
        Content::Component(bytes) => Cow::Owned(Card::of(bytes).text().to_owned()),
    }
}

/// The component, if it is one.
pub fn component(content: &Content) -> Option<&[u8]> {
    match content {
        Content::Source(_) => None,
        Content::Component(bytes) => Some(bytes),
    }
}

/// The text to try. The store keeps the component that it names.
///
/// # Errors
/// The store cannot be written.
pub fn keep(content: &Content, store: &Store) -> Result<String, StoreError> {
    component(content).map(|bytes| store.put_blob(bytes)).transpose()?;
    Ok(text(content).into_owned())
}
