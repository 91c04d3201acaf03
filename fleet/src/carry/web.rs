//! A fleet's tree at a web server, which has no idea of it: files that are fetched, and fetched again where
//! they have changed. What it sends is checked as whatever else, so it may be without TLS.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::{Access, Fault, Partial};
use crate::limits::{WEB_KEPT_MAX, WEB_TIMEOUT};

/// A folder at a web server.
#[derive(Debug)]
pub struct Web {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    url: String,
    kept: Mutex<HashMap<String, Kept>>,
}

/// A value, and how the server calls this version of it.
#[derive(Clone, Debug)]
struct Kept {
    condition: HeaderName,
    version: HeaderValue,
    bytes: Vec<u8>,
}

impl Web {
    pub(super) fn open(url: &str, access: &Access, fleet: &str) -> Result<Self, Fault> {
        let config = ClientConfig::builder();
        let config = match &access.ca {
            Some(file) => config.with_root_certificates(roots(file)?),
            None => config
                .with_native_roots()
                .map_err(|error| Fault::Refused(format!("the system's certificates: {error}")))?,
        };
        let tls = config.with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(WEB_TIMEOUT).build(connector);
        Ok(Self { client, url: format!("{url}/{fleet}"), kept: Mutex::default() })
    }

    pub(super) fn read_only(&self) -> Fault {
        let way_out = "publish to the folder that it serves, with dir:PATH";
        Fault::Refused(format!("{}: a web server is only read; {way_out}", self.url))
    }

    pub(super) fn no_lists(&self) -> Fault {
        let way_out = "ask the folder that it serves, with dir:PATH";
        Fault::Refused(format!("{}: a web server does not tell what it has; {way_out}", self.url))
    }

    pub(super) async fn read(&self, name: &str, len_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let kept = self.kept().get(name).cloned();
        let mut headers = HeaderMap::new();
        if let Some(kept) = &kept {
            headers.insert(kept.condition.clone(), kept.version.clone());
        }
        let response = self.get(name, headers).await?;
        match (response.status(), kept) {
            (StatusCode::NOT_MODIFIED, Some(kept)) => return Ok(Some(kept.bytes)),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => return Ok(None),
            (StatusCode::OK, _) => {}
            _ => return Err(self.unexpected(name, &response)),
        }
        let version = version(response.headers());
        let mut bytes = Vec::new();
        self.each(name, response, |part| {
            if (bytes.len() + part.len()) as u64 > len_max {
                return Err(Fault::TooLong(format!("{}/{name}: it has more than {len_max} bytes", self.url)));
            }
            bytes.extend_from_slice(part);
            Ok(())
        })
        .await?;
        if let Some((condition, version)) = version {
            let mut all = self.kept();
            if all.len() >= WEB_KEPT_MAX {
                all.clear();
            }
            all.insert(name.to_owned(), Kept { condition, version, bytes: bytes.clone() });
        }
        Ok(Some(bytes))
    }

    pub(super) async fn fetch(&self, name: &str, partial: &mut Partial) -> Result<bool, Fault> {
        let mut headers = HeaderMap::new();
        if !partial.is_empty() {
            if partial.is_whole() {
                return Ok(true);
            }
            let range = HeaderValue::try_from(format!("bytes={}-", partial.have()));
            headers.insert(header::RANGE, range.map_err(|error| self.away(name, &error))?);
        }
        let response = self.get(name, headers).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // It sends all of it, whatever was asked for.
            StatusCode::OK => partial.restart()?,
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(false),
            _ => return Err(self.unexpected(name, &response)),
        }
        self.each(name, response, |part| partial.push(part)).await?;
        Ok(true)
    }

    async fn get(&self, name: &str, headers: HeaderMap) -> Result<Response<Incoming>, Fault> {
        let url = format!("{}/{name}", self.url);
        let request = Request::get(&url).header(header::USER_AGENT, "as112d-fleet").body(Empty::new());
        let mut request = request.map_err(|error| Fault::Refused(format!("{url}: {error}")))?;
        request.headers_mut().extend(headers);
        match timeout(WEB_TIMEOUT, self.client.request(request)).await {
            Ok(response) => response.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                self.away(name, &cause.unwrap_or_else(|| error.to_string()))
            }),
            Err(_) => Err(self.away(name, &"no answer")),
        }
    }

    /// Has `take` take a body as it arrives.
    async fn each(
        &self,
        name: &str,
        response: Response<Incoming>,
        mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut body = response.into_body();
        loop {
            match timeout(WEB_TIMEOUT, body.frame()).await {
                Ok(Some(Ok(frame))) => frame.data_ref().map_or(Ok(()), |part| take(part))?,
                Ok(Some(Err(error))) => return Err(self.away(name, &error)),
                Ok(None) => return Ok(()),
                Err(_) => return Err(self.away(name, &"it stopped in the middle")),
            }
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self, name: &str, why: &dyn std::fmt::Display) -> Fault {
        Fault::Away(format!("{}/{name}: {why}", self.url))
    }

    fn unexpected(&self, name: &str, response: &Response<Incoming>) -> Fault {
        let status = response.status();
        let text = match response.headers().get(header::LOCATION).map(HeaderValue::to_str) {
            Some(Ok(place)) => {
                format!("it is at {place}; write that address, or the one of the folder there")
            }
            _ => format!("the status is {status}"),
        };
        let text = format!("{}/{name}: {text}", self.url);
        if status.is_server_error() { Fault::Away(text) } else { Fault::Refused(text) }
    }
}

/// What a version is asked by, if the server names it.
fn version(headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    let named = headers.get(header::ETAG).map(|tag| (header::IF_NONE_MATCH, tag.clone()));
    named.or_else(|| Some((header::IF_MODIFIED_SINCE, headers.get(header::LAST_MODIFIED)?.clone())))
}

fn roots(file: &Path) -> Result<RootCertStore, Fault> {
    let failed = |why: &dyn std::fmt::Display| Fault::Refused(format!("{}: {why}", file.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() {
        return Err(failed(&"it holds no certificates"));
    }
    Ok(roots)
}
