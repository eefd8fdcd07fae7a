//! Image archives, made byte by byte.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use remit::image::archive::{ImageError, ReadImage, open};
use remit::image::{FileInfo, ImageFiles};
use remit::kernel::Arch;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// A layer, entry by entry.
pub struct Layer(Builder<Vec<u8>>);

impl Layer {
    pub fn new() -> Layer {
        Layer(Builder::new(Vec::new()))
    }

    pub fn entry(mut self, name: &str, kind: EntryType, link: &str, content: &[u8]) -> Layer {
        let mut header = header(name, kind, content.len() as u64);
        header.set_link_name_literal(link).expect("a link");
        header.set_cksum();
        self.0.append(&header, content).expect("memory");
        self
    }

    pub fn header(mut self, header: &Header, content: &[u8]) -> Layer {
        self.0.append(header, content).expect("memory");
        self
    }

    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Layer {
        self.entry(name, EntryType::Regular, "", content.as_ref())
    }

    pub fn dir(self, name: &str) -> Layer {
        self.entry(name, EntryType::Directory, "", b"")
    }

    pub fn link(self, name: &str, target: &str) -> Layer {
        self.entry(name, EntryType::Symlink, target, b"")
    }

    pub fn hard(self, name: &str, target: &str) -> Layer {
        self.entry(name, EntryType::Link, target, b"")
    }

    /// An extended header of this kind: records of pax, or the text of a long name.
    pub fn extended(self, kind: EntryType, content: &[u8]) -> Layer {
        let name = if kind == EntryType::XGlobalHeader { "pax_global_header" } else { "PaxHeaders/x" };
        self.header(&header(name, kind, content.len() as u64), content)
    }

    /// A pax header of one record.
    pub fn pax(self, key: &str, value: &str) -> Layer {
        self.extended(EntryType::XHeader, &record(key, value.as_bytes()))
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("memory")
    }
}

/// A record of a pax header, whose length counts its own digits.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A header whose name is written as it is, whatever it is.
pub fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o750 });
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(1_700_000_000);
    header.set_cksum();
    header
}

pub fn sha256(bytes: &[u8]) -> String {
    remit::hex::lower(&Sha256::digest(bytes))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::fast());
    to.write_all(bytes).expect("memory");
    to.finish().expect("memory")
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// The members of an archive, in order.
#[derive(Clone, Default)]
pub struct Members(pub Vec<(String, Vec<u8>)>);

impl Members {
    pub fn put(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> &mut Members {
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), bytes.as_ref().to_vec()));
        self
    }

    pub fn get(&mut self, name: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    /// Adds a blob; returns its descriptor.
    pub fn blob(&mut self, bytes: &[u8], kind: &str) -> Value {
        let digest = sha256(bytes);
        self.put(&format!("blobs/sha256/{digest}"), bytes);
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    pub fn tar(&self) -> Vec<u8> {
        let mut tar = Layer::new();
        for (name, bytes) in &self.0 {
            tar = tar.entry(name, EntryType::Regular, "", bytes);
        }
        tar.bytes()
    }
}

/// The config of an image of these layers, uncompressed.
pub fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Entrypoint": ["/bin/app"], "Cmd": ["serve"], "User": "app", "Env": ["PATH=/bin"],
                    "Labels": { "a": "b" } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string()
    .into_bytes()
}

/// As `docker save` wrote it until version 25: layers beside their metadata, the manifest last.
pub fn docker(names: &[&str], layers: &[Vec<u8>]) -> Members {
    let mut members = Members::default();
    let mut paths = Vec::new();
    // The topmost first: their order in the archive is none.
    for layer in layers.iter().rev() {
        let folder = sha256(&[b"id".to_vec(), layer.clone()].concat());
        members.put(&format!("{folder}/VERSION"), "1.0").put(&format!("{folder}/layer.tar"), layer);
        paths.insert(0, format!("{folder}/layer.tar"));
    }
    let config = config(layers);
    let file = format!("{}.json", sha256(&config));
    members.put(&file, config);
    let manifest = json!([{ "Config": file, "RepoTags": names, "Layers": paths }]);
    members.put("manifest.json", manifest.to_string());
    members.put("repositories", "{}");
    members
}

/// An OCI image layout; `pack` compresses each layer.
pub fn oci(name: &str, layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> Members {
    let mut members = Members::default();
    members.put("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let descriptor = image_blobs(&mut members, layers, pack);
    let mut descriptor = descriptor;
    if !name.is_empty() {
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    }
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    members.put("index.json", index.to_string());
    members
}

/// Adds the blobs of an image; returns the descriptor of its manifest.
pub fn image_blobs(members: &mut Members, layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> Value {
    let blobs: Vec<Value> = layers
        .iter()
        .rev()
        .map(|layer| members.blob(&pack(layer), "application/vnd.oci.image.layer.v1.tar"))
        .collect();
    let blobs: Vec<Value> = blobs.into_iter().rev().collect();
    let config = members.blob(&config(layers), "application/vnd.oci.image.config.v1+json");
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": blobs });
    members.blob(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json")
}

/// As `docker save` has written it since version 25: an OCI image layout with a manifest.json.
pub fn docker25(names: &[&str], layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> Members {
    let mut members = oci(names.first().unwrap_or(&""), layers, pack);
    let manifest = json!([{
        "Config": format!("blobs/sha256/{}", sha256(&config(layers))),
        "RepoTags": names,
        "Layers": layers.iter().map(|layer| format!("blobs/sha256/{}", sha256(&pack(layer)))).collect::<Vec<_>>(),
    }]);
    members.put("manifest.json", manifest.to_string());
    members
}

/// An archive in a directory of its own.
pub struct Saved(pub tempfile::TempDir);

impl Saved {
    pub fn new(bytes: impl AsRef<[u8]>) -> Saved {
        let place = tempfile::tempdir().expect("a directory");
        fs::write(place.path().join("image.tar"), bytes).expect("written");
        Saved(place)
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("image.tar")
    }

    pub fn read(&self) -> Result<ReadImage, ImageError> {
        self.named("")
    }

    /// Reads the image of this name; or the only one.
    pub fn named(&self, name: &str) -> Result<ReadImage, ImageError> {
        let mut image = self.path().into_os_string();
        if !name.is_empty() {
            image.push(format!("#{name}"));
        }
        open(&image, Arch::X86_64, &mut |_, _| {})
    }

    /// The error, without the directory that the archive is in.
    pub fn refused(&self, name: &str) -> String {
        let error = self.named(name).expect_err("it is refused").to_string();
        assert!(!error.contains('\n'), "one line: {error}");
        let alone: Vec<_> = fs::read_dir(self.0.path()).expect("listed").collect();
        assert_eq!(alone.len(), 1, "nothing is written");
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

thread_local! {
    /// The archives of images that a test reads: their removal would be a change.
    static ARCHIVES: RefCell<Vec<Saved>> = const { RefCell::new(Vec::new()) };
}

/// An image of these layers that was read from an archive.
pub fn read(layers: &[Vec<u8>]) -> ReadImage {
    let saved = Saved::new(docker(&["app:1"], layers).tar());
    let image = saved.read().unwrap_or_else(|error| panic!("{error}"));
    ARCHIVES.with_borrow_mut(|archives| archives.push(saved));
    image
}

/// The error of an image with this layer.
pub fn refused(layer: Vec<u8>) -> String {
    refused_over(&[layer])
}

/// The error of an image with these layers, which is in the last.
pub fn refused_over(layers: &[Vec<u8>]) -> String {
    let error = Saved::new(docker(&["app:1"], layers).tar()).refused("");
    let (place, what) = error.split_once("layer.tar): ").unwrap_or_else(|| panic!("of the layer: {error}"));
    assert!(place.starts_with(&format!("image.tar: layer {} (", layers.len())), "{error}");
    what.to_owned()
}

pub fn stat(image: &impl ImageFiles, path: &str) -> Option<FileInfo> {
    image.stat(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names in a directory.
pub fn names(image: &impl ImageFiles, path: &str) -> Vec<String> {
    let names = image.list(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    names.into_iter().map(|(name, _)| name.into_string().expect("UTF-8")).collect()
}

/// The digest of one file.
pub fn digest(image: &ReadImage, path: &str) -> Option<String> {
    let path = Path::new(path);
    image.digests(&[path]).expect("readable").remove(path)
}

pub fn at(path: &Path) -> Result<ReadImage, ImageError> {
    open(OsStr::new(path), Arch::X86_64, &mut |_, _| {})
}
