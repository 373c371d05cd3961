//! The rooms of the engine: what each may name, which methods call which, and where an `End` is made.
//!
//! ```text
//! engine/*.rs     `impl Engine`: public methods -> settle -> what needs several rooms
//!      |
//! pool/ -> reads a Connection      connection/ -> borrows the Requests      requests/ -> knows neither
//! ```

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Expr, ExprMethodCall, ExprPath, Fields, ImplItem, Item, Type, Visibility};

use crate::source::{Source, below};

/// By room: the types, and the rooms, that its files must not name.
const FORBIDDEN: [(&str, &[&str], &[&str]); 3] = [
    ("engine/pool", &["Engine", "Requests"], &["requests"]),
    ("engine/connection", &["Engine", "Pool"], &["pool"]),
    (
        "engine/requests",
        &["Engine", "Pool", "Connection"],
        &["pool", "connection"],
    ),
];

#[test]
fn a_room_names_none_that_it_may_not_know() {
    let sources = below("engine");
    for (room, ..) in FORBIDDEN {
        let files = sources.iter().filter(|it| it.folder() == room).count();
        assert!(files > 4, "{room}: {files} files");
    }
    let faults: Vec<_> = sources.iter().flat_map(forbidden).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_forbidden_name_is_seen_in_whatever_form() {
    for code in [
        "use crate::engine::pool::Placement;",
        "use crate::engine::{pool::Placement, time::Time};",
        "use super::pool::Placement;",
        "fn f(_: &crate::engine::pool::Placement) {}",
        "fn f(it: &Pool) {}",
        "impl super::Engine {}",
    ] {
        let source = Source::parse("engine/requests/mod.rs", code);
        assert_eq!(forbidden(&source).len(), 1, "{code}");
    }
    for code in [
        "use crate::event::ConnectionHandle;",
        "fn f(pool: u8) { g(pool) }",
        "use super::time::Time;",
    ] {
        let source = Source::parse("engine/requests/mod.rs", code);
        assert!(forbidden(&source).is_empty(), "{code}");
    }
}

/// The forbidden names that a file uses.
fn forbidden(source: &Source) -> Vec<String> {
    let room = FORBIDDEN.iter().find(|it| source.folder() == it.0);
    let Some((_, types, rooms)) = room else {
        return Vec::new();
    };
    let is_forbidden = |path: &String| {
        let names: Vec<&str> = path.split("::").collect();
        // After a type comes a variant or a constant, whatever its name is.
        let is_type = names
            .iter()
            .find(|it| it.starts_with(char::is_uppercase))
            .is_some_and(|it| types.contains(it));
        let (["crate", "engine", room, ..] | ["super", room, ..]) = names[..] else {
            return is_type;
        };
        is_type || rooms.contains(&room)
    };
    let all = paths(source).into_iter().filter(is_forbidden);
    all.map(|path| format!("{}: {path}", source.path)).collect()
}

#[test]
fn the_engine_has_its_methods_in_its_own_folder() {
    let sources = below("engine");
    let files = sources
        .iter()
        .filter(|it| methods(it, "Engine").next().is_some());
    let files: Vec<&str> = files.map(|it| it.path.as_str()).collect();
    assert!(files.len() > 10, "{files:?}");
    assert!(
        files.iter().all(|it| it.matches('/').count() == 1),
        "{files:?}"
    );
}

#[test]
fn no_field_in_a_room_is_open_but_those_of_values() {
    let sources = below("engine");
    let rooms = sources.iter().filter(|it| it.folder() != "engine");
    let open: Vec<_> = rooms.flat_map(open_structs).collect();
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn an_open_field_is_seen_and_that_of_a_value_may_be() {
    let code = "struct A { pub(crate) a: u8 } struct B { b: u8, pub(super) c: u8 } struct C { d: u8 } \
        #[derive(Clone, Copy)] struct D { pub(crate) e: u8 }";
    let open = open_structs(&Source::parse("engine/pool/mod.rs", code));
    assert_eq!(open, ["engine/pool/mod.rs: A", "engine/pool/mod.rs: B"]);
}

/// The structs of a file with a field that other files may write. A struct that is `Copy` may have such fields: it is
/// passed between rooms as a copy.
fn open_structs(source: &Source) -> Vec<String> {
    let structs = source.items.iter().filter_map(|item| match item {
        Item::Struct(item) => Some(item),
        _ => None,
    });
    let open = structs.filter(|item| {
        let is_value = item.attrs.iter().any(|it| {
            let derived = it.meta.require_list();
            it.path().is_ident("derive")
                && derived.is_ok_and(|it| it.tokens.to_string().contains("Copy"))
        });
        let is_open = |it: &syn::Field| !matches!(it.vis, Visibility::Inherited);
        !is_value && matches!(&item.fields, Fields::Named(it) if it.named.iter().any(is_open))
    });
    open.map(|item| format!("{}: {}", source.path, item.ident))
        .collect()
}

/// Calls go down, in every type of the engine.
#[test]
fn no_method_reaches_itself() {
    let sources = below("engine");
    for name in ["Engine", "Pool", "Connection", "Requests", "Request"] {
        let calls = calls(&sources, name);
        assert!(calls.len() > 20, "the methods of {name}: {}", calls.len());
        let circles: Vec<_> = calls.keys().filter(|it| reaches(&calls, it, it)).collect();
        assert!(circles.is_empty(), "{name}: {circles:?}");
    }
}

#[test]
fn a_method_that_reaches_itself_is_seen() {
    let code = "impl Engine { fn a(&mut self) { self.b(); } fn b(&self) { self.c(1); } fn c(&self, _: u8) { self.a() } fn d(&self) { self.a() } }";
    let sources = [Source::parse("engine/mod.rs", code)];
    let calls = calls(&sources, "Engine");
    let circles: Vec<_> = calls.keys().filter(|it| reaches(&calls, it, it)).collect();
    assert_eq!(circles, ["a", "b", "c"]);
}

/// No circle between two files either.
#[test]
fn the_files_of_the_engine_call_each_other_in_one_direction() {
    let circles = circles(&below("engine"));
    assert!(circles.is_empty(), "{circles:?}");
}

#[test]
fn a_circle_of_files_is_seen() {
    let sources = [
        Source::parse(
            "engine/a.rs",
            "impl Engine { fn a(&self) { self.b() } fn d(&self) {} }",
        ),
        Source::parse("engine/b.rs", "impl Engine { fn b(&self) { self.d() } }"),
        Source::parse("engine/c.rs", "impl Engine { fn c(&self) { self.a() } }"),
    ];
    assert_eq!(circles(&sources), ["engine/a.rs", "engine/b.rs"]);
}

/// The files whose methods of the engine call each other in a circle.
fn circles(sources: &[Source]) -> Vec<String> {
    let mut home = BTreeMap::new();
    for source in sources {
        for (method, _) in methods(source, "Engine") {
            home.insert(method, source.path.clone());
        }
    }
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, called) in calls(sources, "Engine") {
        let own = &home[&method];
        let others = called.iter().map(|it| home[it].clone());
        let others = others.filter(|it| it != own);
        files.entry(own.clone()).or_default().extend(others);
    }
    let all = files.keys().filter(|it| reaches(&files, it, it));
    all.cloned().collect()
}

#[test]
fn an_end_is_made_in_one_place() {
    let makers = below("engine").into_iter();
    let makers = makers.flat_map(|it| std::iter::repeat_n(it.path.clone(), ends(&it)));
    let makers: Vec<String> = makers.collect();
    assert_eq!(makers, ["engine/requests/mod.rs"]);
}

#[test]
fn each_maker_of_an_end_is_seen_and_who_only_looks_at_one_is_none() {
    let code = "fn f() { EventKind::End(outcome) } fn g() { outcome.map(crate::event::EventKind::End) } \
        fn h() { match event.kind { EventKind::End(_) => {} _ => {} } }";
    assert_eq!(ends(&Source::parse("engine/ending.rs", code)), 2);
}

/// How often a file makes an `End`.
fn ends(source: &Source) -> usize {
    let mut finder = Ends(0);
    for item in &source.items {
        finder.visit_item(item);
    }
    finder.0
}

/// Counts expressions that make an `End`.
struct Ends(usize);

impl<'ast> Visit<'ast> for Ends {
    fn visit_expr_path(&mut self, made: &'ast syn::ExprPath) {
        let names: Vec<String> = made
            .path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        self.0 += usize::from(names.ends_with(&["EventKind".to_owned(), "End".to_owned()]));
        visit::visit_expr_path(self, made);
    }
}

/// The methods of a type in one file, with what they do.
fn methods<'a>(source: &'a Source, name: &str) -> impl Iterator<Item = (String, &'a syn::Block)> {
    let own = source.items.iter().filter_map(move |item| match item {
        Item::Impl(item) if item.trait_.is_none() && is_type(&item.self_ty, name) => {
            Some(&item.items)
        }
        _ => None,
    });
    own.flatten().filter_map(|item| match item {
        ImplItem::Fn(method) => Some((method.sig.ident.to_string(), &method.block)),
        _ => None,
    })
}

fn is_type(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|it| it.ident == name))
}

/// By method of a type: the methods of that type that it calls on itself.
fn calls(sources: &[Source], name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let all = || sources.iter().flat_map(|it| methods(it, name));
    let known: BTreeSet<String> = all().map(|it| it.0).collect();
    let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, block) in all() {
        let mut finder = Calls(BTreeSet::new());
        finder.visit_block(block);
        let called = finder.0.intersection(&known).cloned();
        calls.entry(method).or_default().extend(called);
    }
    calls
}

struct Calls(BTreeSet<String>);

impl<'ast> Visit<'ast> for Calls {
    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self")) {
            self.0.insert(call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        let mut segments = path.path.segments.iter();
        if segments.next().is_some_and(|it| it.ident == "Self")
            && let Some(method) = segments.next()
        {
            self.0.insert(method.ident.to_string());
        }
        visit::visit_expr_path(self, path);
    }
}

/// Whether a path of one step or more leads from `from` to `to`.
fn reaches(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&String> = graph.get(from).into_iter().flatten().collect();
    while let Some(at) = next.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            next.extend(graph.get(at).into_iter().flatten());
        }
    }
    false
}

/// The paths that a file names, those in the braces of a `use` written out.
fn paths(source: &Source) -> Vec<String> {
    let mut finder = Paths(Vec::new());
    for item in &source.items {
        finder.visit_item(item);
    }
    finder.0
}

struct Paths(Vec<String>);

impl Paths {
    fn add_tree(&mut self, prefix: &str, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.add_tree(&format!("{prefix}{}::", path.ident), &path.tree);
            }
            syn::UseTree::Name(name) => self.0.push(format!("{prefix}{}", name.ident)),
            syn::UseTree::Rename(name) => self.0.push(format!("{prefix}{}", name.ident)),
            syn::UseTree::Glob(_) => self.0.push(format!("{prefix}*")),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(prefix, tree);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree("", &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        self.0.push(names.join("::"));
        visit::visit_path(self, path);
    }
}
