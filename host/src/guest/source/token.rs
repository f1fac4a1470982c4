//! The tokens of a source as the compiler sees them: without comments and layout, and without the documentation of
//! items, fields and variants. Elsewhere documentation is an attribute that a macro may see or that the compiler
//! refuses, so it stays.

use crate::guest::source::syntax::Syntax;
use proc_macro2::{Delimiter, Literal, Spacing, TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Digits of a number that count as one byte. A byte has up to three decimal digits, or two hexadecimal ones.
const DIGITS_PER_BYTE: u64 = 2;

pub(super) const END: u8 = 0;
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

/// A token as the compiler sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token {
    /// Its kind: a byte that no text has.
    pub code: u8,
    pub text: String,
    /// Bytes of data, if it is a literal.
    pub data_bytes: u64,
}

impl Token {
    pub(super) fn is_literal(&self) -> bool {
        self.code & !TOUCHES == LITERAL
    }

    /// Whether it is a name or a keyword.
    pub(super) fn is_word(&self) -> bool {
        self.code & !TOUCHES == WORD
    }

    pub(super) fn is_mark(&self) -> bool {
        self.code & !TOUCHES == MARK
    }

    /// Whether it opens a group.
    pub(super) fn is_group(&self) -> bool {
        self.code == GROUP
    }

    /// Whether it closes a group or the file, rather than being written by itself.
    pub(super) fn is_end(&self) -> bool {
        self.code == END
    }
}

/// The tokens of a source, without the documentation of items.
pub(super) fn tokens(syntax: &Syntax) -> Vec<Token> {
    placed(syntax).into_iter().map(|(token, _)| token).collect()
}

/// The tokens of a source, without the documentation of items, and where each ends in the text.
pub(super) fn placed(syntax: &Syntax) -> Vec<(Token, usize)> {
    let mut documents = Documents::default();
    documents.visit_file(&syntax.file);
    let mut reader = Reader { out: Vec::new(), documents: documents.0 };
    reader.stream(syntax.tokens.clone(), syntax.text.len());
    reader.out
}

struct Reader {
    out: Vec<(Token, usize)>,
    /// Where documentation begins that does not count.
    documents: BTreeSet<usize>,
}

impl Reader {
    /// Reads a group or the file, which ends at a place in the text.
    fn stream(&mut self, stream: TokenStream, end: usize) {
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
            let ends = token.span().byte_range().end;
            match &token {
                TokenTree::Ident(word) => self.token(WORD | touches, &word.to_string(), 0, ends),
                TokenTree::Literal(literal) => {
                    self.token(LITERAL | touches, &literal.to_string(), literal_bytes(literal), ends);
                }
                TokenTree::Punct(mark) => self.token(MARK | touches, mark.as_char().encode_utf8(&mut [0; 4]), 0, ends),
                TokenTree::Group(group) => {
                    self.token(GROUP, opening(group.delimiter()), 0, group.span_open().byte_range().end);
                    self.stream(group.stream(), ends);
                }
            }
            before = Some(token);
        }
        self.token(END, "", 0, end);
    }

    fn token(&mut self, code: u8, text: &str, data_bytes: u64, end: usize) {
        self.out.push((Token { code, text: text.to_owned(), data_bytes }, end));
    }
}

fn literal_bytes(literal: &Literal) -> u64 {
    use syn::Lit;
    match Lit::new(literal.clone()) {
        Lit::Str(text) => text.value().len() as u64,
        Lit::ByteStr(bytes) => bytes.value().len() as u64,
        Lit::CStr(text) => text.value().as_bytes().len() as u64,
        Lit::Char(letter) => letter.value().len_utf8() as u64,
        Lit::Byte(_) | Lit::Bool(_) => 1,
        Lit::Int(number) => (number.base10_digits().len() as u64).div_ceil(DIGITS_PER_BYTE),
        Lit::Float(number) => (number.base10_digits().len() as u64).div_ceil(DIGITS_PER_BYTE),
        _ => literal.to_string().len() as u64,
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
