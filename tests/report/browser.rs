//! The page in a browser, Debian's Chromium without a window: what it shows in both themes, at the width of a
//! phone and of a desk, and in print; that it logs nothing, and does not scroll sideways.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{examples, skip};

const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser with one page, spoken to over its pipe (the DevTools protocol: a message of JSON, then NUL).
struct Browser {
    process: Child,
    to: File,
    from: File,
    received: Vec<u8>,
    last: u64,
    session: String,
    /// What the page logged, and what went wrong in it.
    complaints: Vec<String>,
    _home: TempDir,
}

impl Browser {
    fn start() -> Browser {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (theirs_in, to) = nix::unistd::pipe().expect("a pipe");
        let (from, theirs_out) = nix::unistd::pipe().expect("a pipe");
        let log = File::create(home.path().join("log")).expect("a log");
        let mut command = Command::new(CHROMIUM);
        command
            // A container's root may not make the namespaces of its sandbox; the page is our own.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", home.path().join("data").display()))
            .arg("about:blank")
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let ends = [(duplicate(&theirs_in), 3), (duplicate(&theirs_out), 4)];
        // SAFETY: dup2 may be called between fork and exec; the descriptors stay open until then.
        unsafe {
            command.pre_exec(move || {
                for (end, number) in &ends {
                    if libc::dup2(end.as_raw_fd(), *number) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let process = command.spawn().expect("chromium starts");
        drop((command, theirs_in, theirs_out));
        let mut browser = Browser {
            process,
            to: to.into(),
            from: from.into(),
            received: Vec::new(),
            last: 0,
            session: String::new(),
            complaints: Vec::new(),
            _home: home,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method, and returns its result.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser reads");
        loop {
            let answer = self.receive();
            if answer["id"] == json!(self.last) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The next message.
    fn receive(&mut self) -> Value {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.received.drain(..=end).collect();
                let message: Value = serde_json::from_slice(&message[..end]).expect("JSON");
                self.note(&message);
                return message;
            }
            let mut buffer = [0; 65536];
            let count = self.from.read(&mut buffer).expect("the browser writes");
            assert!(count > 0, "the browser has ended");
            self.received.extend(&buffer[..count]);
        }
    }

    fn note(&mut self, message: &Value) {
        let method = message["method"].as_str().unwrap_or_default();
        let parameters = &message["params"];
        let url = parameters["request"]["url"].as_str().unwrap_or_default();
        match method {
            "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" => {
                self.complaints.push(parameters.to_string());
            }
            "Network.requestWillBeSent" if !url.starts_with("file:///") => {
                self.complaints.push(url.to_owned())
            }
            _ => {}
        }
    }

    /// Opens a page and waits until it is loaded.
    fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        // Its event may have come before the answer, so it is asked for as well.
        while self.value("document.readyState") != json!("complete") {
            self.receive();
        }
    }

    /// What an expression is in the page. The page's policy is about its own scripts.
    fn value(&mut self, expression: &str) -> Value {
        let found = self.call("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(found.get("exceptionDetails").is_none(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    fn media(&mut self, width: u32, scheme: &str, media: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends by itself where it still listens; either way it is reaped, and its own children with it.
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let mut rest = Vec::new();
        let _ = self.from.read_to_end(&mut rest);
        let _ = self.process.wait();
    }
}

/// A descriptor beyond those that the browser reads and writes.
fn duplicate(fd: &OwnedFd) -> OwnedFd {
    let number = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(10)).expect("a duplicate");
    // SAFETY: fcntl made it, and nothing else has it.
    unsafe { std::os::fd::FromRawFd::from_raw_fd(number) }
}

/// Elements that are wider than the page though they are in nothing that scrolls by itself.
const TOO_WIDE: &str = r#"
[...document.querySelectorAll('body *')]
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .filter(e => !e.closest('.wide') && !e.closest('.skip') && !e.closest('svg'))
  .map(e => e.tagName + ' ' + (e.className.baseVal ?? e.className) + ' ' + e.textContent.slice(0, 40))
"#;

/// Text whose colour has too little contrast with what is behind it (WCAG 2.2, 1.4.3), as the browser paints it.
const TOO_FAINT: &str = r#"
(() => {
  const channel = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parse = c => (c.match(/[\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length && (c.length < 4 || c[3] > 0.99)) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(e.tagName + ' ' + e.className + ' ' + ratio.toFixed(2));
  }
  return bad;
})()
"#;

/// Labels of the graph that overlap, or are outside of it, as the browser's fonts make them.
const LABELS_OVERLAP: &str = r#"
(() => {
  const bad = [];
  const graph = document.querySelector('.graph > svg');
  if (!graph) return bad;
  const all = [...graph.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);
  const whole = graph.getBoundingClientRect();
  all.forEach(([name, a], i) => {
    if (a.left < whole.left || a.right > whole.right || a.top < whole.top || a.bottom > whole.bottom) bad.push('outside: ' + name);
    for (const [other, b] of all.slice(i + 1))
      if (a.left < b.right && b.left < a.right && a.top + 1 < b.bottom - 1 && b.top + 1 < a.bottom - 1) bad.push(name + ' / ' + other);
  });
  for (const g of graph.querySelectorAll('g')) {
    const box = g.querySelector('.box').getBoundingClientRect();
    for (const t of g.querySelectorAll('text')) {
      const a = t.getBoundingClientRect();
      if (a.left < box.left || a.right > box.right || a.top < box.top - 1 || a.bottom > box.bottom + 1) bad.push('beyond its box: ' + t.textContent);
    }
  }
  return bad;
})()
"#;

/// Names that a screen reader would say of what takes the keyboard's focus, where there is none.
const NAMELESS: &str = r#"
[...document.querySelectorAll('a, summary, [tabindex="0"], [role=img], [role=region]')]
  .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim()))
  .map(e => e.outerHTML.slice(0, 80))
"#;

#[test]
fn a_browser_shows_it_in_both_themes_and_at_every_width() {
    if !skip::has(CHROMIUM) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut browser = Browser::start();
    for (name, text) in examples() {
        let path = folder.path().join(format!("{name}.html"));
        std::fs::write(&path, text).expect("it can be written");
        let url = format!("file://{}", path.display());
        for (width, scheme) in [(360, "light"), (360, "dark"), (1200, "light"), (1200, "dark")] {
            let at = format!("{name} at {width}, {scheme}");
            browser.media(width, scheme, "");
            browser.open(&url);
            let page = "document.documentElement";
            let widths = browser.value(&format!("[innerWidth, {page}.scrollWidth - {page}.clientWidth]"));
            assert_eq!(widths, json!([width, 0]), "{at} scrolls sideways: {}", browser.value(TOO_WIDE));
            assert_eq!(browser.value(TOO_WIDE), json!([]), "{at}");
            assert_eq!(browser.value(TOO_FAINT), json!([]), "{at}");
            assert_eq!(browser.value(NAMELESS), json!([]), "{at}");
            assert_eq!(browser.value("document.querySelectorAll('h1').length"), json!(1), "{at}");
            let ground = browser.value("getComputedStyle(document.body).backgroundColor");
            let expected = if scheme == "dark" { "rgb(20, 23, 28)" } else { "rgb(255, 255, 255)" };
            assert_eq!(ground, json!(expected), "{at}: the style sheet is in force");
        }
        assert_eq!(browser.value(LABELS_OVERLAP), json!([]), "{name}");
        browser.media(1200, "dark", "print");
        let shown = "[...document.querySelectorAll('details:not([open]) td')].filter(e => e.getBoundingClientRect().height == 0).length";
        assert_eq!(browser.value(shown), json!(0), "{name}: what is closed is printed");
        assert_eq!(
            browser.value("getComputedStyle(document.body).backgroundColor"),
            json!("rgb(255, 255, 255)")
        );
        assert_eq!(browser.value(TOO_FAINT), json!([]), "{name} in print");
    }
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn what_a_page_logs_is_a_complaint() {
    if !skip::has(CHROMIUM) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("bad.html");
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'\">";
    std::fs::write(&path, format!("<!DOCTYPE html>{policy}<style>p {{ width: 900px }}</style><p>x"))
        .expect("it can be written");
    let mut browser = Browser::start();
    browser.media(360, "light", "");
    browser.open(&format!("file://{}", path.display()));
    browser.value("1");
    assert!(
        browser.complaints.iter().any(|one| one.contains("Content Security Policy")),
        "{:?}",
        browser.complaints
    );
}
