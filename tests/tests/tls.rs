//! TLS by configuration: the real server with certificates, asked by the real command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::process::{Output, Stdio};

use burgee_tests::server::{PATIENCE, Server, binary};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::process::Command;

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

    /// Starts a server with the certificate `server`.
    async fn serve(&self, more: &[&str]) -> Server {
        let database_url = format!("sqlite:{}", self.path("burgee.db"));
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
        Server::serve_some(&database_url, true, false, &[&tls, more].concat()).await
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
