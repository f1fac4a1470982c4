//! What another machine needs of a task to run its experiments: the training text and the search chunks, as bytes. The
//! confirm and test splits stay where the task was prepared. Pure.

use crate::data::error::UnknownToken;
use crate::data::split::Report;
use crate::data::task::{PreparedTask, Task, Tokenizer, unigram_bpb};
use crate::record::encoding::{DecodeError, Decoder, Encoder};
use crate::record::key::{Hash, SplitCommitment, TaskHash};

/// Why bytes are not the text of a task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LessonError {
    #[error("it does not read: {0}")]
    Decode(#[from] DecodeError),
    #[error("it is the text of the task {found}, not of {wanted}")]
    OtherTask { wanted: TaskHash, found: TaskHash },
    #[error("{0}")]
    Sizes(&'static str),
}

impl PreparedTask {
    /// Corpus, splits, commitment, context, chunks and scale as in [`Task::hash`], then the training text and the
    /// search chunks as bytes.
    ///
    /// # Errors
    /// The first token that is not in the vocabulary.
    pub fn lesson(&self) -> Result<Vec<u8>, UnknownToken> {
        let Task { corpus, tokenizer, splits, commitment, context, eval_chunks, scale } = &self.task;
        let mut e = Encoder::new();
        e.hash(corpus);
        splits.iter().for_each(|split| e.hash(split));
        e.option(commitment.as_ref(), |e, commitment| e.hash(&commitment.0.0));
        e.u32(*context);
        e.u32(*eval_chunks);
        e.f32(*scale);
        e.bytes(&tokenizer.decode(&self.train)?);
        e.count(self.search.len());
        for chunk in &self.search {
            e.bytes(&tokenizer.decode(chunk)?);
        }
        Ok(e.finish())
    }

    /// Reads the bytes of [`PreparedTask::lesson`], for runs of this task alone: there is nothing to confirm or test
    /// on.
    pub fn of_lesson(bytes: &[u8], wanted: TaskHash) -> Result<Self, LessonError> {
        let mut d = Decoder::new(bytes);
        let corpus = d.hash()?;
        let splits = [d.hash()?, d.hash()?, d.hash()?, d.hash()?];
        let commitment = d.option(Decoder::hash)?.map(|hash| SplitCommitment(Hash(hash)));
        let (context, eval_chunks, scale) = (d.u32()?, d.u32()?, d.f32()?);
        let tokenizer = Tokenizer::Bytes;
        let train = tokenizer.encode(d.bytes()?);
        let search: Vec<Vec<u16>> = d.sequence(8, |d| d.bytes().map(|chunk| tokenizer.encode(chunk)))?;
        d.finish()?;
        let task = Task { corpus, tokenizer, splits, commitment, context, eval_chunks, scale };
        let found = TaskHash(Hash(task.hash()));
        if found != wanted {
            return Err(LessonError::OtherTask { wanted, found });
        }
        let length = context as usize + 1;
        if context == 0 || !(scale.is_finite() && scale > 0.0) {
            return Err(LessonError::Sizes("its context or its scale is 0"));
        }
        if train.len() < length || search.is_empty() || search.len() > eval_chunks as usize {
            return Err(LessonError::Sizes("it has too little text, or too many chunks"));
        }
        if search.iter().any(|chunk| chunk.len() != length) {
            return Err(LessonError::Sizes("a chunk is longer or shorter than the context"));
        }
        let unigram = unigram_bpb(&train, &search, tokenizer.vocab());
        Ok(Self {
            task,
            corpus: String::new(),
            documents: (0, 0),
            train,
            search,
            confirm: Vec::new(),
            test: Vec::new(),
            unigram_bpb: unigram,
            told_unigram_bpb: unigram,
            report: Report::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::corpus::{Corpus, Document};
    use crate::data::{split, task};

    fn prepared() -> PreparedTask {
        let document = |i: u32| {
            let letter = |j: u32| (blake3::hash(&(i * 1_000 + j).to_le_bytes()).as_bytes()[0] % 26) + b'a';
            Document { name: format!("{i}"), bytes: (0..300).map(letter).collect() }
        };
        let corpus = Corpus::new("x", (0..10).map(document).collect());
        let splits = split::split(&corpus, None, &mut |_| {}).unwrap();
        task::prepare(&corpus, splits, None, (16, 4), 1.0).unwrap()
    }

    #[test]
    fn a_lesson_has_what_runs_need_and_no_more() {
        let task = prepared();
        let bytes = task.lesson().unwrap();
        let read = PreparedTask::of_lesson(&bytes, task.hash()).unwrap();
        assert_eq!((&read.train, &read.search, read.hash()), (&task.train, &task.search, task.hash()));
        assert_eq!(read.unigram_bpb.to_bits(), task.unigram_bpb.to_bits());
        let held_out = |chunk: &Vec<u16>| {
            let text = task.task.tokenizer.decode(chunk).unwrap();
            bytes.windows(text.len()).any(|window| window == text)
        };
        assert!(!task.confirm.iter().chain(&task.test).any(held_out));
    }

    #[test]
    fn another_text_is_refused() {
        let task = prepared();
        let bytes = task.lesson().unwrap();
        let other = TaskHash::of(b"other");
        assert!(matches!(PreparedTask::of_lesson(&bytes, other), Err(LessonError::OtherTask { .. })));
        for cut in [0, 1, 40, bytes.len() - 1] {
            assert!(PreparedTask::of_lesson(&bytes[..cut], task.hash()).is_err(), "{cut}");
        }
    }
}
