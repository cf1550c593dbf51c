//! Why a status could not be written, by what follows from it.

use std::time::Duration;

use kube::core::Status;

/// One request.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// 404, or 409 as the object of that name is another one by now. Nobody is left to be told.
    #[error("the object has gone")]
    Gone,
    /// The status itself is refused, as by a definition that is older than we are. The same again would be, too.
    #[error("the API server does not take this status")]
    Invalid(#[source] kube::Error),
    /// A role is missing.
    #[error("the API server does not let us write this status")]
    Forbidden(#[source] kube::Error),
    /// Anything that may be better in a while.
    #[error("the API server did not take the status")]
    Failed(#[source] kube::Error),
    /// No answer.
    #[error("no answer within {DEADLINE:?}")]
    TimedOut,
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
        match code {
            404 | 409 => Self::Gone,
            400 | 413 | 415 | 422 => Self::Invalid(error),
            401 | 403 => Self::Forbidden(error),
            _ => Self::Failed(error),
        }
    }
}

impl WriteError {
    /// What fails for every object alike.
    pub fn is_of_the_server(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut)
    }

    /// How long the server wants to be left alone; its own flow control always says one second.
    pub fn asked_pause(&self) -> Option<Duration> {
        let Self::Failed(kube::Error::Api(status)) = self else { return None };
        let asked = |status: &Status| status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        (status.code == 429).then(|| Duration::from_secs(u64::from(asked(status).max(1))))
    }

    /// For the metric.
    pub fn result(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Invalid(_) => "invalid",
            Self::Forbidden(_) => "forbidden",
            Self::Failed(_) | Self::TimedOut => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> WriteError {
        kube::Error::Api(Box::new(Status { code, ..Status::default() })).into()
    }

    #[test]
    fn each_refusal_has_its_consequence() {
        assert!(matches!(answered(404), WriteError::Gone));
        assert!(matches!(answered(409), WriteError::Gone));
        assert!(matches!(answered(422), WriteError::Invalid(_)));
        assert!(matches!(answered(403), WriteError::Forbidden(_)));
        for code in [429, 500, 503, 0] {
            assert!(answered(code).is_of_the_server(), "{code}");
        }
        assert_eq!(answered(429).asked_pause(), Some(Duration::from_secs(1)));
        assert_eq!(answered(500).asked_pause(), None);
    }
}
