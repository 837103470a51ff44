//! Our engine.

use std::collections::HashMap;
use std::hint::black_box;

use burgee_bench::profile::{Profile, identity};
use burgee_core::engine::{Identity, Outcome, Reason, Ruleset};
use burgee_core::value::Value;

use super::{Engine, IDENTITIES, Task};

/// How outcomes are handed over.
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    /// As the engine returns them, and as the evaluation service takes them.
    Borrowed,
    /// As the others return them: a table by key, in which everything is a copy.
    Owned,
}

pub(crate) struct Burgee {
    ruleset: Ruleset,
    identities: Vec<Identity<'static>>,
    answers: Answers,
}

/// A copy of an outcome.
#[expect(dead_code, reason = "only made")]
struct Answer {
    enabled: bool,
    value: Option<Value>,
    reason: Reason,
    segment: Option<String>,
    variant: Option<String>,
}

impl Burgee {
    pub(crate) fn new(profile: &Profile, answers: Answers) -> Self {
        let identities = (0..IDENTITIES).map(identity).collect();
        Self { ruleset: Ruleset::compile(profile.rules()), identities, answers }
    }
}

impl Engine for Burgee {
    fn name(&self) -> &'static str {
        match self.answers {
            Answers::Borrowed => "burgee",
            Answers::Owned => "burgee, with copies of what it answers",
        }
    }

    fn evaluate(&mut self, task: Task, identity: usize) -> usize {
        let evaluation = self.ruleset.evaluate(Some(&self.identities[identity]));
        let indices = match task {
            Task::All => 0..self.ruleset.features().len(),
            Task::One(index) => index..index + 1,
        };
        let outcomes = indices.map(|index| evaluation.flag(index));
        match self.answers {
            Answers::Borrowed => outcomes.filter(|outcome| black_box(outcome).enabled).count(),
            Answers::Owned => {
                let answers: HashMap<String, Answer> = outcomes.map(copy).collect();
                black_box(&answers).values().filter(|answer| answer.enabled).count()
            }
        }
    }
}

fn copy(outcome: Outcome<'_>) -> (String, Answer) {
    let Outcome { feature, enabled, value, reason, segment, variant, weight: _, metadata: _ } = outcome;
    let answer = Answer {
        enabled,
        value: value.cloned(),
        reason,
        segment: segment.map(|(_, name)| name.to_owned()),
        variant: variant.map(ToOwned::to_owned),
    };
    (feature.to_owned(), answer)
}
