//! Real programs under `libraries`: they load what they are made of, from many threads and
//! at a reload too, with nothing to tell; and nothing from elsewhere.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::images;
use crate::servers;
use crate::support::{Init, Place, Run, Running, can_run, folder, in_each_place, unique};

in_each_place!(nginx_loads_its_modules_alone, python_imports_its_modules_alone);

/// Where a distribution has its libraries, and more places than are there.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// A folder with a copy of a library, which the app may read.
fn plugins(library: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let plugins = folder().join(unique("plugins"));
    std::fs::create_dir_all(&plugins).expect("a temporary folder");
    std::fs::copy(library, plugins.join("plugin.so")).expect("a library of this machine");
    std::fs::set_permissions(&plugins, PermissionsExt::from_mode(0o755)).expect("ours");
    plugins
}

/// The one violation, which is of this file; with its hint applied to the profile.
fn refused(running: &Running, file: &str, profile: &Value) -> Option<Value> {
    let events = running.events();
    let [violation] = events.violations()[..] else { panic!("{:#?}", events.violations()) };
    let reported =
        [&violation["kind"], &violation["action"], &violation["errno"], &violation["object"]["path"]];
    assert_eq!(reported, ["program", "denied", "EACCES", file], "{violation}");
    assert_eq!(violation["rule"], "/programs/0/libraries");
    let hint = violation.get("hint")?;
    let mut amended = profile.clone();
    let patch: json_patch::Patch = serde_json::from_value(hint.clone()).expect("a patch");
    json_patch::patch(&mut amended, &patch).expect("it applies");
    Some(amended)
}

const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_echo_module.so";

fn nginx(place: Place, module: &str, plugins: &Path, profile: &Value) -> Running {
    let globals = format!("daemon off; error_log stderr notice; load_module {module};");
    let site = std::fs::read_to_string("/etc/nginx/sites-available/default").expect("Debian's site");
    let port = if place == Place::Restricted { 8080 } else { 80 };
    let site = site.replace(":80 ", &format!(":{port} ")).replace("listen 80 ", &format!("listen {port} "));
    Run::new(images::nginx(), place, Init::remit(&[]), &[images::NGINX, "-g", &globals])
        .file(
            "/etc/nginx/sites-enabled/default",
            site.replacen("location / {", "location /echo { echo hello; }\nlocation / {", 1),
        )
        .file("/etc/remit/profile.json", profile.to_string())
        .mount("/usr/lib/nginx/modules")
        .folder(plugins, "/srv/plugins")
        .start()
}

fn nginx_loads_its_modules_alone(place: Place) {
    if !can_run(place, &[images::NGINX, images::TINI, MODULE]) {
        return;
    }
    let mut profile: Value =
        serde_json::from_str(include_str!("../../profiles/nginx.json")).expect("the profile is JSON");
    profile["programs"][0]["libraries"] = json!(LIBRARIES);
    profile["files"]
        .as_array_mut()
        .expect("a list")
        .push(json!({ "path": "/srv/plugins", "allow": ["read"] }));
    let port = if place == Place::Restricted {
        profile["network"]["listen"] = json!(["tcp/8080"]);
        profile["capabilities"] = json!([]);
        8080
    } else {
        80
    };
    let plugins = plugins(Path::new(MODULE));
    let works = |running: &mut Running| {
        running.line("start worker process ");
        // Its length is not sent in advance.
        assert_eq!(running.get(port, "/echo").status, 200, "{}", running.stderr());
        let before = running.lines("start worker process ", 1).matches("start worker process ").count();
        // The master maps the module once more.
        running.signal(libc::SIGHUP);
        running.lines("start worker process ", before + 1);
        // Its length is not sent in advance.
        assert_eq!(running.get(port, "/echo").status, 200, "{}", running.stderr());
        assert_eq!(running.stop().code, 0, "{}", running.stderr());
        let events = running.events();
        assert!(events.violations().is_empty(), "{:#?}", events.violations());
    };
    works(&mut nginx(place, MODULE, &plugins, &profile));

    let plugin = "/srv/plugins/plugin.so";
    let mut confined = nginx(place, plugin, &plugins, &profile);
    assert_eq!(confined.wait(), 1, "{}", confined.stderr());
    assert!(confined.stderr().contains("failed to map segment"), "{}", confined.stderr());
    let amended = refused(&confined, plugin, &profile).expect("a hint");
    works(&mut nginx(place, plugin, &plugins, &amended));
}

/// It imports what is of C, from eight threads at once, and then loads another on request.
const PYTHON: &str = r#"
import concurrent.futures, importlib, importlib.machinery, importlib.util, shutil, sys

names = ["ssl", "sqlite3", "decimal", "lzma", "bz2", "zlib", "hashlib", "socket", "select", "array",
         "pyexpat", "_elementtree", "unicodedata", "mmap", "json", "math", "readline", "curses"]
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print("imported", len(list(pool.map(importlib.import_module, names))))
import sqlite3, ssl
print("sum", sqlite3.connect(":memory:").execute("SELECT 40 + 2").fetchone()[0], ssl.create_default_context() is not None)

def load(path):
    loader = importlib.machinery.ExtensionFileLoader("plugin", path)
    try:
        importlib.util.module_from_spec(importlib.util.spec_from_loader("plugin", loader))
    except ImportError as error:
        print(path, error)

for path in sys.argv[1:]:
    if path.startswith("/var/lib/app"):
        shutil.copy("/srv/plugins/plugin.so", path)
    load(path)
"#;

fn python_imports_its_modules_alone(place: Place) {
    if place == Place::UserNamespace || !can_run(place, &["/usr/bin/python3"]) {
        return;
    }
    let profile = json!({
        "remit": 1,
        "name": "python",
        "programs": [{ "path": "/usr/bin/python3", "entry": true, "libraries": LIBRARIES }],
        "files": [
            "@runtime",
            "@names",
            { "path": "/usr", "allow": ["read"] },
            { "path": "/etc", "allow": ["read"] },
            { "path": "/srv", "allow": ["read"] },
            { "path": "/var/lib/app", "allow": ["read", "write", "create", "remove"] },
        ],
    });
    let library = ["/usr/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/aarch64-linux-gnu/libz.so.1"];
    let library = library.into_iter().map(Path::new).find(|path| path.exists()).expect("python has it");
    let plugins = plugins(library);
    let run = |profile: &Value, plugin: &[&str]| {
        let command = [&["python3", "-c", PYTHON], plugin].concat();
        let mut running = Run::new(servers::image(), place, Init::remit(&[]), &command)
            .mount("/usr")
            .file("/etc/remit/profile.json", profile.to_string())
            .folder(&plugins, "/srv/plugins")
            .start();
        assert_eq!(running.wait(), 0, "{}", running.stderr());
        let said = running.stdout();
        assert!(said.contains("imported 18\nsum 42 True\n"), "{said}{}", running.stderr());
        running
    };
    let loaded = "does not define module export function";
    let not_mapped = "failed to map segment from shared object";

    // What it needs, and a library of the system's by name.
    let inside = library.to_str().expect("a plain name");
    let running = run(&profile, &[inside]);
    assert!(running.stdout().contains(loaded), "{}", running.stdout());
    assert!(running.events().violations().is_empty(), "{:#?}", running.events().violations());

    // What it may write must not be listed.
    let written = "/var/lib/app/plugin.so";
    let running = run(&profile, &[written]);
    assert!(running.stdout().contains(not_mapped), "{}", running.stdout());
    assert_eq!(refused(&running, written, &profile), None);

    let plugin = "/srv/plugins/plugin.so";
    let running = run(&profile, &[plugin]);
    assert!(running.stdout().contains(not_mapped), "{}", running.stdout());
    let amended = refused(&running, plugin, &profile).expect("a hint");
    let running = run(&amended, &[plugin]);
    assert!(running.stdout().contains(loaded), "{}", running.stdout());
    assert!(running.events().violations().is_empty(), "{:#?}", running.events().violations());
}
