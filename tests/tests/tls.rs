//! TLS by configuration: the real server with certificates, asked by the real command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::process::{Output, Stdio};

use burgee_proto::evaluation::v1::WatchFlagsRequest;
use burgee_proto::evaluation::v1::evaluation_service_client::EvaluationServiceClient;
use burgee_tests::fixture::Fixture;
use burgee_tests::metrics::{until, value};
use burgee_tests::server::{Credential, PATIENCE, Server, binary};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

const RELOADED: &str = "burgee_certificate_reloads_total{result=\"ok\"}";
const NOT_RELOADED: &str = "burgee_certificate_reloads_total{result=\"failed\"}";

/// A folder with certificates and the database of a server.
struct Site {
    folder: TempDir,
}

impl Site {
    /// Makes a server and a client, each with the authority that signed it, and a stranger whom nobody trusts.
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.certify("server-ca", "server", ExtendedKeyUsagePurpose::ServerAuth);
        site.certify("client-ca", "client", ExtendedKeyUsagePurpose::ClientAuth);
        site.certify("other-ca", "stranger", ExtendedKeyUsagePurpose::ClientAuth);
        site
    }

    /// Writes `AUTHORITY.pem`, `HOLDER.pem` and `HOLDER.key`.
    fn certify(&self, authority: &str, holder: &str, usage: ExtendedKeyUsagePurpose) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, authority);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();

        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, holder);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();

        fs::write(self.path(&format!("{authority}.pem")), issuer.pem()).unwrap();
        fs::write(self.path(&format!("{holder}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{holder}.key")), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn database_url(&self) -> String {
        format!("sqlite:{}", self.path("burgee.db"))
    }

    /// Starts a server with the certificate `server`.
    async fn serve(&self, more: &[&str]) -> Server {
        let database_url = self.database_url();
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
        let metrics = ["--metrics", "127.0.0.1:0"];
        Server::serve_some(&database_url, true, true, &[&tls[..], &metrics, more].concat()).await
    }

    /// Connects to evaluation, trusting an authority.
    async fn channel(&self, server: &Server, authority: &str) -> Channel {
        let pem = fs::read(self.path(&format!("{authority}.pem"))).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)).domain_name("localhost");
        let address = format!("https://{}", server.evaluation.unwrap());
        Endpoint::from_shared(address).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
    }

    /// Asks a server for its health, trusting an authority and presenting a certificate.
    async fn health(
        &self,
        server: &Server,
        scheme: &str,
        authority: Option<&str>,
        client: Option<&str>,
    ) -> Output {
        let port = server.management.unwrap().port();
        let mut command = Command::new(binary());
        command.args(["health", "--server", &format!("{scheme}://localhost:{port}")]);
        if let Some(authority) = authority {
            command.args(["--ca", &self.path(&format!("{authority}.pem"))]);
        }
        if let Some(client) = client {
            command.args(["--client-certificate", &self.path(&format!("{client}.pem"))]);
            command.args(["--client-key", &self.path(&format!("{client}.key"))]);
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        tokio::time::timeout(PATIENCE, output).await.expect("`burgee health` ends in time").unwrap()
    }
}

fn check_served(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "SERVING");
}

/// Returns what was said about it.
fn check_refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // An answer in words, and not a wrong flag or a panic.
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("burgee: "), "{errors}");
    errors
}

#[tokio::test]
async fn only_who_trusts_the_authority_reaches_a_server_with_a_certificate() {
    let site = Site::new();
    let server = site.serve(&[]).await;
    check_served(&site.health(&server, "https", Some("server-ca"), None).await);
    let errors = check_refused(&site.health(&server, "https", Some("other-ca"), None).await);
    assert!(errors.contains("UnknownIssuer"), "{errors}");
    // The system's authorities did not sign it, either.
    check_refused(&site.health(&server, "https", None, None).await);
    check_refused(&site.health(&server, "http", None, None).await);
    check_served(&site.health(&server, "https", Some("server-ca"), None).await);
}

#[tokio::test]
async fn a_server_with_an_authority_of_clients_serves_only_its_clients() {
    let site = Site::new();
    let server = site.serve(&["--tls-client-ca", &site.path("client-ca.pem")]).await;
    check_served(&site.health(&server, "https", Some("server-ca"), Some("client")).await);
    check_refused(&site.health(&server, "https", Some("server-ca"), None).await);
    check_refused(&site.health(&server, "https", Some("server-ca"), Some("stranger")).await);
    check_served(&site.health(&server, "https", Some("server-ca"), Some("client")).await);
}

/// Asks a server to read its certificates again.
async fn hang_up(server: &Server) {
    let id = server.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().await.unwrap().success());
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_and_streams_go_on() {
    let site = Site::new();
    // Whoever writes; the same database, so that the other server need not be written to.
    let writer = Server::serve(&site.database_url()).await;
    let fixture = Fixture::new(&writer).await.features(1).await;
    let key = fixture.server_side_key().await;

    let server = site.serve(&[]).await;
    let channel = site.channel(&server, "server-ca").await;
    let mut client = EvaluationServiceClient::with_interceptor(channel, Credential::key(&key));
    let mut stream = client.watch_flags(WatchFlagsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    site.certify("new-ca", "server", ExtendedKeyUsagePurpose::ServerAuth);
    until(&server, RELOADED, |reloads| reloads == 1.0).await;
    check_served(&site.health(&server, "https", Some("new-ca"), None).await);
    check_refused(&site.health(&server, "https", Some("server-ca"), None).await);
    site.channel(&server, "new-ca").await;

    let revision = fixture.set_metadata("feature-0", r#"{"changed": true}"#).await;
    let followed = async { while stream.message().await.unwrap().unwrap().revision < revision {} };
    timeout(PATIENCE, followed).await.expect("the open stream goes on");
    assert_eq!(value(&server, NOT_RELOADED).await, 0.0);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_leaves_the_former_one() {
    let site = Site::new();
    let server = site.serve(&[]).await;
    let good = ["server.pem", "server.key"].map(|name| fs::read(site.path(name)).unwrap());

    // Breaks something, and waits until the server has noticed.
    let broken = async |breaking: &dyn Fn()| {
        let before = value(&server, NOT_RELOADED).await;
        breaking();
        hang_up(&server).await;
        until(&server, NOT_RELOADED, |failures| failures > before).await;
        check_served(&site.health(&server, "https", Some("server-ca"), None).await);
    };
    broken(&|| fs::write(site.path("server.pem"), "not a certificate").unwrap()).await;
    // A key of another certificate.
    broken(&|| {
        fs::copy(site.path("stranger.key"), site.path("server.key")).unwrap();
        fs::write(site.path("server.pem"), &good[0]).unwrap();
    })
    .await;
    broken(&|| fs::remove_file(site.path("server.key")).unwrap()).await;
    assert_eq!(value(&server, RELOADED).await, 0.0);

    fs::write(site.path("server.key"), &good[1]).unwrap();
    hang_up(&server).await;
    until(&server, RELOADED, |reloads| reloads >= 1.0).await;
    check_served(&site.health(&server, "https", Some("server-ca"), None).await);
}

#[tokio::test]
async fn a_certificate_that_stays_broken_is_tried_once() {
    let site = Site::new();
    let server = site.serve(&[]).await;
    fs::write(site.path("server.pem"), "not a certificate").unwrap();
    until(&server, NOT_RELOADED, |failures| failures == 1.0).await;
    // The files are looked at again before this one is noticed: it takes at least one more look.
    site.certify("new-ca", "server", ExtendedKeyUsagePurpose::ServerAuth);
    until(&server, RELOADED, |reloads| reloads == 1.0).await;
    assert_eq!(value(&server, NOT_RELOADED).await, 1.0);
}

#[tokio::test]
async fn a_new_authority_of_clients_lets_in_its_clients_only() {
    let site = Site::new();
    let server = site.serve(&["--tls-client-ca", &site.path("client-ca.pem")]).await;
    let as_client = async |client| site.health(&server, "https", Some("server-ca"), Some(client)).await;
    check_served(&as_client("client").await);

    fs::write(site.path("client-ca.pem"), "").unwrap();
    hang_up(&server).await;
    until(&server, NOT_RELOADED, |failures| failures >= 1.0).await;
    check_served(&as_client("client").await);

    fs::copy(site.path("other-ca.pem"), site.path("client-ca.pem")).unwrap();
    hang_up(&server).await;
    until(&server, RELOADED, |reloads| reloads >= 1.0).await;
    check_served(&as_client("stranger").await);
    check_refused(&as_client("client").await);
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_cut_and_hinders_nobody() {
    let site = Site::new();
    let server = site.serve(&[]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(server.evaluation.unwrap()).await.unwrap());
        silent.push(TcpStream::connect(server.management.unwrap()).await.unwrap());
    }
    until(&server, "burgee_connections_open", |open| open >= 200.0).await;
    check_served(&site.health(&server, "https", Some("server-ca"), None).await);
    assert_eq!(value(&server, "burgee_tls_handshake_failures_total").await, 0.0, "still shaking hands");

    for stream in &mut silent {
        let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("it is cut in time");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    until(&server, "burgee_tls_handshake_failures_total", |failures| failures == 200.0).await;
    until(&server, "burgee_connections_open", |open| open == 0.0).await;
    check_served(&site.health(&server, "https", Some("server-ca"), None).await);
}
