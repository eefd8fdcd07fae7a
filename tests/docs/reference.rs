//! The reference of the profile's keys in docs/profile.md is what the JSON Schema says.
//! `UPDATE_GOLDEN=1 cargo test --test docs` writes it anew.

use std::fmt::{self, Write};
use std::fs;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/profile.md");
const BEGIN: &str = "<!-- made from the schema: UPDATE_GOLDEN=1 cargo test --test docs -->\n";
const END: &str = "<!-- end -->\n";

/// JSON whose keys stay in the order of the text.
#[derive(Debug)]
enum Node {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Leaf(String),
}

struct Order;

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Node, D::Error> {
        from.deserialize_any(Order)
    }
}

impl<'de> Visitor<'de> for Order {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Leaf(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Leaf(number.to_string()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.to_string()))
    }
}

impl Node {
    fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Node::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            Node::List(_) | Node::Leaf(_) => None,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Node::Leaf(text) => Some(text),
            Node::Map(_) | Node::List(_) => None,
        }
    }

    fn entries(&self, key: &str) -> &[(String, Node)] {
        match self.get(key) {
            Some(Node::Map(entries)) => entries,
            _ => &[],
        }
    }

    fn items(&self, key: &str) -> &[Node] {
        match self.get(key) {
            Some(Node::List(items)) => items,
            _ => &[],
        }
    }

    /// What an object of this shape is said by: itself, or the branch that is no name.
    fn shape(&self) -> &Node {
        let inner = self.get("then").or(self.get("else")).filter(|_| self.get("properties").is_none());
        match inner {
            Some(then) if !then.entries("properties").is_empty() => then,
            Some(then) if then.get("else").is_some() => then.get("else").expect("it is there"),
            _ => self,
        }
    }

    fn requires(&self, key: &str) -> bool {
        self.items("required").iter().any(|item| matches!(item, Node::Leaf(name) if name == key))
    }
}

/// The value that a schema takes, in a few words.
fn value(node: &Node) -> String {
    if let Some(name) = node.text("$ref") {
        let name = name.trim_start_matches("#/$defs/");
        return format!("[{name}](#{name})");
    }
    if let Some(only) = node.text("const") {
        return format!("`{only}`");
    }
    let words: Vec<String> = node
        .items("enum")
        .iter()
        .filter_map(|item| if let Node::Leaf(word) = item { Some(format!("`{word}`")) } else { None })
        .collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    match node.text("type") {
        Some("array") => {
            let least = if node.get("minItems").is_some() { "one or more of " } else { "a list of " };
            format!("{least}{}", node.get("items").map_or_else(String::new, item))
        }
        Some("integer") => {
            let bound = |key| node.text(key).unwrap_or("…");
            format!("a number, {} to {}", bound("minimum"), bound("maximum"))
        }
        Some("string") => node.text("pattern").map_or_else(|| "text".to_owned(), pattern),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("object") => "an object".to_owned(),
        _ => item(node),
    }
}

/// One of a list: a plain value, or an object around it that may have a reason.
fn item(node: &Node) -> String {
    match (node.get("else"), node.get("if")) {
        (Some(plain), Some(_)) => {
            if node.shape().text("$ref").is_some() {
                return format!("{}, or {}", item(plain), value(node.shape()));
            }
            let keys: Vec<String> =
                node.shape().entries("properties").iter().map(|(key, _)| format!("`{key}`")).collect();
            format!("{}, or an object of {}", value(plain), keys.join(", "))
        }
        _ => {
            let any = node.items("anyOf").iter().map(value).collect::<Vec<_>>();
            if any.is_empty() { value(node) } else { any.join(", or ") }
        }
    }
}

/// A pattern; a long one is the schema's alone.
fn pattern(pattern: &str) -> String {
    const LONGEST: usize = 60;
    if pattern.len() > LONGEST { "text".to_owned() } else { format!("`{pattern}`") }
}

fn table(text: &mut String, object: &Node) {
    text.push_str("| key | value | |\n|---|---|---|\n");
    for (key, node) in object.entries("properties") {
        let about = node.text("description").unwrap_or_default();
        let required = if object.requires(key) { "Required. " } else { "" };
        let linked = if node.text("type") == Some("object") {
            format!("[an object](#section-{key})")
        } else {
            value(node)
        };
        let linked = linked.replace('|', "\\|");
        let line = format!("| `{key}` | {linked} | {required}{about} |");
        writeln!(text, "{}", line.replace("  ", " ")).expect("text");
    }
}

fn reference(schema: &Node) -> String {
    let mut text = String::from("### Top level\n\n");
    table(&mut text, schema);
    for (key, node) in schema.entries("properties") {
        if node.text("type") == Some("object") {
            write!(text, "\n### Section {key}\n\n").expect("text");
            table(&mut text, node);
        }
    }
    let (mut objects, mut values) = (String::new(), String::new());
    for (name, node) in schema.entries("$defs") {
        let shape = node.shape();
        if shape.entries("properties").is_empty() {
            write!(values, "\n#### {name}\n\n").expect("text");
            if let Some(about) = node.text("description") {
                writeln!(values, "{about}").expect("text");
            }
            let form = value(node);
            let is_said =
                form == "text" || (node.get("anyOf").is_some() && node.get("description").is_some());
            if !is_said {
                let gap = if node.get("description").is_some() { "\n" } else { "" };
                writeln!(values, "{gap}Form: {form}").expect("text");
            }
        } else {
            write!(objects, "\n### {name}\n\n").expect("text");
            if let (Some(plain), Some(_)) = (node.get("else"), node.get("if")) {
                write!(objects, "{}, or an object:\n\n", value(plain)).expect("text");
            }
            table(&mut objects, shape);
        }
    }
    format!("{text}{objects}\n### Values\n{values}")
}

#[test]
fn the_profiles_reference_is_made_from_the_schema() {
    let schema: Node = serde_json::from_str(remit::profile::schema()).expect("the schema is JSON");
    let page = fs::read_to_string(PAGE).expect("docs/profile.md");
    let (before, rest) = page.split_once(BEGIN).expect("docs/profile.md has the mark of what is made");
    let (_, after) = rest.split_once(END).expect("docs/profile.md has the mark of its end");
    let made = format!("{before}{BEGIN}\n{}\n{END}{after}", reference(&schema));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, &made).expect("docs/profile.md can be written");
    }
    let differs = page.lines().zip(made.lines()).find(|(is, should)| is != should);
    let page = fs::read_to_string(PAGE).expect("docs/profile.md");
    assert!(
        page == made,
        "docs/profile.md differs from the schema at {differs:?}; UPDATE_GOLDEN=1 writes it"
    );
}
