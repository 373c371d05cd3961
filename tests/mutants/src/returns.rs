//! What a function can be made to return instead.

use syn::{Expr, GenericArgument, PathArguments, ReturnType, Type, parse_quote};

/// Values of the type, simple ones; none where nothing simple is known.
pub(crate) fn instead_of(returned: &ReturnType) -> Vec<Expr> {
    match returned {
        ReturnType::Default => vec![parse_quote!(())],
        ReturnType::Type(_, of) => values(of),
    }
}

fn values(of: &Type) -> Vec<Expr> {
    match of {
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Vec::new();
            };
            let arguments = type_arguments(&last.arguments);
            named(&last.ident.to_string(), &arguments)
        }
        Type::Tuple(tuple) if tuple.elems.is_empty() => vec![parse_quote!(())],
        Type::Tuple(tuple) => {
            let each: Vec<Vec<Expr>> = tuple.elems.iter().map(values).collect();
            let most = each.iter().map(Vec::len).max().unwrap_or_default();
            if each.iter().any(Vec::is_empty) {
                return Vec::new();
            }
            // Not all combinations: each value of each once.
            (0..most)
                .map(|index| {
                    let elements = each.iter().map(|values| &values[index % values.len()]);
                    parse_quote!((#(#elements),*))
                })
                .collect()
        }
        Type::Reference(reference) if reference.mutability.is_none() => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => {
                vec![parse_quote!(""), parse_quote!("xyzzy")]
            }
            Type::Slice(slice) => match &*slice.elem {
                Type::Path(path) if path.path.is_ident("u8") => {
                    vec![parse_quote!(b""), parse_quote!(b"x")]
                }
                _ => vec![parse_quote!(&[])],
            },
            _ => Vec::new(),
        },
        Type::ImplTrait(_) | Type::Never(_) => Vec::new(),
        _ => vec![parse_quote!(Default::default())],
    }
}

fn named(name: &str, arguments: &[Type]) -> Vec<Expr> {
    let first = || arguments.first().map(values).unwrap_or_default();
    match name {
        "bool" => vec![parse_quote!(true), parse_quote!(false)],
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64"
        | "isize" => {
            vec![parse_quote!(0), parse_quote!(1)]
        }
        "f64" | "f32" => vec![parse_quote!(0.0), parse_quote!(1.0)],
        "String" => vec![parse_quote!(String::new()), parse_quote!("xyzzy".into())],
        "Option" => {
            let mut all: Vec<Expr> = vec![parse_quote!(None)];
            all.extend(
                first()
                    .iter()
                    .map(|value| -> Expr { parse_quote!(Some(#value)) }),
            );
            all
        }
        "Result" if arguments.is_empty() => vec![parse_quote!(Ok(Default::default()))],
        "Result" => first()
            .iter()
            .map(|value| parse_quote!(Ok(#value)))
            .collect(),
        "Vec" => {
            let mut all: Vec<Expr> = vec![parse_quote!(vec![])];
            all.extend(
                first()
                    .first()
                    .map(|value| -> Expr { parse_quote!(vec![#value]) }),
            );
            all
        }
        "Box" => first()
            .iter()
            .map(|value| parse_quote!(Box::new(#value)))
            .collect(),
        _ => vec![parse_quote!(Default::default())],
    }
}

fn type_arguments(arguments: &PathArguments) -> Vec<Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(of) => Some(of.clone()),
        _ => None,
    });
    types.collect()
}
