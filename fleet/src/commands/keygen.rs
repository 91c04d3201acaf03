//! `as112d-fleet keygen`: a key that signs releases, or the one by which a node gets in.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use as112d::commands::Failure;
use as112d::problem::Problem;
use serde_json::json;

use super::Told;
use crate::cli::KeygenOptions;
use crate::desk::usage;
use crate::sign::{new_key, password};

/// Only the owner may read a secret.
const SECRET_MODE: u32 = 0o600;
/// Everybody may read the public half.
const PUBLIC_MODE: u32 = 0o644;

/// Makes a key; what it prints.
///
/// # Errors
/// A file that is there, or cannot be written.
pub fn keygen(options: &KeygenOptions) -> Result<Told, Failure> {
    if options.node { node(options) } else { publisher(options) }
}

fn publisher(options: &KeygenOptions) -> Result<Told, Failure> {
    let password = match &options.password_file {
        Some(file) => Some(Some(password(file).map_err(|problem| vec![problem])?)),
        None if options.no_password => None,
        None if io::stdin().is_terminal() => Some(None),
        None => {
            return Err(usage(
                "there is no terminal to ask for a password; give --password-file or --no-password",
            ));
        }
    };
    let (secret_file, public_file) = (with(&options.name, "key"), with(&options.name, "pub"));
    let (secret, public) = new_key(password).map_err(|problem| vec![problem])?;
    write(&secret_file, SECRET_MODE, secret.as_bytes())?;
    write(&public_file, PUBLIC_MODE, public.as_bytes())?;
    let key = public.lines().nth(1).unwrap_or_default();
    if options.json {
        return Ok(Told::json(&json!({ "secret": secret_file, "public": public_file, "key": key })));
    }
    Ok(Told::from(format!(
        "{} is secret: keep it where you publish, and a copy elsewhere\n{} may be read by all\n\n\
         Nodes take what it signs once their file has:\n  [fleet]\n  keys = [\"{key}\"]\n",
        secret_file.display(),
        public_file.display()
    )))
}

fn node(options: &KeygenOptions) -> Result<Told, Failure> {
    let failed = |error: nkeys::error::Error| Failure::from(format!("cannot make a key: {error}"));
    let pair = nkeys::KeyPair::new_user();
    let (seed, public) = (pair.seed().map_err(failed)?, pair.public_key());
    let file = with(&options.name, "nk");
    write(&file, SECRET_MODE, format!("{seed}\n").as_bytes())?;
    if options.json {
        return Ok(Told::json(&json!({ "secret": file, "key": public })));
    }
    Ok(Told::from(format!(
        "{} is secret: it stays on this node\n\n\
         The hub lets the node in once its accounts have:\n  nkey: {public}\n",
        file.display()
    )))
}

/// `NAME.key` for `NAME`, whatever dots are in it.
fn with(name: &Path, extension: &str) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// Writes a file that is not there: a key that somebody uses is not written over.
fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        let way_out = match error.kind() {
            io::ErrorKind::AlreadyExists => "; name another one, or move it away",
            _ => "",
        };
        vec![Problem { place: path.display().to_string(), message: format!("{error}{way_out}") }].into()
    })
}
