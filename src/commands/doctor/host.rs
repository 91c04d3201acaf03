//! What is looked at: the files of a host, and what its tools print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A host, by the root of its file system: tests put one of their own there. What the tools of
/// such a host print stands in its directory `tools`, in files named as the command line.
pub(super) struct Host {
    root: PathBuf,
}

impl Host {
    /// This one.
    pub(super) fn here() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// The root of its file system.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A file's text, without the white space around it. What is not UTF-8 is replaced.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let bytes = fs::read(self.root.join(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file's number.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Whether there is such a file or directory.
    pub(super) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The names in a directory, in their order.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// The NICs that are in use: interfaces of a device, which are up.
    pub(super) fn cards(&self) -> Vec<String> {
        let is_card = |name: &String| {
            let folder = format!("sys/class/net/{name}");
            self.has(&format!("{folder}/device"))
                && self.text(&format!("{folder}/operstate")).as_deref() == Some("up")
        };
        self.names("sys/class/net").into_iter().filter(is_card).collect()
    }

    /// What a tool prints; `None` where it is not there, or fails.
    pub(super) fn tool(&self, words: &[&str]) -> Option<String> {
        if self.root != Path::new("/") {
            return self.text(&format!("tools/{}", words.join(" ")));
        }
        // Tools of the network are often not on a user's path.
        let path = std::env::var("PATH").unwrap_or_default();
        let (program, arguments) = words.split_first()?;
        let output = Command::new(program)
            .args(arguments)
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A host with these files, and the directory that it is in.
    pub(in super::super) fn host(files: &[(&str, &str)]) -> (TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let host = Host { root: folder.path().to_owned() };
        (folder, host)
    }

    #[test]
    fn files_and_tools_of_a_host_are_read() {
        let (_folder, host) =
            host(&[("proc/n", " 12\n"), ("tools/ethtool -l eth0", "x\n"), ("proc/bytes", "a")]);
        assert_eq!(
            (host.number("proc/n"), host.number("proc/bytes"), host.number("proc/x")),
            (Some(12), None, None)
        );
        assert_eq!(host.tool(&["ethtool", "-l", "eth0"]).as_deref(), Some("x"));
        assert_eq!(host.tool(&["ethtool", "-l", "eth1"]), None);
        assert_eq!(host.names("proc"), ["bytes", "n"]);
        assert_eq!(Host::here().tool(&["no-such-program-here"]), None);
        assert_eq!(Host::here().tool(&["uname", "-s"]).as_deref(), Some("Linux"));
    }
}
