//! Objects, manifests and signatures: an object store (ADR-20), read by chunks.

use std::path::Path;
use std::slice;

use async_nats::jetstream;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::Deserialize;

use super::direct::Kept;
use super::{Api, Nats};
use crate::carry::{Fault, Partial};
use crate::limits::{CHUNKS_AT_ONCE, MESSAGES_AT_ONCE, MESSAGES_MAX};

/// What the store says of an object.
#[derive(Debug, Deserialize)]
struct About {
    name: String,
    #[serde(default)]
    nuid: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    deleted: bool,
}

impl Nats {
    fn bucket(&self) -> String {
        format!("fleet_{}", self.fleet)
    }

    fn store_stream(&self) -> String {
        format!("OBJ_{}", self.bucket())
    }

    async fn about(&self, apis: &[Api], name: &str) -> Result<Option<About>, Fault> {
        let subject = format!("$O.{}.M.{}", self.bucket(), URL_SAFE.encode(name));
        let Some(kept) = self.last(apis, &self.store_stream(), &subject).await? else { return Ok(None) };
        let about: About = serde_json::from_slice(&kept.payload)
            .map_err(|error| Fault::Refused(format!("{name}: what the object store says of it: {error}")))?;
        Ok(Some(about).filter(|about| !about.deleted))
    }

    /// What has this name; it is small.
    pub(in crate::carry) async fn read_object(
        &self,
        name: &str,
        len_max: u64,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut failed = None;
        for api in self.for_objects() {
            match self.read_from(&api, name, len_max).await {
                Ok(None) => {}
                Err(fault @ Fault::Away(_)) => failed = Some(fault),
                done => return done,
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn read_from(&self, api: &Api, name: &str, len_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let Some(about) = self.about(slice::from_ref(api), name).await? else { return Ok(None) };
        let too_long = || Fault::TooLong(format!("{name}: it has more than {len_max} bytes"));
        if about.size > len_max {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        let take = |chunks: &[Kept]| {
            chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.payload));
            if bytes.len() as u64 > len_max { Err(too_long()) } else { Ok(()) }
        };
        self.chunks(api, &about, (1, 0), take).await?;
        Ok(Some(bytes))
    }

    /// Copies an object behind what `partial` has of it.
    pub(in crate::carry) async fn fetch(&self, name: &str, partial: &mut Partial) -> Result<bool, Fault> {
        let mut failed = None;
        for api in self.for_objects() {
            match self.fetch_from(&api, name, partial).await {
                Ok(false) => {}
                Err(fault @ Fault::Away(_)) => failed = Some(fault),
                done => return done,
            }
        }
        failed.map_or(Ok(false), Err)
    }

    async fn fetch_from(&self, api: &Api, name: &str, partial: &mut Partial) -> Result<bool, Fault> {
        let Some(about) = self.about(slice::from_ref(api), name).await? else { return Ok(false) };
        if about.size != partial.len() {
            let (size, len) = (about.size, partial.len());
            return Err(Fault::Refused(format!("{name}: it has {size} bytes there, and should have {len}")));
        }
        let from = match partial.place().split_once(' ').map(|(nuid, from)| (nuid, from.parse())) {
            Some((nuid, Ok(from))) if nuid == about.nuid => from,
            // Another copy of the same begins elsewhere.
            _ => {
                partial.restart()?;
                1
            }
        };
        let have = partial.have();
        let take = |chunks: &[Kept]| {
            chunks.iter().try_for_each(|chunk| partial.push(&chunk.payload))?;
            let next = chunks.last().map_or(1, |last| last.sequence + 1);
            partial.note(format!("{} {next}", about.nuid))
        };
        self.chunks(api, &about, (from, have), take).await.map(|()| true)
    }

    /// Has `take` take the chunks of an object, from the sequence number and the length on that are there
    /// already.
    async fn chunks(
        &self,
        api: &Api,
        about: &About,
        (mut from, mut have): (u64, u64),
        mut take: impl FnMut(&[Kept]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let subject = format!("$O.{}.C.{}", self.bucket(), about.nuid);
        while have < about.size {
            let (chunks, _) = self.some(api, &self.store_stream(), &subject, from, CHUNKS_AT_ONCE).await?;
            let Some(last) = chunks.last() else {
                let About { name, size, .. } = about;
                // It may be being replaced, or a mirror may not have all of it yet.
                return Err(Fault::Away(format!("{name}: it ends there after {have} bytes of {size}")));
            };
            from = last.sequence + 1;
            have += chunks.iter().map(|chunk| chunk.payload.len() as u64).sum::<u64>();
            take(&chunks)?;
        }
        Ok(())
    }

    /// The names of all objects that begin so.
    pub(in crate::carry) async fn list_objects(&self, folder: &str) -> Result<Vec<String>, Fault> {
        let (hub, stream, filter) = (self.hub(), self.store_stream(), format!("$O.{}.M.>", self.bucket()));
        let (mut names, mut from, mut seen) = (Vec::new(), 1, 0);
        loop {
            let (found, more) = self.some(&hub, &stream, &filter, from, MESSAGES_AT_ONCE).await?;
            let Some(last) = found.last() else { break };
            from = last.sequence + 1;
            seen += found.len();
            let about = found.iter().filter_map(|kept| serde_json::from_slice::<About>(&kept.payload).ok());
            let there = about.filter(|about| !about.deleted && about.name.starts_with(folder));
            names.extend(there.map(|about| about.name));
            if !more || seen > MESSAGES_MAX {
                break;
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Puts an object there, unless one of that length has its name. Whether it was new.
    pub(in crate::carry) async fn store(&self, name: &str, bytes: &[u8]) -> Result<bool, Fault> {
        self.put(name, bytes.len() as u64, &mut &*bytes).await
    }

    /// The same with the bytes of a file.
    pub(in crate::carry) async fn store_file(&self, name: &str, file: &Path) -> Result<bool, Fault> {
        let failed = |error: std::io::Error| Fault::Refused(format!("{}: {error}", file.display()));
        let mut open = tokio::fs::File::open(file).await.map_err(failed)?;
        let len = open.metadata().await.map_err(failed)?.len();
        self.put(name, len, &mut open).await
    }

    async fn put(
        &self,
        name: &str,
        len: u64,
        bytes: &mut (impl tokio::io::AsyncRead + Unpin),
    ) -> Result<bool, Fault> {
        if self.about(&[self.hub()], name).await?.is_some_and(|about| about.size == len) {
            return Ok(false);
        }
        let away = |error: &dyn std::fmt::Display| Fault::Away(format!("{}: {name}: {error}", self.url()));
        let store = self.context().get_object_store(self.bucket()).await.map_err(|error| away(&error))?;
        store.put(name, bytes).await.map_err(|error| away(&error))?;
        Ok(true)
    }

    /// Makes the object store, where it is not there.
    pub(super) async fn prepare_objects(&self) -> Result<(), Fault> {
        let context = self.context();
        if context.get_object_store(self.bucket()).await.is_ok() {
            return Ok(());
        }
        let config = jetstream::object_store::Config { bucket: self.bucket(), ..Default::default() };
        let made = context.create_object_store(config).await;
        made.map(drop).map_err(|error| Fault::Refused(format!("{}: {error}", self.url())))
    }

    /// The client's own interface to the hub.
    pub(super) fn context(&self) -> jetstream::Context {
        match &self.domain {
            Some(domain) => jetstream::with_domain(self.client.clone(), domain),
            None => jetstream::new(self.client.clone()),
        }
    }
}
