//! Results and caches: experiments, components, dry runs, definitions, and lookup by key prefix.

use crate::record::causality::{Causality, Evaluation};
use crate::record::dry_run::DryRun;
use crate::record::evidence::Evidence;
use crate::record::key::{
    BehaviourKey, CompileKey, ComponentKey, ContextKey, DryRunKey, ExperimentKey, Hash, Manifest, OutcomeHash,
    ProfileHash, SourceKey,
};
use crate::record::outcome::{GuestFault, Outcome, Status};
use crate::record::store::error::{StoreError, bad_record, undecodable};
use crate::record::store::folder::{Store, WritePoint};
use rusqlite::{Row, params};

/// An experiment that has just ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    pub manifest: &'a Manifest,
    /// The outcome; it must be a result.
    pub outcome: &'a Outcome,
    /// The encoded state ([`crate::record::outcome::encode_state`]), if the outcome names one.
    pub state: Option<&'a [u8]>,
    /// Interval and blob of each checkpoint. The blobs are already stored.
    pub checkpoints: &'a [(u32, Hash)],
    /// How it was evaluated, if it was.
    pub evaluation: Option<Evaluation>,
    pub finished_unix_ms: i64,
    pub wall_ms: i64,
    /// The contributor on whose word alone it rests, if it does.
    pub word: Option<&'a str>,
}

/// An experiment in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct ExperimentRecord {
    pub key: ExperimentKey,
    pub manifest: Manifest,
    /// Hash of the outcome.
    pub outcome_hash: OutcomeHash,
    /// Blob of the encoded outcome.
    pub outcome_blob: Hash,
    /// Name of the status.
    pub status: String,
    /// Status message; empty where completed.
    pub message: String,
    /// Bits per byte on the search split, if completed.
    pub val_bpb: Option<f64>,
    /// Blob of the encoded state. `None` if there was none, or if it was let go: [`Store::model`] tells.
    pub state_blob: Option<Hash>,
    /// How it was evaluated. `None` if it was not, or by an older version.
    pub evaluation: Option<Evaluation>,
    pub finished_unix_ms: i64,
    pub wall_ms: i64,
}

/// The result of compiling a source.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentRecord {
    pub component_key: ComponentKey,
    /// Blob of the component as compiled, with names.
    pub component_blob: Hash,
    /// Key of the source.
    pub source_key: SourceKey,
    /// Blob of the source.
    pub source_blob: Hash,
    /// Compiler, its version and target.
    pub compiler: String,
}

/// The facts that a dry run found, or the guest's fault with its message.
pub type DryRunResult = Result<DryRun, (GuestFault, String)>;

/// What a prefix refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Experiment(ExperimentKey),
    Component(ComponentKey),
    Source(SourceKey),
    /// The body of a request to a proposer, or of its answer.
    Exchanged(Hash),
}

impl Store {
    /// Records a result: its blobs first, then all rows in one transaction. Recording it again changes nothing; a
    /// different outcome for the same experiment is an error.
    pub fn record_experiment(&self, finished: &Finished<'_>) -> Result<ExperimentRecord, StoreError> {
        let Finished { manifest, outcome, state, checkpoints, evaluation, finished_unix_ms, wall_ms, word } = *finished;
        let key = manifest.key();
        if !outcome.status.is_result() {
            return Err(StoreError::NotAResult(key));
        }
        if state.map(|bytes| Hash::of(bytes).0) != outcome.state {
            return Err(StoreError::WrongState(key));
        }
        let found = outcome.hash();
        let outcome_blob = self.put_blob(&outcome.encode())?;
        let state_blob = state.map(|bytes| self.put_blob(bytes)).transpose()?;
        let message = match &outcome.status {
            Status::Completed => "",
            Status::GuestFault { message, .. } | Status::HostFault { message, .. } => message,
        };
        let transaction = self.begin()?;
        if let Some(record) = self.find_experiment(&key)? {
            let stored = record.outcome_hash;
            return if stored == found { Ok(record) } else { Err(StoreError::Disagrees { key, stored, found }) };
        }
        if let (Some(blob), Some(state)) = (&state_blob, state) {
            self.put_again(blob, state)?;
        }
        self.sql(transaction.execute(
            "INSERT INTO experiments (key, manifest, outcome_hash, outcome_blob, status, message, val_bpb, state_blob,
             finished_unix_ms, wall_ms, causality, probe_seed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                key,
                manifest,
                found,
                outcome_blob,
                outcome.status.name(),
                message,
                outcome.score.as_ref().map(|score| score.bpb),
                state_blob,
                finished_unix_ms,
                wall_ms,
                evaluation.map(|evaluation| evaluation.causality.name()),
                evaluation.map(|evaluation| evaluation.probe_seed.cast_signed()),
            ],
        ))?;
        if let Some(contributor) = word {
            self.sql(transaction.execute("INSERT INTO words VALUES (?, ?)", params![key, contributor]))?;
        }
        // Another process may have let go of the same checkpoints meanwhile.
        for (interval, blob) in checkpoints.iter().filter(|(_, blob)| self.blob_path(blob).is_file()) {
            self.sql(transaction.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", params![key, interval, blob]))?;
        }
        self.reach(WritePoint::BeforeCommit)?;
        self.commit(transaction)?;
        self.reach(WritePoint::Committed)?;
        self.find_experiment(&key)?.ok_or_else(|| StoreError::NotFound(key.to_string()))
    }

    /// The experiment with this key, if it is stored.
    pub fn find_experiment(&self, key: &ExperimentKey) -> Result<Option<ExperimentRecord>, StoreError> {
        let record = self.first("SELECT * FROM experiments WHERE key = ?", [key], experiment_row)?;
        match record {
            Some(record) if record.manifest.key() != *key => Err(bad_record(key, "its manifest has another key")),
            record => Ok(record),
        }
    }

    /// Seconds of wall time for each second of budget that the last completed runs by this profile took here, newest
    /// first.
    pub fn paces(&self, profile: &ProfileHash) -> Result<Vec<f64>, StoreError> {
        let sql = "SELECT wall_ms, manifest ->> '$.budget_ps' FROM experiments WHERE status = 'completed'
             AND manifest ->> '$.profile' = ? AND wall_ms > 0 ORDER BY finished_unix_ms DESC, key LIMIT 16";
        let pace = |row: &rusqlite::Row| Ok((row.get::<_, i64>(0)? as f64 * 1e9, row.get::<_, i64>(1)? as f64));
        let rows = self.rows(sql, [profile.to_string()], pace)?;
        Ok(rows.into_iter().filter(|(_, budget)| *budget > 0.0).map(|(wall, budget)| wall / budget).collect())
    }

    /// All experiments of a component, ordered by key.
    pub fn experiments_of(&self, component: &ComponentKey) -> Result<Vec<ExperimentRecord>, StoreError> {
        let sql = "SELECT * FROM experiments WHERE component_key = ? ORDER BY key";
        self.rows(sql, [component], experiment_row)
    }

    /// An experiment's outcome, checked against its hash and against what the index says of it.
    pub fn outcome(&self, record: &ExperimentRecord) -> Result<Outcome, StoreError> {
        let bytes = self.get_blob(&record.outcome_blob)?;
        let outcome = Outcome::decode(&bytes, &record.message).map_err(undecodable(record.key))?;
        if outcome.hash() != record.outcome_hash {
            return Err(bad_record(record.key, "its outcome has another hash"));
        }
        if outcome.status.name() != record.status {
            return Err(bad_record(record.key, "its outcome has another status"));
        }
        let score = outcome.score.as_ref().map(|score| score.bpb);
        if score.map(f64::to_bits) != record.val_bpb.map(f64::to_bits) {
            return Err(bad_record(record.key, "its outcome has another score"));
        }
        Ok(outcome)
    }

    /// What another store needs to run an experiment again and compare it.
    pub fn evidence(&self, record: &ExperimentRecord) -> Result<Evidence, StoreError> {
        Ok(Evidence {
            manifest: record.manifest.clone(),
            outcome: record.outcome_hash,
            probe_seed: record.evaluation.map_or(0, |evaluation| evaluation.probe_seed),
            intervals: self.outcome(record)?.intervals.into_iter().map(Hash).collect(),
        })
    }

    /// Interval and blob of each checkpoint, in order.
    pub fn checkpoints(&self, key: &ExperimentKey) -> Result<Vec<(u32, Hash)>, StoreError> {
        let sql = "SELECT interval, blob FROM checkpoints WHERE experiment_key = ? ORDER BY interval";
        self.rows(sql, [key], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The component compiled under this key.
    pub fn find_component(&self, key: &CompileKey) -> Result<Option<ComponentRecord>, StoreError> {
        self.first("SELECT * FROM components WHERE compile_key = ?", [key], component_row)
    }

    /// Any compilation that produced this component.
    pub fn component(&self, key: &ComponentKey) -> Result<Option<ComponentRecord>, StoreError> {
        let sql = "SELECT * FROM components WHERE component_key = ? ORDER BY compile_key LIMIT 1";
        self.first(sql, [key], component_row)
    }

    /// The blob of a compiled source.
    pub fn source_blob(&self, key: &SourceKey) -> Result<Option<Hash>, StoreError> {
        self.first("SELECT source_blob FROM components WHERE source_key = ? LIMIT 1", [key], |row| row.get(0))
    }

    /// Whether a source was run here on these terms.
    pub fn has_run(&self, source: &SourceKey, context: &ContextKey) -> Result<bool, StoreError> {
        let sql = "SELECT DISTINCT manifest FROM experiments WHERE component_key IN
             (SELECT component_key FROM components WHERE source_key = ?)";
        let manifests: Vec<Manifest> = self.rows(sql, [source], |row| row.get(0))?;
        Ok(manifests.iter().any(|manifest| manifest.context_key() == *context))
    }

    /// Stores a compilation whose blobs are already stored.
    pub fn put_component(&self, key: &CompileKey, record: &ComponentRecord) -> Result<(), StoreError> {
        let ComponentRecord { component_key, component_blob, source_key, source_blob, compiler } = record;
        self.execute(
            "INSERT OR REPLACE INTO components VALUES (?, ?, ?, ?, ?, ?)",
            params![key, component_key, component_blob, source_key, source_blob, compiler],
        )?;
        Ok(())
    }

    /// The stored dry run with this key.
    pub fn find_dry_run(&self, key: &DryRunKey) -> Result<Option<DryRunResult>, StoreError> {
        let facts =
            self.first("SELECT facts FROM behaviours WHERE dry_run_key = ?", [key], |row| row.get::<_, String>(0))?;
        facts.map(|json| serde_json::from_str(&json).map_err(|error| bad_record(key, error))).transpose()
    }

    /// Stores the result of a dry run.
    pub fn put_dry_run(&self, manifest: &Manifest, result: &DryRunResult) -> Result<(), StoreError> {
        let key = manifest.dry_run_key();
        let behaviour = result.as_ref().ok().and_then(BehaviourKey::new);
        let facts = serde_json::to_string(result).map_err(|error| bad_record(key, error))?;
        self.execute(
            "INSERT OR REPLACE INTO behaviours VALUES (?, ?, ?, ?, ?)",
            params![key, manifest.component, manifest.task, behaviour, facts],
        )?;
        Ok(())
    }

    /// Stores the definition behind a hash in a manifest.
    pub fn put_definition(&self, hash: &Hash, kind: &str, json: &str) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO definitions VALUES (?, ?, ?)";
        self.execute(sql, params![hash, kind, json]).map(drop)
    }

    /// The definition behind a hash in a manifest, as JSON.
    pub fn definition(&self, hash: &Hash) -> Result<Option<String>, StoreError> {
        self.first("SELECT definition FROM definitions WHERE hash = ?", [hash], |row| row.get(0))
    }

    /// The one experiment, component, source or exchange body whose key begins with these digits.
    pub fn resolve(&self, prefix: &str) -> Result<Found, StoreError> {
        let digits = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || !(4..=64).contains(&prefix.len()) {
            return Err(StoreError::BadPrefix(prefix.chars().take(80).collect()));
        }
        // `g` follows every hexadecimal digit.
        let sql = "SELECT 0, key FROM experiments WHERE key >= ?1 AND key < ?1 || 'g'
             UNION SELECT 1, component_key FROM components WHERE component_key >= ?1 AND component_key < ?1 || 'g'
             UNION SELECT 2, source_key FROM components WHERE source_key >= ?1 AND source_key < ?1 || 'g'
             UNION SELECT 2, source_key FROM trials WHERE source_key >= ?1 AND source_key < ?1 || 'g'
             UNION SELECT 3, request_blob FROM requests WHERE request_blob >= ?1 AND request_blob < ?1 || 'g'
             UNION SELECT 3, response_blob FROM requests WHERE response_blob >= ?1 AND response_blob < ?1 || 'g'
             ORDER BY 1, 2 LIMIT 5";
        let found = self.rows(sql, [prefix], |row| {
            Ok(match row.get(0)? {
                0 => Found::Experiment(row.get(1)?),
                1 => Found::Component(row.get(1)?),
                2 => Found::Source(row.get(1)?),
                _ => Found::Exchanged(row.get(1)?),
            })
        })?;
        match found.as_slice() {
            [] => Err(StoreError::NotFound(prefix.into())),
            [one] => Ok(*one),
            many => {
                Err(StoreError::Ambiguous { prefix: prefix.into(), matches: many.iter().map(Found::name).collect() })
            }
        }
    }
}

impl Found {
    fn name(&self) -> String {
        match self {
            Self::Experiment(key) => format!("experiment {}", key.short()),
            Self::Component(key) => format!("component {}", key.short()),
            Self::Source(key) => format!("source {}", key.short()),
            Self::Exchanged(blob) => format!("exchange {}", blob.short()),
        }
    }
}

fn experiment_row(row: &Row<'_>) -> rusqlite::Result<ExperimentRecord> {
    Ok(ExperimentRecord {
        key: row.get("key")?,
        manifest: row.get("manifest")?,
        outcome_hash: row.get("outcome_hash")?,
        outcome_blob: row.get("outcome_blob")?,
        status: row.get("status")?,
        message: row.get("message")?,
        val_bpb: row.get("val_bpb")?,
        state_blob: row.get("state_blob")?,
        evaluation: evaluation(row)?,
        finished_unix_ms: row.get("finished_unix_ms")?,
        wall_ms: row.get("wall_ms")?,
    })
}

fn evaluation(row: &Row<'_>) -> rusqlite::Result<Option<Evaluation>> {
    let (causality, seed): (Option<String>, Option<i64>) = (row.get("causality")?, row.get("probe_seed")?);
    let causality = causality.and_then(|name| Causality::ALL.into_iter().find(|known| known.name() == name));
    Ok(causality.zip(seed).map(|(causality, seed)| Evaluation { causality, probe_seed: seed.cast_unsigned() }))
}

fn component_row(row: &Row<'_>) -> rusqlite::Result<ComponentRecord> {
    Ok(ComponentRecord {
        component_key: row.get("component_key")?,
        component_blob: row.get("component_blob")?,
        source_key: row.get("source_key")?,
        source_blob: row.get("source_blob")?,
        compiler: row.get("compiler")?,
    })
}
