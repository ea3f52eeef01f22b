//! The modules know only those below them: no folder uses one above it, and no files use each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// The core's top level, from the bottom to the top.
const CORE: [&str; 18] = [
    "num",
    "model",
    "profile",
    "share",
    "prg",
    "kernel",
    "cost",
    "net",
    "gate",
    "network",
    "data",
    "backbone",
    "contribution",
    "session",
    "audit",
    "device",
    "dealt",
    "securenn",
];

/// The host's top level, likewise.
const HOST: [&str; 14] = [
    "error",
    "privacy",
    "console",
    "resources",
    "data",
    "links",
    "reference",
    "config",
    "collection",
    "board",
    "run",
    "measure",
    "output",
    "command",
];

/// A path of names, from the crate's root.
type Names = Vec<String>;

/// What one file of a crate says.
#[derive(Default)]
struct File {
    /// Paths that it names, outside tests, from the crate's root.
    uses: BTreeSet<Names>,
    /// Names that it passes on from elsewhere: `pub use`.
    passed_on: BTreeMap<String, Names>,
}

/// The files of a crate, by the paths of their modules.
struct Crate(BTreeMap<Names, File>);

/// Reads the `use` items and the `crate::` paths of a file that is the module `module`.
struct Reader<'a> {
    module: &'a [String],
    modules: &'a BTreeSet<Names>,
    file: File,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|flag| flag == "test")
    })
}

/// Whether a module is of tests, by its name.
fn is_of_tests(module: &[String]) -> bool {
    let is_test = |name: &String| name.ends_with("tests") || name == "harness" || name == "reuse";
    module.iter().any(is_test)
}

impl Reader<'_> {
    /// The path from the crate's root; none if it begins in another crate.
    fn resolve(&self, path: &[String]) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let join = |start: &[String]| start.iter().chain(rest).cloned().collect();
        match first.as_str() {
            "crate" => Some(join(&[])),
            "self" => Some(join(self.module)),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let start = &self.module[..self.module.len().checked_sub(ups)?];
                Some(start.iter().chain(&path[ups..]).cloned().collect())
            }
            _ => {
                let child: Names = self.module.iter().chain([first]).cloned().collect();
                self.modules.contains(&child).then(|| join(&child))
            }
        }
    }

    fn tree(&mut self, tree: &UseTree, before: &[String], passes_on: bool) {
        let with = |name: &syn::Ident| -> Names {
            before.iter().cloned().chain([name.to_string()]).collect()
        };
        let (path, name) = match tree {
            UseTree::Path(path) => return self.tree(&path.tree, &with(&path.ident), passes_on),
            UseTree::Group(group) => {
                return group
                    .items
                    .iter()
                    .for_each(|tree| self.tree(tree, before, passes_on));
            }
            UseTree::Name(name) if name.ident == "self" => {
                (before.to_vec(), before.last().cloned())
            }
            UseTree::Name(name) => (with(&name.ident), Some(name.ident.to_string())),
            UseTree::Rename(rename) => (with(&rename.ident), Some(rename.rename.to_string())),
            UseTree::Glob(_) => (before.to_vec(), None),
        };
        let Some(path) = self.resolve(&path) else {
            return;
        };
        match (passes_on, name) {
            (true, Some(name)) => {
                self.file.passed_on.insert(name, path);
            }
            _ => {
                self.file.uses.insert(path);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // A module within the file: its paths begin one level deeper, but it belongs to the file.
        for item in item.content.iter().flat_map(|(_, items)| items) {
            if !matches!(item, Item::Use(_)) {
                self.visit_item(item);
            }
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let passes_on = !matches!(item.vis, Visibility::Inherited);
        self.tree(&item.tree, &[], passes_on);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Names = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if names.len() > 1 && ["crate", "super"].contains(&names[0].as_str()) {
            self.file.uses.extend(self.resolve(&names));
        }
        visit::visit_path(self, path);
    }
}

impl Crate {
    fn read(source: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(source);
        let mut files = Vec::new();
        collect(&root, &mut files);
        let module = |file: &Path| -> Names {
            let path = file
                .strip_prefix(&root)
                .expect("below the root")
                .with_extension("");
            let names = path.iter().map(|name| name.to_string_lossy().into_owned());
            names
                .filter(|name| !["mod", "lib"].contains(&name.as_str()))
                .collect()
        };
        let files: BTreeMap<Names, PathBuf> = files
            .into_iter()
            .map(|file| (module(&file), file))
            .collect();
        let modules = files.keys().cloned().collect();
        let read = |(module, file): (&Names, &PathBuf)| {
            let text = fs::read_to_string(file).expect("a source file");
            let parsed =
                syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let mut reader = Reader {
                module,
                modules: &modules,
                file: File::default(),
            };
            reader.visit_file(&parsed);
            (module.clone(), reader.file)
        };
        Crate(
            files
                .iter()
                .filter(|(module, _)| !is_of_tests(module))
                .map(read)
                .collect(),
        )
    }

    /// The module that defines what a path names, wherever it was passed on from.
    fn defined_in(&self, path: &[String]) -> Names {
        let mut path = path.to_vec();
        // Names that are passed on lead downwards, so this ends.
        for _ in 0..16 {
            let len = (0..=path.len())
                .rev()
                .find(|&len| self.0.contains_key(&path[..len]));
            let (module, rest) = path.split_at(len.expect("the root is a module"));
            let passed_on = rest
                .first()
                .and_then(|name| self.0[module].passed_on.get(name));
            match passed_on {
                Some(source) => path = source.iter().chain(&rest[1..]).cloned().collect(),
                None => return module.to_vec(),
            }
        }
        panic!("{path:?} is passed on in a circle");
    }

    /// Which modules each module uses.
    fn arrows(&self) -> BTreeMap<Names, BTreeSet<Names>> {
        let targets = |(module, file): (&Names, &File)| {
            let targets = file.uses.iter().map(|path| self.defined_in(path));
            (
                module.clone(),
                targets.filter(|target| target != module).collect(),
            )
        };
        self.0.iter().map(targets).collect()
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("main.rs") {
            files.push(path);
        }
    }
}

/// Modules that use each other in a circle, as one that a walk from `module` meets again.
fn circle(
    module: &Names,
    arrows: &BTreeMap<Names, BTreeSet<Names>>,
    path: &mut Vec<Names>,
    done: &mut BTreeSet<Names>,
) -> Option<Vec<Names>> {
    if let Some(start) = path.iter().position(|before| before == module) {
        return Some(path[start..].to_vec());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module.clone());
    let targets = arrows.get(module).into_iter().flatten();
    let found = targets
        .into_iter()
        .find_map(|target| circle(target, arrows, path, done));
    path.pop();
    done.insert(module.clone());
    found
}

fn text(module: &[String]) -> String {
    module.join("::")
}

/// Checks that the folders of a crate use only those before them in `order`, and that no files stand in a circle.
fn check(source: &str, order: &[&str]) {
    let arrows = Crate::read(source).arrows();
    assert!(arrows.len() > order.len(), "{source} has been read");
    let place = |module: &Names| {
        let top = module.first()?;
        let place = order.iter().position(|name| name == top);
        Some(place.unwrap_or_else(|| panic!("{top} of {source} has no place in the order")))
    };
    let mut upwards = Vec::new();
    for (module, targets) in &arrows {
        for target in targets {
            let (from, to) = (place(module), place(target));
            if from.is_some() && to > from {
                upwards.push(format!("{} uses {}", text(module), text(target)));
            }
        }
    }
    assert!(
        upwards.is_empty(),
        "{source}: arrows upwards:\n{}",
        upwards.join("\n")
    );
    let mut done = BTreeSet::new();
    for module in arrows.keys() {
        if let Some(found) = circle(module, &arrows, &mut Vec::new(), &mut done) {
            let names: Vec<String> = found.iter().map(|module| text(module)).collect();
            panic!("{source}: a circle of files: {}", names.join(" -> "));
        }
    }
}

#[test]
fn the_core_knows_only_what_is_below() {
    check("core/src", &CORE);
}

#[test]
fn the_host_knows_only_what_is_below() {
    check("host-sim/src", &HOST);
}
