//! The tasks of the process: each has a name, none is loose, and none dies unnoticed.

use std::future::Future;

use tokio::task::{Id, JoinSet};

/// Tasks that run as long as the process does.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: Vec<(Id, &'static str)>,
}

/// How a task ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub name: &'static str,
    /// Whether it panicked.
    pub panicked: bool,
}

impl Tasks {
    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(task).id();
        self.names.push((id, name));
    }

    /// Waits until some task ends; none if there is none.
    pub async fn next_ended(&mut self) -> Option<Ended> {
        let (id, panicked) = match self.running.join_next_with_id().await? {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let at = self.names.iter().position(|(known, _)| *known == id);
        let name = at.map_or("unnamed", |at| self.names.swap_remove(at).1);
        Some(Ended { name, panicked })
    }

    /// Waits until all have ended.
    pub async fn join(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_told_by_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("stays", std::future::pending());
        tasks.spawn("dies", async { panic!("on purpose") });
        assert_eq!(tasks.next_ended().await, Some(Ended { name: "dies", panicked: true }));
    }
}
