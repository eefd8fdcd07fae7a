use super::super::samples::{Assembly, Sample, SampleImage};
use super::*;

fn named(name: &str, runpath: Option<&'static str>) -> ElfObject {
    let sample = Sample { runpath, ..Sample::of(Assembly::new().ret()) };
    ElfObject::read(name, sample.bytes()).expect("an object")
}

fn paths(search: &SearchPath, name: &str, by: &ElfObject) -> Vec<String> {
    search.candidates(name, &[by]).iter().map(|path| path.display().to_string()).collect()
}

#[test]
fn directories_come_in_the_order_of_the_loader() {
    let image = SampleImage::default()
        .with("/etc/ld.so.conf", "include ld.so.conf.d/*.conf # all\n/opt/x\n")
        .with("/etc/ld.so.conf.d/a.conf", "/opt/a\ninclude /etc/ld.so.conf\nhwcap 1 nosegneg\n")
        .with("/etc/ld.so.conf.d/readme", "/opt/no\n");
    let search = SearchPath::new(&image, Arch::X86_64, Some("/lib64/ld-linux-x86-64.so.2"));
    let by = named("/srv/app/bin/app", Some("$ORIGIN/../lib:${ORIGIN}:relative"));
    let found = paths(&search, "liba.so", &by);
    let expected = ["/srv/app/lib/liba.so", "/srv/app/bin/liba.so", "/opt/a/liba.so", "/opt/x/liba.so"];
    assert_eq!(found[..4], expected);
    assert_eq!(found[4], "/lib/x86_64-linux-gnu/liba.so");
    assert_eq!(found.len(), 10);
    assert_eq!(paths(&search, "/usr/../lib/x.so", &by), ["/lib/x.so"]);
    assert!(paths(&search, "./x.so", &by).is_empty(), "the working directory is not known");
}

#[test]
fn musl_has_a_path_of_its_own_and_takes_its_names_for_itself() {
    let image =
        SampleImage::default().with("/etc/ld-musl-aarch64.path", "/a:/b\n/c").with("/etc/ld.so.conf", "/no");
    let search = SearchPath::new(&image, Arch::Aarch64, Some("/lib/ld-musl-aarch64.so.1"));
    let found = paths(&search, "x.so", &named("/app", None));
    assert_eq!(found, ["/a/x.so", "/b/x.so", "/c/x.so", "/lib/x.so", "/usr/local/lib/x.so", "/usr/lib/x.so"]);
    for (name, is) in
        [("libc.so", true), ("libpthread.so.0", true), ("libcrypto.so.3", false), ("c.so", false)]
    {
        assert_eq!(search.is_loader_itself(name), is, "{name}");
    }
    let glibc = SearchPath::new(&image, Arch::Aarch64, Some("/lib/ld-linux-aarch64.so.1"));
    assert!(!glibc.is_loader_itself("libc.so"));
}

#[test]
fn modules_and_preloaded_libraries_are_those_of_their_files() {
    let text = "passwd: files [NOTFOUND=return success = merge] systemd # nis\nhosts:files dns\nbroken\n";
    let image = SampleImage::default()
        .with("/etc/nsswitch.conf", text)
        .with("/etc/ld.so.preload", "a.so b.so:c.so # d\n");
    assert_eq!(name_service_modules(&image), ["libnss_dns.so.2", "libnss_files.so.2", "libnss_systemd.so.2"]);
    assert_eq!(preloaded(&image), ["a.so", "b.so", "c.so"]);
    assert!(name_service_modules(&SampleImage::default()).contains(&"libnss_files.so.2".to_owned()));
    assert!(preloaded(&SampleImage::default()).is_empty());
}

#[test]
fn any_bytes_are_configuration() {
    let seeds: [&[u8]; 2] =
        [b"include *.conf\n/lib # x\nhwcap 1\n", b"passwd: files [!UNAVAIL=return] nis\n"];
    crate::mutation::each(&seeds, |bytes| {
        let image = SampleImage::default()
            .with("/etc/ld.so.conf", bytes)
            .with("/etc/nsswitch.conf", bytes)
            .with("/etc/ld.so.preload", bytes);
        drop(SearchPath::new(&image, Arch::X86_64, None));
        drop((name_service_modules(&image), preloaded(&image)));
    });
}
