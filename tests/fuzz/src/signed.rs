//! Files of strangers: submissions, claims, receipts, findings and lists of what failed. What is accepted is spelled as
//! it was signed.

use nightlab::community::{Claim, Finding, Form, Negatives, PrivateKey, Receipt, Signed, Submission};

/// What reads, and what is read after it was signed again.
fn check<T: Form + Clone + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(read) = Signed::<T>::read(bytes) else { return };
    assert_eq!(read.to_bytes(), bytes);
    let signed = Signed::sign(read.text, &PrivateKey::of_seed(&[7; 32]));
    assert_eq!(Signed::<T>::read(&signed.to_bytes()).as_ref(), Ok(&signed));
}

/// # Panics
/// On a fault.
pub fn signed(bytes: &[u8]) {
    check::<Submission>(bytes);
    check::<Claim>(bytes);
    check::<Receipt>(bytes);
    check::<Finding>(bytes);
    check::<Negatives>(bytes);
}
