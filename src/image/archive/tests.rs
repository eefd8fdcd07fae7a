//! The limits of what is read, with small ones: all else is tested from outside, in tests/archive.

use std::fs;
use std::io::{self, BufRead, Read, Write};

use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use super::stream::FileStream;
use super::*;
use crate::hex;

/// Limits of which one is small.
const FEW: ArchiveLimits = ArchiveLimits { entries: 1000, names: 100_000, text: 10_000, unpacked: 100_000 };

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(bytes).expect("memory");
    to.finish().expect("memory")
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &**bytes).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// An OCI archive of one layer, which is compressed.
fn image(layer: &[u8]) -> Vec<u8> {
    let mut files = Vec::new();
    let mut blob = |bytes: &[u8]| {
        let digest = hex::lower(&Sha256::digest(bytes));
        files.push((format!("blobs/sha256/{digest}"), bytes.to_vec()));
        json!({ "digest": format!("sha256:{digest}") })
    };
    let diff_id = format!("sha256:{}", hex::lower(&Sha256::digest(layer)));
    let packed = blob(&gzip(layer));
    let config = blob(json!({ "rootfs": { "diff_ids": [diff_id] } }).to_string().as_bytes());
    let manifest = blob(json!({ "config": config, "layers": [packed] }).to_string().as_bytes());
    files.push(("index.json".to_owned(), json!({ "manifests": [manifest] }).to_string().into_bytes()));
    tar(&files)
}

/// The error of an archive with this limit; empty where it is read.
fn refused(archive: &[u8], limits: ArchiveLimits) -> String {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("image.tar");
    fs::write(&path, archive).expect("written");
    let file = File::open(&path).expect("opened");
    let found = file.metadata().expect("its length");
    let archive = ArchiveFile::new(&path, file, &found).expect("a file");
    let read = read(archive, None, Arch::X86_64, limits, &mut |_, _| {});
    read.err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn a_bomb_ends_where_the_limit_is() {
    let limit = "unpacks to more than 1 GiB and 200 times the archive's size, which no image does";
    // Zeros pack to a thousandth.
    let zeros = tar(&[("zeros".to_owned(), vec![0; 4 << 20])]);
    let bomb = image(&zeros);
    assert!(bomb.len() < zeros.len() / 250, "{}", bomb.len());
    let error = refused(&bomb, FEW);
    assert!(error.contains("layer 1 (blobs/sha256/") && error.ends_with(limit), "{error}");
    assert_eq!(refused(&bomb, ArchiveLimits { unpacked: 5 << 20, ..FEW }), "", "control");
    // As the archive itself, and one within the other.
    let error = refused(&gzip(&zeros), FEW);
    assert!(error.ends_with(&format!("after zeros: {limit}")), "{error}");
    let error = refused(&gzip(&bomb), FEW);
    assert!(error.ends_with(limit), "{error}");
}

#[test]
fn entries_names_and_databases_are_bounded() {
    let many: Vec<_> = (0..1001).map(|number| (format!("f{number}"), Vec::new())).collect();
    let roomy = ArchiveLimits { unpacked: 8 << 20, ..FEW };
    let what = "has more than 1000 entries in its layers, more than is read of an image";
    let error = refused(&image(&tar(&many)), roomy);
    assert!(error.ends_with(what), "{error}");
    assert_eq!(refused(&image(&tar(&many[1..])), roomy), "", "control");
    // Directories that come with a file count too.
    let deep: Vec<_> = (0..10).map(|number| (format!("{number}/{}f", "a/".repeat(99)), Vec::new())).collect();
    let error = refused(&image(&tar(&deep)), roomy);
    assert!(error.ends_with(what), "{error}");
    assert_eq!(refused(&image(&tar(&deep[1..])), roomy), "", "control");
    let long: Vec<_> = (0..900).map(|number| (format!("{}{number}", "n".repeat(150)), Vec::new())).collect();
    let what = "has more than 100000 bytes of names in its layers, more than is read of an image";
    let error = refused(&image(&tar(&long)), roomy);
    assert!(error.ends_with(what), "{error}");
    let text = [("var/lib/dpkg/status".to_owned(), vec![b'x'; 10_001])];
    let what = "status: is a package database, and all of them are more than is read";
    let error = refused(&image(&tar(&text)), roomy);
    assert!(error.ends_with(what), "{error}");
}

#[test]
fn a_stream_of_a_file_skips_and_ends_where_it_does() {
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("file");
    let bytes: Vec<u8> = (0..400_000u32).map(|number| (number % 251) as u8).collect();
    fs::write(&path, &bytes).expect("written");
    let file = File::open(&path).expect("opened");
    let meter = Meter::new(0, 0);
    let mut stream = FileStream::new(&file, 400_000, &meter);
    let mut at = 0;
    for (skipped, read) in [(0u64, 10), (5, 1), (200_000, 70_000), (129_000, 300), (0, 0)] {
        stream.skip(skipped).expect("there");
        at += skipped as usize;
        let mut part = vec![0; read];
        stream.read_exact(&mut part).expect("there");
        assert_eq!(part, bytes[at..at + read], "at {at}");
        at += read;
    }
    assert_eq!(stream.skip(1 << 40).map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
    stream.skip(400_000 - at as u64).expect("up to the end");
    assert!(stream.fill_buf().expect("the end").is_empty());
    // A file that became shorter.
    let mut longer = FileStream::new(&file, 400_001, &meter);
    assert_eq!(
        io::copy(&mut longer, &mut io::sink()).map_err(|error| error.kind()),
        Err(ErrorKind::UnexpectedEof)
    );
    // A section ends where it does, and is cut where the stream is.
    let mut stream = FileStream::new(&file, 400_000, &meter);
    let mut section = Section::new(&mut stream, 100);
    let mut text = Vec::new();
    section.read_to_end(&mut text).expect("there");
    assert_eq!(text, bytes[..100]);
    let mut section = Section::new(&mut stream, 400_000);
    assert_eq!(section.read_to_end(&mut text).map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof));
}

#[test]
fn a_hash_is_of_every_byte_however_it_is_read() {
    let bytes: Vec<u8> = (0..300_000u32).map(|number| (number % 241) as u8).collect();
    let expected = hex::lower(&Sha256::digest(&bytes));
    for skipped in [0, 1, 511, 128 << 10, 300_000] {
        let mut hashing = Hashing::new(io::BufReader::with_capacity(1000, &*bytes));
        hashing.skip(skipped).expect("there");
        let mut some = vec![0; 700.min(bytes.len() - skipped as usize)];
        hashing.read_exact(&mut some).expect("there");
        assert_eq!(some, bytes[skipped as usize..][..some.len()]);
        assert_eq!(hashing.finish().expect("the rest"), (expected.clone(), 300_000));
    }
}

#[test]
fn any_bytes_are_an_image_or_an_error() {
    let layer = tar(&[("bin/app".to_owned(), b"#!/bin/sh\n".to_vec()), ("etc/.wh.a".to_owned(), Vec::new())]);
    let seed = image(&layer);
    let place = tempfile::tempdir().expect("a directory");
    let path = place.path().join("image.tar");
    crate::mutation::each(&[&seed], |bytes| {
        fs::write(&path, bytes).expect("written");
        if let Err(error) = open(path.as_os_str(), Arch::X86_64, &mut |_, _| {}) {
            assert!(error.to_string().contains("image.tar"), "{error}");
        }
    });
}
