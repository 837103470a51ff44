//! A call: what came with its request, and how long it may take.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataMap;

use crate::deadline::{margin, timeout};
use crate::settings::Settings;

/// A call that is being answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// What came with the request.
    pub(crate) metadata: &'a MetadataMap,
    /// When the request was there. It is as good as now until something was waited for.
    pub(crate) began_at: Instant,
    /// Until when something may be waited for, so that there is time left to say what was missed.
    pub(crate) wait_until: Instant,
    /// When the call is over, whatever it is doing.
    ends_at: Instant,
}

impl<'a> Call<'a> {
    /// Begins to answer a call.
    pub(crate) fn begin(metadata: &'a MetadataMap, settings: &Settings) -> Self {
        let began_at = Instant::now();
        let timeout = timeout(metadata, settings.max_deadline);
        let margin = margin(timeout);
        let wait_until = began_at + (timeout - margin);
        Self { metadata, began_at, wait_until, ends_at: wait_until + margin / 2 }
    }

    /// Works until the call is over; `None` if that was too soon. Nothing is done after that.
    pub(crate) async fn work<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.ends_at <= self.began_at {
            return None;
        }
        let mut work = pin!(work);
        // Most calls wait for nothing, and cost no timer.
        match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
            Poll::Ready(done) => Some(done),
            Poll::Pending => timeout_at(self.ends_at, work).await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(metadata: &MetadataMap) -> Call<'_> {
        Call::begin(metadata, &Settings::default())
    }

    fn timeout(value: &'static str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", value.parse().unwrap());
        metadata
    }

    #[tokio::test]
    async fn a_call_is_over_when_its_caller_gives_up() {
        let metadata = timeout("60S");
        assert_eq!(call(&metadata).work(tokio::task::yield_now()).await, Some(()));
        let metadata = timeout("20m");
        let call = call(&metadata);
        assert_eq!(call.work(std::future::pending::<()>()).await, None);
        assert!(call.ends_at <= Instant::now());
    }

    #[tokio::test]
    async fn a_call_that_is_over_when_it_begins_does_nothing() {
        let metadata = timeout("0m");
        let work = async { panic!("somebody works for nobody") };
        assert_eq!(call(&metadata).work(work).await, None::<()>);
    }

    #[tokio::test]
    async fn a_call_has_time_left_to_say_what_it_missed() {
        let metadata = timeout("1S");
        let call = call(&metadata);
        assert_eq!(call.wait_until - call.began_at, Duration::from_millis(900));
        assert_eq!(call.ends_at - call.began_at, Duration::from_millis(950));
    }
}
