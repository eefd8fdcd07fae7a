//! A reader of HTML that is written as XML has it: every element ends, every attribute is quoted, every
//! character that means something is escaped. What is not so is a fault.

use std::collections::BTreeSet;

/// An element, or text where the name is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
    pub text: String,
}

/// Elements without content.
const VOID: [&str; 5] = ["meta", "br", "link", "img", "input"];

impl Node {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// This element and all in it, in the order of the text.
    pub fn all(&self) -> Vec<&Node> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Node::all));
        all
    }

    /// The elements of this name in it.
    pub fn named(&self, name: &str) -> Vec<&Node> {
        self.all().into_iter().filter(|node| node.name == name).collect()
    }

    /// All text in it.
    pub fn inner_text(&self) -> String {
        self.all().iter().map(|node| node.text.as_str()).collect()
    }

    /// The names of its elements with their attributes' names and classes, in order: what no text may change.
    pub fn skeleton(&self) -> String {
        let mut text = String::new();
        for node in self.all().into_iter().filter(|node| !node.name.is_empty()) {
            let attributes: Vec<&str> = node.attributes.iter().map(|(name, _)| name.as_str()).collect();
            text += &format!("{}[{}]\n", node.name, attributes.join(" "));
        }
        text
    }
}

/// Reads a document; the root has the doctype's children.
pub fn parse(text: &str) -> Result<Node, String> {
    let body = text.strip_prefix("<!DOCTYPE html>").ok_or("no doctype")?;
    let mut reader = Reader { rest: body, open: vec![Node::default()] };
    while !reader.rest.is_empty() {
        reader.step()?;
    }
    match reader.open.len() {
        1 => Ok(reader.open.remove(0)),
        _ => Err(format!("{} does not end", reader.open[reader.open.len() - 1].name)),
    }
}

struct Reader<'t> {
    rest: &'t str,
    open: Vec<Node>,
}

impl Reader<'_> {
    fn step(&mut self) -> Result<(), String> {
        let last = self.open.len() - 1;
        if self.open[last].name == "style" && !self.rest.starts_with("</style>") {
            let (style, rest) = self.rest.split_once("</style>").ok_or("a style does not end")?;
            self.open[last].children.push(Node { text: style.to_owned(), ..Node::default() });
            self.rest = &self.rest[self.rest.len() - rest.len() - "</style>".len()..];
            return Ok(());
        }
        let Some(tag) = self.rest.strip_prefix('<') else {
            let end = self.rest.find('<').unwrap_or(self.rest.len());
            let text = unescaped(&self.rest[..end])?;
            self.open[last].children.push(Node { text, ..Node::default() });
            self.rest = &self.rest[end..];
            return Ok(());
        };
        if let Some(end) = tag.strip_prefix('/') {
            let (name, rest) = end.split_once('>').ok_or("an end tag does not end")?;
            let done = self.open.pop().filter(|node| node.name == name);
            let done = done.ok_or_else(|| format!("</{name}> ends nothing"))?;
            let above = self.open.last_mut().ok_or("too many end tags")?;
            above.children.push(done);
            self.rest = rest;
            return Ok(());
        }
        self.start(tag)
    }

    fn start(&mut self, tag: &str) -> Result<(), String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        let take = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
        let end = take(tag);
        let mut node = Node { name: tag[..end].to_owned(), ..Node::default() };
        if node.name.is_empty() {
            return Err(format!("a bare < before {:?}", &tag[..tag.len().min(20)]));
        }
        let mut rest = &tag[end..];
        let mut names = BTreeSet::new();
        let closed = loop {
            let trimmed = rest.trim_start();
            if let Some(after) = trimmed.strip_prefix("/>") {
                rest = after;
                break true;
            }
            if let Some(after) = trimmed.strip_prefix('>') {
                rest = after;
                break false;
            }
            if trimmed.len() == rest.len() {
                return Err(format!("no space before an attribute of {}", node.name));
            }
            let end = take(trimmed);
            let name = trimmed[..end].to_owned();
            rest = &trimmed[end..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix("=\"") {
                let (quoted, after) = after.split_once('"').ok_or("a value does not end")?;
                if quoted.contains('<') {
                    return Err(format!("a bare < in {name} of {}", node.name));
                }
                value = unescaped(quoted)?;
                rest = after;
            }
            if name.is_empty() || !names.insert(name.clone()) {
                return Err(format!("attribute {name:?} of {}", node.name));
            }
            node.attributes.push((name, value));
        };
        self.rest = &self.rest[self.rest.len() - rest.len()..];
        if closed || VOID.contains(&node.name.as_str()) {
            self.open.last_mut().ok_or("nothing is open")?.children.push(node);
        } else {
            self.open.push(node);
        }
        Ok(())
    }
}

/// The text that is meant; a bare `&` or `>` is a fault.
fn unescaped(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['&', '>']) {
        plain.push_str(&rest[..at]);
        let entity = rest[at..].strip_prefix('&').and_then(|entity| entity.split_once(';'));
        let (entity, after) = entity.ok_or_else(|| format!("a bare {:?}", &rest[at..=at]))?;
        let number = entity.strip_prefix('#').and_then(|number| number.parse().ok()).and_then(char::from_u32);
        plain.push(number.ok_or_else(|| format!("entity {entity:?}"))?);
        rest = after;
    }
    Ok(plain + rest)
}

#[test]
fn faults_are_found() {
    for bad in [
        "<p>",
        "<p></b>",
        "<p>a < b</p>",
        "<p>a & b</p>",
        "<p title=a></p>",
        "<p title=\"a\"b=\"c\"></p>",
        "<p a=\"\" a=\"\"></p>",
        "<p title=\"<b>\"></p>",
        "</p>",
    ] {
        assert!(parse(&format!("<!DOCTYPE html>{bad}")).is_err(), "{bad}");
    }
    let good = parse("<!DOCTYPE html><p id=\"a\"><br>x &#60; y</p><style>a > b {}</style>").expect("good");
    assert_eq!(
        (good.named("p")[0].inner_text(), good.named("style")[0].inner_text()),
        ("x < y".into(), "a > b {}".into())
    );
    assert_eq!(good.named("p")[0].attribute("id"), Some("a"));
}
