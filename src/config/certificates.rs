//! The certificates of those who may sign those of servers that are asked over TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::limits::CERTIFICATES_LEN_MAX;
use crate::policy::upstream::{Over, Roots, Upstream};
use crate::problem::Problem;
use crate::sys::files;

/// Where systems keep those that they trust: Debian and its like, Fedora and its like, openSUSE, Alpine.
pub const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The upstreams, with what those over TLS need to know.
///
/// # Errors
/// Each file that cannot be read, or is of no use.
pub(super) fn with_roots(upstreams: &[Upstream]) -> Result<Vec<Upstream>, Vec<Problem>> {
    let (mut all, mut problems, mut of_system) = (upstreams.to_vec(), Vec::new(), None);
    for upstream in &mut all {
        let Over::Tls { ca, roots, .. } = &mut upstream.over else { continue };
        let read = match ca {
            Some(path) => read(Path::new(path), true),
            None => of_system.get_or_insert_with(system).clone(),
        };
        match read {
            Ok(read) => *roots = read,
            Err(Problem { place, message }) => {
                let message = format!("{message}; upstream `{}` needs it", upstream.name);
                problems.push(Problem { place, message });
            }
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Those that the system trusts.
fn system() -> Result<Roots, Problem> {
    let found = SYSTEM.iter().map(PathBuf::from).find(|path| path.is_file());
    let found = found.ok_or_else(|| {
        Problem::plain("this host has no certificates to trust; install ca-certificates, or give `tls_ca`")
    })?;
    read(&found, false)
}

/// Those in a file. One that is of no use is a mistake in a file of the operator's own.
fn read(path: &Path, is_own: bool) -> Result<Roots, Problem> {
    let problem = |message: String| Problem { place: path.display().to_string(), message };
    let bytes = files::read(path, CERTIFICATES_LEN_MAX)
        .map_err(|error| problem(format!("cannot be read ({error})")))?;
    if bytes.len() as u64 > CERTIFICATES_LEN_MAX {
        return Err(problem(format!("is longer than {CERTIFICATES_LEN_MAX} bytes: no file of certificates")));
    }
    let (mut roots, mut store) = (Vec::new(), RootCertStore::empty());
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| problem(format!("is not PEM: {error:?}")))?;
        match store.add(certificate.clone()) {
            Ok(()) => roots.push(certificate.to_vec()),
            Err(error) if is_own => {
                let number = roots.len() + 1;
                return Err(problem(format!("its certificate {number} is of no use: {error}")));
            }
            Err(_) => {}
        }
    }
    if roots.is_empty() {
        return Err(problem("has no certificate".to_owned()));
    }
    Ok(Roots(Arc::new(roots)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A certificate that signs itself, P-256, for nobody.
    const ONE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBdDCCARugAwIBAgIUNUI8DeZWdKu0V9V9afSz9XR7+sowCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjkxODA1MjBaGA8yMTI2MTEwNTE4MDUy\n\
MFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNZH\n\
JkoLHku/QHOqkZgToqZ80JWhDykNjJkTl5l5U1R6htawoRnz5QWbUqKWD6M/jHNK\n\
f9nAs6qE4d3pmMDG7a+jUzBRMB0GA1UdDgQWBBQ5ycQmKwQoT1umBHv8gFQLLEyW\n\
3TAfBgNVHSMEGDAWgBQ5ycQmKwQoT1umBHv8gFQLLEyW3TAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0cAMEQCIDKYMa3cpDprgtm660pMi3ZT96W1end2LWLx\n\
jZvR30LvAiAsW3GwenwXLNmbNDQMNvDfbRS41fK3sfka8crXgVqrlA==\n\
-----END CERTIFICATE-----\n";

    fn tls(ca: Option<String>) -> Upstream {
        let config = crate::config::load(None, &Default::default()).unwrap();
        let resolver = crate::config::platform::Resolver {
            enabled: true,
            address: "127.0.0.1:5354".parse().unwrap(),
            hints: None,
            memory: 0,
        };
        let over = Over::Tls { name: "u.example".to_owned(), ca, roots: Roots::default() };
        Upstream { over, ..resolver.upstream(config.platform.query_timeout) }
    }

    #[test]
    fn certificates_are_read_and_checked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let roots = |text: &str| {
            fs::write(file.path(), text).unwrap();
            with_roots(&[tls(file.path().to_str().map(str::to_owned))])
        };
        let Over::Tls { roots: two, .. } = &roots(&format!("# two\n{ONE}\n{ONE}")).unwrap()[0].over else {
            panic!("it is TLS")
        };
        assert_eq!(two.0.len(), 2);
        let refused = |text: &str| roots(text).unwrap_err()[0].to_string();
        assert!(refused("").contains("has no certificate; upstream `resolver` needs it"));
        assert!(refused(&ONE.replace("MII", "M!!")).contains(": is not PEM"));
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refused(&[ONE, wrong].concat()).contains("its certificate 2 is of no use"));
        let absent = with_roots(&[tls(Some("/nowhere/ca.pem".into()))]).unwrap_err();
        assert!(absent[0].to_string().starts_with("/nowhere/ca.pem: cannot be read (No such file"));
    }
}
