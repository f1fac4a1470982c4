//! The key of a source: a hash of what the compiler sees, independent of comments and layout.
//!
//! It hashes one byte (0: tokens, 1: text) and then each token, or the text where the program can observe its own
//! layout (`line!`, `stringify!`, panic locations through a hook or `Location`). Documentation of items, fields and
//! variants does not count. Elsewhere it is an attribute that a macro may see or that the compiler refuses, so it does.
//!
//! This is sound because the key only names a cache entry: it decides whether an earlier compilation can be reused.
//! Results depend on the component's own key. Panic locations differ with layout, but a guest without the names above
//! cannot see them: they reach only messages and line tables, which no hash covers. They then refer to the text that
//! was compiled first.

use crate::guest::source::carried::Tokens;
use crate::guest::source::syntax::Syntax;
use crate::record::encoding::Encoder;
use crate::record::key::SourceKey;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const TOKENS: u8 = 0;
const TEXT: u8 = 1;

const END: u8 = 0;
const WORD: u8 = 1;
const LITERAL: u8 = 2;
const MARK: u8 = 3;
const GROUP: u8 = 4;
/// Added to the code of a token that the compiler reads together with the one before it.
const TOUCHES: u8 = 0x80;

/// Pairs of marks that the compiler joins into one token, so that a macro sees whether they touch.
const JOINED: [&str; 22] = [
    "==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "^=", "&=", "|=", "..", ".=", "::",
    "->", "<-", "=>",
];

pub(super) fn of_text(text: &str) -> SourceKey {
    let mut bytes = vec![TEXT];
    bytes.extend_from_slice(text.as_bytes());
    SourceKey::of(&bytes)
}

/// The key of a source's tokens, and the tokens.
pub(super) fn of_tokens(syntax: &Syntax) -> (SourceKey, Tokens) {
    let mut documents = Documents::default();
    documents.visit_file(&syntax.file);
    let mut writer = Writer { out: Encoder::new(), tokens: Tokens::default(), documents: documents.0 };
    writer.out.u8(TOKENS);
    writer.stream(syntax.tokens.clone());
    (SourceKey::of(&writer.out.finish()), writer.tokens)
}

struct Writer {
    out: Encoder,
    tokens: Tokens,
    /// Where documentation begins that does not count.
    documents: BTreeSet<usize>,
}

impl Writer {
    fn stream(&mut self, stream: TokenStream) {
        let mut before: Option<TokenTree> = None;
        let mut tokens = stream.into_iter();
        while let Some(token) = tokens.next() {
            if self.documents.contains(&token.span().byte_range().start) {
                // The rest of the attribute.
                tokens.by_ref().find(|token| matches!(token, TokenTree::Group(_)));
                before = None;
                continue;
            }
            let touches = if before.is_some_and(|before| touch(&before, &token)) { TOUCHES } else { 0 };
            match &token {
                TokenTree::Ident(word) => self.token(WORD | touches, &word.to_string()),
                TokenTree::Literal(literal) => {
                    self.tokens.literal(literal);
                    self.token(LITERAL | touches, &literal.to_string());
                }
                TokenTree::Punct(mark) => self.token(MARK | touches, mark.as_char().encode_utf8(&mut [0; 4])),
                TokenTree::Group(group) => {
                    self.token(GROUP, opening(group.delimiter()));
                    self.stream(group.stream());
                }
            }
            before = Some(token);
        }
        self.out.u8(END);
        self.tokens.push(END, "");
    }

    fn token(&mut self, code: u8, text: &str) {
        self.out.u8(code);
        self.out.str(text);
        self.tokens.push(code, text);
    }
}

/// Whether two tokens mean something else with a blank between them.
fn touch(before: &TokenTree, token: &TokenTree) -> bool {
    match (before, token) {
        (TokenTree::Group(_), _) | (_, TokenTree::Group(_)) => false,
        (TokenTree::Punct(a), TokenTree::Punct(b)) if (a.as_char(), b.as_char()) != ('#', '#') => {
            a.spacing() == Spacing::Joint && JOINED.contains(&String::from_iter([a.as_char(), b.as_char()]).as_str())
        }
        // Prefixes of literals, and forms that the language reserves for them: `x"y"`, `x#y`, `#"x"#`.
        (TokenTree::Punct(mark), _) | (_, TokenTree::Punct(mark)) if mark.as_char() != '#' => false,
        _ => before.span().byte_range().end == token.span().byte_range().start,
    }
}

fn opening(delimiter: Delimiter) -> &'static str {
    match delimiter {
        Delimiter::Parenthesis => "(",
        Delimiter::Brace => "{",
        Delimiter::Bracket => "[",
        Delimiter::None => "",
    }
}

/// The places of documentation that changes nothing for the compiler.
#[derive(Default)]
struct Documents(BTreeSet<usize>);

impl Documents {
    fn of(&mut self, attributes: &[syn::Attribute]) {
        let documents = attributes.iter().filter(|attribute| attribute.path().is_ident("doc"));
        self.0.extend(documents.map(|attribute| attribute.pound_token.span().byte_range().start));
    }
}

macro_rules! document {
    ($($method:ident: $node:ident,)+) => {
        $(fn $method(&mut self, node: &'a syn::$node) {
            self.of(&node.attrs);
            visit::$method(self, node);
        })+
    };
}

impl<'a> Visit<'a> for Documents {
    document! {
        visit_file: File,
        visit_item_const: ItemConst,
        visit_item_enum: ItemEnum,
        visit_item_fn: ItemFn,
        visit_item_impl: ItemImpl,
        visit_item_mod: ItemMod,
        visit_item_static: ItemStatic,
        visit_item_struct: ItemStruct,
        visit_item_trait: ItemTrait,
        visit_item_type: ItemType,
        visit_item_use: ItemUse,
        visit_impl_item_const: ImplItemConst,
        visit_impl_item_fn: ImplItemFn,
        visit_field: Field,
        visit_variant: Variant,
    }
}
