//! The documents of an OCI image layout: indexes, manifests and what they name (OCI image-spec,
//! descriptor.md).

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;

use super::error::ImageError;
use super::json::Shape;
use crate::kernel::Arch;

/// The fields that are read.
pub(super) const INDEX: Shape = Shape::Struct(&[("manifests", DESCRIPTORS)]);
pub(super) const MANIFEST: Shape =
    Shape::Struct(&[("manifests", DESCRIPTORS), ("config", DESCRIPTOR), ("layers", DESCRIPTORS)]);
const DESCRIPTORS: Shape = Shape::List(&DESCRIPTOR);
const DESCRIPTOR: Shape = Shape::Struct(&[
    ("digest", Shape::Any),
    ("platform", Shape::Struct(&[("architecture", Shape::Any), ("os", Shape::Any)])),
    ("annotations", Shape::Any),
]);

#[derive(Deserialize)]
pub(super) struct OciIndex {
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

/// A manifest, or an index in its place.
#[derive(Deserialize)]
pub(super) struct OciManifest {
    pub manifests: Option<Vec<Descriptor>>,
    pub config: Option<Descriptor>,
    pub layers: Option<Vec<Descriptor>>,
}

impl OciManifest {
    /// How many descriptors it has.
    pub(super) fn count(&self) -> usize {
        [&self.manifests, &self.layers].into_iter().flatten().map(Vec::len).sum()
    }
}

/// A content descriptor.
#[derive(Deserialize)]
pub(super) struct Descriptor {
    pub digest: String,
    pub platform: Option<Platform>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

impl Platform {
    /// The operating system and architecture as containerd takes them (platforms.Normalize):
    /// `linux/amd64`. Variants are left out: of several, versions of it choose different ones.
    pub(super) fn name(&self) -> String {
        let (os, architecture) = (self.os.to_lowercase(), self.architecture.to_lowercase());
        let os = if os.is_empty() { "linux" } else { &os };
        let architecture = match &*architecture {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        format!("{os}/{architecture}")
    }
}

/// The platform of images for this architecture.
pub(super) fn platform_of(arch: Arch) -> String {
    format!("linux/{}", go_name(arch))
}

/// The architecture as images name it (GOARCH).
pub(super) fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}

impl Descriptor {
    /// BuildKit writes how an image was built beside it, as an image for no platform. The annotation that
    /// it adds makes none: runtimes do not look at it.
    pub(super) fn is_attestation(&self) -> bool {
        self.platform.as_ref().is_some_and(|platform| platform.name() == "unknown/unknown")
    }

    /// The name by which containerd knows the image.
    pub(super) fn name(&self) -> Option<&str> {
        self.annotation("io.containerd.image.name")
            .filter(|name| !name.is_empty())
            .or_else(|| self.annotation("org.opencontainers.image.ref.name"))
    }

    /// All names.
    pub(super) fn names(&self) -> Vec<Rc<str>> {
        let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        keys.iter().filter_map(|key| self.annotation(key)).map(Rc::from).collect()
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    pub(super) fn hex(&self, place: &str) -> Result<String, ImageError> {
        Ok(sha256(&self.digest).ok_or_else(|| bad_digest(place, &self.digest))?.to_owned())
    }

    /// The member that has the content.
    pub(super) fn blob(&self, place: &str) -> Result<String, ImageError> {
        Ok(format!("blobs/sha256/{}", self.hex(place)?))
    }
}

/// The hexadecimal digits of a SHA-256.
pub(super) fn sha256(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|hex| is_hex(hex))
}

pub(super) fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn bad_digest(place: &str, digest: &str) -> ImageError {
    ImageError::Malformed {
        place: place.to_owned(),
        what: format!("has the digest `{digest}`, expected sha256: and 64 hexadecimal digits"),
    }
}
