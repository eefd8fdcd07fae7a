//! A diagnosis for people and for programs.

use std::fmt;

use serde_json::{Map, Value};

use super::{Assessment, Diagnosis, Finding};

/// Columns of a terminal.
const WIDTH: usize = 100;
/// Where details begin.
const INDENT: usize = 30;

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kernel {
            Some(kernel) => writeln!(f, "Linux {} {}", kernel.release, kernel.arch)?,
            None => writeln!(f, "a kernel that could not be probed")?,
        }
        for (title, findings) in
            [("what `baseline` gets here", &self.layers), ("the place", &self.environment)]
        {
            if !findings.is_empty() {
                writeln!(f, "\n{title}")?;
            }
            findings.iter().try_for_each(|finding| line(f, finding))?;
        }
        let verdict = match self.verdict {
            Assessment::All => "all that `baseline` asks for is enforced here",
            Assessment::Less => "it starts, and less than `baseline` asks for is enforced here",
            Assessment::Nothing => "nothing can be confined here",
        };
        write!(f, "\n{verdict}")?;
        match &self.why {
            Some(why) => writeln!(f, ": {why}"),
            None => writeln!(f),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, finding: &Finding) -> fmt::Result {
    let head = format!("  {:<15} {:<11} ", finding.name, finding.state.name());
    let mut text = wrapped(&finding.detail);
    for more in &finding.more {
        text.extend(wrapped(&format!("to get more: {more}")));
    }
    let mut lines = text.iter();
    writeln!(f, "{}", format!("{head}{}", lines.next().map_or("", String::as_str)).trim_end())?;
    lines.try_for_each(|line| writeln!(f, "{:INDENT$}{line}", ""))
}

/// Wraps text to the lines that fit beside the names.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH - INDENT => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Diagnosis {
    /// One JSON document; the module describes it.
    pub fn to_value(&self) -> Value {
        let kernel = self.kernel.as_ref().map_or(Value::Null, |kernel| {
            let release = kernel.release.to_string();
            object([("release", release.into()), ("arch", kernel.arch.name().into())])
        });
        let findings = |findings: &[Finding]| findings.iter().map(json).collect::<Vec<Value>>();
        let mut document = object([
            ("remit", 1.into()),
            ("kernel", kernel),
            ("verdict", self.verdict.name().into()),
            ("layers", findings(&self.layers).into()),
            ("place", findings(&self.environment).into()),
        ]);
        if let Some(why) = &self.why {
            document["why"] = why.as_str().into();
        }
        document
    }
}

fn json(finding: &Finding) -> Value {
    let mut value = object([
        ("name", finding.name.into()),
        ("state", finding.state.name().into()),
        ("detail", finding.detail.as_str().into()),
    ]);
    if !finding.more.is_empty() {
        value["more"] = finding.more.iter().map(String::as_str).collect::<Vec<_>>().into();
    }
    value
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut map = Map::new();
    for (name, value) in members {
        map.insert(name.to_owned(), value);
    }
    Value::Object(map)
}
