//! Policies: read, and written in their canonical text, which reads the same.

use nightlab::policy::Policy;

/// # Panics
/// On a fault.
pub fn policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse("fuzz.toml", text) else { return };
    let canonical = policy.canonical().expect("a policy can be written");
    let again = Policy::parse("canonical.toml", &canonical).expect("its canonical text is a policy");
    assert_eq!(canonical, again.canonical().expect("a policy can be written"));
}
