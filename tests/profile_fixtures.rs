//! Reader, writer and schema against one corpus: the fixtures, the embedded
//! profiles, and thousands of single mistakes made in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use remit::profile::{self, Document, ReadError};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    at: String,
    says: Vec<String>,
    schema: bool,
}

fn fixtures(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profile").join(kind);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let named =
        |path: PathBuf| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    files.filter(|path| !path.ends_with("expected.json")).map(named).collect()
}

/// The good fixtures, and one that uses every form there is.
fn good() -> BTreeMap<String, Vec<u8>> {
    let mut good = fixtures("good");
    assert!(good.len() >= 5, "the fixtures are there");
    good.insert("every form".into(), include_bytes!("fixtures/every-form.json").to_vec());
    good
}

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(profile::schema()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is a schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

fn read(text: &[u8]) -> Result<Document, ReadError> {
    profile::read(text)
}

#[test]
fn every_good_profile_reads_validates_and_comes_back() {
    let schema = schema();
    let embedded = profile::embedded::NAMES
        .map(|name| (format!("embedded {name}"), profile::embedded::named(name).unwrap().into()));
    for (name, text) in good().into_iter().chain(embedded) {
        let document = read(&text).unwrap_or_else(|error| panic!("{name}:{error}"));
        if let Err(error) = schema.validate(&document.value()) {
            panic!("{name}: the schema refuses {}: {error}", error.instance_path());
        }
        let written = profile::write(&document.profile);
        let again = read(written.as_bytes()).unwrap_or_else(|error| panic!("{name}:{error} in\n{written}"));
        assert_eq!(again.profile, document.profile, "{name}");
        assert_eq!(profile::write(&again.profile), written, "{name}: writing is canonical");
        assert!(schema.is_valid(&again.value()), "{name}: what is written validates");
    }
}

#[test]
fn every_bad_profile_is_refused_at_its_place_and_with_the_words_that_help() {
    let schema = schema();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/profile/bad/expected.json");
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&fs::read(folder).unwrap()).unwrap();
    let bad = fixtures("bad");
    assert!(bad.keys().eq(expected.keys()), "each bad file has its expectation");
    for (name, text) in bad {
        let expected = &expected[&name];
        let error = read(&text).expect_err(&name);
        assert_eq!(error.pointer, expected.at, "{name}: {error}");
        for word in &expected.says {
            assert!(error.to_string().contains(word), "{name}: {word:?} is not said by: {error}");
        }
        assert!(!error.to_string().contains('\n'), "{name}: {error}");
        match serde_json::from_slice(&text) {
            Ok(value) => assert_eq!(schema.is_valid(&value), !expected.schema, "{name}: the schema"),
            Err(_) => assert!(!expected.schema, "{name} is no JSON, which no schema sees"),
        }
    }
}

#[test]
fn an_error_says_line_and_column_of_what_it_is_about() {
    let at = |text: &str| {
        let error = read(text.as_bytes()).unwrap_err();
        (error.line, error.column)
    };
    let text = "{ \"remit\": 1, \"name\": \"x\",\n  \"programs\": [ { \"path\": \"/é\", \"entry\": true, \"nay\": 1 } ] }";
    assert_eq!(at(text), (2, 48), "an unknown key: where the key stands, in characters");
    assert_eq!(at("{ \"remit\": 1,\n\"name\": 7 }"), (2, 9), "a wrong value: where the value stands");
    assert_eq!(at("{ \"remit\": 1,\n \"name\": \"x\" }"), (1, 1), "a missing key: where its object begins");
    assert_eq!(at("\n[]"), (2, 1));
    let twice = "{ \"remit\": 1, \"name\": \"x\", \"n\\u0061me\": \"y\" }";
    assert_eq!(at(twice), (1, 28), "a duplicate: the second, however it is spelled");
    let error = read(b"{ \"remit\": 1, \"name\": \"x\", \"a/b~\\n\": 0 }").unwrap_err();
    assert_eq!(error.pointer, "/a~1b~0\n", "a pointer is escaped (RFC 6901)");
    assert!(
        error.to_string().starts_with("1:28: /a~1b~0\\n: unknown key \"a/b~\\n\""),
        "and shown on one line: {error}"
    );
}

#[test]
fn what_is_no_profile_at_all_gets_one_clear_line() {
    let says = |text: &[u8], words: &[&str]| {
        let said = read(text).unwrap_err().to_string();
        for word in words {
            assert!(said.contains(word), "{word:?} is not said by: {said}");
        }
        assert!(!said.contains('\n') && said.len() < 250, "{said}");
    };
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    says(deep("[", "]").as_bytes(), &["nested deeper"]);
    says(deep("{\"a\":", "}").as_bytes(), &["nested deeper"]);
    let wide = vec![b' '; profile::MAX_BYTES + 1];
    says(&wide, &[&wide.len().to_string(), "16 MiB"]);
    says(&wide[1..], &["empty"]);
    says(b"{\"remit\":1,\"name\":\"\xff\"}", &["UTF-8", "1:20", "0xff"]);
    says(b"{} {}", &["line 1", "trailing"]);
    says(b"null", &["null", "object"]);
    says(b"{\"remit\":1,\"name\":\"x\",\"programs\":[],\"z\":1e999}", &["line 1"]);
    let long = format!("{{\"remit\":1,\"name\":\"{}\"}}", "x".repeat(100_000));
    says(long.as_bytes(), &["/name", "64"]);
}

/// What the reader refuses and no schema can see, by what the message says of it.
const UNSEEN_BY_SCHEMA: &[&str] = &[
    "is no entry of programs",
    "has the applet",
    "stands twice",
    "is already /programs/",
    "the app could change it",
    "above or below /proc",
    "unknown system call",
    "unknown constant",
    "clone3 cannot",
    "is a string; write the number",
    "bits that the mask",
    "runs backwards",
    "bits beyond its prefix",
    "is no address",
];

/// The good profiles, the large one as a small profile for each of its sections:
/// a mistake is in one, and a small profile is read faster.
fn sections() -> Vec<(String, Value)> {
    let mut profiles: BTreeMap<String, Vec<u8>> = good();
    let large: Value = serde_json::from_slice(&profiles.remove("every form").unwrap()).unwrap();
    let smallest: Value = serde_json::from_slice(&profiles["smallest"]).unwrap();
    let of = |(key, section): (&String, &Value)| {
        let mut profile = smallest.clone();
        profile[key] = section.clone();
        if key == "syscalls" {
            profile["ready"] = large["ready"].clone();
        }
        (format!("every form of {key}"), profile)
    };
    let whole = |(name, text): (String, Vec<u8>)| (name, serde_json::from_slice(&text).unwrap());
    large.as_object().unwrap().iter().map(of).chain(profiles.into_iter().map(whole)).collect()
}

/// One mistake at every place of a value: `apply` makes what `change` gives of it.
fn mutations(value: &Value) -> Vec<(String, Value)> {
    let mut made = Vec::new();
    let mut pointers = Vec::new();
    collect(value, String::new(), &mut pointers);
    for pointer in pointers {
        let mut put = |what: &str, change: &dyn Fn(&mut Value)| {
            let mut copy = value.clone();
            change(copy.pointer_mut(&pointer).unwrap());
            made.push((format!("{what} at {pointer:?}"), copy));
        };
        for other in [
            json!(null),
            json!(true),
            json!(7),
            json!(-1),
            json!(1.5),
            json!(4294967295u64),
            json!(u64::MAX),
            json!("word"),
            json!(""),
            json!("/a"),
            json!("/a/"),
            json!("/a/./b"),
            json!("/a/..."),
            json!("/a\0"),
            json!("*"),
            json!("..."),
            json!("tcp/1-65535"),
            json!("udp/[::1/64]:1"),
            json!("unix:a"),
            json!("@files"),
            json!("1s"),
            json!([]),
            json!([[]]),
            json!({}),
            json!({ "why": "because" }),
        ] {
            put(&format!("{other}"), &|place| *place = other.clone());
        }
        match value.pointer(&pointer).unwrap() {
            Value::Object(members) => {
                for key in members.keys() {
                    put(&format!("without {key}"), &|place| {
                        place.as_object_mut().unwrap().remove(key);
                    });
                    put(&format!("misspelt {key}"), &|place| {
                        let value = place.as_object_mut().unwrap().remove(key).unwrap();
                        place[format!("{key}x")] = value;
                    });
                }
                for (key, value) in [
                    ("why", json!("a reason")),
                    ("why", json!(" ")),
                    ("applet", json!("sh")),
                    ("beneath", json!("/d")),
                    ("sha256", json!("0".repeat(64))),
                    ("arg", json!(1)),
                    ("in", json!([1])),
                    ("not_in", json!(["FIONBIO"])),
                    ("mask", json!(3)),
                    ("equals", json!(1)),
                    ("optional", json!(true)),
                    ("delay", json!("2s")),
                    ("group", json!("@core")),
                    ("call", json!("read")),
                ] {
                    put(&format!("with {key} {value}"), &|place| place[key] = value.clone());
                }
            }
            Value::Array(items) => {
                for index in 0..items.len() {
                    put(&format!("without [{index}]"), &|place| {
                        place.as_array_mut().unwrap().remove(index);
                    });
                    put(&format!("[{index}] twice"), &|place| {
                        let items = place.as_array_mut().unwrap();
                        items.insert(0, items[index].clone());
                    });
                }
            }
            Value::String(_) => {
                let changes: [fn(&str) -> String; 4] = [
                    |text| format!("{text}x"),
                    |text| text[..text.len() - 1].to_owned(),
                    |text| text.to_uppercase(),
                    |text| format!(" {text}"),
                ];
                for change in changes {
                    put("misspelt", &|place| {
                        let text = place.as_str().unwrap();
                        if text.is_ascii() && !text.is_empty() {
                            *place = change(text).into();
                        }
                    });
                }
            }
            _ => {}
        }
    }
    made
}

fn collect(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| collect(item, format!("{pointer}/{index}"), pointers));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| collect(member, format!("{pointer}/{key}"), pointers));
        }
        _ => {}
    }
    pointers.push(pointer);
}

#[test]
fn reader_and_schema_agree_on_every_single_mistake() {
    let schema = schema();
    let (mut read_too, mut refused, mut unseen) = (0, 0, 0);
    for (name, whole) in sections() {
        for (what, value) in mutations(&whole) {
            match (read(value.to_string().as_bytes()), schema.is_valid(&value)) {
                (Ok(document), true) => {
                    read_too += 1;
                    let written = profile::write(&document.profile);
                    let again =
                        read(written.as_bytes()).unwrap_or_else(|error| panic!("{name}, {what}:{error}"));
                    assert_eq!(again.profile, document.profile, "{name}, {what}");
                }
                (Err(_), false) => refused += 1,
                (Err(error), true) => {
                    unseen += 1;
                    let said = error.to_string();
                    let known = UNSEEN_BY_SCHEMA.iter().any(|class| said.contains(class));
                    assert!(known, "{name}, {what}: the schema accepts it, the reader says {said}");
                }
                (Ok(_), false) => {
                    let error = schema.validate(&value).unwrap_err();
                    panic!("{name}, {what}: read, but the schema refuses {}: {error}", error.instance_path());
                }
            }
        }
    }
    assert!(
        read_too > 500 && refused > 5000 && unseen > 100,
        "{read_too} read, {refused} refused, {unseen} unseen"
    );
}

#[test]
fn the_schema_knows_neither_how_a_number_is_spelled_nor_the_end_of_long_arguments() {
    let schema = schema();
    let smallest = |program: Value| json!({ "remit": 1, "name": "x", "programs": [program] });
    let mut spelled = smallest(json!({ "path": "/x", "entry": true }));
    spelled["limits"] = json!({ "processes": 2.0 });
    assert!(schema.is_valid(&spelled), "2.0 is an integer to a schema");
    assert!(read(spelled.to_string().as_bytes()).unwrap_err().message.contains("2.0"));
    for (length, seen) in [(3, true), (16, true), (17, true), (18, false)] {
        let mut arguments = vec![json!("a"); length];
        arguments[length - 2] = json!("...");
        let value = smallest(json!({ "path": "/x", "entry": true, "args": [arguments] }));
        assert!(read(value.to_string().as_bytes()).unwrap_err().message.contains("last"));
        assert_eq!(schema.is_valid(&value), !seen, "\"...\" before the end of {length}");
    }
}

#[test]
fn the_schema_has_the_readers_words() {
    let schema: Value = serde_json::from_str(profile::schema()).unwrap();
    let words: Vec<String> = profile::capabilities().into_iter().map(profile::capability_word).collect();
    assert_eq!(schema["$defs"]["capability"]["enum"], json!(words));
    assert_eq!(schema["$defs"]["group"]["enum"], json!(remit::syscalls::groups::NAMES));
}
