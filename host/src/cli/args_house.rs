//! The command line of what looks after corpora, policies, secrets and the store.

use clap::Subcommand;
use std::path::PathBuf;

/// `host data`.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Corpora that are here or can be had.
    List,
    /// Add a file or a folder of text as a corpus.
    ///
    /// Reads text, JSON lines, and either compressed with gzip, zstd, xz or bzip2.
    Add {
        /// Its name.
        name: String,
        /// File or folder.
        path: PathBuf,
        /// Field of JSON lines that holds their text.
        #[arg(long, default_value = "text", value_name = "NAME")]
        field: String,
    },
    /// Documents, splits, hash, what compressors reach, and a sample of a corpus.
    Show {
        /// Its name.
        name: String,
    },
}

/// `host split`.
#[derive(Debug, Subcommand)]
pub enum Split {
    /// List the secrets of this store by their commitments, and what became of them.
    Show,
    /// Reveal a secret when its round is closed. Then others can replay its experiments, and new nights draw another.
    Reveal {
        /// The start of its commitment [default: the one in use].
        commitment: Option<String>,
    },
    /// Give up a secret without revealing it, for instance a lost one. New nights draw another one.
    Retire {
        /// The start of its commitment [default: the one in use].
        commitment: Option<String>,
    },
}

/// `host policy`.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Read a policy and say what is wrong with it, by line, or what it means.
    Check {
        /// A shipped policy or a file.
        policy: String,
    },
    /// Print the JSON Schema of a policy, by which editors complete and check one.
    Schema,
}

/// `host store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Remove blobs that nothing refers to, and weights that the policy of the last night does not keep. Nights may run
    /// meanwhile.
    Gc {
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
    /// Read everything that the store holds, and say what is wrong. Exit code 1 if a fault is left.
    Check {
        /// Mend what can be mended.
        #[arg(long)]
        mend: bool,
    },
}
