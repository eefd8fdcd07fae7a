//! A program with all that is loaded for it: the loader, the libraries that it links, and those that it
//! may open.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::code::argument_registers;
use super::function::CodeEdge;
use super::graph::{Cause, FunctionId, Graph, LoadedObject, ObjectOrigin};
use super::libraries::{FileContent, FileSource, SearchPath, name_service_modules, preloaded};
use super::object::{ElfFault, ElfObject, Link};
use super::query::{Argument, Query};
use super::report::{GapKind, ReachGap};
use crate::image::why;

/// The most objects of a process.
const MOST_OBJECTS: usize = 1024;
/// How often libraries are looked for again after others were found.
const ROUNDS: usize = 16;

/// Why a program cannot be analysed: one line.
#[derive(Debug)]
pub enum ReachError {
    /// There is no such file.
    Missing(PathBuf),
    /// A file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// A file cannot be analysed.
    File(PathBuf, ElfFault),
    /// A library that is linked is nowhere.
    NoLibrary {
        /// The name, as DT_NEEDED has it.
        name: String,
        /// The object that links it.
        by: String,
    },
    /// The loader is not there.
    NoLoader {
        /// Its path, as PT_INTERP has it.
        path: String,
        /// The program.
        by: String,
    },
}

impl fmt::Display for ReachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReachError::Missing(path) => {
                write!(f, "{}: not found; name a program by its path in the image", path.display())
            }
            ReachError::Unreadable(path, error) => {
                write!(f, "{}: cannot be read: {}", path.display(), why(error))
            }
            ReachError::File(path, fault) => write!(f, "{}: {fault}", path.display()),
            ReachError::NoLibrary { name, by } => {
                write!(f, "{by}: links {name}, which is in none of the loader's directories")
            }
            ReachError::NoLoader { path, by } => {
                write!(f, "{by}: names the loader {path}, which is not there")
            }
        }
    }
}

impl std::error::Error for ReachError {}

/// A process before it is looked into.
pub struct LoadedProcess<'f> {
    files: &'f dyn FileSource,
    search: SearchPath,
    pub(super) graph: Graph,
    pub(super) gaps: BTreeSet<ReachGap>,
    /// The numbers of objects by the resolved path.
    numbers: HashMap<PathBuf, usize>,
    /// The objects that loaded an object.
    parents: Vec<Option<usize>>,
    /// Objects that are linked, in the order in which symbols are looked up.
    global: Vec<usize>,
    tried: BTreeSet<String>,
    /// Functions whose texts were looked at, with those of all objects or of the C library alone.
    looked_at: (bool, HashSet<FunctionId>),
    loader: Option<usize>,
}

impl<'f> LoadedProcess<'f> {
    /// Loads a program, its loader and its libraries.
    ///
    /// # Errors
    /// See [`ReachError`].
    pub fn load(files: &'f dyn FileSource, path: &Path) -> Result<LoadedProcess<'f>, ReachError> {
        let content = read(files, path)?;
        let program = object(content)?;
        let search = SearchPath::new(files, program.arch, program.interpreter.as_deref());
        let mut process = LoadedProcess {
            files,
            search,
            graph: Graph::default(),
            gaps: BTreeSet::new(),
            numbers: HashMap::new(),
            parents: Vec::new(),
            global: Vec::new(),
            tried: BTreeSet::new(),
            looked_at: (false, HashSet::new()),
            loader: None,
        };
        let interpreter = program.interpreter.clone();
        let name = program.name.clone();
        process.put(program, ObjectOrigin::Program, None);
        if let Some(interpreter) = interpreter {
            let content = files
                .read(Path::new(&interpreter))
                .map_err(|error| ReachError::Unreadable(PathBuf::from(&interpreter), error))?;
            let Some(content) = content else {
                return Err(ReachError::NoLoader { path: interpreter, by: name });
            };
            let loader = process.accept(content)?;
            process.loader = Some(process.put(loader, ObjectOrigin::Loader, None));
            for name in preloaded(files) {
                // The loader goes on without one that is missing.
                if let Some(found) = process.find(&name, 0)? {
                    process.found(found, ObjectOrigin::Linked, 0)?;
                }
            }
            process.global = process.closure(0)?;
        } else {
            process.global = vec![0];
        }
        let global = process.global.clone();
        process.graph.objects.iter_mut().for_each(|loaded| loaded.scope.clone_from(&global));
        Ok(process)
    }

    /// Loads what an object needs, breadth first. Returns all of them in the order of lookup, with
    /// preloaded ones behind the program.
    fn closure(&mut self, first: usize) -> Result<Vec<usize>, ReachError> {
        let mut order = vec![first];
        if first == 0 {
            let preloaded = 1..self.graph.objects.len();
            order.extend(preloaded.filter(|number| Some(*number) != self.loader));
        }
        let mut at = 0;
        while at < order.len() {
            let number = order[at];
            for name in self.graph.objects[number].object.needed.clone() {
                let Some(found) = self.find(&name, number)? else {
                    let by = self.graph.objects[number].object.name.clone();
                    return Err(ReachError::NoLibrary { name, by });
                };
                let found = self.found(found, ObjectOrigin::Linked, number)?;
                if !order.contains(&found) {
                    order.push(found);
                }
            }
            at += 1;
        }
        if let Some(loader) = self.loader.filter(|loader| !order.contains(loader)) {
            order.push(loader);
        }
        Ok(order)
    }

    fn put(&mut self, object: ElfObject, origin: ObjectOrigin, parent: Option<usize>) -> usize {
        let path = PathBuf::from(&object.name);
        let number = self.graph.add(object, origin);
        self.numbers.insert(path, number);
        self.parents.push(parent);
        number
    }

    fn accept(&self, content: FileContent) -> Result<ElfObject, ReachError> {
        let path = content.path.clone();
        let object = object(content)?;
        let arch = self.graph.objects.first().map_or(object.arch, |loaded| loaded.object.arch);
        if object.arch != arch {
            return Err(ReachError::File(path, ElfFault::OtherArch(object.arch)));
        }
        Ok(object)
    }

    /// The library of this name for an object: one that is loaded, or a file of the architecture.
    fn find(&self, name: &str, by: usize) -> Result<Option<FoundLibrary>, ReachError> {
        if self.search.is_loader_itself(name)
            && let Some(loader) = self.loader
        {
            return Ok(Some(FoundLibrary::Loaded(loader)));
        }
        let known = |loaded: &LoadedObject| loaded.object.soname.as_deref() == Some(name);
        if let Some(number) = self.graph.objects.iter().position(known) {
            return Ok(Some(FoundLibrary::Loaded(number)));
        }
        let mut chain = Vec::new();
        let mut next = Some(by);
        while let Some(number) = next.filter(|_| chain.len() <= self.parents.len()) {
            chain.push(&self.graph.objects[number].object);
            next = self.parents[number];
        }
        for path in self.search.candidates(name, &chain) {
            let content = match self.files.read(&path) {
                Ok(Some(content)) => content,
                Ok(None) => continue,
                Err(error) => return Err(ReachError::Unreadable(path, error)),
            };
            if let Some(number) = self.numbers.get(&content.path) {
                return Ok(Some(FoundLibrary::Loaded(*number)));
            }
            match self.accept(content) {
                Ok(object) => return Ok(Some(FoundLibrary::New(Box::new(object)))),
                // As the loader does, a file for another machine is passed over; and so are scripts of
                // the linker, which have names of libraries.
                Err(ReachError::File(
                    _,
                    ElfFault::OtherArch(_) | ElfFault::Class | ElfFault::Machine(_) | ElfFault::NotElf,
                )) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn found(&mut self, library: FoundLibrary, origin: ObjectOrigin, by: usize) -> Result<usize, ReachError> {
        match library {
            FoundLibrary::Loaded(number) => Ok(number),
            FoundLibrary::New(object) => {
                if self.graph.objects.len() >= MOST_OBJECTS {
                    let fault = ElfFault::Many { what: "libraries", most: MOST_OBJECTS };
                    return Err(ReachError::File(PathBuf::from(&object.name), fault));
                }
                Ok(self.put(*object, origin, Some(by)))
            }
        }
    }

    /// Opens a library while the program runs, where it is there. Returns whether that is new.
    fn open(&mut self, name: &str, by: usize, why: &str) -> Result<bool, ReachError> {
        if !self.tried.insert(name.to_owned()) {
            return Ok(false);
        }
        let Some(FoundLibrary::New(object)) = self.find(name, by)? else { return Ok(false) };
        if object.fixed {
            return Ok(false);
        }
        let number = self.found(FoundLibrary::New(object), ObjectOrigin::Opened(why.to_owned()), by)?;
        let before = self.graph.objects.len();
        let own = match self.closure(number) {
            Ok(own) => own,
            // The program's dlopen fails, and nothing of it runs.
            Err(ReachError::NoLibrary { name, by }) => {
                self.gaps.insert(ReachGap::new(
                    GapKind::Library,
                    by,
                    format!("cannot be opened: it links {name}, which is not there"),
                ));
                vec![number]
            }
            Err(error) => return Err(error),
        };
        let mut scope = self.global.clone();
        scope.extend(own.iter().filter(|number| !self.global.contains(number)));
        for number in own.into_iter().filter(|one| *one == number || *one >= before) {
            self.graph.objects[number].scope.clone_from(&scope);
        }
        Ok(true)
    }

    /// Follows all that is reachable, and opens what may be opened, until there is nothing new.
    ///
    /// # Errors
    /// A library cannot be read or analysed.
    pub fn follow(&mut self, libraries: &[PathBuf]) -> Result<(), ReachError> {
        for path in libraries {
            if let Some(name) = path.to_str() {
                self.open(name, 0, "the profile's `libraries`")?;
            }
        }
        for _ in 0..ROUNDS {
            self.graph.follow();
            let mut new = false;
            for (name, by) in self.names_of_libraries() {
                let why = format!("{} names it", self.graph.objects[by].object.short_name());
                new |= self.open(&name, by, &why)?;
            }
            new |= self.look_up_symbols();
            if !new {
                return Ok(());
            }
        }
        self.graph.cut.insert("rounds of opened libraries");
        Ok(())
    }

    /// Names of libraries in what reachable code and data point at.
    fn names_of_libraries(&mut self) -> BTreeMap<String, usize> {
        let opens = |name: &str| self.graph.looked_up.contains(name);
        let by_all = opens("dlopen") || opens("dlmopen") || opens("__libc_dlopen_mode");
        let mut found = BTreeMap::new();
        if self.looked_at.0 != by_all {
            self.looked_at = (by_all, HashSet::new());
        }
        let mut looked_at = std::mem::take(&mut self.looked_at.1);
        for (id, reached) in &self.graph.functions {
            if reached.scan.is_none() || !looked_at.insert(*id) {
                continue;
            }
            let object = &self.graph.objects[id.object].object;
            let Some(scan) = reached.scan.as_ref().filter(|_| by_all || is_c_library(object)) else {
                continue;
            };
            let texts = scan.data.iter().filter_map(|address| object.text(*address));
            for text in texts {
                self.name_of_library(text, id.object, &mut found);
            }
        }
        for (number, loaded) in self.graph.objects.iter().enumerate() {
            if !by_all && !is_c_library(&loaded.object) {
                continue;
            }
            let links = loaded.object.slots.values().chain(&loaded.object.pointers);
            let addresses = links.filter_map(|link| match link {
                Link::Address(address) if !loaded.object.is_code(*address) => Some(*address),
                _ => None,
            });
            for text in addresses.filter_map(|address| loaded.object.text(address)) {
                self.name_of_library(text, number, &mut found);
            }
        }
        self.looked_at.1 = looked_at;
        found
    }

    fn name_of_library(&self, text: &str, by: usize, found: &mut BTreeMap<String, usize>) {
        if text.starts_with("libnss_%s") || text == "libnss_" {
            for module in name_service_modules(self.files) {
                found.entry(module).or_insert(by);
            }
            return;
        }
        let last = text.rsplit('/').next().unwrap_or(text);
        let is_name = last.split_once(".so").is_some_and(|(stem, rest)| {
            let version = rest.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            !stem.is_empty() && (rest.is_empty() || rest.starts_with('.') && version)
        });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-/".contains(&byte);
        if is_name && text.bytes().all(plain) {
            found.entry(text.to_owned()).or_insert(by);
        }
    }

    /// Looks up the symbols that calls of dlsym(3) name by constants. Returns whether there was a new one.
    fn look_up_symbols(&mut self) -> bool {
        let mut found = Vec::new();
        {
            let mut query = Query::new(&self.graph);
            for name in ["dlsym", "dlvsym"] {
                for (caller, at) in self.graph.named_calls.get(name).into_iter().flatten() {
                    let object = &self.graph.objects[caller.object].object;
                    let register = Argument::Register(argument_registers(object.arch)[1]);
                    let passed = match query.passed(*caller, *at, register) {
                        super::query::Passed::Known(value) => query.value((*caller, *at), &value),
                        super::query::Passed::Never => continue,
                    };
                    let texts = passed.constants.keys().filter_map(|address| object.text(*address));
                    found.extend(texts.map(|text| (caller.object, text.to_owned())));
                }
            }
        }
        let mut new = false;
        for (number, name) in found {
            if self.tried.insert(format!("symbol {name}")) {
                new = true;
                // The handle may be of any object.
                for other in 0..self.graph.objects.len() {
                    let exports = self.graph.objects[other].object.exports.contains_key(&name);
                    if exports || other == number {
                        self.graph.symbol(other, &name, Cause::Opened);
                    }
                }
            }
        }
        new
    }

    /// Whether reachable code of an object outside of the C library does something by an edge.
    pub(super) fn has_edge(&self, number: usize, is: impl Fn(&CodeEdge) -> bool) -> bool {
        let own = self.graph.functions.iter().filter(|(id, _)| id.object == number);
        own.filter_map(|(_, reached)| reached.scan.as_ref())
            .any(|scan| scan.edges.iter().any(|(_, edge)| is(edge)))
    }
}

/// A library that was found.
enum FoundLibrary {
    Loaded(usize),
    New(Box<ElfObject>),
}

/// The C library or a loader: what opens name service modules, converters and libgcc by itself.
pub(super) fn is_c_library(object: &ElfObject) -> bool {
    let names = ["libc.so", "libc.musl", "ld-linux", "ld-musl", "libpthread.so", "libdl.so"];
    let name = object.soname.as_deref().unwrap_or_else(|| object.short_name());
    names.iter().any(|start| name.starts_with(start)) || object.interpreter.is_none() && object.entry != 0
}

fn read(files: &dyn FileSource, path: &Path) -> Result<FileContent, ReachError> {
    match files.read(path) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(ReachError::Missing(path.into())),
        Err(error) => Err(ReachError::Unreadable(path.into(), error)),
    }
}

fn object(content: FileContent) -> Result<ElfObject, ReachError> {
    let name = content.path.to_string_lossy().into_owned();
    ElfObject::read(&name, content.bytes).map_err(|fault| ReachError::File(content.path, fault))
}
