//! What signed texts are for.

/// What a signed text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To have a mutation tried.
    Submission,
    /// To say what an experiment yields.
    Claim,
    /// To answer a submission.
    Receipt,
    /// To show others a kept mutation.
    Finding,
    /// To tell others what was tried without gain.
    Negatives,
    /// To have another machine make a run.
    Job,
    /// To answer a job.
    JobReceipt,
}

impl Purpose {
    pub const ALL: [Self; 7] =
        [Self::Submission, Self::Claim, Self::Receipt, Self::Finding, Self::Negatives, Self::Job, Self::JobReceipt];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Claim => "claim",
            Self::Receipt => "receipt",
            Self::Finding => "finding",
            Self::Negatives => "list of negatives",
            Self::Job => "job of a swarm",
            Self::JobReceipt => "receipt for a job",
        }
    }

    /// The first line: purpose and version.
    pub const fn first_line(self) -> &'static str {
        match self {
            Self::Submission => "nightlab submission 1",
            Self::Claim => "nightlab claim 1",
            Self::Receipt => "nightlab receipt 1",
            Self::Finding => "nightlab finding 1",
            Self::Negatives => "nightlab negatives 1",
            Self::Job => "nightlab job 1",
            Self::JobReceipt => "nightlab job receipt 1",
        }
    }

    /// The purpose that a text names, if it names one.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |purpose: &Self| {
            let rest = bytes.strip_prefix(purpose.first_line().as_bytes());
            rest.is_some_and(|rest| rest.first() == Some(&b'\n'))
        };
        Self::ALL.into_iter().find(begins)
    }
}
