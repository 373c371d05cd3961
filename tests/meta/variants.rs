//! What the library reports, it makes: no variant of a public enum of outputs that nothing in the sources constructs.

use std::collections::BTreeSet;

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Item, Pat, Path, Token, Type, Visibility};

use crate::source::{Source, below};

/// Enums that programs make, and values of the wire, which are read out of numbers.
const INPUTS: [&str; 9] = [
    "Address",
    "Disconnected",
    "Multiplex",
    "OverflowPolicy",
    "RequestIds",
    "Retry",
    "RecordType",
    "ServerMode",
    "UnknownLength",
];

#[test]
fn every_variant_that_is_reported_is_made_somewhere() {
    let sources = below("");
    let kit = |it: &Source| it.path.starts_with("testkit/");
    let sources: Vec<Source> = sources.into_iter().filter(|it| !kit(it)).collect();
    let all = variants(&sources);
    assert!(all.len() > 100, "the variants: {}", all.len());
    for input in INPUTS {
        assert!(all.iter().any(|it| it.0 == input), "no enum {input}");
    }
    let never = never_made(&sources);
    assert!(never.is_empty(), "{never:#?}");
}

#[test]
fn a_variant_that_is_only_looked_at_is_none_that_is_made() {
    let code = "pub enum E { A, B(u8), C { c: u8 }, D, F(#[from] u8), G, H } enum Private { I } \
        impl E { const ALL: &[Self] = &[Self::G]; fn f() -> Self { Self::A } } \
        fn g(e: E) -> Vec<E> { match e { E::D | E::B(_) | E::C { .. } if e != E::G => vec![E::H] } }";
    let source = [Source::parse("error.rs", code)];
    assert_eq!(never_made(&source), ["E::B", "E::C", "E::D", "E::G"]);
}

type Variant = (String, String);

fn never_made(sources: &[Source]) -> Vec<String> {
    let mut finder = Made::default();
    for item in sources.iter().flat_map(|it| &it.items) {
        finder.visit_item(item);
    }
    let all = variants(sources).into_iter();
    let never = all.filter(|it| !INPUTS.contains(&&*it.0) && !finder.made.contains(it));
    never
        .map(|(name, variant)| format!("{name}::{variant}"))
        .collect()
}

/// The variants of all public enums.
fn variants(sources: &[Source]) -> BTreeSet<Variant> {
    let enums = sources.iter().flat_map(|it| &it.items);
    let enums = enums.filter_map(|item| match item {
        Item::Enum(item) if matches!(item.vis, Visibility::Public(_)) => Some(item),
        _ => None,
    });
    let names = enums.flat_map(|item| {
        let variants = item.variants.iter();
        variants.map(|it| (item.ident.to_string(), it.ident.to_string()))
    });
    names.collect()
}

/// Finds the variants that expressions make. One that is compared with is not made, nor one that a constant lists.
#[derive(Default)]
struct Made {
    own: Option<String>,
    made: BTreeSet<Variant>,
}

impl Made {
    fn add(&mut self, path: &Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        if let [.., name, variant] = &names[..] {
            let name = match &self.own {
                Some(own) if name == "Self" => own,
                _ => name,
            };
            self.made.insert((name.clone(), variant.clone()));
        }
    }
}

impl<'ast> Visit<'ast> for Made {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.own = match &*item.self_ty {
            Type::Path(it) => it.path.segments.last().map(|it| it.ident.to_string()),
            _ => None,
        };
        visit::visit_item_impl(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        for variant in &item.variants {
            let mut attributes = variant.fields.iter().flat_map(|it| &it.attrs);
            if attributes.any(|it| it.path().is_ident("from")) {
                let made = (item.ident.to_string(), variant.ident.to_string());
                self.made.insert(made);
            }
        }
    }

    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}

    fn visit_pat(&mut self, pat: &'ast Pat) {
        if !matches!(pat, Pat::Path(_)) {
            visit::visit_pat(self, pat);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let compares = matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_));
        for side in [&*binary.left, &*binary.right] {
            if !compares || !matches!(side, Expr::Path(_) | Expr::Call(_) | Expr::Struct(_)) {
                self.visit_expr(side);
            }
        }
    }

    fn visit_expr_path(&mut self, made: &'ast syn::ExprPath) {
        self.add(&made.path);
    }

    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        self.add(&made.path);
        visit::visit_expr_struct(self, made);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let list = Punctuated::<Expr, Token![,]>::parse_terminated;
        if !call.path.is_ident("matches")
            && let Ok(values) = call.parse_body_with(list)
        {
            let mut inner = Self {
                own: self.own.clone(),
                made: BTreeSet::new(),
            };
            values.iter().for_each(|it| inner.visit_expr(it));
            self.made.append(&mut inner.made);
        }
    }
}
