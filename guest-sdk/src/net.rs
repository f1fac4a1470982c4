//! The model's named state. Training declares parameters and buffers; the model looks them up by name, in training and
//! in evaluation alike.

use crate::bindings::lab::train::state;
use crate::grad;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::fmt;

/// The name of a parameter or buffer: `"head"`, or `("q", 3)` for `q.3`. Letters, digits and `._-`, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl From<&str> for Key {
    fn from(name: &str) -> Self {
        Key(name.into())
    }
}

impl From<(&str, usize)> for Key {
    fn from((name, layer): (&str, usize)) -> Self {
        Key(format!("{name}.{layer}"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parameters (which get gradients) and buffers (which do not), by name. In evaluation the host holds those that
/// training left, read-only.
#[derive(Default)]
pub struct Net {
    declared: BTreeMap<Key, Tensor>,
    groups: BTreeMap<String, Vec<Tensor>>,
}

impl Net {
    /// Nothing declared here yet; names declared before are found in the host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a parameter that starts as `init`, f32. Its `group` is what an optimizer asks for, see [`Net::group`].
    /// Cost: copy.
    #[track_caller]
    pub fn parameter(&mut self, group: &str, key: impl Into<Key>, init: Tensor) {
        let key = key.into();
        let parameter = Tensor::from(state::parameter(&key.0, init.handle()));
        grad::register(&parameter);
        self.groups.entry(group.into()).or_default().push(parameter.clone());
        self.declared.insert(key, parameter);
    }

    /// Declares a buffer that starts as `init`, of any dtype: a running average, a counter. Change it by
    /// [`Tensor::assign`] and [`Tensor::blend`]. Cost: copy.
    #[track_caller]
    pub fn buffer(&mut self, key: impl Into<Key>, init: Tensor) {
        let key = key.into();
        let buffer = state::buffer(&key.0, init.handle()).into();
        self.declared.insert(key, buffer);
    }

    /// The parameters of a group, in the order of declaration.
    #[track_caller]
    pub fn group(&self, group: &str) -> Vec<Tensor> {
        let Some(parameters) = self.groups.get(group) else {
            panic!("no parameter was declared in a group named {group:?}");
        };
        parameters.clone()
    }

    /// All parameters, group by group in order of name.
    pub fn parameters(&self) -> Vec<Tensor> {
        self.groups.values().flatten().cloned().collect()
    }

    /// The parameter or buffer of that name.
    #[track_caller]
    pub fn weight(&self, key: impl Into<Key>) -> Tensor {
        let key = key.into();
        if let Some(declared) = self.declared.get(&key) {
            return declared.clone();
        }
        match state::get(&key.0) {
            Some(saved) => saved.into(),
            None => panic!("no parameter or buffer named {key}: `train` must declare it"),
        }
    }

    /// Rows of the table [n, d] of that name for `tokens` [..] → [.., d]. Cost: gather.
    #[track_caller]
    pub fn embed(&self, key: impl Into<Key>, tokens: &Tensor) -> Tensor {
        self.weight(key).embedding(tokens)
    }
}
