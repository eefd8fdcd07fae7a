//! The MutatingAdmissionPolicy of the examples, evaluated without a cluster: its conditions, variables
//! and patches by an interpreter of CEL, on sample pods, in the order in which the API server
//! applies them. What the API server's own compiler would refuse by types is not found here.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use cel::common::types::{CelStruct, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Program, StructType};
use serde_json::{Value, json};

use super::kubernetes::validator;
use super::{Folder, root};
use crate::support::kustomize;

/// A type of Kubernetes' library: whatever fields it is given, which the schema of the result decides
/// about.
struct Fields(Type);

impl StructType for Fields {
    fn get_type(&self) -> &Type {
        &self.0
    }

    fn new_value<'b, 'v>(
        &self,
        fields: BTreeMap<String, CowVal<'b, 'v>>,
    ) -> Result<Box<dyn Val + 'v>, ExecutionError> {
        let mut made = CelStruct::new(self.0.name().to_owned());
        for (name, value) in fields {
            made.add_field_value(name, value);
        }
        Ok(Box::new(made))
    }
}

/// The types that an expression constructs: `JSONPatch{`, `Object.spec.volumes{`.
fn constructed(expression: &str) -> Vec<&str> {
    let mut names: Vec<&str> = expression
        .match_indices('{')
        .map(|(at, _)| {
            let before = &expression[..at];
            let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '.').map_or(0, |at| at + 1);
            &before[start..]
        })
        .filter(|name| *name == "JSONPatch" || name.starts_with("Object."))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn evaluate(expression: &str, object: &Value, variables: &BTreeMap<String, Value>) -> Value {
    let mut env = Env::stdlib();
    for name in constructed(expression) {
        env.add_type(Fields(Type::new_struct(name.to_owned()))).expect("a type");
    }
    let env = Arc::new(env);
    let program: Program = env.compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let mut context = Context::with_env(env);
    context.add_variable_from_value("object", cel::to_value(object).expect("a value"));
    context.add_variable_from_value("variables", cel::to_value(variables).expect("a value"));
    let value = program.execute(&context).unwrap_or_else(|error| panic!("{expression}: {error}"));
    as_json(&value)
}

fn as_json(value: &cel::Value) -> Value {
    match value {
        cel::Value::List(items) => items.iter().map(as_json).collect(),
        cel::Value::Struct(made) => {
            let fields = made.field_values();
            let of = |value: &dyn Val| as_json(&cel::Value::try_from(value).expect("a value"));
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), of(value.as_ref()))).collect())
        }
        cel::Value::Map(map) => map
            .map
            .iter()
            .map(|(key, value)| (key.to_string(), as_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        cel::Value::Int(number) => (*number).into(),
        cel::Value::UInt(number) => (*number).into(),
        cel::Value::String(text) => text.to_string().into(),
        cel::Value::Bool(truth) => (*truth).into(),
        cel::Value::Null => Value::Null,
        other => panic!("{other:?} is no JSON"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The policies by kind.
fn policies() -> BTreeMap<String, Value> {
    let all = kustomize::documents(&root().join("examples/kubernetes/policy.yaml"));
    all.into_iter().map(|one| (text(&one["kind"]).to_owned(), one)).collect()
}

/// Whether a pod with these labels is one for the policy.
fn is_selected(policy: &Value, pod: &Value) -> bool {
    list(&policy["spec"]["matchConstraints"]["objectSelector"]["matchExpressions"]).iter().all(|one| {
        assert_eq!(one["operator"], "Exists");
        !pod["metadata"]["labels"][text(&one["key"])].is_null()
    })
}

/// The pod as the API server would store it: `None` where it would refuse it.
fn admitted(pod: &Value) -> Option<Value> {
    let policies = policies();
    let mutating = &policies["MutatingAdmissionPolicy"];
    let mut pod = pod.clone();
    let none = BTreeMap::new();
    let matches = |pod: &Value| {
        list(&mutating["spec"]["matchConditions"])
            .iter()
            .all(|one| evaluate(text(&one["expression"]), pod, &none) == true)
    };
    if is_selected(mutating, &pod) && matches(&pod) {
        for mutation in list(&mutating["spec"]["mutations"]) {
            assert_eq!(mutation["patchType"], "JSONPatch");
            let mut variables = BTreeMap::new();
            for variable in list(&mutating["spec"]["variables"]) {
                let value = evaluate(text(&variable["expression"]), &pod, &variables);
                variables.insert(text(&variable["name"]).to_owned(), value);
            }
            let patch = evaluate(text(&mutation["jsonPatch"]["expression"]), &pod, &variables);
            let patch: json_patch::Patch = serde_json::from_value(patch).expect("a JSON Patch");
            json_patch::patch(&mut pod, &patch).expect("it applies");
        }
    }
    let validating = &policies["ValidatingAdmissionPolicy"];
    let valid = !is_selected(validating, &pod)
        || list(&validating["spec"]["validations"])
            .iter()
            .all(|one| evaluate(text(&one["expression"]), &pod, &none) == true);
    valid.then_some(pod)
}

fn pod(spec: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "web", "labels": { "app": "web", "remit/profile": "web-profile" } },
        "spec": spec,
    })
}

#[test]
fn each_container_is_confined_and_nothing_else_changes() {
    let before = pod(json!({
        "containers": [
            { "name": "web", "image": "busybox:1.36", "command": ["httpd"], "args": ["-f"],
              "volumeMounts": [{ "name": "site", "mountPath": "/srv" }] },
            { "name": "log", "image": "busybox:1.36", "command": ["tail", "-F", "/log"] },
        ],
        "initContainers": [{ "name": "wait", "image": "busybox:1.36", "command": ["sleep", "1"] }],
        "volumes": [{ "name": "site", "emptyDir": {} }],
    }));
    let after = admitted(&before).expect("it is admitted");
    let shim = json!({ "name": "remit", "mountPath": "/remit", "readOnly": true });
    let profile = json!({ "name": "remit-profile", "mountPath": "/etc/remit", "readOnly": true });
    let mut expected = before.clone();
    let spec = &mut expected["spec"];
    spec["containers"][0]["command"] = json!(["/remit/remit-init", "--", "httpd"]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "site", "mountPath": "/srv" }, shim, profile]);
    spec["containers"][1]["command"] = json!(["/remit/remit-init", "--", "tail", "-F", "/log"]);
    spec["containers"][1]["volumeMounts"] = json!([shim, profile]);
    spec["volumes"] = json!([
        { "name": "site", "emptyDir": {} },
        { "name": "remit", "emptyDir": {} },
        { "name": "remit-profile", "configMap": { "name": "web-profile" } },
    ]);
    let wait = before["spec"]["initContainers"][0].clone();
    let component = kustomize::built(&root().join("examples/kubernetes/overlay"));
    let deployment = component.iter().find(|one| one["kind"] == "Deployment").expect("a Deployment");
    let remit = &deployment["spec"]["template"]["spec"]["initContainers"][0];
    spec["initContainers"] = json!([remit, wait]);
    assert_eq!(after, expected);

    // Once more, as after a webhook: nothing changes; and a container that one has added is confined.
    assert_eq!(admitted(&after).expect("it is admitted"), after);
    let mut more = after.clone();
    let sidecar = json!({ "name": "mesh", "image": "mesh:1", "command": ["mesh"] });
    more["spec"]["containers"].as_array_mut().expect("a list").push(sidecar);
    let more = admitted(&more).expect("it is admitted");
    assert_eq!(more["spec"]["containers"][2]["command"], json!(["/remit/remit-init", "--", "mesh"]));
    assert_eq!(more["spec"]["volumes"], after["spec"]["volumes"]);

    if let Some(validator) = validator() {
        let folder = Folder::new();
        folder.put("pod.yaml", after.to_string());
        let output = Command::new(validator).arg("--strict").arg(folder.path("pod.yaml")).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_bare_pod_gets_the_lists_that_it_lacks() {
    let after = admitted(&pod(json!({ "containers": [{ "name": "web", "image": "x", "command": ["a"] }] })));
    let spec = &after.expect("it is admitted")["spec"];
    assert_eq!(list(&spec["volumes"]).len(), 2);
    assert_eq!(list(&spec["initContainers"]).len(), 1);
    assert_eq!(list(&spec["containers"][0]["volumeMounts"]).len(), 2);
}

#[test]
fn what_cannot_be_confined_is_refused_and_what_has_no_label_is_let_alone() {
    let bare = json!({ "containers": [{ "name": "web", "image": "x" }] });
    assert_eq!(admitted(&pod(bare.clone())), None, "its ENTRYPOINT is not known");
    let mut unlabelled = pod(bare);
    unlabelled["metadata"]["labels"] = json!({ "app": "web" });
    assert_eq!(admitted(&unlabelled), Some(unlabelled.clone()));
    let empty = json!({ "containers": [{ "name": "web", "image": "x", "command": [] }] });
    assert_eq!(admitted(&pod(empty)), None);
    let many: Vec<Value> =
        (0..17).map(|n| json!({ "name": format!("c{n}"), "image": "x", "command": ["a"] })).collect();
    assert!(admitted(&pod(json!({ "containers": many[..16] }))).is_some());
    assert_eq!(admitted(&pod(json!({ "containers": many }))), None, "more than the policy counts");
    // A pod that says that it is confined has to mount the shim.
    let false_claim =
        json!({ "containers": [{ "name": "web", "image": "x", "command": ["/remit/remit-init"] }] });
    assert_eq!(admitted(&pod(false_claim)), None);
}
