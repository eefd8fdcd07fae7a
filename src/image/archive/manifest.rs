//! Which image of an archive is meant, and of which members it is made: by manifest.json of `docker
//! save`, or by index.json of an OCI image layout (OCI image-spec, image-layout.md).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::config::{self, ImageConfig};
use super::error::ImageError;
use super::members::{ArchiveFile, Member, MemberReader, Members};
use crate::hex;
use crate::kernel::Arch;

const DOCKER: &str = "manifest.json";
const OCI: &str = "index.json";
/// How deep an index may lie in another.
const DEEPEST: usize = 4;
/// The most layers of an image; overlay file systems have 128 at most.
const MOST_LAYERS: usize = 1000;

/// An image of the archive, by its parts.
#[derive(Debug)]
pub(super) struct ImageParts {
    /// The name by which it was chosen, or its first one.
    pub name: String,
    /// `sha256:` and the digest of its config.
    pub id: String,
    pub config: ImageConfig,
    /// The lowest first.
    pub layers: Vec<LayerPart>,
}

/// A layer as the manifest and the config name it.
#[derive(Clone, Debug)]
pub(super) struct LayerPart {
    /// For messages: the archive, the number of the layer and its member.
    pub place: String,
    pub member: Member,
    /// The digest of the member, where its name or descriptor has it.
    pub blob: Option<String>,
    /// The digest of the layer, uncompressed.
    pub diff_id: String,
}

/// An image that can be chosen.
struct Candidate {
    names: Vec<String>,
    /// The config: its member's name, and its digest where that is known.
    config: (String, Option<String>),
    layers: Vec<(String, Option<String>)>,
}

/// What is needed to look into an archive.
pub(super) struct Chooser<'a, 'r> {
    pub archive: &'a ArchiveFile,
    pub members: &'a Members,
    pub reader: &'a mut MemberReader<'r>,
    pub arch: Arch,
}

impl Chooser<'_, '_> {
    /// Chooses the image of this name, or the only one.
    ///
    /// # Errors
    /// There is none, or more than one; or a part of it is missing or malformed.
    pub(super) fn choose(&mut self, wanted: Option<&str>) -> Result<ImageParts, ImageError> {
        let path = self.archive.path();
        let candidates = if self.members.has(DOCKER) {
            self.docker()?
        } else if self.members.has(OCI) {
            self.oci()?
        } else {
            let found = "has neither a manifest.json nor an index.json";
            return Err(ImageError::NotAnImage { path: path.into(), found });
        };
        if candidates.is_empty() {
            return Err(ImageError::NotAnImage { path: path.into(), found: "has no image in it" });
        }
        let names: Vec<String> = candidates.iter().map(Candidate::name).collect();
        let mut chosen =
            candidates.into_iter().filter(|image| wanted.is_none_or(|name| image.has_name(name)));
        let (first, more) = (chosen.next(), chosen.next());
        let several = || ImageError::Several { path: path.into(), names: names.clone() };
        let image = match (first, more, wanted) {
            (Some(image), None, _) => image,
            (Some(_), Some(_), _) => return Err(several()),
            (None, _, name) => {
                let name = name.unwrap_or_default().to_owned();
                return Err(ImageError::NoSuchImage { path: path.into(), name, names });
            }
        };
        let name = wanted.map_or_else(|| image.name(), str::to_owned);
        let parts = self.parts(name, &image)?;
        if self.members.has(DOCKER) && self.members.has(OCI) {
            self.same_in_oci(&parts)?;
        }
        Ok(parts)
    }

    /// The images of manifest.json.
    fn docker(&mut self) -> Result<Vec<Candidate>, ImageError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Image {
            config: String,
            repo_tags: Option<Vec<String>>,
            layers: Option<Vec<String>>,
        }
        let (place, bytes) = self.document(DOCKER, None)?;
        let images: Vec<Image> = parse(&place, &bytes)?;
        let candidate = |image: Image| Candidate {
            names: image.repo_tags.unwrap_or_default(),
            config: (image.config.clone(), digest_in(&image.config)),
            layers: image
                .layers
                .unwrap_or_default()
                .into_iter()
                .map(|name| {
                    let digest = name.starts_with("blobs/").then(|| digest_in(&name)).flatten();
                    (name, digest)
                })
                .collect(),
        };
        Ok(images.into_iter().map(candidate).collect())
    }

    /// The images of index.json, for this architecture.
    fn oci(&mut self) -> Result<Vec<Candidate>, ImageError> {
        let (place, bytes) = self.document(OCI, None)?;
        let index: Index = parse(&place, &bytes)?;
        let mut candidates = Vec::new();
        let mut platforms = Vec::new();
        // An image that is there for several architectures is one image.
        for descriptor in index.manifests {
            self.expand(&place, descriptor, &[], &mut candidates, &mut platforms, 0)?;
        }
        if candidates.is_empty() && !platforms.is_empty() {
            return Err(ImageError::NoPlatform { place, wanted: go_name(self.arch), platforms });
        }
        Ok(candidates)
    }

    fn expand(
        &mut self,
        place: &str,
        descriptor: Descriptor,
        above: &[String],
        candidates: &mut Vec<Candidate>,
        platforms: &mut Vec<String>,
        depth: usize,
    ) -> Result<(), ImageError> {
        if descriptor.is_attestation() {
            return Ok(());
        }
        if let Some(platform) = &descriptor.platform
            && (platform.os != "linux" || platform.architecture != go_name(self.arch))
        {
            platforms.push(format!("{}/{}", platform.os, platform.architecture));
            return Ok(());
        }
        let mut names = descriptor.names();
        names.extend(above.iter().cloned());
        let blob = descriptor.blob(place)?;
        if depth > 0 && !self.members.has(&blob) {
            // An index may name platforms that were not saved with it.
            return Ok(());
        }
        let (place, bytes) = self.document_of(place, &blob, Some(&descriptor.digest))?;
        let manifest: Manifest = parse(&place, &bytes)?;
        match (manifest.manifests, manifest.config) {
            (Some(inner), None) if depth < DEEPEST => inner
                .into_iter()
                .try_for_each(|inner| self.expand(&place, inner, &names, candidates, platforms, depth + 1)),
            (Some(_), None) => {
                Err(ImageError::TooLarge { place, what: "an index in an index in an index".to_owned() })
            }
            (None, Some(config)) => {
                let layers = manifest.layers.unwrap_or_default();
                let layers = layers.iter().map(|layer| Ok((layer.blob(&place)?, Some(layer.hex(&place)?))));
                let config = (config.blob(&place)?, Some(config.hex(&place)?));
                let layers = layers.collect::<Result<_, ImageError>>()?;
                // One image may have several names, a descriptor each.
                match candidates.iter_mut().find(|other| other.config == config && other.layers == layers) {
                    Some(same) => same.names.extend(names),
                    None => candidates.push(Candidate { names, config, layers }),
                }
                Ok(())
            }
            _ => Err(ImageError::Malformed { place, what: "is neither a manifest nor an index".to_owned() }),
        }
    }

    /// Reads the config of an image, and finds its layers.
    fn parts(&mut self, name: String, image: &Candidate) -> Result<ImageParts, ImageError> {
        let above = format!("{}: {name}", self.archive.name());
        let (member, digest) = &image.config;
        let expected = digest.as_ref().map(|digest| format!("sha256:{digest}"));
        let (place, bytes) = self.document_of(&above, member, expected.as_deref())?;
        let parsed = config::parse(&bytes).map_err(|error| bad(&place, &error))?;
        if image.layers.len() > MOST_LAYERS {
            return Err(ImageError::TooLarge { place, what: format!("more than {MOST_LAYERS} layers") });
        }
        if parsed.diff_ids.len() != image.layers.len() {
            let what = format!(
                "has {} diff_ids, and the manifest {} layers; save the image again",
                parsed.diff_ids.len(),
                image.layers.len()
            );
            return Err(ImageError::Malformed { place, what });
        }
        let mut layers = Vec::new();
        for (number, ((member, blob), diff_id)) in image.layers.iter().zip(&parsed.diff_ids).enumerate() {
            let place = format!("{}: layer {} ({member})", self.archive.name(), number + 1);
            let diff_id = sha256(diff_id).ok_or_else(|| bad_digest(&place, diff_id))?.to_owned();
            let member = self.members.find(&above, member)?;
            layers.push(LayerPart { place, member, blob: blob.clone(), diff_id });
        }
        let id = format!("sha256:{}", hex::lower(&Sha256::digest(&bytes)));
        Ok(ImageParts { name, id, config: parsed.config, layers })
    }

    /// Requires that index.json has the image that manifest.json has: runtimes differ in the one
    /// that they read.
    fn same_in_oci(&mut self, image: &ImageParts) -> Result<(), ImageError> {
        let candidates = self.oci()?;
        let has = |candidate: &Candidate| {
            candidate.config.1.as_deref() == image.id.strip_prefix("sha256:")
                && candidate.layers.len() == image.layers.len()
        };
        if candidates.iter().any(has) {
            return Ok(());
        }
        Err(ImageError::Malformed {
            place: self.archive.name(),
            what: format!(
                "manifest.json has image {}, and index.json has not; save the image again",
                image.name
            ),
        })
    }

    fn document(&mut self, name: &str, digest: Option<&str>) -> Result<(String, Vec<u8>), ImageError> {
        self.document_of(&self.archive.name(), name, digest)
    }

    /// A JSON document of the archive, which `above` names; with its own place.
    fn document_of(
        &mut self,
        above: &str,
        name: &str,
        digest: Option<&str>,
    ) -> Result<(String, Vec<u8>), ImageError> {
        let place = format!("{}: {name}", self.archive.name());
        let member = self.members.find(above, name)?;
        let bytes = self.members.document(&place, member, self.reader)?;
        if let Some(digest) = digest {
            let expected = sha256(digest).ok_or_else(|| bad_digest(&place, digest))?;
            let found = hex::lower(&Sha256::digest(&bytes));
            if found != expected {
                return Err(ImageError::Digest { place, expected: expected.to_owned(), found });
            }
        }
        Ok((place, bytes))
    }
}

impl Candidate {
    /// Its first name, or its digest.
    fn name(&self) -> String {
        match (self.names.first(), &self.config) {
            (Some(name), _) => name.clone(),
            (None, (_, Some(digest))) => format!("sha256:{digest}"),
            (None, (member, None)) => member.clone(),
        }
    }

    fn has_name(&self, wanted: &str) -> bool {
        let digest = self.config.1.as_deref().unwrap_or_default();
        let by_digest = wanted
            .strip_prefix("sha256:")
            .is_some_and(|start| start.len() >= 12 && digest.starts_with(start));
        by_digest || self.name() == wanted || self.names.iter().any(|name| familiar(name) == familiar(wanted))
    }
}

/// A name as Docker shows it: without its own registry, and with a tag.
fn familiar(name: &str) -> String {
    let name =
        name.strip_prefix("docker.io/").map_or(name, |rest| rest.strip_prefix("library/").unwrap_or(rest));
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if has_tag { name.to_owned() } else { format!("{name}:latest") }
}

/// The architecture as images name it (GOARCH).
fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    }
}

/// The digest in the name of a member: `blobs/sha256/HEX`, `HEX.json`.
fn digest_in(name: &str) -> Option<String> {
    let last = name.rsplit('/').next()?;
    let last = last.strip_suffix(".json").unwrap_or(last);
    is_hex(last).then(|| last.to_owned())
}

/// The hexadecimal digits of a SHA-256.
fn sha256(digest: &str) -> Option<&str> {
    digest.strip_prefix("sha256:").filter(|hex| is_hex(hex))
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn bad_digest(place: &str, digest: &str) -> ImageError {
    ImageError::Malformed {
        place: place.to_owned(),
        what: format!("has the digest `{digest}`, expected sha256: and 64 hexadecimal digits"),
    }
}

fn bad(place: &str, error: &serde_json::Error) -> ImageError {
    ImageError::Malformed { place: place.to_owned(), what: format!("cannot be read: {error}") }
}

fn parse<T: DeserializeOwned>(place: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| bad(place, &error))
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// A manifest, or an index in its place.
#[derive(Deserialize)]
struct Manifest {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// A content descriptor (OCI image-spec, descriptor.md).
#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

impl Descriptor {
    /// BuildKit writes how an image was built beside it, as an image for no platform.
    fn is_attestation(&self) -> bool {
        let annotated = |annotations: &BTreeMap<_, _>| annotations.contains_key("vnd.docker.reference.type");
        self.annotations.as_ref().is_some_and(annotated)
            || self.platform.as_ref().is_some_and(|platform| platform.architecture == "unknown")
    }

    fn names(&self) -> Vec<String> {
        let keys = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        let annotations = self.annotations.iter();
        annotations.flat_map(|all| keys.iter().filter_map(|key| all.get(*key).cloned())).collect()
    }

    fn hex(&self, place: &str) -> Result<String, ImageError> {
        Ok(sha256(&self.digest).ok_or_else(|| bad_digest(place, &self.digest))?.to_owned())
    }

    /// The member that has the content.
    fn blob(&self, place: &str) -> Result<String, ImageError> {
        Ok(format!("blobs/sha256/{}", self.hex(place)?))
    }
}
