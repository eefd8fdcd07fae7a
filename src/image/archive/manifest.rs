//! Which image of an archive is meant, and of which members it is made: by manifest.json of `docker
//! save`, or by index.json of an OCI image layout (OCI image-spec, image-layout.md).

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::config::{self, ImageConfig};
use super::descriptor::{
    Descriptor, INDEX, MANIFEST, OciIndex, OciManifest, bad_digest, go_name, is_hex, platform_of, sha256,
};
use super::error::ImageError;
use super::json::{self, Shape};
use super::members::{ArchiveFile, MemberRange, MemberReader, Members};
use crate::hex;
use crate::kernel::Arch;

const DOCKER: &str = "manifest.json";
const OCI: &str = "index.json";
/// How deep an index may lie in another.
const DEEPEST: usize = 4;
/// The most layers of an image; overlay file systems have 128 at most.
const MOST_LAYERS: usize = 1000;
/// The most descriptors that are followed and documents that are read of an archive, and bytes of these.
const MOST_DESCRIPTORS: usize = 10_000;
const MOST_DOCUMENTS: usize = 1000;
const MOST_BYTES: usize = 64 << 20;
/// The fields that are read of manifest.json.
const SAVED: Shape =
    Shape::List(&Shape::Struct(&[("Config", Shape::Any), ("RepoTags", Shape::Any), ("Layers", Shape::Any)]));

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
    pub member: MemberRange,
    /// The digest of the member, where its name or descriptor has it.
    pub blob: Option<String>,
    /// The digest of the layer, uncompressed.
    pub diff_id: String,
}

/// An image that can be chosen.
struct Candidate {
    names: Vec<Rc<str>>,
    /// The digests of the descriptors of index.json that lead to it.
    tops: BTreeSet<Rc<str>>,
    /// The config: its member's name, and its digest where that is known.
    config: (String, Option<String>),
    layers: Vec<(String, Option<String>)>,
}

/// The images of index.json.
#[derive(Default)]
struct OciImages {
    candidates: Vec<Candidate>,
    /// What there is for other platforms.
    platforms: Vec<String>,
    /// The digest that each name has, as Docker shows it: that of a descriptor of index.json.
    names: BTreeMap<String, Rc<str>>,
}

/// The way to a descriptor.
#[derive(Clone)]
struct Above {
    place: String,
    names: Vec<Rc<str>>,
    /// The digest of the descriptor of index.json.
    top: Rc<str>,
    depth: usize,
}

/// The manifests and indexes that were read, and how many descriptors were followed.
#[derive(Default)]
pub(super) struct KnownDocuments {
    by_blob: BTreeMap<String, Rc<OciManifest>>,
    descriptors: usize,
    bytes: usize,
}

/// What is needed to look into an archive.
pub(super) struct Chooser<'a, 'r> {
    pub archive: &'a ArchiveFile,
    pub members: &'a Members,
    pub reader: &'a mut MemberReader<'r>,
    pub arch: Arch,
    pub known: KnownDocuments,
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
            self.oci()?.candidates
        } else {
            let found = "has neither a manifest.json nor an index.json";
            return Err(ImageError::NotAnImage { path: path.into(), found });
        };
        if candidates.is_empty() {
            return Err(ImageError::NotAnImage { path: path.into(), found: "has no image in it" });
        }
        let names: Vec<String> = candidates.iter().map(Candidate::name).collect();
        let mut chosen = candidates.iter().filter(|image| wanted.is_none_or(|name| image.has_name(name)));
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
        let parts = self.parts(name, image)?;
        if self.members.has(DOCKER) && self.members.has(OCI) {
            self.same_in_oci(&parts, image, &candidates)?;
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
        let images: Vec<Image> = json::parse(&place, &bytes, SAVED)?;
        if images.len() > MOST_DESCRIPTORS {
            return Err(ImageError::TooLarge { place, what: format!("more than {MOST_DESCRIPTORS} images") });
        }
        let candidate = |image: Image| Candidate {
            names: image.repo_tags.unwrap_or_default().into_iter().map(Rc::from).collect(),
            tops: BTreeSet::new(),
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
        let candidates: Vec<Candidate> = images.into_iter().map(candidate).collect();
        let mut named = BTreeMap::new();
        for image in &candidates {
            for name in &image.names {
                if named.insert(familiar(name), &image.config).is_some_and(|other| *other != image.config) {
                    return Err(two_images(place, name));
                }
            }
        }
        Ok(candidates)
    }

    /// The images of index.json, for this architecture.
    fn oci(&mut self) -> Result<OciImages, ImageError> {
        let (place, bytes) = self.document(OCI, None)?;
        let index: OciIndex = json::parse(&place, &bytes, INDEX)?;
        drop(bytes);
        let mut images = OciImages::default();
        for descriptor in &index.manifests {
            let top: Rc<str> = descriptor.digest.as_str().into();
            // containerd makes an image of each, whatever its platform, and the last of a name counts.
            if let Some(name) = descriptor.name()
                && let Some(other) = images.names.insert(familiar(name), Rc::clone(&top))
                && other != top
            {
                return Err(two_images(place, name));
            }
            let above = Above { place: place.clone(), names: Vec::new(), top, depth: 0 };
            self.expand(descriptor, &above, &mut images)?;
        }
        if images.candidates.is_empty() && !images.platforms.is_empty() {
            let platforms = images.platforms;
            return Err(ImageError::NoPlatform { place, wanted: go_name(self.arch), platforms });
        }
        // An image that is there for several architectures is one image, and has one for each.
        let mut tops = BTreeSet::new();
        if images.candidates.iter().flat_map(|image| &image.tops).all(|top| tops.insert(top)) {
            return Ok(images);
        }
        let what = format!(
            "has several images for {} in the place of one, of which runtimes take different ones; save it for one platform",
            platform_of(self.arch)
        );
        Err(ImageError::Malformed { place, what })
    }

    fn expand(
        &mut self,
        descriptor: &Descriptor,
        above: &Above,
        images: &mut OciImages,
    ) -> Result<(), ImageError> {
        let place = &above.place;
        self.known.descriptors += 1;
        if self.known.descriptors > MOST_DESCRIPTORS {
            let what = format!("more than {MOST_DESCRIPTORS} descriptors in its indexes");
            return Err(ImageError::TooLarge { place: place.clone(), what });
        }
        if descriptor.is_attestation() {
            return Ok(());
        }
        if let Some(platform) = &descriptor.platform
            && platform.name() != platform_of(self.arch)
        {
            images.platforms.push(platform.name());
            return Ok(());
        }
        let blob = descriptor.blob(place)?;
        if above.depth > 0 && !self.members.has(&blob) {
            // An index may name platforms that were not saved with it.
            return Ok(());
        }
        let (place, manifest) = self.manifest(place, &blob, &descriptor.digest)?;
        let mut names = descriptor.names();
        names.extend(above.names.iter().cloned());
        match (&manifest.manifests, &manifest.config) {
            (Some(inner), None) if above.depth < DEEPEST => {
                let above = Above { place, names, top: Rc::clone(&above.top), depth: above.depth + 1 };
                inner.iter().try_for_each(|inner| self.expand(inner, &above, images))
            }
            (Some(_), None) => {
                Err(ImageError::TooLarge { place, what: "an index in an index in an index".to_owned() })
            }
            (None, Some(config)) => {
                let layers = manifest.layers.iter().flatten();
                let layers = layers.map(|layer| Ok((layer.blob(&place)?, Some(layer.hex(&place)?))));
                let config = (config.blob(&place)?, Some(config.hex(&place)?));
                let layers = layers.collect::<Result<_, ImageError>>()?;
                let tops = BTreeSet::from([Rc::clone(&above.top)]);
                let all = &mut images.candidates;
                // One image may have several names, a descriptor each.
                match all.iter_mut().find(|other| other.config == config && other.layers == layers) {
                    Some(same) => {
                        same.names.extend(names);
                        same.tops.extend(tops);
                    }
                    None => all.push(Candidate { names, tops, config, layers }),
                }
                Ok(())
            }
            _ => Err(ImageError::Malformed { place, what: "is neither a manifest nor an index".to_owned() }),
        }
    }

    /// A manifest or an index, which is read once; with its place.
    fn manifest(
        &mut self,
        above: &str,
        blob: &str,
        digest: &str,
    ) -> Result<(String, Rc<OciManifest>), ImageError> {
        if let Some(known) = self.known.by_blob.get(blob) {
            return Ok((format!("{}: {blob}", self.archive.name()), Rc::clone(known)));
        }
        let (place, bytes) = self.document_of(above, blob, Some(digest))?;
        self.known.bytes += bytes.len();
        let what = if self.known.by_blob.len() == MOST_DOCUMENTS {
            format!("more than {MOST_DOCUMENTS} manifests and indexes")
        } else if self.known.bytes > MOST_BYTES {
            format!("more than {MOST_BYTES} bytes of manifests and indexes")
        } else {
            let manifest: Rc<OciManifest> = Rc::new(json::parse(&place, &bytes, MANIFEST)?);
            if manifest.count() <= MOST_DESCRIPTORS {
                self.known.by_blob.insert(blob.to_owned(), Rc::clone(&manifest));
                return Ok((place, manifest));
            }
            format!("more than {MOST_DESCRIPTORS} descriptors")
        };
        Err(ImageError::TooLarge { place, what })
    }

    /// Reads the config of an image, and finds its layers.
    fn parts(&mut self, name: String, image: &Candidate) -> Result<ImageParts, ImageError> {
        let above = format!("{}: {name}", self.archive.name());
        let (member, digest) = &image.config;
        let expected = digest.as_ref().map(|digest| format!("sha256:{digest}"));
        let (place, bytes) = self.document_of(&above, member, expected.as_deref())?;
        let parsed = config::parse(&place, &bytes)?;
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

    /// Requires that index.json has the image that manifest.json has, and that no name is that of another
    /// one there: runtimes differ in the one that they read.
    fn same_in_oci(
        &mut self,
        image: &ImageParts,
        saved: &Candidate,
        all_saved: &[Candidate],
    ) -> Result<(), ImageError> {
        let images = self.oci()?;
        let is_same = |candidate: &&Candidate| {
            candidate.config.1.as_deref() == image.id.strip_prefix("sha256:")
                && candidate.layers.len() == image.layers.len()
        };
        let failed = |what| Err(ImageError::Malformed { place: self.archive.name(), what });
        let same: BTreeSet<_> =
            images.candidates.iter().filter(is_same).flat_map(|same| &same.tops).collect();
        if same.is_empty() {
            return failed(format!(
                "manifest.json has image {}, and index.json has not; save the image again",
                image.name
            ));
        }
        let differs = |name: &str| {
            failed(format!(
                "manifest.json and index.json have different images of the name {name}; save the image again"
            ))
        };
        let is_other = |name: &str| images.names.get(name).is_some_and(|top| !same.contains(top));
        if let Some(name) = saved.names.iter().find(|name| is_other(&familiar(name))) {
            return differs(name);
        }
        let mut others = all_saved.iter().filter(|other| other.config != saved.config);
        let known = |name: &str| images.names.get(name).is_some_and(|top| same.contains(top));
        match others.find_map(|other| other.names.iter().find(|name| known(&familiar(name)))) {
            Some(name) => differs(name),
            None => Ok(()),
        }
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
            (Some(name), _) => name.to_string(),
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

fn two_images(place: String, name: &str) -> ImageError {
    let what = format!("has two images of the name {name}, of which runtimes take one; save each alone");
    ImageError::Malformed { place, what }
}

/// A name as Docker shows it: without its own registry, and with a tag.
fn familiar(name: &str) -> String {
    let name = name.strip_prefix("index.docker.io/").or(name.strip_prefix("docker.io/")).unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if has_tag { name.to_owned() } else { format!("{name}:latest") }
}

/// The digest in the name of a member: `blobs/sha256/HEX`, `HEX.json`.
fn digest_in(name: &str) -> Option<String> {
    let last = name.rsplit('/').next()?;
    let last = last.strip_suffix(".json").unwrap_or(last);
    is_hex(last).then(|| last.to_owned())
}
