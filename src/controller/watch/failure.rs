//! What can go wrong with a list or a watch, and what follows from it.

use std::time::Duration;

use kube::core::Status;
use kube_runtime::watcher::Error;

/// Why a list did not come, or a watch did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No answer, or one that says no.
    #[error("the API server cannot be asked")]
    Asked(#[source] kube::Error),
    /// A running watch was told an error.
    #[error("the API server gave the watch up")]
    GivenUp(#[source] Box<Status>),
    /// Something that is no list: nothing can be watched from there.
    #[error("the list does not say at which version it stands")]
    NoVersion,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => {
                Self::Asked(error)
            }
            Error::WatchError(status) => Self::GivenUp(status),
            Error::NoResourceVersion => Self::NoVersion,
        }
    }
}

impl Failure {
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Asked(kube::Error::Api(status)) | Self::GivenUp(status) => Some(status),
            _ => None,
        }
    }

    /// The answer's code; 0 without one.
    pub fn code(&self) -> u16 {
        self.status().map_or(0, |status| status.code)
    }

    /// The server has no history from where we stand: only a new list helps.
    ///
    /// 410 is its word for "too old"; "too large" means that it stands further back than we do, as after a
    /// backup was restored, and may never come to where we wait.
    pub fn is_forgotten(&self) -> bool {
        self.code() == 410 || self.status().is_some_and(|status| status.message.contains("Too large resource version"))
    }

    /// The server itself has answered.
    pub fn is_answer(&self) -> bool {
        self.status().is_some()
    }

    /// How long the server wants to be left alone. What it says in a header alone does not reach us, and its own
    /// flow control always says one second.
    pub fn asked_pause(&self) -> Option<Duration> {
        let status = self.status()?;
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let least = if status.code == 429 { 1 } else { 0 };
        Some(Duration::from_secs(u64::from(seconds.max(least)))).filter(|pause| !pause.is_zero())
    }

    /// From a closed list, for the metric.
    pub fn reason(&self) -> &'static str {
        if self.is_forgotten() {
            return "forgotten";
        }
        match self {
            Self::NoVersion | Self::Asked(kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) => "unreadable",
            _ => match self.code() {
                0 => "network",
                401 | 403 => "forbidden",
                404 => "absent",
                429 => "throttled",
                _ => "server",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str) -> Failure {
        Failure::Asked(kube::Error::Api(serde_json::from_str(text).unwrap()))
    }

    #[test]
    fn history_that_is_lost_either_way_asks_for_a_list() {
        assert!(answered(r#"{"code":410}"#).is_forgotten());
        let restored = r#"{"code":504,"message":"Too large resource version: 900, current: 12"}"#;
        assert!(answered(restored).is_forgotten());
        assert!(!answered(r#"{"code":500}"#).is_forgotten());
        assert_eq!(answered(r#"{"code":410}"#).reason(), "forgotten");
    }

    #[test]
    fn a_server_with_too_much_to_do_is_left_alone_for_as_long_as_it_says() {
        let seconds = |text: &str| answered(text).asked_pause();
        assert_eq!(seconds(r#"{"code":429,"details":{"retryAfterSeconds":9}}"#), Some(Duration::from_secs(9)));
        assert_eq!(seconds(r#"{"code":429}"#), Some(Duration::from_secs(1)));
        assert_eq!(seconds(r#"{"code":500}"#), None);
    }

    #[test]
    fn reasons_are_few() {
        assert_eq!(answered(r#"{"code":503}"#).reason(), "server");
        assert_eq!(answered(r#"{"code":403}"#).reason(), "forbidden");
        assert_eq!(Failure::NoVersion.reason(), "unreadable");
    }
}
