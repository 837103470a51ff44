//! Where a call comes from.

use std::net::IpAddr;

use http::Extensions;
use http::HeaderMap;
use ipnet::IpNet;
use tonic::transport::server::TcpConnectInfo;

/// The header in which proxies say for whom they call, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(pub(crate) Vec<IpNet>);

impl Proxies {
    /// Returns the address of whoever calls: the nearest that is not a proxy that is believed.
    pub(crate) fn caller(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip().to_canonical();
        Some(self.behind(peer, headers))
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer;
        // Of what cannot be read, nothing before it is believed either.
        let values =
            headers.get_all(FORWARDED_FOR).iter().rev().map(|value| value.to_str().unwrap_or_default());
        let named = values.flat_map(|value| value.rsplit(','));
        for address in named {
            if !self.0.iter().any(|network| network.contains(&nearest)) {
                break;
            }
            // What cannot be read, nobody vouches for: the proxy itself is the nearest that is known.
            let Ok(address) = address.trim().parse::<IpAddr>() else { break };
            nearest = address.to_canonical();
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(peer: &str, forwarded: &[&'static str], expected: &str) {
        let proxies = Proxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let address = proxies.behind(peer.parse().unwrap(), &headers);
        assert_eq!(address.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn only_known_proxies_are_believed() {
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.1.1.1", &["198.51.100.1"], "198.51.100.1");
        check("10.1.1.1", &["203.0.113.9, 198.51.100.1, 10.2.2.2"], "198.51.100.1");
        check("10.1.1.1", &["203.0.113.9", "198.51.100.1"], "198.51.100.1");
        check("10.1.1.1", &["nonsense"], "10.1.1.1");
        check("10.1.1.1", &[], "10.1.1.1");
    }
}
