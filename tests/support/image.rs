//! Images: a root made of files of this machine, as a tar that Docker imports
//! and that the bare container unpacks.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{folder, unique};

/// What an image will hold, by path.
pub struct Rootfs {
    entries: BTreeMap<PathBuf, Entry>,
    writable: Vec<String>,
    user: Option<&'static str>,
}

struct Entry {
    what: What,
    mode: u32,
    owner: u32,
}

enum What {
    Folder,
    Link(PathBuf),
    Content(Vec<u8>),
}

/// An image that can be run in every place.
pub struct Image {
    /// The root, as a tar.
    pub tar: PathBuf,
    /// Folders that a read-only root has to have in memory.
    pub writable: Vec<String>,
    user: Option<&'static str>,
    name: String,
    imported: OnceLock<()>,
}

impl Rootfs {
    /// Folders that every container has, and the two users of the tests:
    /// www-data (33), as in Debian, and 101, the user of a restricted one.
    pub fn new() -> Rootfs {
        let mut root = Rootfs::empty();
        for name in ["/dev", "/proc", "/sys", "/etc", "/run", "/usr", "/var", "/var/lib", "/var/log"] {
            root.folder(name, 0o755, 0);
        }
        root.folder("/tmp", 0o1777, 0);
        root.file("/etc/passwd", "root:x:0:0:root:/:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\n", 0o644);
        root.file("/etc/group", "root:x:0:\nwww-data:x:33:\n", 0o644);
        root.file("/etc/shadow", "root:*:20000:0:99999:7:::\n", 0o640);
        root.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", 0o644);
        root
    }

    /// Nothing at all: `FROM scratch`.
    pub fn empty() -> Rootfs {
        Rootfs { entries: BTreeMap::new(), writable: Vec::new(), user: None }
    }

    /// A file.
    pub fn file(&mut self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> &mut Self {
        self.insert(path.as_ref(), What::Content(content.as_ref().to_vec()), mode, 0)
    }

    /// A folder and its owner.
    pub fn folder(&mut self, path: &str, mode: u32, owner: u32) -> &mut Self {
        self.insert(path.as_ref(), What::Folder, mode, owner)
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.insert(path.as_ref(), What::Link(target.into()), 0o777, 0)
    }

    /// A folder that has to be in memory where the root is read-only.
    pub fn writable(&mut self, path: &str) -> &mut Self {
        self.writable.push(path.to_owned());
        self
    }

    /// The user that Docker starts its containers as.
    pub fn user(&mut self, user: &'static str) -> &mut Self {
        self.user = Some(user);
        self
    }

    /// A file of this machine, links followed, with its mode.
    pub fn copy(&mut self, from: impl AsRef<Path>, to: &str) -> &mut Self {
        let from = from.as_ref();
        let content = std::fs::read(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let mode = from.metadata().expect("a file that was read").permissions().mode() & 0o7777;
        self.insert(to.as_ref(), What::Content(content), mode, 0)
    }

    /// A program of this machine with the loader and the libraries that it names.
    pub fn program(&mut self, program: &str) -> &mut Self {
        self.copy(program, program);
        let output = Command::new("ldd").arg(program).output().expect("ldd runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // `libz.so.1 => /lib/…/libz.so.1 (0x…)` and `/lib64/ld-….so.2 (0x…)`;
        // of a static program ldd names nothing.
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(library, library);
        }
        self
    }

    fn insert(&mut self, path: &Path, what: What, mode: u32, owner: u32) -> &mut Self {
        self.entries.insert(path.to_owned(), Entry { what, mode, owner });
        self
    }

    /// Writes the tar.
    pub fn build(&self, what: &str) -> Image {
        let name = unique(what);
        let tar = folder().join(format!("{name}.tar"));
        let mut archive = tar::Builder::new(std::fs::File::create(&tar).expect("a temporary file"));
        let mut written = std::collections::BTreeSet::new();
        for (path, entry) in &self.entries {
            let missing: Vec<&Path> =
                path.ancestors().skip(1).filter(|path| *path != Path::new("/")).collect();
            for parent in missing.into_iter().rev() {
                if !self.entries.contains_key(parent) && written.insert(parent.to_owned()) {
                    append(&mut archive, parent, &Entry { what: What::Folder, mode: 0o755, owner: 0 });
                }
            }
            append(&mut archive, path, entry);
        }
        archive.into_inner().and_then(|mut file| file.flush()).expect("the tar is written");
        Image { tar, writable: self.writable.clone(), user: self.user, name, imported: OnceLock::new() }
    }
}

fn append(archive: &mut tar::Builder<std::fs::File>, path: &Path, entry: &Entry) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.into());
    header.set_gid(entry.owner.into());
    header.set_mtime(1_700_000_000);
    let path = path.strip_prefix("/").expect("paths in images are absolute");
    let written = match &entry.what {
        What::Folder => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            archive.append_data(&mut header, path, std::io::empty())
        }
        What::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, path, target)
        }
        What::Content(content) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_slice())
        }
    };
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

impl Image {
    /// What `docker build` makes of a folder with a Dockerfile.
    pub fn built(what: &str, context: &Path) -> Image {
        let name = unique(what);
        let output = Command::new("docker").args(["build", "--quiet", "--tag", &name]).arg(context).output();
        let output = output.expect("docker runs");
        assert!(output.status.success(), "docker build: {}", String::from_utf8_lossy(&output.stderr));
        Image { tar: PathBuf::new(), writable: Vec::new(), user: None, name, imported: OnceLock::from(()) }
    }

    /// Docker's name of it. The first call imports it, with the shim as its ENTRYPOINT.
    pub fn docker(&self) -> &str {
        self.imported.get_or_init(|| {
            let tar = std::fs::File::open(&self.tar).expect("the tar is there");
            let output = Command::new("docker")
                .args(["import", "--change", "ENTRYPOINT [\"/remit-init\"]"])
                .args(self.user.iter().flat_map(|user| ["--change".to_owned(), format!("USER {user}")]))
                .args(["-", &self.name])
                .stdin(Stdio::from(tar))
                .output()
                .expect("docker runs");
            assert!(output.status.success(), "docker import: {}", String::from_utf8_lossy(&output.stderr));
        });
        &self.name
    }
}
