//! The task that experiments are scored on: corpus, tokenizer, splits, evaluation settings and scale, under one hash.
//! Pure.

use crate::data::corpus::{BOUNDARY, Corpus};
use crate::data::error::{DataError, UnknownToken};
use crate::data::split::{Report, Section, Splits};
use crate::record::key::{Hash, SplitCommitment, TaskHash};
use crate::record::outcome::Score;
use crate::record::secret::SplitSecret;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// BLAKE3 key-derivation context of task hashes.
pub const TASK_CONTEXT: &str = "host 2026 task v1";
/// The same for tasks whose held-out text a secret chooses.
pub const SECRET_TASK_CONTEXT: &str = "host 2026 task of a secret v1";

/// How text becomes tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tokenizer {
    /// Each byte is a token.
    Bytes = 0,
}

impl Tokenizer {
    /// Number of different tokens.
    pub const fn vocab(self) -> u32 {
        match self {
            Self::Bytes => 256,
        }
    }

    /// Text to tokens, each below [`Tokenizer::vocab`].
    pub fn encode(self, text: &[u8]) -> Vec<u16> {
        match self {
            Self::Bytes => text.iter().map(|&b| u16::from(b)).collect(),
        }
    }

    /// Tokens to text.
    ///
    /// # Errors
    /// The first token that is not in the vocabulary.
    pub fn decode(self, tokens: &[u16]) -> Result<Vec<u8>, UnknownToken> {
        match self {
            Self::Bytes => tokens.iter().map(|&t| u8::try_from(t).map_err(|_| UnknownToken(t))).collect(),
        }
    }
}

/// The fields that define a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Task {
    /// Hash of the corpus manifest.
    pub corpus: [u8; 32],
    pub tokenizer: Tokenizer,
    /// Hashes of train, search, confirm and test, after near-duplicates were removed; blinded by the secret, if one has
    /// chosen them.
    pub splits: [[u8; 32]; 4],
    /// Of the secret that has chosen the held-out text; `None` if the text itself decides.
    pub commitment: Option<SplitCommitment>,
    /// Targets per evaluation chunk. Each is predicted from the tokens before it in the chunk.
    pub context: u32,
    /// Largest number of chunks per split.
    pub eval_chunks: u32,
    /// Rung of the ladder; 1.0 is the lowest.
    pub scale: f32,
}

impl Task {
    /// BLAKE3 (derive_key, [`TASK_CONTEXT`]) of: corpus, tokenizer as u8, the four splits, context and eval_chunks as
    /// u32 little-endian, the bits of scale as u32 little-endian; 173 bytes. With a secret, the context is
    /// [`SECRET_TASK_CONTEXT`], and the 32 bytes of the commitment follow.
    pub fn hash(&self) -> [u8; 32] {
        let context = if self.commitment.is_some() { SECRET_TASK_CONTEXT } else { TASK_CONTEXT };
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.corpus);
        hasher.update(&[self.tokenizer as u8]);
        for split in &self.splits {
            hasher.update(split);
        }
        for word in [self.context, self.eval_chunks, self.scale.to_bits()] {
            hasher.update(&word.to_le_bytes());
        }
        if let Some(SplitCommitment(hash)) = &self.commitment {
            hasher.update(&hash.0);
        }
        *hasher.finalize().as_bytes()
    }
}

/// Everything needed to prepare a task again. The store keeps it beside the task's hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    pub corpus: String,
    /// See [`Task::context`].
    pub context: u32,
    /// See [`Task::eval_chunks`].
    pub eval_chunks: u32,
    /// See [`Task::scale`].
    pub scale: f32,
    /// See [`Task::commitment`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<SplitCommitment>,
}

/// A task with its text as tokens. Chunks hold context + 1 tokens: token i + 1 is the target after tokens 0 to i.
#[derive(Clone, Debug)]
pub struct PreparedTask {
    pub task: Task,
    pub corpus: String,
    /// Number of documents in the corpus, and their bytes.
    pub documents: (u64, u64),
    /// Training tokens: all sections, concatenated; in a packed corpus, each ends with the boundary token.
    pub train: Vec<u16>,
    /// Chunks of the search split.
    pub search: Vec<Vec<u16>>,
    /// Chunks of the confirm split.
    pub confirm: Vec<Vec<u16>>,
    /// Chunks of the test split.
    pub test: Vec<Vec<u16>>,
    /// Bits per byte of the targets in the search chunks, if each token is predicted by its frequency in train (add-one
    /// smoothed).
    pub unigram_bpb: f64,
    /// The same figure as people may see it. If a secret has chosen the search split, it is that of as much training
    /// text: several exact figures would tell which text it is.
    pub told_unigram_bpb: f64,
    /// How the corpus was split.
    pub report: Report,
}

impl PreparedTask {
    pub fn hash(&self) -> TaskHash {
        TaskHash(Hash(self.task.hash()))
    }

    /// Everything needed to prepare this task again.
    pub fn definition(&self) -> Definition {
        let Task { context, eval_chunks, scale, commitment, .. } = self.task;
        Definition { corpus: self.corpus.clone(), context, eval_chunks, scale, commitment }
    }

    /// A description in one line. The sizes of a secret split are not told.
    pub fn describe(&self) -> String {
        let (documents, bytes) = self.documents;
        let corpus = format!("{}, {:.2} MB, {documents} documents", self.corpus, bytes as f64 / 1e6);
        if self.task.commitment.is_some() {
            return corpus;
        }
        let [train, search, confirm, test] = self.report.sizes.map(|(units, _)| units);
        let unit = if self.report.section_bytes.is_some() { "sections" } else { "documents" };
        format!("{corpus}; {unit}: {train} train, {search} search, {confirm} confirm, {test} test")
    }

    /// Bits per byte of chunks. `chunk_nats` holds their negative log-likelihoods in nats, in order. Because tokens are
    /// bytes, a chunk has as many bytes as targets.
    pub fn score(&self, chunk_nats: Vec<f64>) -> Score {
        let chunk_bytes = vec![self.task.context; chunk_nats.len()];
        let bytes = chunk_nats.len() as f64 * f64::from(self.task.context);
        Score { bpb: chunk_nats.iter().sum::<f64>() / std::f64::consts::LN_2 / bytes, chunk_nats, chunk_bytes }
    }

    /// A warning if a held-out split is small. The sizes of a secret split are not told.
    pub fn warning(&self) -> Option<String> {
        let warning = self.report.warning()?;
        Some(match self.task.commitment {
            None => warning,
            Some(_) => "little text to judge by: the held-out splits are small. Add more text".into(),
        })
    }

    /// The text of the search chunks, concatenated. Compressors are measured on it. If a secret has chosen the search
    /// split, as much training text.
    ///
    /// # Errors
    /// The first token that is not in the vocabulary.
    pub fn told_text(&self) -> Result<Vec<u8>, UnknownToken> {
        let tokens: Vec<u16> = match self.task.commitment {
            None => self.search.concat(),
            Some(_) => told_chunks(&self.train, &self.search).concat(),
        };
        self.task.tokenizer.decode(&tokens)
    }

    /// The beginning of a text that people may see, at most `length` tokens: held-out, unless a secret has chosen it.
    pub fn told_beginning(&self, length: usize) -> &[u16] {
        let text = match self.task.commitment {
            None => self.search.first().map_or(&[][..], Vec::as_slice),
            Some(_) => &self.train,
        };
        text.get(..length).unwrap_or(text)
    }
}

/// Cuts each held-out split of `corpus` into at most `eval_chunks` chunks of `context` + 1 tokens. Chunks are evenly
/// spaced and disjoint. They never span two sections, unless the corpus is packed: then the sections are concatenated,
/// each with the boundary token behind it, and cut as one text.
pub fn prepare(
    corpus: &Corpus,
    splits: Splits,
    secret: Option<&SplitSecret>,
    (context, eval_chunks): (u32, u32),
    scale: f32,
) -> Result<PreparedTask, DataError> {
    if context == 0 || eval_chunks == 0 {
        return Err(DataError::Settings("context and eval_chunks must be above 0"));
    }
    if !(scale.is_finite() && scale > 0.0) {
        return Err(DataError::Settings("scale must be a number above 0"));
    }
    let tokenizer = Tokenizer::Bytes;
    let hashes = splits.hashes(corpus, secret);
    let commitment = secret.map(SplitSecret::commitment);
    let task =
        Task { corpus: corpus.manifest.hash(), tokenizer, splits: hashes, commitment, context, eval_chunks, scale };
    let length = context as usize + 1;
    let train = tokenizer.encode(&text(corpus, &splits.train));
    if train.len() < length {
        return Err(no_chunk(corpus, "train", &splits.train, length));
    }
    let cut = |split, part: &[Section]| {
        let chunks = chunks(corpus, part, tokenizer, length, eval_chunks as usize);
        if chunks.is_empty() { Err(no_chunk(corpus, split, part, length)) } else { Ok(chunks) }
    };
    let search = cut("search", &splits.search)?;
    let confirm = cut("confirm", &splits.confirm)?;
    let test = cut("test", &splits.test)?;
    let unigram = |chunks: &[Vec<u16>]| unigram_bpb(&train, chunks, tokenizer.vocab());
    let unigram_bpb = unigram(&search);
    let told_unigram_bpb = secret.map_or(unigram_bpb, |_| unigram(&told_chunks(&train, &search)));
    Ok(PreparedTask {
        task,
        corpus: corpus.manifest.name.clone(),
        documents: (corpus.manifest.count(), corpus.bytes()),
        train,
        search,
        confirm,
        test,
        unigram_bpb,
        told_unigram_bpb,
        report: splits.report,
    })
}

fn no_chunk(corpus: &Corpus, split: &'static str, part: &[Section], chunk: usize) -> DataError {
    let longest = part.iter().map(Section::length).max().unwrap_or(0);
    let why = if corpus.is_packed() {
        let bytes = text(corpus, part).len();
        format!("it has {bytes} bytes in all; lower the policy's `context`, or add more text")
    } else {
        format!(
            "its longest document has {longest} bytes; lower the policy's `context`, or add the text anew with \
             `host data add`, which packs short documents together"
        )
    };
    DataError::NoChunk { name: corpus.manifest.name.clone(), split, chunk, why }
}

/// The text of a split as one: in a packed corpus, each section ends with the boundary.
fn text(corpus: &Corpus, part: &[Section]) -> Vec<u8> {
    let mut text = Vec::with_capacity(part.iter().map(|section| section.length() + 1).sum());
    for section in part {
        text.extend_from_slice(&section.text(corpus));
        if corpus.is_packed() {
            text.push(BOUNDARY);
        }
    }
    text
}

/// All disjoint chunks of a split in order, thinned evenly to at most `most`.
fn chunks(corpus: &Corpus, part: &[Section], tokenizer: Tokenizer, length: usize, most: usize) -> Vec<Vec<u16>> {
    let texts: Vec<Cow<[u8]>> = if corpus.is_packed() {
        std::iter::once(Cow::Owned(text(corpus, part))).collect()
    } else {
        part.iter().map(|section| section.text(corpus)).collect()
    };
    let all: Vec<&[u8]> = texts.iter().flat_map(|text| text.chunks_exact(length)).collect();
    let count = all.len().min(most);
    (0..count).filter_map(|i| all.get(i * all.len() / count)).map(|chunk| tokenizer.encode(chunk)).collect()
}

/// Chunks of the training text, as many as there are `held_out` ones if it has them.
fn told_chunks(train: &[u16], held_out: &[Vec<u16>]) -> Vec<Vec<u16>> {
    let length = held_out.first().map_or(1, Vec::len);
    train.chunks_exact(length).take(held_out.len()).map(<[u16]>::to_vec).collect()
}

pub(super) fn unigram_bpb(train: &[u16], chunks: &[Vec<u16>], vocab: u32) -> f64 {
    let mut counts = vec![1u64; vocab as usize];
    for &token in train {
        counts[token as usize] += 1;
    }
    let total = counts.iter().sum::<u64>() as f64;
    let targets = chunks.iter().flat_map(|chunk| chunk.iter().skip(1));
    let (mut bits, mut n) = (0.0, 0u64);
    for &token in targets {
        bits -= (counts[token as usize] as f64 / total).log2();
        n += 1;
    }
    bits / n as f64
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Document;
    use super::super::split;
    use super::*;
    use proptest::prelude::*;

    fn corpus() -> Corpus {
        let text =
            |i: u32| (0..300u32).map(move |j| (blake3::hash(&(i * 1_000 + j).to_le_bytes()).as_bytes()[0] % 26) + b'a');
        let document = |i: u32| Document { name: format!("{i}"), bytes: text(i).collect() };
        Corpus::new("x", (0..10).map(document).collect())
    }

    #[test]
    fn golden_hash() {
        let task = Task {
            corpus: [1; 32],
            tokenizer: Tokenizer::Bytes,
            splits: [[2; 32], [3; 32], [4; 32], [5; 32]],
            commitment: None,
            context: 256,
            eval_chunks: 64,
            scale: 1.0,
        };
        assert_eq!(
            blake3::Hash::from_bytes(task.hash()).to_hex().as_str(),
            "09a0d6812cecb3f467cdf98422b3faeafecfd445e87853875c565945c86b2e35"
        );
        let of_a_secret = Task { commitment: Some(SplitCommitment(Hash([6; 32]))), ..task };
        assert_eq!(
            blake3::Hash::from_bytes(of_a_secret.hash()).to_hex().as_str(),
            "d56aa1104b795ce78cde72ddfe957210549c70e18f30bfefc7b0230f346f5fec"
        );
        for changed in [
            Task { corpus: [0; 32], ..task },
            Task { splits: [[3; 32], [2; 32], [4; 32], [5; 32]], ..task },
            Task { context: 257, ..task },
            Task { eval_chunks: 65, ..task },
            Task { scale: 2.0, ..task },
            Task { commitment: Some(SplitCommitment::of(b"x")), ..task },
        ] {
            assert_ne!(changed.hash(), task.hash());
        }
    }

    fn two_of_ten(make: fn(&str, Vec<Document>) -> Corpus) -> (Corpus, [Section; 2]) {
        let document = |start: u8| Document { name: format!("{start:03}"), bytes: (start..start + 10).collect() };
        let section = |document| Section { document, number: None, pieces: std::iter::once(0..10).collect() };
        (make("x", vec![document(1), document(101)]), [section(0), section(1)])
    }

    #[test]
    fn chunks_are_spread_disjoint_and_inside_sections() {
        let (corpus, part) = two_of_ten(Corpus::new);
        let cut = |most| chunks(&corpus, &part, Tokenizer::Bytes, 4, most);
        assert_eq!(cut(9), [[1, 2, 3, 4], [5, 6, 7, 8], [101, 102, 103, 104], [105, 106, 107, 108]]);
        assert_eq!(cut(2), [[1, 2, 3, 4], [101, 102, 103, 104]]);
        assert!(chunks(&corpus, &part, Tokenizer::Bytes, 11, 5).is_empty());
    }

    #[test]
    fn chunks_of_a_packed_corpus_span_documents_with_a_boundary_between() {
        let (corpus, part) = two_of_ten(Corpus::packed);
        let chunks = chunks(&corpus, &part, Tokenizer::Bytes, 11, 5);
        assert_eq!(chunks, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0], [101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 0]]);
    }

    fn prepared(corpus: &Corpus, context: u32, scale: f32) -> Result<PreparedTask, DataError> {
        prepare(corpus, split::split(corpus, None, &mut |_| {}).unwrap(), None, (context, 5), scale)
    }

    #[test]
    fn of_a_secret_split_nothing_is_told() {
        let (corpus, secret) = (corpus(), SplitSecret::new([7; 32]));
        let splits = split::split(&corpus, Some(&secret), &mut |_| {}).unwrap();
        let task = prepare(&corpus, splits, Some(&secret), (16, 5), 1.0).unwrap();
        let told = task.told_text().unwrap();
        assert_eq!((told.len(), told.as_slice()), (85, &corpus_text(&task.train)[..85]));
        assert_ne!(task.told_unigram_bpb, task.unigram_bpb);
        assert_eq!(task.told_beginning(20), &task.train[..20]);
        assert_eq!(task.describe(), "x, 0.00 MB, 10 documents");
        assert!(!task.warning().unwrap().contains("bytes"), "{:?}", task.warning());
        let definition = serde_json::to_string(&task.definition()).unwrap();
        assert!(definition.contains(&secret.commitment().to_string()) && !definition.contains(&secret.reveal()));
        let public = prepared(&corpus, 16, 1.0).unwrap();
        assert_eq!(public.told_unigram_bpb, public.unigram_bpb);
        let earlier = r#"{"corpus":"x","context":16,"eval_chunks":5,"scale":1.0}"#;
        assert_eq!(serde_json::to_string(&public.definition()).unwrap(), earlier);
        assert_eq!(serde_json::from_str::<Definition>(earlier).unwrap(), public.definition());
        assert_ne!(public.hash(), task.hash());
    }

    fn corpus_text(tokens: &[u16]) -> Vec<u8> {
        Tokenizer::Bytes.decode(tokens).unwrap()
    }

    #[test]
    fn prepares_every_split() {
        let task = prepared(&corpus(), 16, 1.0).unwrap();
        for part in [&task.search, &task.confirm, &task.test] {
            assert_eq!((part.len(), part[0].len()), (5, 17));
        }
        assert_eq!(task.told_text().unwrap().len(), 85);
        assert_eq!(task.train.len(), 7 * 300);
        assert!((4.5..5.5).contains(&task.unigram_bpb), "{}", task.unigram_bpb);
        assert!(matches!(prepared(&corpus(), 16, f32::NAN), Err(DataError::Settings(_))));
    }

    /// A thousand documents of 30 bytes never hold a chunk of 65 tokens each, but they do together.
    #[test]
    fn short_documents_are_packed_or_named() {
        let short = |i: u32| blake3::hash(&i.to_le_bytes()).to_hex()[..30].as_bytes().to_vec();
        let document = |i: u32| Document { name: format!("{i:04}"), bytes: short(i) };
        let documents: Vec<_> = (0..1_000).map(document).collect();
        let error = prepared(&Corpus::new("x", documents.clone()), 64, 1.0).unwrap_err().to_string();
        assert!(error.contains("longest document has 30 bytes") && error.contains("host data add"), "{error}");
        let packed = Corpus::packed("x", documents);
        let task = prepared(&packed, 64, 1.0).unwrap();
        assert!(task.test.iter().flatten().any(|&token| token == u16::from(BOUNDARY)));
        let error = prepared(&packed, 4_000, 1.0).unwrap_err().to_string();
        assert!(error.contains("split has no chunk of context + 1 = 4001 tokens: it has"), "{error}");
    }

    #[test]
    fn unigram_of_a_known_distribution() {
        let train: Vec<u16> = (0..256).collect();
        assert_eq!(unigram_bpb(&train, &[vec![0, 7, 9]], 256), 8.0);
    }

    proptest! {
        #[test]
        fn bytes_round_trip(text: Vec<u8>) {
            let tokens = Tokenizer::Bytes.encode(&text);
            prop_assert!(tokens.iter().all(|&t| u32::from(t) < Tokenizer::Bytes.vocab()));
            prop_assert_eq!(Tokenizer::Bytes.decode(&tokens), Ok(text));
            prop_assert_eq!(Tokenizer::Bytes.decode(&[256]), Err(UnknownToken(256)));
        }
    }
}
