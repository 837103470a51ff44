//! The engines that are compared, each with a profile's rules and the same identities at hand.

mod burgee;
mod flagsmith;
mod unleash;

use burgee_bench::profile::Profile;

/// Identities that take turns.
pub(crate) const IDENTITIES: usize = 64;

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) enum Task {
    /// All flags of an identity.
    All,
    /// The flag of a feature, by its index in the profile.
    One(usize),
}

/// An engine that is ready to evaluate.
pub(crate) trait Engine {
    /// What its results are printed under.
    fn name(&self) -> &'static str;

    /// Evaluates for the identity of this number, from 0 to below [`IDENTITIES`], and returns how many flags are on.
    fn evaluate(&mut self, task: Task, identity: usize) -> usize;
}

/// Returns the tasks that a profile is measured by, and their titles.
pub(crate) fn tasks(profile: &Profile) -> [(String, Task); 3] {
    let Profile { name, features, .. } = profile;
    [
        (format!("{name}: all {} flags of an identity with 5 traits", features.len()), Task::All),
        (format!("{name}: one flag with a segment override"), Task::One(1)),
        (format!("{name}: one flag, of its first feature"), Task::One(0)),
    ]
}

/// Returns every engine, ours first, after checking that they come to the same.
pub(crate) fn all(profile: &Profile) -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![
        Box::new(burgee::Burgee::new(profile, burgee::Answers::Borrowed)),
        Box::new(burgee::Burgee::new(profile, burgee::Answers::Owned)),
        Box::new(flagsmith::Flagsmith::new(profile)),
        Box::new(unleash::Unleash::new(profile)),
    ];
    let mut flags_on = engines.iter_mut().map(|engine| {
        (0..IDENTITIES).map(|identity| engine.evaluate(Task::All, identity)).collect::<Vec<_>>()
    });
    let ours = flags_on.next().unwrap_or_default();
    // The first two work by the same rules down to the hash.
    for same in flags_on.by_ref().take(2) {
        assert_eq!(same, ours, "the flags that are on for each identity");
    }
    // Unleash hashes otherwise, so that others are in a percentage split, but not more or fewer.
    for others in flags_on {
        let [ours, theirs] = [&ours, &others].map(|counts| counts.iter().sum::<usize>() as f64);
        assert!((theirs / ours - 1.0).abs() < 0.03, "{theirs} flags are on, {ours} should be");
    }
    engines
}
