//! Which file writes which field: each field is written in one file.
//!
//! The table in `owners.md` is made from the sources by this test, and checked; `UPDATE_OWNERS=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{env, fs};

use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ExprAssign, ExprBinary, ExprMethodCall, ExprReference, Fields, Item, Type};

use crate::source::{Source, below};

/// The folders to which the rule applies.
const FOLDERS: [&str; 3] = ["engine", "net", "testkit"];

/// Structs that are shown even if each of their fields is written by methods of its own type only.
const SHOWN: [&str; 2] = ["Engine", "Server"];

/// Methods that change a field of a type from the standard library or slab. (An element that is reached by `get_mut`,
/// `iter_mut` or an index is changed by methods of its own.)
const CHANGES: [&str; 38] = [
    "append",
    "clear",
    "drain",
    "entry",
    "extend",
    "extend_from_slice",
    "extend_from_within",
    "fill",
    "get_or_insert",
    "get_or_insert_default",
    "get_or_insert_with",
    "insert",
    "pop",
    "pop_back",
    "pop_front",
    "pop_first",
    "push",
    "push_back",
    "push_front",
    "push_str",
    "remove",
    "replace",
    "reserve",
    "reserve_exact",
    "resize",
    "resize_with",
    "retain",
    "rotate_left",
    "shrink_to",
    "splice",
    "split_off",
    "swap",
    "swap_remove",
    "take",
    "take_if",
    "truncate",
    "copy_from_slice",
    "copy_within",
];

#[test]
fn each_field_is_written_in_one_file() {
    let table = Table::of(&FOLDERS.map(below).into_iter().flatten().collect::<Vec<_>>());
    let structs = table.0.len();
    assert!(structs > 30, "the structs: {structs}");
    let shared: Vec<_> = table.fields().filter(|field| field.2.len() > 1).collect();
    assert!(shared.is_empty(), "written in several files: {shared:#?}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/meta/owners.md");
    let text = table.text();
    if env::var_os("UPDATE_OWNERS").is_some() {
        fs::write(&path, &text).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "tests/meta/owners.md is of another day: UPDATE_OWNERS=1 makes it anew"
    );
}

#[test]
fn a_write_is_seen_in_whatever_form() {
    let owner = "struct S { a: u32, b: Vec<u8>, c: Option<u8>, own: Own } struct Own { d: u8 }";
    let writes = [
        ("self.a = 1;", "a"),
        ("self.a += 1;", "a"),
        ("it.s.a = 1;", "a"),
        ("it[0].a |= 1;", "a"),
        ("self.b.push(1);", "b"),
        ("self.c.take();", "c"),
        ("std::mem::take(&mut self.b);", "b"),
        ("let b = &mut self.b;", "b"),
        ("self.own = Own { d: 1 };", "own"),
        ("self.own.d = 1;", "d"),
        ("self.a.foreign = 1;", "a"),
    ];
    for (code, field) in writes {
        let sources = [
            Source::parse("engine/room/mod.rs", owner),
            Source::parse("engine/room/other.rs", &format!("fn f() {{ {code} }}")),
        ];
        let table = Table::of(&sources);
        let written: Vec<_> = table.fields().filter(|it| !it.2.is_empty()).collect();
        assert_eq!(written.len(), 1, "{code}: {written:?}");
        assert_eq!(written[0].1, field, "{code}");
    }
    let reads = [
        "self.a == 1;",
        "self.b.len();",
        "let b = &self.b;",
        "self.own.set(1);",
        "self.b[0].set(1);",
    ];
    for code in reads {
        let sources = [
            Source::parse("engine/room/mod.rs", owner),
            Source::parse("engine/room/other.rs", &format!("fn f() {{ {code} }}")),
        ];
        let table = Table::of(&sources);
        assert!(table.fields().all(|it| it.2.is_empty()), "{code}");
    }
}

/// By file and struct: each field and the files that write it.
struct Table(BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>>);

impl Table {
    fn of(sources: &[Source]) -> Self {
        let all = || {
            sources
                .iter()
                .flat_map(|it| it.items.iter().map(move |item| (it, item)))
        };
        let structs = all().filter_map(|(source, item)| match item {
            Item::Struct(item) => Some((source, item)),
            _ => None,
        });
        let structs: Vec<_> = structs.collect();
        let own: BTreeSet<String> = structs.iter().map(|it| it.1.ident.to_string()).collect();
        let fields = structs.iter().flat_map(|it| it.1.fields.iter());
        let known = fields.filter_map(|it| it.ident.as_ref().map(ToString::to_string));
        let known: BTreeSet<String> = known.collect();
        let mut table = BTreeMap::new();
        for (source, item) in &structs {
            let Fields::Named(fields) = &item.fields else {
                continue;
            };
            let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for field in &fields.named {
                let name = field.ident.as_ref().expect("a named field").to_string();
                let is_own = own.contains(&head(&field.ty));
                // Elements of a collection are changed by methods of their own, too.
                let has_own = names(&field.ty).iter().any(|it| own.contains(it));
                let is_open = matches!(field.vis, syn::Visibility::Restricted(_));
                let mut writers = BTreeSet::new();
                for other in sources {
                    let is_near = is_open && other.path.starts_with(source.folder());
                    // Another struct of that file may have a field of the same name, and then owns what is written there.
                    let has_namesake = other.path != source.path && has_field(other, &name);
                    if (source.shows_to(other) || is_near)
                        && !has_namesake
                        && writes(other, &name, &known, is_own, has_own)
                    {
                        writers.insert(other.path.clone());
                    }
                }
                rows.insert(name, writers);
            }
            table.insert((source.path.clone(), item.ident.to_string()), rows);
        }
        Self(table)
    }

    fn fields(&self) -> impl Iterator<Item = (String, &str, &BTreeSet<String>)> {
        self.0.iter().flat_map(|((path, name), fields)| {
            let rows = fields.iter();
            rows.map(move |(field, files)| (format!("{path}: {name}"), field.as_str(), files))
        })
    }

    fn text(&self) -> String {
        let mut text = "# Who writes which field\n\nMade from the sources by `tests/meta/owners.rs`. A field without a file is set when its struct is made, and \
            handed down from there.\n"
            .to_owned();
        for ((path, name), fields) in &self.0 {
            let is_written = fields.values().any(|it| !it.is_empty());
            if !is_written && !SHOWN.contains(&name.as_str()) {
                continue;
            }
            text += &format!("\n## `{name}` ({path})\n\n| field | written in |\n|---|---|\n");
            for (field, files) in fields {
                let files: Vec<&str> = files.iter().map(String::as_str).collect();
                text += &format!("| `{field}` | {} |\n", files.join(", "));
            }
        }
        text
    }
}

/// The names in a type.
fn names(ty: &Type) -> Vec<String> {
    struct Names(Vec<String>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            self.0.push(segment.ident.to_string());
            visit::visit_path_segment(self, segment);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_type(ty);
    names.0
}

/// The name of a type without its arguments.
fn head(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map_or_else(String::new, |it| it.ident.to_string()),
        _ => String::new(),
    }
}

fn has_field(source: &Source, name: &str) -> bool {
    source.items.iter().any(|item| match item {
        Item::Struct(item) => item
            .fields
            .iter()
            .any(|it| it.ident.as_ref().is_some_and(|ident| ident == name)),
        _ => false,
    })
}

/// Whether a file writes to a field of this name. A value of a type of this crate is changed by methods of that type.
fn writes(
    source: &Source,
    name: &str,
    known: &BTreeSet<String>,
    is_own: bool,
    has_own: bool,
) -> bool {
    let mut finder = Finder {
        name,
        known,
        is_own,
        has_own,
        found: false,
    };
    for item in &source.items {
        finder.visit_item(item);
    }
    finder.found
}

struct Finder<'a> {
    name: &'a str,
    /// The names of all fields of these folders.
    known: &'a BTreeSet<String>,
    is_own: bool,
    has_own: bool,
    found: bool,
}

impl Finder<'_> {
    /// Whether an expression is the field, or an element of it.
    fn is_field(&self, place: &Expr) -> bool {
        match place {
            Expr::Field(field) => match &field.member {
                // Writing a part of a field writes the field, if the field's type is not from these folders.
                syn::Member::Named(name) => {
                    name == self.name
                        || (!self.known.contains(&name.to_string()) && self.is_field(&field.base))
                }
                // The field is a tuple: writing a part of it writes the field.
                syn::Member::Unnamed(_) => self.is_field(&field.base),
            },
            Expr::Index(index) => !self.has_own && self.is_field(&index.expr),
            Expr::Unary(unary) => self.is_field(&unary.expr),
            Expr::Paren(paren) => self.is_field(&paren.expr),
            _ => false,
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr_assign(&mut self, assign: &'ast ExprAssign) {
        self.found |= self.is_field(&assign.left);
        visit::visit_expr_assign(self, assign);
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let is_assignment = matches!(
            binary.op,
            BinOp::AddAssign(_)
                | BinOp::SubAssign(_)
                | BinOp::MulAssign(_)
                | BinOp::BitAndAssign(_)
                | BinOp::BitOrAssign(_)
                | BinOp::BitXorAssign(_)
                | BinOp::ShlAssign(_)
                | BinOp::ShrAssign(_)
        );
        self.found |= is_assignment && self.is_field(&binary.left);
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let is_change = CHANGES.contains(&call.method.to_string().as_str());
        self.found |= is_change && !self.is_own && self.is_field(&call.receiver);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_reference(&mut self, reference: &'ast ExprReference) {
        let is_change = reference.mutability.is_some() && !self.is_own;
        self.found |= is_change && self.is_field(&reference.expr);
        visit::visit_expr_reference(self, reference);
    }
}
