//! Settings of a model in a policy, and their check. Pure.

use crate::propose::llm::cost::Prices;
use crate::propose::llm::error::OpenError;
use crate::system::environment::{SECRET_WORDS, is_secret};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;

/// The API of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Anthropic Messages: `/v1/messages`.
    Anthropic,
    /// Chat completions: `/v1/chat/completions`, as in OpenAI, Ollama, vLLM and llama.cpp.
    Openai,
}

impl Dialect {
    /// The server of the company that defined the dialect.
    const fn home(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::Openai => "https://api.openai.com",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "messages",
            Self::Openai => "chat/completions",
        }
    }
}

/// A language model that proposes: the table `[llm.NAME]` of a policy.
///
/// ```toml
/// [llm.claude]
/// dialect = "anthropic"              # or "openai": Ollama, vLLM, llama.cpp and most hosted models
/// model = "claude-sonnet-4-5"
/// key_env = "ANTHROPIC_API_KEY"      # or key_file = "…" (mode 0600), or neither for a server of your own
/// usd_per_million_input = 3.0
/// usd_per_million_output = 15.0
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The API of the server.
    pub dialect: Dialect,
    /// The server, such as `http://localhost:11434`, with or without `/v1`. Default: the dialect's own company.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The server's name for the model.
    pub model: String,
    /// Default: the server's choice. Some models accept none.
    #[serde(default)]
    pub temperature: Option<f64>,
    /// Largest number of tokens in an answer.
    #[serde(default = "max_output_tokens")]
    pub max_output_tokens: u64,
    /// Largest number of tokens in a prompt; the least important parts are left out. The server's context must hold the
    /// prompt and the answer.
    #[serde(default = "prompt_tokens")]
    pub prompt_tokens: u64,
    /// Name of the environment variable with the key.
    #[serde(default)]
    pub key_env: Option<String>,
    /// Path of the file with the key. Only its owner may read it (mode 0600 or stricter).
    #[serde(default)]
    pub key_file: Option<String>,
    /// Allows sending a key over plain `http` to another machine.
    #[serde(default)]
    pub insecure_http: bool,
    /// Price of a million prompt tokens in US dollars. Default: free.
    #[serde(default)]
    pub usd_per_million_input: f64,
    /// Price of a million answer tokens in US dollars. Default: free.
    #[serde(default)]
    pub usd_per_million_output: f64,
    /// Time limit for a connection, in seconds.
    #[serde(default = "connect_s")]
    pub connect_s: u32,
    /// Time limit for the first byte of an answer, in seconds. A local model reads the prompt in this time; a model
    /// that does not stream writes the whole answer in it.
    #[serde(default = "first_byte_s")]
    pub first_byte_s: u32,
    /// Longest silence within an answer, in seconds.
    #[serde(default = "idle_s")]
    pub idle_s: u32,
    /// Time limit for a whole answer, in seconds.
    #[serde(default = "total_s")]
    pub total_s: u32,
    /// Number of tries per request, including the first one, if a server is busy or fails.
    #[serde(default = "tries")]
    pub tries: u32,
    /// First wait between two tries in milliseconds. It doubles each time. A server's Retry-After takes precedence.
    #[serde(default = "wait_ms")]
    pub wait_ms: u32,
    /// Longest wait between two tries in seconds. If a server asks for more, the request fails for now.
    #[serde(default = "max_wait_s")]
    pub max_wait_s: u32,
}

const fn max_output_tokens() -> u64 {
    8192
}

const fn prompt_tokens() -> u64 {
    24_000
}

const fn connect_s() -> u32 {
    10
}

const fn first_byte_s() -> u32 {
    300
}

const fn idle_s() -> u32 {
    120
}

const fn total_s() -> u32 {
    900
}

const fn tries() -> u32 {
    4
}

const fn wait_ms() -> u32 {
    1000
}

const fn max_wait_s() -> u32 {
    120
}

impl ModelConfig {
    /// A model with default settings and without a key.
    pub fn new(dialect: Dialect, base_url: &str, model: &str) -> Self {
        Self {
            dialect,
            base_url: Some(base_url.into()),
            model: model.into(),
            temperature: None,
            max_output_tokens: max_output_tokens(),
            prompt_tokens: prompt_tokens(),
            key_env: None,
            key_file: None,
            insecure_http: false,
            usd_per_million_input: 0.0,
            usd_per_million_output: 0.0,
            connect_s: connect_s(),
            first_byte_s: first_byte_s(),
            idle_s: idle_s(),
            total_s: total_s(),
            tries: tries(),
            wait_ms: wait_ms(),
            max_wait_s: max_wait_s(),
        }
    }

    /// Invalid fields with reasons, in order of declaration. Reads only this configuration.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let mut unless = |holds: bool, field, reason: &str| {
            if !holds {
                faults.push((field, reason.to_owned()));
            }
        };
        match self.endpoint() {
            Ok(_) => {}
            Err(OpenError::BaseUrl { why }) => unless(false, "base_url", why),
            Err(error) => unless(false, "base_url", &error.to_string()),
        }
        unless((1..=200).contains(&self.model.trim().len()), "model", "name a model, as the server calls it");
        let warm = self.temperature.is_none_or(|t| (0.0..=2.0).contains(&t));
        unless(warm, "temperature", "out of range: 0 to 2");
        let within = |value: u64, low: u64, high: u64| (low..=high).contains(&value);
        unless(within(self.max_output_tokens, 256, 1 << 20), "max_output_tokens", "out of range: 256 to 1048576");
        unless(within(self.prompt_tokens, 2000, 1 << 22), "prompt_tokens", "out of range: 2000 to 4194304");
        let hidden = self.key_env.as_deref().is_none_or(is_secret);
        let words = SECRET_WORDS.join(", ");
        unless(
            hidden,
            "key_env",
            &format!("name it with one of {words}: such variables are kept from child processes"),
        );
        let one_key = self.key_env.is_none() || self.key_file.is_none();
        unless(one_key, "key_file", "there is `key_env` too: name one of them");
        for (field, price) in [
            ("usd_per_million_input", self.usd_per_million_input),
            ("usd_per_million_output", self.usd_per_million_output),
        ] {
            unless((0.0..=1e6).contains(&price), field, "out of range: 0 to 1000000");
        }
        for (field, seconds) in [
            ("connect_s", self.connect_s),
            ("first_byte_s", self.first_byte_s),
            ("idle_s", self.idle_s),
            ("total_s", self.total_s),
        ] {
            unless(within(seconds.into(), 1, 86_400), field, "out of range: 1 to 86400");
        }
        unless(within(self.tries.into(), 1, 20), "tries", "out of range: 1 to 20");
        unless(within(self.wait_ms.into(), 1, 60_000), "wait_ms", "out of range: 1 to 60000");
        unless(within(self.max_wait_s.into(), 1, 3600), "max_wait_s", "out of range: 1 to 3600");
        faults
    }

    /// The prices as whole numbers.
    pub fn prices(&self) -> Prices {
        Prices::per_million(self.usd_per_million_input, self.usd_per_million_output)
    }

    /// The address for requests.
    ///
    /// # Errors
    /// The address is invalid, or a key may not be sent to it.
    pub fn endpoint(&self) -> Result<Url, OpenError> {
        let text = self.base_url.as_deref().unwrap_or(self.dialect.home()).trim().trim_end_matches('/');
        let bad = |why| OpenError::BaseUrl { why };
        let base = Url::parse(text).map_err(|_| bad("it is no address such as `http://localhost:11434`"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(bad("it has to begin with `https://` or `http://` and a host"));
        }
        if !base.username().is_empty() || base.password().is_some() || base.query().is_some() {
            return Err(bad("it holds a password or query: keys come from `key_env` or `key_file` alone"));
        }
        let keyed = self.key_env.is_some() || self.key_file.is_some();
        if keyed && base.scheme() == "http" && !is_loopback(&base) && !self.insecure_http {
            return Err(bad("the key would go over plain http to another machine: use https, or set `insecure_http`"));
        }
        let path = self.dialect.path();
        let full = if text.ends_with(path) {
            text.to_owned()
        } else if text.ends_with("/v1") {
            format!("{text}/{path}")
        } else {
            format!("{text}/v1/{path}")
        };
        Url::parse(&full).map_err(|_| bad("it is no address such as `http://localhost:11434`"))
    }

    pub(super) fn limit(&self, phase: crate::propose::llm::error::Phase) -> Duration {
        let seconds = match phase {
            crate::propose::llm::error::Phase::Connect => self.connect_s,
            crate::propose::llm::error::Phase::FirstByte => self.first_byte_s,
            crate::propose::llm::error::Phase::Idle => self.idle_s,
            crate::propose::llm::error::Phase::Total => self.total_s,
        };
        Duration::from_secs(seconds.into())
    }
}

/// Whether an address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str) -> ModelConfig {
        ModelConfig::new(Dialect::Openai, base_url, "llama")
    }

    fn endpoint(base_url: &str) -> String {
        config(base_url).endpoint().unwrap().to_string()
    }

    #[test]
    fn endpoints_are_found_with_and_without_version() {
        let full = "http://localhost:11434/v1/chat/completions";
        for base in ["http://localhost:11434", "http://localhost:11434/", "http://localhost:11434/v1", full] {
            assert_eq!(endpoint(base), full);
        }
        assert_eq!(endpoint("https://example.org/api/v1/"), "https://example.org/api/v1/chat/completions");
        let claude = ModelConfig { base_url: None, dialect: Dialect::Anthropic, ..config("") };
        assert_eq!(claude.endpoint().unwrap().as_str(), "https://api.anthropic.com/v1/messages");
    }

    #[test]
    fn addresses_that_leak_or_lead_nowhere_are_refused() {
        for bad in ["localhost:11434", "ftp://x", "", "https://me:secret@x.org", "https://x.org?key=1", "http://"] {
            assert!(config(bad).endpoint().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_goes_in_the_clear_to_this_machine_only() {
        let keyed = |base: &str| ModelConfig { key_env: Some("K".into()), ..config(base) };
        for loopback in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://example.org"] {
            assert!(keyed(loopback).endpoint().is_ok(), "{loopback}");
        }
        for away in ["http://example.org", "http://10.0.0.1:8000", "http://localhost.example.org"] {
            assert!(keyed(away).endpoint().is_err(), "{away}");
            assert!(config(away).endpoint().is_ok(), "{away}");
            assert!(ModelConfig { insecure_http: true, ..keyed(away) }.endpoint().is_ok(), "{away}");
        }
    }

    #[test]
    fn a_table_is_read_and_checked() {
        let table = "dialect = \"openai\"\nbase_url = \"http://localhost:1\"\nmodel = \"m\"\n";
        let config: ModelConfig = toml::from_str(table).unwrap();
        assert_eq!(config.faults(), []);
        assert!(toml::from_str::<ModelConfig>(&format!("{table}api_key = \"sk\"\n")).is_err());
        let bad = ModelConfig {
            temperature: Some(f64::NAN),
            usd_per_million_input: -1.0,
            key_env: Some("PLACE".into()),
            key_file: Some("B".into()),
            tries: 0,
            ..config
        };
        let fields: Vec<_> = bad.faults().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["temperature", "key_env", "key_file", "usd_per_million_input", "tries"]);
    }
}
