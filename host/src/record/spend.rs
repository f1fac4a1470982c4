//! The cost of proposals, and caps on it.

/// The cost of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Spend {
    pub requests: u64,
    /// Tokens read by the model.
    pub input_tokens: u64,
    /// Tokens written by the model.
    pub output_tokens: u64,
    /// Millionths of a US dollar.
    pub micro_dollars: u64,
}

impl Spend {
    /// Input and output tokens together.
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// The sum. It saturates at the largest number.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            micro_dollars: self.micro_dollars.saturating_add(other.micro_dollars),
        }
    }
}

/// A request and its answer, for the store. Neither holds a secret: keys travel in headers, which are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The cost. If the server does not report it and the model is not known to be free, this is the worst case.
    pub spend: Spend,
    /// The request's body.
    pub request: Vec<u8>,
    /// The answer's body as far as it arrived; empty if there was none.
    pub response: Vec<u8>,
    /// How it ended: `200`, `429`, `timeout`.
    pub status: String,
    /// Milliseconds from request to last byte.
    pub wall_ms: u64,
}

/// Caps on a night's spending; `None` means no cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    pub requests: Option<u64>,
    /// Input and output tokens together.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub micro_dollars: Option<u64>,
}

impl Caps {
    /// The largest share of any cap that `spend` uses.
    pub fn share(&self, spend: &Spend) -> f64 {
        let share = |used: u64, cap: Option<u64>| cap.map_or(0.0, |cap| used as f64 / cap.max(1) as f64);
        share(spend.requests, self.requests)
            .max(share(spend.tokens(), self.tokens))
            .max(share(spend.micro_dollars, self.micro_dollars))
    }

    /// Whether `total` stays within every cap.
    pub fn allow(&self, total: &Spend) -> bool {
        let within = |used: u64, cap: Option<u64>| cap.is_none_or(|cap| used <= cap);
        within(total.requests, self.requests)
            && within(total.tokens(), self.tokens)
            && within(total.micro_dollars, self.micro_dollars)
    }

    /// Each cap and how much of it is left.
    pub fn words(&self, spent: &Spend) -> String {
        let left = |cap: u64, used: u64| cap.saturating_sub(used);
        let caps = [
            self.micro_dollars.map(|n| format!("{} ({} left)", dollars(n), dollars(left(n, spent.micro_dollars)))),
            self.tokens.map(|n| format!("{n} tokens ({} left)", left(n, spent.tokens()))),
            self.requests.map(|n| format!("{n} requests ({} left)", left(n, spent.requests))),
        ];
        let caps: Vec<String> = caps.into_iter().flatten().collect();
        if caps.is_empty() { "none".into() } else { caps.join(", ") }
    }

    /// Why `spent` and `worst` together exceed a cap.
    pub(crate) fn refusal(&self, spent: &Spend, worst: &Spend) -> String {
        let total = spent.plus(worst);
        let above = |used: u64, cap: Option<u64>| cap.filter(|cap| used > *cap);
        let (cap, used, next) = if let Some(cap) = above(total.requests, self.requests) {
            (format!("{cap} requests"), spent.requests.to_string(), worst.requests.to_string())
        } else if let Some(cap) = above(total.tokens(), self.tokens) {
            (format!("{cap} tokens"), spent.tokens().to_string(), worst.tokens().to_string())
        } else {
            let cap = self.micro_dollars.unwrap_or(0);
            (dollars(cap), dollars(spent.micro_dollars), dollars(worst.micro_dollars))
        };
        format!("done for this night: its cap is {cap}, {used} are spent, and the next request may take {next}")
    }
}

/// Formats micro-dollars for people.
pub fn dollars(micro: u64) -> String {
    format!("${}.{:04}", micro / 1_000_000, micro % 1_000_000 / 100)
}
