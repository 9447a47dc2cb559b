//! The architecture, checked against the sources: imports point down, each library stays in its layers, and no modules
//! import each other in a cycle, not even inside a layer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Item, UseTree};

/// Each layer, with the layers that it may import.
const LAYERS: [(&str, &[&str]); 15] = [
    ("model", &[]),
    ("supervisor", &[]),
    ("error", &["model"]),
    ("config", &[]),
    ("unicode", &[]),
    ("capacity", &["error", "model"]),
    ("auth", &["capacity", "error", "model", "unicode"]),
    ("store", &["capacity", "error", "model", "unicode", "supervisor"]),
    ("hub", &["error", "model", "supervisor"]),
    ("board", &["auth", "capacity", "error", "hub", "model", "store", "unicode", "supervisor"]),
    ("live", &["board", "error", "hub", "model", "store"]),
    ("graphql", &["board", "capacity", "error", "hub", "live", "model", "unicode"]),
    ("web", &["board", "capacity", "config", "error", "graphql", "hub", "live", "model", "supervisor"]),
    ("app", &["auth", "board", "capacity", "config", "error", "graphql", "model", "store", "supervisor", "web"]),
    ("cli", &["app", "auth", "board", "config", "error", "graphql", "model"]),
];

/// Libraries for every layer.
const EVERYWHERE: [&str; 12] = [
    "base64",
    "bytes",
    "chrono",
    "futures_util",
    "http",
    "pin_project_lite",
    "rand",
    "serde",
    "serde_json",
    "sha2",
    "tokio",
    "tracing",
];

/// Every other library, with the modules that may use it.
const LIBRARIES: [(&str, &[&str]); 40] = [
    ("argon2", &["auth"]),
    ("bytesize", &["config"]),
    ("caseless", &["unicode"]),
    ("clap", &["cli", "config"]),
    ("diesel", &["store"]),
    ("diesel_migrations", &["store"]),
    ("flate2", &["web"]),
    ("form_urlencoded", &["store", "web"]),
    ("humantime", &["config"]),
    ("hmac", &["auth"]),
    ("hyper", &["web"]),
    ("hyper_util", &["web"]),
    ("ipnet", &["config"]),
    ("jsonschema", &["board"]),
    ("jsonwebtoken", &["auth"]),
    ("percent_encoding", &["board"]),
    ("juniper", &["graphql", "web::socket"]),
    ("juniper_graphql_ws", &["web::socket"]),
    ("libsqlite3_sys", &[]),
    ("openidconnect", &["auth"]),
    ("quick_cache", &["capacity"]),
    ("reqwest", &["auth"]),
    ("rustix", &["app", "cli::log::writer", "cli::tail", "store::sqlite_files"]),
    ("rustls", &["store"]),
    ("self_cell", &["graphql"]),
    ("socket2", &["web"]),
    ("strsim", &["cli", "graphql"]),
    ("tikv_jemallocator", &["main"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("tokio_stream", &["live"]),
    ("tokio_tungstenite", &["web"]),
    ("tokio_util", &["web"]),
    ("tracing_subscriber", &["cli", "config"]),
    ("unicode_normalization", &["unicode"]),
    ("unicode_properties", &["unicode"]),
    ("unicode_script", &["unicode"]),
    ("unicode_security", &["unicode"]),
    ("warp", &["web"]),
    ("r2d2", &["store"]),
];

/// A path as segments: `crate::hub::Hub` is `["crate", "hub", "Hub"]`.
type Segments = Vec<String>;

/// A module of the crate, without its tests.
#[derive(Default)]
struct Module {
    /// What the module names: the leaves of its imports, and the paths in its code.
    used: BTreeSet<Segments>,
    /// What the module re-exports, by name, as the module writes it.
    exported: BTreeMap<String, Segments>,
    has_static: bool,
    /// The types that the module defines.
    types: Vec<String>,
    /// Whether a method named `store` is called without arguments, as `Board::store` is.
    calls_store: bool,
}

impl Module {
    fn parse(source: &str) -> Self {
        let mut file = syn::parse_file(source).expect("valid Rust");
        file.items.retain(|item| !is_test(item));
        let mut module = Self::default();
        module.visit_file(&file);
        module
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        for (path, name) in leaves(&item.tree, &[]) {
            if is_public {
                self.exported.insert(name, path);
            } else {
                self.used.insert(path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.used.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.calls_store |= call.method == "store" && call.args.is_empty();
        visit::visit_expr_method_call(self, call);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        self.types.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        // Macros such as `labels!` define types, too. In the definition of a macro, the name is a variable.
        let tokens: Vec<String> = item.mac.tokens.clone().into_iter().map(|token| token.to_string()).collect();
        let defined = tokens.windows(2).filter(|pair| ["enum", "struct"].contains(&pair[0].as_str()));
        self.types.extend(defined.map(|pair| pair[1].clone()).filter(|name| name != "$"));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.has_static = true;
        visit::visit_item_static(self, item);
    }
}

fn is_test(item: &Item) -> bool {
    let (Item::Mod(syn::ItemMod { attrs, .. }) | Item::Use(syn::ItemUse { attrs, .. })) = item else { return false };
    attrs.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.clone().into_iter().any(|token| token.to_string().contains("test"))
    })
}

/// The imported paths of a `use` tree, each with the name that it has afterwards.
fn leaves(tree: &UseTree, prefix: &[String]) -> Vec<(Segments, String)> {
    let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident)),
        UseTree::Group(group) => group.items.iter().flat_map(|item| leaves(item, prefix)).collect(),
        UseTree::Name(name) if name.ident == "self" => {
            vec![(prefix.to_vec(), prefix.last().cloned().unwrap_or_default())]
        }
        UseTree::Name(name) => vec![(with(&name.ident), name.ident.to_string())],
        UseTree::Rename(rename) => vec![(with(&rename.ident), rename.rename.to_string())],
        UseTree::Glob(_) => vec![(prefix.to_vec(), "*".into())],
    }
}

/// All modules of the crate, by their paths: `hub::ring`.
struct Crate(BTreeMap<String, Module>);

impl Crate {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut modules = BTreeMap::new();
        read_directory(&root, &[], &mut modules);
        assert!(modules.len() > 100, "the sources are where the test looks for them");
        Self(modules)
    }

    /// The module in which a path of another module ends.
    fn resolve(&self, from: &str, path: &[String]) -> Option<String> {
        let base: Segments = from.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let (mut at, mut rest) = match path.first().map(String::as_str) {
            Some("crate") => (Segments::new(), &path[1..]),
            Some("self") => (base, &path[1..]),
            Some("super") => (base[..base.len().checked_sub(supers)?].to_vec(), &path[supers..]),
            Some(first) if self.0.contains_key(&[base.clone(), vec![first.into()]].concat().join("::")) => (base, path),
            _ => return None,
        };
        while let Some(next) = rest.first() {
            let inner = [at.clone(), vec![next.clone()]].concat();
            if !self.0.contains_key(&inner.join("::")) {
                break;
            }
            (at, rest) = (inner, &rest[1..]);
        }
        let module = at.join("::");
        match rest.first().and_then(|name| self.0.get(&module)?.exported.get(name)) {
            Some(exported) => self.resolve(&module, exported).or(Some(module)),
            None => Some(module),
        }
    }

    /// The modules that a module imports.
    fn imports(&self, from: &str) -> BTreeSet<String> {
        let used = self.0[from].used.iter();
        used.filter_map(|path| self.resolve(from, path)).filter(|module| module != from).collect()
    }
}

fn read_directory(directory: &Path, path: &[String], modules: &mut BTreeMap<String, Module>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry").path();
        let name = entry.file_stem().expect("a name").to_string_lossy().into_owned();
        let inner = [path, std::slice::from_ref(&name)].concat();
        if entry.is_dir() {
            read_directory(&entry, &inner, modules);
        } else if entry.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            let module = if ["mod", "lib"].contains(&name.as_str()) { path } else { &inner };
            let source = std::fs::read_to_string(&entry).expect("a source");
            modules.insert(module.join("::"), Module::parse(&source));
        }
    }
}

fn layer_of(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

#[test]
fn imports_point_down() {
    let all = Crate::read();
    let mut wrong = Vec::new();
    for module in all.0.keys().filter(|module| !["", "main"].contains(&module.as_str())) {
        let layer = layer_of(module);
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("{module} is in no layer"));
            continue;
        };
        for imported in all.imports(module) {
            let other = layer_of(&imported);
            if other != layer && !allowed.contains(&other) {
                wrong.push(format!("{module} imports {imported}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Reads for clients go through `board::View`, which checks permissions. Only the log reader and the metrics page use the
/// store of the board.
#[test]
fn resolvers_and_handlers_do_not_use_the_store() {
    let using = Crate::read().0.into_iter().filter(|(_, content)| content.calls_store).map(|(module, _)| module);
    let outside = using.filter(|module| ["live", "graphql", "web"].contains(&layer_of(module)));
    assert_eq!(outside.collect::<Vec<_>>(), ["live::open", "web::metrics"]);
}

/// A domain type and its GraphQL object may share a name.
#[test]
fn no_type_name_has_two_meanings() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, content) in Crate::read().0 {
        for name in content.types {
            places.entry(name).or_default().push(module.clone());
        }
    }
    let has_two_meanings = |modules: &[String]| match modules {
        [_] => false,
        // `board` and `model` come before and after `graphql` in the order of names.
        [first, second] => {
            let layers = [layer_of(first), layer_of(second)];
            layers != ["board", "graphql"] && layers != ["graphql", "model"]
        }
        _ => true,
    };
    let doubled: Vec<_> = places.into_iter().filter(|(_, modules)| has_two_meanings(modules)).collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
}

#[test]
fn modules_import_each_other_in_no_cycle() {
    let all = Crate::read();
    let imports: BTreeMap<&str, BTreeSet<String>> =
        all.0.keys().map(|module| (module.as_str(), all.imports(module))).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        imports.keys().map(|module| (*module, reachable(&imports, module))).collect();
    let mut cycles = Vec::new();
    for (module, imported) in &imports {
        let back = imported.iter().filter(|imported| reached[imported.as_str()].contains(module));
        cycles.extend(back.map(|imported| format!("{module} imports {imported}, which imports it")));
    }
    assert!(cycles.is_empty(), "{}", cycles.join("\n"));
}

/// The modules that a module imports, directly or through others.
fn reachable<'a>(imports: &'a BTreeMap<&str, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(imports[module].iter().map(String::as_str).filter(|imported| reached.insert(*imported)));
    }
    reached
}

#[test]
fn each_library_stays_in_its_layers() {
    let manifest = include_str!("../../Cargo.toml");
    let dependencies = manifest.split("\n[").find_map(|table| table.strip_prefix("dependencies]"));
    let dependencies = dependencies.expect("dependencies").lines().filter_map(|line| line.split_once(" = "));
    let mut wrong = Vec::new();
    for (name, _) in dependencies {
        let library = name.replace('-', "_");
        if !EVERYWHERE.contains(&library.as_str()) && !LIBRARIES.iter().any(|(known, _)| *known == library) {
            wrong.push(format!("{library} has no layer"));
        }
    }
    for (module, content) in &Crate::read().0 {
        for (library, places) in LIBRARIES {
            let is_used = content.used.iter().any(|path| path.first().is_some_and(|first| first == library));
            if is_used && !places.iter().any(|place| module.starts_with(place)) {
                wrong.push(format!("{module} uses {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_reads_the_environment_below_the_command_line_and_nothing_is_global() {
    let mut wrong = Vec::new();
    for (module, content) in &Crate::read().0 {
        let reads_environment = content.used.iter().any(|path| path.starts_with(&["std".into(), "env".into()]));
        if reads_environment && !["config", "cli", "main"].contains(&layer_of(module)) {
            wrong.push(format!("{module} reads the environment"));
        }
        if content.has_static && module != "main" {
            wrong.push(format!("{module} has a global"));
        }
        if ["utils", "helpers", "common", "misc"].iter().any(|name| module.contains(name)) {
            wrong.push(format!("{module} has a name that says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
