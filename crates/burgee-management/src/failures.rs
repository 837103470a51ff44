//! Failed sign-ins, counted by address: whoever guesses is slowed down, and those who are known go on.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use burgee_core::access::SecretHash;
use burgee_core::{Error, Result};
use quick_cache::sync::Cache;

use crate::metrics::Metrics;

/// For how long failures count, from the first on.
const WINDOW: Duration = Duration::from_secs(60);
/// The name of the limit, as in the settings.
const LIMIT: &str = "sign_in_failures_per_minute";
/// Addresses whose failures are counted; those that failed longest ago are forgotten.
const ADDRESSES: usize = 100_000;
/// Credentials that were good lately, which failures of others at the same address do not hinder.
const CREDENTIALS: usize = 100_000;

/// The failures of all addresses.
pub(crate) struct Failures {
    /// How many an address may have in a minute; `None`: any number.
    limit: Option<NonZeroU32>,
    failed: Cache<IpAddr, Window>,
    good: Cache<SecretHash, ()>,
    metrics: Metrics,
}

/// The failures of one address.
#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    failures: u32,
}

impl Failures {
    /// Creates a count that allows an address so many failures in a minute.
    pub(crate) fn new(limit: Option<NonZeroU32>, metrics: Metrics) -> Self {
        Self { limit, failed: Cache::new(ADDRESSES), good: Cache::new(CREDENTIALS), metrics }
    }

    /// Refuses an address that has failed too often, unless the credential was good lately.
    pub(crate) fn check(&self, address: Option<IpAddr>, credential: Option<&SecretHash>) -> Result<()> {
        let (Some(limit), Some(address)) = (self.limit, address) else { return Ok(()) };
        let Some(window) = self.failed.get(&subscriber(address)) else { return Ok(()) };
        let left = WINDOW.saturating_sub(window.since.elapsed());
        let is_good = || credential.is_some_and(|credential| self.good.get(credential).is_some());
        if window.failures < limit.get() || left.is_zero() || is_good() {
            return Ok(());
        }
        self.metrics.sign_ins_refused.inc();
        let maximum = limit.get().into();
        Err(Error::SignInLimitExceeded { limit: LIMIT, maximum, retry_after: left })
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, address: Option<IpAddr>) {
        self.metrics.sign_ins_failed.inc();
        let Some(address) = address.map(subscriber) else { return };
        let now = Instant::now();
        let before = self.failed.get(&address).filter(|window| now - window.since < WINDOW);
        let Window { since, failures } = before.unwrap_or(Window { since: now, failures: 0 });
        self.failed.insert(address, Window { since, failures: failures.saturating_add(1) });
    }

    /// Notes that a credential is good.
    pub(crate) fn succeeded(&self, credential: SecretHash) {
        if self.limit.is_some() && self.good.get(&credential).is_none() {
            self.good.insert(credential, ());
        }
    }
}

/// Returns what stands for whoever has an address: of IPv6, a whole network is one subscriber's.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_fail_so_often() {
        let failures = Failures::new(NonZeroU32::new(2), Metrics::default());
        let address = Some("192.0.2.1".parse().unwrap());
        let credential = |secret: &str| SecretHash::of(secret);
        failures.succeeded(credential("good"));
        for _ in 0..2 {
            failures.check(address, Some(&credential("bad"))).unwrap();
            failures.failed(address);
        }
        match failures.check(address, Some(&credential("bad"))) {
            Err(Error::SignInLimitExceeded { limit: LIMIT, maximum: 2, retry_after }) => {
                assert!(retry_after <= WINDOW);
            }
            other => panic!("{other:?}"),
        }
        failures.check(address, Some(&credential("good"))).unwrap();
        failures.check(Some("192.0.2.2".parse().unwrap()), Some(&credential("bad"))).unwrap();
        failures.check(None, Some(&credential("bad"))).unwrap();
        let any = Failures::new(None, Metrics::default());
        (0..1_000).for_each(|_| any.failed(address));
        any.check(address, Some(&credential("bad"))).unwrap();
    }

    #[test]
    fn a_network_of_ipv6_is_one_subscriber() {
        let subscriber = |address: &str| subscriber(address.parse().unwrap());
        assert_eq!(subscriber("2001:db8::1"), subscriber("2001:db8::2:3"));
        assert_ne!(subscriber("2001:db8::1"), subscriber("2001:db8:0:1::1"));
        assert_eq!(subscriber("::ffff:192.0.2.1"), subscriber("192.0.2.1"));
    }
}
