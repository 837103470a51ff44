//! Projects that the follower should look at. However many hints come, each project is in the list once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use burgee_core::store::ProjectRef;
use tokio::sync::Notify;

use crate::moment::lock;

/// Why to look at a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Somebody wants to know whether there is a newer revision.
    Asked,
    /// There is one.
    Written,
}

/// What was hinted at since the last look.
#[derive(Debug, Default)]
pub(crate) struct Hinted {
    /// Single projects.
    pub(crate) projects: HashMap<ProjectRef, Hint>,
    /// Any project may have changed.
    pub(crate) everything: bool,
}

/// A list of hints.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    hinted: Mutex<Hinted>,
    added: Notify,
    count: AtomicU64,
}

impl Hints {
    /// Adds a project.
    pub(crate) fn add(&self, project: ProjectRef, hint: Hint) {
        let mut hinted = lock(&self.hinted);
        match hint {
            Hint::Asked => {
                hinted.projects.entry(project).or_insert(hint);
            }
            Hint::Written => {
                hinted.projects.insert(project, hint);
                self.count.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(hinted);
        self.added.notify_one();
    }

    /// Says that any project may have changed.
    pub(crate) fn add_everything(&self) {
        lock(&self.hinted).everything = true;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.added.notify_one();
    }

    /// Returns how many hints told of a write.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits for hints, and takes them all.
    pub(crate) async fn next(&self) -> Hinted {
        self.added.notified().await;
        std::mem::take(&mut *lock(&self.hinted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_hints_of_a_project_are_one() {
        let hints = Hints::default();
        hints.add(ProjectRef(1), Hint::Asked);
        hints.add(ProjectRef(1), Hint::Written);
        hints.add(ProjectRef(1), Hint::Asked);
        hints.add(ProjectRef(2), Hint::Asked);
        let hinted = hints.next().await;
        let expected = [(ProjectRef(1), Hint::Written), (ProjectRef(2), Hint::Asked)];
        assert_eq!(hinted.projects, HashMap::from(expected));
        assert!(!hinted.everything);
        hints.add_everything();
        assert!(hints.next().await.everything);
    }
}
