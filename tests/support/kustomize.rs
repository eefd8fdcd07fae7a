//! `kubectl kustomize` of the examples, as far as they use it: resources, components, a generator
//! of ConfigMaps, strategic merge patches and a namespace. A ConfigMap keeps its name, without
//! the digest that kustomize adds.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The objects of a kustomization.
pub fn built(folder: &Path) -> Vec<Value> {
    let mut objects = Vec::new();
    apply(folder, &mut objects);
    objects
}

fn apply(folder: &Path, objects: &mut Vec<Value>) {
    let kustomization = documents(&folder.join("kustomization.yaml")).remove(0);
    let list = |key: &str| kustomization[key].as_array().cloned().unwrap_or_default();
    for resource in list("resources") {
        objects.extend(documents(&folder.join(text(&resource))));
    }
    for map in list("configMapGenerator") {
        let files = map["files"].as_array().cloned().unwrap_or_default();
        let data: Map<String, Value> = files
            .iter()
            .map(|name| (text(name), fs::read_to_string(folder.join(text(name))).expect("a file").into()))
            .collect();
        let metadata = json!({ "name": map["name"] });
        objects.push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data }));
    }
    for component in list("components") {
        apply(&folder.join(text(&component)), objects);
    }
    for patch in list("patches") {
        let document = documents(&folder.join(text(&patch["path"]))).remove(0);
        let target = &patch["target"];
        let is_it =
            |one: &&mut Value| one["kind"] == target["kind"] && one["metadata"]["name"] == target["name"];
        let mut count = 0;
        for object in objects.iter_mut().filter(is_it) {
            merge(object, &document);
            count += 1;
        }
        assert_eq!(count, 1, "the target of {patch}");
    }
    if let Some(namespace) = kustomization["namespace"].as_str() {
        for object in objects.iter_mut().filter(|object| object["kind"] != "Namespace") {
            object["metadata"]["namespace"] = namespace.into();
        }
    }
}

/// Puts the patch into the object: lists of objects by their merge key, all else in its place.
fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(items), Value::Array(patches)) if patches.iter().any(Value::is_object) => {
            let mut new = Vec::new();
            for patch in patches {
                let key = if patch["mountPath"].is_string() { "mountPath" } else { "name" };
                match items.iter_mut().find(|item| item[key] == patch[key]) {
                    Some(item) => merge(item, patch),
                    None => new.push(patch.clone()),
                }
            }
            // kustomize puts new items first.
            new.append(items);
            *items = new;
        }
        (object, patch) => *object = patch.clone(),
    }
}

/// The documents of a YAML file.
pub fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
