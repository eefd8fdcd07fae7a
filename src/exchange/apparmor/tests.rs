use super::*;
use crate::profile::{read as read_profile, write};

fn converted(text: &str) -> (String, Vec<String>) {
    let Converted { result: (name, imported), mut omissions, .. } = read(text.as_bytes(), None).expect(text);
    let profile = imported.profile(&name, None, None, &mut omissions).expect("a profile");
    let text = write(&profile);
    assert_eq!(read_profile(text.as_bytes()).expect("it is one").profile, profile);
    (text, omissions.iter().map(ToString::to_string).collect())
}

#[test]
fn common_rules_become_entries() {
    let (text, omissions) = converted(
        r#"abi <abi/4.0>,
include <tunables/global>
@{DATA}=/srv /var/srv
profile web /usr/sbin/web flags=(attach_disconnected) {
  include <abstractions/base>
  include <abstractions/nameservice>
  include <abstractions/ssl_keys>
  capability net_bind_service setuid,
  deny capability setuid,
  network inet stream,
  network (connect) inet dgram port=53,
  /usr/sbin/web mr,
  /etc/web/** r,
  @{DATA}/** rw,
  owner /run/web.pid w,
  /var/log/web/*.log a,
  r /etc/hostname,
  /bin/sh ix,
  /usr/bin/convert Px -> converter,
  /usr/lib/web/* ix,
  deny /etc/shadow r,
  deny /etc/web/secret r,
  signal (send) peer=web,
  ptrace (read),
  mount fstype=tmpfs,
  ^hat { /x r, }
}
"#,
    );
    for line in [
        r#""name": "web""#,
        r#""capabilities": ["net_bind_service"]"#,
        r#"{ "path": "/usr/sbin/web", "entry": true, "may_run": ["/bin/sh", "/usr/bin/convert"] }"#,
        r#"{ "path": "/bin/sh", "may_run": ["/bin/sh", "/usr/bin/convert"] }"#,
        r#"{ "path": "/usr/bin/convert" }"#,
        r#"{ "path": "/etc/web", "allow": ["read"], "optional": true }"#,
        r#"{ "path": "/srv", "allow": ["read", "write", "create", "remove"], "optional": true }"#,
        r#"{ "path": "/var/srv", "allow": ["read", "write", "create", "remove"], "optional": true }"#,
        r#"{ "path": "/run/web.pid", "allow": ["write", "create", "remove"], "optional": true }"#,
        r#"{ "path": "/var/log/web", "allow": ["write", "create"], "optional": true }"#,
        r#"{ "path": "/etc/hostname", "allow": ["read"], "optional": true }"#,
        r#""group": "@names""#,
        r#""network": { "listen": ["tcp/*"], "connect": ["tcp/*", "udp/53"] }"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert_eq!(
        omissions,
        [
            "line 5: include <abstractions/base>: @runtime in its place",
            "line 6: include <abstractions/nameservice>: @names in its place",
            "line 7: include <abstractions/ssl_keys>: is not followed; add what it grants by hand",
            "line 15: owner /run/web.pid w: of whatever owner",
            "line 16: /var/log/web/*.log a: granted as /var/log/web and all below it",
            "line 19: /usr/bin/convert Px -> converter: it runs under this same profile, not under another one converter",
            "line 20: /usr/lib/web/* ix: a program has one path, left out; add those of /usr/lib/web that are needed by hand",
            "line 22: deny /etc/web/secret r: a profile takes nothing away; narrow the entry above it",
            "line 24: ptrace (read): has no equal, left out",
            "line 25: mount fstype=tmpfs: has no equal, left out",
            "line 26: ^hat {…}: a profile of its own, left out",
        ]
    );
}

#[test]
fn what_is_denied_is_taken_from_what_is_granted() {
    let (text, omissions) = converted(
        "/bin/a {\n /bin/sh ix,\n /bin/ls ix,\n /opt/x1 ix,\n /opt/y1 ix,\n /data/x rw,\n /data/y/z r,\n /logs/** rw,\n\
         deny /bin/sh x,\n deny /opt/x* x,\n deny /data/x w,\n deny /data/y/** rwx,\n deny /logs/old r,\n}\n",
    );
    assert!(!text.contains("/bin/sh") && !text.contains("/opt/x1") && !text.contains("/data/y"), "{text}");
    assert!(text.contains(r#"{ "path": "/bin/ls", "may_run": ["/bin/ls", "/opt/y1"] }"#), "{text}");
    assert!(text.contains(r#"{ "path": "/data/x", "allow": ["read"], "optional": true }"#), "{text}");
    assert_eq!(
        omissions,
        ["line 13: deny /logs/old r: a profile takes nothing away; narrow the entry above it"]
    );
}

/// The profile of these rules, which has `deny` before what it denies, and after it; and its lines.
fn denied(allow: &str, deny: &str) -> (String, Vec<String>) {
    let (text, lines) = converted(&format!("/bin/a {{\n{deny}\n{allow}\n}}\n"));
    let (other, _) = converted(&format!("/bin/a {{\n{allow}\n{deny}\n}}\n"));
    assert_eq!(text, other, "whatever their order");
    (text, lines.into_iter().filter(|line| line.contains("deny")).collect())
}

#[test]
fn what_is_denied_is_not_granted_or_is_a_line() {
    for (allow, deny, word, line) in [
        ("/data/a.key rw,", "deny /data/*.key rw,", "a.key", ""),
        ("/data/a.key rw,", "deny /data/?.key rw,", "a.key", ""),
        ("/data/a.key rw,", "deny /data/[a-c].key rw,", "a.key", ""),
        ("/data/a.key rw,", "deny /data/{a,b}.key rw,", "a.key", ""),
        ("/srv/x/secret/k r,", "deny /srv/*/secret/** r,", "/srv", ""),
        ("/srv/x/secret/** r,", "deny /srv/*/secret/** r,", "/srv", ""),
        ("/srv/** r,", "deny /srv/*/secret/** r,", "", "narrow the entry above it"),
        ("/data/*.key r,", "deny /data/a.key r,", "", "narrow the entry above it"),
        ("/data r, /data/** r,", "deny /data r,", "", "narrow the entry above it"),
        ("/lib/x/** m, /srv/x r,", "deny /srv/x m,", "", "narrow the entry above it"),
        ("/opt/b ix,", "deny /opt/? x,", "/opt", ""),
        ("/d/a r,", "deny file,", "/d/a", "@runtime stays"),
        ("/d/a r, /opt/b ix, capability kill, network,", "deny all,", "tcp", "@runtime stays"),
        ("file,", "deny file,", "@elsewhere", "@runtime stays"),
        ("file,", "deny /srv/** w,", "", "@elsewhere grants it"),
        ("file,", "deny @{PROC}/sys/** w,", "@names", ""),
        ("include <abstractions/nameservice>\n", "deny /etc/passwd r,", "", "@names grants it"),
        ("", "deny /lib/** r,", "", "@runtime grants it"),
        ("", "deny /proc/** r,", "", "@runtime grants it"),
        ("", "deny @{PROC}/@{pid}/comm w,", "", "@runtime grants it"),
        ("", "deny /etc/shadow r,", "shadow", ""),
        ("capability sys_admin,", "deny capability sys_admin,", "sys_admin", ""),
        ("capability,", "deny capability,", "capabilities", ""),
        ("network inet stream,", "deny network inet,", "tcp", ""),
        ("network inet stream,", "deny network,", "tcp", ""),
        ("network inet stream, network inet6 stream,", "deny network inet,", "", "entries of /network"),
        ("network inet stream,", "deny network inet6 stream,", "", "entries of /network"),
        ("network inet stream,", "deny network inet stream port=80,", "", "entries of /network"),
        ("network inet stream port=80,", "deny network inet stream port=80,", "tcp", ""),
        ("network inet stream,", "deny network (send) inet,", "", "entries of /network"),
        ("network inet stream,", "deny network inet stream peer=(ip=1.2.3.4),", "", "entries of /network"),
        ("network inet stream,", "deny network frob inet,", "", "entries of /network"),
        ("network inet stream,", "deny network netlink,", "", "entries of /network"),
        ("network (connect) inet dgram,", "deny network dgram,", "udp", ""),
        ("network inet stream,", "deny network packet,", "packet", ""),
        ("network unix,", "deny unix,", "unix", ""),
        ("network unix,", "deny unix (send) peer=(addr=@x),", "", "entries of /network"),
        ("network unix,", "deny dbus send bus=system,", "", "entries of /network"),
        ("", "deny unix (send) peer=(addr=@x),", "unix", ""),
        ("", "deny signal,", "", "reach each other"),
        ("", "deny ptrace,", "ptrace", ""),
    ] {
        let (text, lines) = denied(allow, deny);
        assert!(word.is_empty() || !text.contains(word), "{allow} {deny}: {word} in\n{text}");
        assert_eq!(lines.is_empty(), line.is_empty(), "{allow} {deny}: {lines:?}");
        assert!(lines.iter().all(|one| one.contains(line)), "{allow} {deny}: {lines:?}");
    }
    let (text, _) = denied("network inet stream,", "deny network (connect) inet stream,");
    assert!(text.contains(r#""listen": ["tcp/*"]"#) && !text.contains("connect"), "{text}");
    let (text, _) = denied("/data/a.key rw,", "deny /data/*.key w,");
    assert!(text.contains(r#"{ "path": "/data/a.key", "allow": ["read"], "optional": true }"#), "{text}");
}

#[test]
fn words_of_network_are_known_or_lines() {
    for (rule, network, says) in [
        ("network connect inet stream,", r#""connect": ["tcp/*"]"#, ""),
        ("network (connect, send) inet stream,", r#""connect": ["tcp/*"]"#, ""),
        ("network bind inet dgram port=53,", r#""listen": ["udp/53"]"#, ""),
        ("network frob inet stream,", "", r#"network frob inet stream: "frob" is not known, left out"#),
        ("network (frob, connect) inet stream,", "", r#""frob" is not known, left out"#),
        ("network (send receive) inet,", "", "without connect, bind and listen a profile grants none"),
        (
            "network inet,",
            r#""listen": ["tcp/*", "udp/*"], "connect": ["tcp/*", "udp/*", "icmp"]"#,
            "raw sockets",
        ),
        (
            "network,",
            r#""connect": ["tcp/*", "udp/*", "icmp", "unix:*", "netlink"]"#,
            "raw sockets, and those of packet and other domains, cannot be granted",
        ),
        ("network tcp,", r#""listen": ["tcp/*"], "connect": ["tcp/*"]"#, ""),
        ("network stream,", r#""listen": ["tcp/*"], "connect": ["tcp/*"]"#, "of unix sockets none"),
        ("network unix stream,", r#""listen": ["unix:*"], "connect": ["unix:*"]"#, "whatever their type"),
        ("network netlink raw,", r#""connect": ["netlink"]"#, ""),
        ("network packet raw,", "", "of this domain cannot be granted"),
        ("network inet raw,", "", "of this type cannot be granted"),
        ("network x25,", "", "of this domain cannot be granted"),
        ("network inet stream peer=(port=80),", r#""connect": ["tcp/*"]"#, "is not carried over, so any"),
    ] {
        let (text, lines) = converted(&format!("/bin/a {{ {rule} }}\n"));
        assert!(text.contains(network) && text.contains("network") != network.is_empty(), "{rule}: {text}");
        assert_eq!(lines.len(), usize::from(!says.is_empty()), "{rule}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(says)), "{rule}: {lines:?}");
    }
}

#[test]
fn a_directory_itself_is_listed() {
    let (text, omissions) = converted(
        "/bin/a {\n / r,\n /srv/ r,\n /srv/x r,\n /data/ rw,\n /www/ r,\n /www/** r,\n /proc/ r,\n\
         deny /srv/old/ r,\n}\n",
    );
    for line in [
        r#"{ "path": "/", "allow": ["list"], "optional": true }"#,
        r#"{ "path": "/srv/x", "allow": ["read"], "optional": true }"#,
        r#"{ "path": "/data", "allow": ["read", "write", "create", "remove"], "optional": true }"#,
        r#"{ "path": "/www", "allow": ["read"], "optional": true }"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains(r#""path": "/srv","#), "that of / is enough:\n{text}");
    assert_eq!(
        omissions,
        [
            "line 2: / r: granted as the names in / and all below it",
            "line 3: /srv/ r: granted as the names in /srv and all below it",
            "line 5: /data/ rw: granted as /data and all below it",
            "line 6: /www/ r: granted as the names in /www and all below it",
            "line 9: deny /srv/old/ r: a profile takes nothing away; narrow the entry above it",
        ]
    );
}

#[test]
fn a_profile_without_a_program_needs_an_entry() {
    let docker = "profile default { network, capability, file, umount, deny @{PROC}/* w, deny network alg, }";
    let Converted { result: (name, imported), mut omissions, .. } =
        read(docker.as_bytes(), None).expect("read");
    let error = imported.clone().profile(&name, None, None, &mut omissions).expect_err("no program");
    assert!(error.to_string().contains("--entry PATH"), "{error}");
    let entry = Path::new("/bin/app");
    let text = write(&imported.profile(&name, Some(entry), None, &mut omissions).expect("a profile"));
    assert!(text.contains("@elsewhere") && text.contains("unix:*") && text.contains("sys_admin"), "{text}");
    let places: Vec<_> = omissions.iter().map(ToString::to_string).collect();
    assert!(places.iter().any(|one| one.contains("umount: has no equal")), "{places:?}");
    assert!(!places.iter().any(|one| one.contains("@{PROC}")), "nothing granted it: {places:?}");
}

#[test]
fn one_of_several_profiles_is_named() {
    let text = b"/bin/a { /x r, }\nprofile b { /y r, }\n";
    let error = read(text, None).expect_err("two").to_string();
    assert!(error.contains("--profile: /bin/a, b"), "{error}");
    assert!(read(text, Some("c")).expect_err("none").to_string().contains("no profile \"c\""));
    let (name, imported) = read(text, Some("/bin/a")).expect("it is there").result;
    assert_eq!(name, "/bin/a");
    assert_eq!(imported.programs.expect("programs").len(), 1);
    assert!(read(b"", None).expect_err("nothing").to_string().contains("has no profile"));
}

#[test]
fn letters_are_rights() {
    let rights = |letters| Permissions::parse(letters).map(|found| (found.rights, found.exec));
    assert_eq!(rights("rw"), Some((Rights::READ | Rights::WRITE | Rights::CREATE | Rights::REMOVE, None)));
    assert_eq!(rights("rix"), Some((Rights::READ, Some(ExecTransition::Inherit))));
    for letters in ["px", "Px", "cx", "Ux", "pix", "Cix"] {
        assert_eq!(rights(letters), Some((Rights::NONE, Some(ExecTransition::Other))), "{letters}");
    }
    for letters in ["", "q", "rz", "p", "i", "r\u{1b}"] {
        assert_eq!(rights(letters), None, "{letters}");
    }
}

#[test]
fn inputs_like_good_ones_are_read_or_refused() {
    let text = include_str!("../../../tests/fixtures/exchange/nginx.apparmor");
    crate::mutation::each(&[text.as_bytes()], |changed| {
        if let Ok(Converted { result: (name, imported), mut omissions, .. }) = read(changed, None)
            && let Ok(profile) = imported.profile(&name, None, None, &mut omissions)
        {
            read_profile(write(&profile).as_bytes()).expect("what is made is a profile");
        }
    });
}
