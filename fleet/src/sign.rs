//! Who signs: secret keys in files, or commands for keys that are kept elsewhere.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use as112d::limits::RELEASE_SIGNATURES_LEN_MAX;
use as112d::problem::Problem;
use as112d::release::{KeyId, Keys};
use as112d::sys::files;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{PublicKey, SecretKey, SecretKeyBox};

use crate::limits::SECRET_LEN_MAX;

/// Where a secret key says how its password becomes a key, and what it says if there is none.
const KDF: std::ops::Range<usize> = 2..4;
/// See [`KDF`].
const NO_KDF: [u8; 2] = [0, 0];
/// Bytes of the sum at its end.
const SUM_LEN: usize = 32;

/// Somebody who signs.
#[derive(Debug)]
enum Signer {
    Key(Box<SecretKey>),
    /// The words of a command. It gets the name of a file and writes the signature to that name with
    /// `.minisig`.
    Command(Vec<String>),
}

/// All who sign at this desk.
#[derive(Debug)]
pub struct Signers(Vec<Signer>);

impl Signers {
    /// Opens secret keys, whose passwords are in `password_file` or are asked for, and takes commands.
    ///
    /// # Errors
    /// A key that cannot be opened, or a command without words.
    pub fn open(
        secret_keys: &[PathBuf],
        commands: &[String],
        password_file: Option<&Path>,
    ) -> Result<Self, Problem> {
        let mut signers = Vec::new();
        for path in secret_keys {
            signers.push(Signer::Key(Box::new(secret_key(path, password_file)?)));
        }
        for command in commands {
            let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            if words.is_empty() {
                return Err(Problem::plain("--sign-with: there is no command in it"));
            }
            signers.push(Signer::Command(words));
        }
        Ok(Self(signers))
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What all of them sign of these bytes, one after the other, and which of `keys` these are.
    ///
    /// # Errors
    /// One cannot sign, or signs with a key that is not among them.
    pub fn sign(&self, bytes: &[u8], comment: &str, keys: &[&Keys]) -> Result<Vec<(KeyId, String)>, Problem> {
        let mut signatures = Vec::new();
        for signer in &self.0 {
            let (name, signature) = match signer {
                Signer::Key(key) => {
                    let signed = minisign::sign(None, key, bytes, Some(comment), None);
                    let signed = signed.map_err(|error| Problem::plain(format!("cannot sign: {error}")))?;
                    (key_name(key), signed.into_string())
                }
                Signer::Command(words) => (words.join(" "), by_command(words, bytes)?),
            };
            let wrong = |words: String| Problem::plain(format!("{name}: {words}"));
            let mut by = Vec::new();
            for keys in keys {
                let found = keys.signers(bytes, &signature).map_err(|refused| wrong(refused.to_string()))?;
                by.extend(found);
            }
            match by.first() {
                Some(id) => signatures.push((*id, signature)),
                None => {
                    let known = keys.iter().flat_map(|keys| keys.all()).map(|key| key.id().to_string());
                    let known: Vec<String> = known.collect();
                    return Err(wrong(format!(
                        "it is not a key of the fleet, which has {}; sign with one of them, or change keys",
                        known.join(", ")
                    )));
                }
            }
        }
        Ok(signatures)
    }
}

/// The number of a secret key, as its public half shows it.
fn key_name(key: &SecretKey) -> String {
    let bytes = key.keynum().iter().rev().map(|byte| format!("{byte:02X}"));
    format!("the key {}", bytes.collect::<String>())
}

fn secret_key(path: &Path, password_file: Option<&Path>) -> Result<SecretKey, Problem> {
    let cannot = |message: String| Problem { place: path.display().to_string(), message };
    let bytes = files::read(path, SECRET_LEN_MAX).map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("is not a secret key".to_owned()))?;
    let open = || SecretKeyBox::from_string(&text);
    let failed = |error: minisign::PError| cannot(format!("{error}; `as112d-fleet keygen` makes a key"));
    if let Some(key) = unencrypted(&text) {
        return Ok(key);
    }
    let password = match password_file {
        Some(file) => Some(password(file)?),
        None if std::io::stdin().is_terminal() => None,
        None => {
            let message = "has a password, and there is no terminal to ask for it; give --key-password-file";
            return Err(cannot(message.to_owned()));
        }
    };
    open().and_then(|key| key.into_secret_key(password)).map_err(failed)
}

/// The key of a file without a password. minisign leaves the sum of such a key empty, which the library does
/// not take; whether the key is whole shows when what it signs is checked.
fn unencrypted(text: &str) -> Option<SecretKey> {
    let bytes = STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    let (sum, key) = (bytes.get(bytes.len().checked_sub(SUM_LEN)?..)?, SecretKey::from_bytes(&bytes).ok()?);
    if bytes.get(KDF)? != NO_KDF {
        return None;
    }
    if sum.iter().all(|byte| *byte == 0) {
        return Some(key);
    }
    SecretKeyBox::from_string(text).and_then(SecretKeyBox::into_unencrypted_secret_key).ok()
}

/// The first line of a file.
///
/// # Errors
/// It cannot be read, or others may.
pub fn password(file: &Path) -> Result<String, Problem> {
    let cannot = |message: String| Problem { place: file.display().to_string(), message };
    let bytes = files::read(file, SECRET_LEN_MAX).map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("is not UTF-8".to_owned()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Has a command sign: as `minisign -S -s KEY -m` does.
fn by_command(words: &[String], bytes: &[u8]) -> Result<String, Problem> {
    let name = words.join(" ");
    let cannot = |why: &dyn std::fmt::Display| Problem::plain(format!("{name}: {why}"));
    let folder = tempfile::tempdir().map_err(|error| cannot(&error))?;
    let (file, signature) = (folder.path().join("signed"), folder.path().join("signed.minisig"));
    fs::write(&file, bytes).map_err(|error| cannot(&error))?;
    // It may ask its user for something, so it has the terminal. What it says is not what this command
    // prints.
    let status = Command::new(&words[0]).args(&words[1..]).arg(&file).stdout(Stdio::null()).status();
    let status = status.map_err(|error| cannot(&error))?;
    if !status.success() {
        return Err(cannot(&format!("it ended with {status}")));
    }
    let missing =
        "it wrote no signature; it gets the name of a file, and writes to that name with `.minisig`";
    let bytes = files::read(&signature, RELEASE_SIGNATURES_LEN_MAX as u64).map_err(|_| cannot(&missing))?;
    String::from_utf8(bytes).map_err(|_| cannot(&"its signature is not text"))
}

/// A new key: the texts of its secret and of its public file.
///
/// # Errors
/// There is no randomness, or the password cannot be asked for.
pub fn new_key(password: Option<Option<String>>) -> Result<(String, String), Problem> {
    let failed = |error: minisign::PError| Problem::plain(format!("cannot make a key: {error}"));
    let pair = match password {
        None => minisign::KeyPair::generate_unencrypted_keypair(),
        Some(password) => minisign::KeyPair::generate_encrypted_keypair(password),
    };
    let pair = pair.map_err(failed)?;
    let secret = pair.sk.to_box(Some("as112d-fleet secret key")).map_err(failed)?.into_string();
    let public = PublicKey::to_box(&pair.pk).map_err(failed)?.into_string();
    Ok((secret, public))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key in a folder, and the list of only that key.
    fn key(folder: &Path, name: &str, password: Option<&str>) -> (PathBuf, Keys) {
        let (secret, public) = new_key(password.map(|password| Some(password.to_owned()))).unwrap();
        let path = folder.join(name);
        fs::write(&path, secret).unwrap();
        let public = public.lines().nth(1).unwrap().parse().unwrap();
        (path, Keys::new(1, vec![public]).unwrap())
    }

    #[test]
    fn keys_sign_with_and_without_a_password() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, keys) = key(folder.path(), "plain", None);
        let signers = Signers::open(&[plain], &[], None).unwrap();
        let signed = signers.sign(b"bytes", "release 1", &[&keys]).unwrap();
        assert_eq!(signed[0].0, keys.all()[0].id());
        assert!(keys.verify(b"bytes", &signed[0].1).is_ok());
        assert!(signed[0].1.contains("trusted comment: release 1\n"));

        let (closed, keys) = key(folder.path(), "closed", Some("sesame"));
        let file = folder.path().join("password");
        fs::write(&file, "sesame\n").unwrap();
        let signers = Signers::open(std::slice::from_ref(&closed), &[], Some(&file)).unwrap();
        let signed = signers.sign(b"bytes", "x", &[&keys]).unwrap();
        assert!(keys.verify(b"bytes", &signed[0].1).is_ok());
        fs::write(&file, "wrong\n").unwrap();
        let problem = Signers::open(&[closed], &[], Some(&file)).unwrap_err();
        assert!(problem.message.contains("Wrong password"), "{problem}");
    }

    #[test]
    fn a_key_of_somebody_else_does_not_sign() {
        let folder = tempfile::tempdir().unwrap();
        let (_, keys) = key(folder.path(), "ours", None);
        let (theirs, their_keys) = key(folder.path(), "theirs", None);
        let signers = Signers::open(&[theirs], &[], None).unwrap();
        let problem = signers.sign(b"bytes", "x", &[&keys]).unwrap_err();
        assert!(problem.message.contains("is not a key of the fleet"), "{problem}");
        assert!(problem.message.contains(&their_keys.all()[0].id().to_string()), "{problem}");
        // One of two lists is enough: keys are about to change.
        assert_eq!(signers.sign(b"bytes", "x", &[&keys, &their_keys]).unwrap().len(), 1);
    }

    #[test]
    fn a_command_signs() {
        let folder = tempfile::tempdir().unwrap();
        let (_, keys) = key(folder.path(), "ours", None);
        for (command, words) in [
            ("true", "it wrote no signature"),
            ("false", "it ended with exit status: 1"),
            ("/nowhere/sign -m", "No such file"),
        ] {
            let signers = Signers::open(&[], &[command.to_owned()], None).unwrap();
            let problem = signers.sign(b"bytes", "x", &[&keys]).unwrap_err();
            assert!(problem.message.contains(words), "{problem}");
        }
        assert!(Signers::open(&[], &[" ".to_owned()], None).is_err());
    }
}
