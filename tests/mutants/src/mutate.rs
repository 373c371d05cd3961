//! Rewrites a source file so that it holds all of its mutants, each behind a switch.
//!
//! `a + b` becomes `if active(7) { a - b } else if active(8) { a * b } else { a + b }`; a function begins with
//! `if active(9) { return Default::default(); }`. One build then serves all of them.

use std::collections::BTreeSet;

use proc_macro2::{LineColumn, Literal, Span};
use quote::{ToTokens, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Block, Expr, Signature, Stmt, UnOp, parse_quote};

use crate::returns;

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    pub(crate) id: u32,
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// What is changed into what, and in which function.
    pub(crate) what: String,
}

impl Mutant {
    pub(crate) fn name(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }

    /// Lines and columns change with every edit: a survivor is known by file, mutation and function.
    pub(crate) fn known_as(&self) -> String {
        format!("{}: {}", self.file, self.what)
    }
}

/// A file with its mutants in it. Those in `left_out` do not compile; they keep their numbers.
pub(crate) fn mutate(
    file: &str,
    source: &str,
    first_id: u32,
    left_out: &BTreeSet<u32>,
) -> syn::Result<(String, Vec<Mutant>)> {
    let mut tree = syn::parse_file(source)?;
    let mut mutator = Mutator {
        file,
        next_id: first_id,
        left_out,
        scope: Vec::new(),
        mutants: Vec::new(),
    };
    mutator.visit_file_mut(&mut tree);
    Ok((prettyplease::unparse(&tree), mutator.mutants))
}

struct Mutator<'a> {
    file: &'a str,
    next_id: u32,
    left_out: &'a BTreeSet<u32>,
    /// Type and function.
    scope: Vec<String>,
    mutants: Vec<Mutant>,
}

impl Mutator<'_> {
    /// A number for a mutant, if it is to be put in.
    fn note(&mut self, at: LineColumn, what: String) -> Option<Literal> {
        let id = self.next_id;
        self.next_id += 1;
        self.mutants.push(Mutant {
            id,
            file: self.file.to_owned(),
            line: at.line,
            column: at.column + 1,
            what,
        });
        (!self.left_out.contains(&id)).then(|| Literal::u32_unsuffixed(id))
    }

    fn function(&self) -> String {
        self.scope.join("::")
    }

    fn within(&mut self, name: String, inner: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        inner(self);
        self.scope.pop();
    }

    /// A function: what it returns, then what is in it.
    fn function_body(&mut self, signature: &Signature, block: &mut Block) {
        // Without a switch: nothing can be looked up in there.
        if signature.constness.is_some() {
            return;
        }
        let at = block.stmts.first().map(|first| first_span(first).start());
        visit_mut::visit_block_mut(self, block);
        let Some(at) = at else {
            return;
        };
        let returned = match &signature.output {
            syn::ReturnType::Default => String::new(),
            syn::ReturnType::Type(_, returned) => format!(" -> {}", text(returned)),
        };
        let mut switches: Vec<Stmt> = Vec::new();
        for value in returns::instead_of(&signature.output) {
            let what = format!(
                "replace {}{returned} with {}",
                self.function(),
                text(&value)
            );
            if let Some(id) = self.note(at, what) {
                switches.push(parse_quote! { if crate::mutant::active(#id) { return #value; } });
            }
        }
        block.stmts.splice(0..0, switches);
    }

    fn binary(&mut self, whole: &mut Expr) {
        let original = whole.clone();
        let (Expr::Binary(inside), Expr::Binary(before)) = (&mut *whole, &original) else {
            return;
        };
        self.visit_expr_mut(&mut inside.left);
        self.visit_expr_mut(&mut inside.right);
        // `a && let b = c` is no expression.
        if has_let(&original) {
            return;
        }
        let at = span_of(&before.op).start();
        let mut chain = whole.clone();
        for other in other_operators(&before.op) {
            let (from, to) = (text(&before.op), text(&other));
            let what = format!("replace {from} with {to} in {}", self.function());
            if let Some(id) = self.note(at, what) {
                let mut changed = before.clone();
                changed.op = other;
                chain =
                    parse_quote! { (if crate::mutant::active(#id) { #changed } else { #chain }) };
            }
        }
        *whole = chain;
    }

    fn unary(&mut self, whole: &mut Expr) {
        let original = whole.clone();
        let (Expr::Unary(inside), Expr::Unary(before)) = (&mut *whole, &original) else {
            return;
        };
        self.visit_expr_mut(&mut inside.expr);
        let sign = match before.op {
            UnOp::Not(_) => "!",
            UnOp::Neg(_) => "-",
            _ => return,
        };
        let what = format!("delete {sign} in {}", self.function());
        if let Some(id) = self.note(span_of(&before.op).start(), what) {
            let operand = &before.expr;
            *whole = parse_quote! { (if crate::mutant::active(#id) { #operand } else { #whole }) };
        }
    }

    fn arms(&mut self, arms: &mut [syn::Arm]) {
        let has_wild = arms
            .iter()
            .any(|arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none());
        for arm in arms {
            let at = first_span(&arm.pat).start();
            let (pattern, function) = (text(&arm.pat), self.function());
            if let Some((_, guard)) = &mut arm.guard {
                let at = first_span(&guard).start();
                let condition = text(&guard);
                self.visit_expr_mut(guard);
                if !has_let(guard) {
                    for (value, is_true) in [("true", true), ("false", false)] {
                        let what =
                            format!("replace match guard {condition} with {value} in {function}");
                        if let Some(id) = self.note(at, what) {
                            **guard = if is_true {
                                parse_quote! { (crate::mutant::active(#id) || (#guard)) }
                            } else {
                                parse_quote! { (!crate::mutant::active(#id) && (#guard)) }
                            };
                        }
                    }
                }
            } else if has_wild && !matches!(arm.pat, syn::Pat::Wild(_)) {
                let what = format!("delete match arm {pattern} in {function}");
                if let Some(id) = self.note(at, what) {
                    let guard = parse_quote! { !crate::mutant::active(#id) };
                    arm.guard = Some((Default::default(), guard));
                }
            }
            self.visit_expr_mut(&mut arm.body);
        }
    }
}

impl VisitMut for Mutator<'_> {
    fn visit_item_mod_mut(&mut self, item: &mut syn::ItemMod) {
        if !is_left_out(&item.attrs) {
            visit_mut::visit_item_mod_mut(self, item);
        }
    }

    fn visit_item_impl_mut(&mut self, item: &mut syn::ItemImpl) {
        if is_left_out(&item.attrs) {
            return;
        }
        let of = &item.self_ty;
        let name = match &item.trait_ {
            Some((_, of_trait, _)) => format!("<impl {} for {}>", text(of_trait), text(of)),
            None => bare_name(of),
        };
        self.within(name, |inner| visit_mut::visit_item_impl_mut(inner, item));
    }

    fn visit_item_trait_mut(&mut self, item: &mut syn::ItemTrait) {
        let name = item.ident.to_string();
        self.within(name, |inner| visit_mut::visit_item_trait_mut(inner, item));
    }

    fn visit_item_fn_mut(&mut self, item: &mut syn::ItemFn) {
        if is_left_out(&item.attrs) {
            return;
        }
        let name = item.sig.ident.to_string();
        self.within(name, |inner| {
            inner.function_body(&item.sig, &mut item.block)
        });
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut syn::ImplItemFn) {
        if is_left_out(&item.attrs) {
            return;
        }
        let name = item.sig.ident.to_string();
        self.within(name, |inner| {
            inner.function_body(&item.sig, &mut item.block)
        });
    }

    fn visit_trait_item_fn_mut(&mut self, item: &mut syn::TraitItemFn) {
        let name = item.sig.ident.to_string();
        if let Some(block) = &mut item.default {
            self.within(name, |inner| inner.function_body(&item.sig, block));
        }
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Binary(_) => self.binary(expr),
            Expr::Unary(_) => self.unary(expr),
            Expr::Match(inner) => {
                self.visit_expr_mut(&mut inner.expr);
                self.arms(&mut inner.arms);
            }
            // Its length is a constant.
            Expr::Repeat(inner) => self.visit_expr_mut(&mut inner.expr),
            Expr::Const(_) => {}
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }

    // Constants, and what only looks like an expression.
    fn visit_item_const_mut(&mut self, _: &mut syn::ItemConst) {}
    fn visit_item_static_mut(&mut self, _: &mut syn::ItemStatic) {}
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_trait_item_const_mut(&mut self, _: &mut syn::TraitItemConst) {}
    fn visit_item_enum_mut(&mut self, _: &mut syn::ItemEnum) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
    fn visit_generic_argument_mut(&mut self, _: &mut syn::GenericArgument) {}
    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}
}

/// The operators that a mutant has instead.
fn other_operators(op: &BinOp) -> Vec<BinOp> {
    match op {
        BinOp::Eq(_) => vec![parse_quote!(!=)],
        BinOp::Ne(_) => vec![parse_quote!(==)],
        BinOp::And(_) => vec![parse_quote!(||)],
        BinOp::Or(_) => vec![parse_quote!(&&)],
        BinOp::Lt(_) => vec![parse_quote!(==), parse_quote!(>), parse_quote!(<=)],
        BinOp::Gt(_) => vec![parse_quote!(==), parse_quote!(<), parse_quote!(>=)],
        BinOp::Le(_) => vec![parse_quote!(>)],
        BinOp::Ge(_) => vec![parse_quote!(<)],
        BinOp::Add(_) => vec![parse_quote!(-), parse_quote!(*)],
        BinOp::Sub(_) => vec![parse_quote!(+), parse_quote!(/)],
        BinOp::Mul(_) => vec![parse_quote!(+), parse_quote!(/)],
        BinOp::Div(_) => vec![parse_quote!(%), parse_quote!(*)],
        BinOp::Rem(_) => vec![parse_quote!(/), parse_quote!(+)],
        BinOp::Shl(_) => vec![parse_quote!(>>)],
        BinOp::Shr(_) => vec![parse_quote!(<<)],
        BinOp::BitAnd(_) => vec![parse_quote!(|), parse_quote!(^)],
        BinOp::BitOr(_) => vec![parse_quote!(&), parse_quote!(^)],
        BinOp::BitXor(_) => vec![parse_quote!(|), parse_quote!(&)],
        BinOp::AddAssign(_) => vec![parse_quote!(-=), parse_quote!(*=)],
        BinOp::SubAssign(_) => vec![parse_quote!(+=), parse_quote!(/=)],
        BinOp::MulAssign(_) => vec![parse_quote!(+=), parse_quote!(/=)],
        BinOp::BitAndAssign(_) => vec![parse_quote!(|=), parse_quote!(^=)],
        BinOp::BitOrAssign(_) => vec![parse_quote!(&=), parse_quote!(^=)],
        BinOp::BitXorAssign(_) => vec![parse_quote!(|=), parse_quote!(&=)],
        BinOp::ShlAssign(_) => vec![parse_quote!(>>=)],
        BinOp::ShrAssign(_) => vec![parse_quote!(<<=)],
        BinOp::DivAssign(_) => vec![parse_quote!(%=), parse_quote!(*=)],
        BinOp::RemAssign(_) => vec![parse_quote!(/=), parse_quote!(+=)],
        _ => Vec::new(),
    }
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(inner) => has_let(&inner.left) || has_let(&inner.right),
        _ => false,
    }
}

/// What only tests are built with, and what this system does not build.
fn is_left_out(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let written = quote!(#attribute).to_string();
        let elsewhere = cfg!(unix) && written.contains("not (unix)");
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg") && (written.contains("test") || elsewhere))
    })
}

/// The name of a type, without its parameters.
fn bare_name(of: &syn::Type) -> String {
    match of {
        syn::Type::Path(path) => path.path.segments.last().map(|it| it.ident.to_string()),
        _ => None,
    }
    .unwrap_or_else(|| text(of))
}

fn first_span(tokens: &impl ToTokens) -> Span {
    let mut tokens = tokens.to_token_stream().into_iter();
    tokens
        .next()
        .map_or_else(Span::call_site, |token| token.span())
}

fn span_of(tokens: &impl ToTokens) -> Span {
    first_span(tokens)
}

/// As it would be written, more or less.
pub(crate) fn text(tokens: &impl ToTokens) -> String {
    let spaced = tokens.to_token_stream().to_string();
    let mut tight = spaced;
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        ("( ", "("),
        (" )", ")"),
        (" (", "("),
        (" . ", "."),
        ("& '", "&'"),
        (" [", "["),
        ("[ ", "["),
        (" ]", "]"),
        ("! [", "!["),
    ] {
        tight = tight.replace(from, to);
    }
    tight
}
