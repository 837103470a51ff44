//! Lists in parts: page sizes, and tokens that only fit the list that made them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use burgee_core::Violation;
use burgee_core::store::Page;
use prost::Message;
use sha2::{Digest as _, Sha256};

/// Items of a page whose request does not say.
const DEFAULT_ITEMS: usize = 100;
/// The most items of a page.
const MAXIMUM_ITEMS: usize = 1_000;
/// A page ends before it has more bytes than this: clients commonly refuse messages above 4 MiB.
const PAGE_BYTES: usize = 3 * 1024 * 1024;
/// Bytes of a token that say which list it belongs to.
const LIST_BYTES: usize = 8;

/// One request for a part of a list.
#[derive(Debug)]
pub(crate) struct Paging {
    /// The most items to return.
    pub(crate) items: usize,
    /// The id of the last item before the part.
    pub(crate) after: Option<String>,
    list: [u8; LIST_BYTES],
}

impl Paging {
    /// Checks the fields `page_size` and `page_token`. The list is told by its kind, its parent, its filter and so on.
    pub(crate) fn parse(page_size: i32, page_token: &str, list: &[&str]) -> Result<Self, Violation> {
        let items = match usize::try_from(page_size) {
            Ok(0) => DEFAULT_ITEMS,
            Ok(size) => size.min(MAXIMUM_ITEMS),
            Err(_) => return Err(Violation::new("page_size", "must not be negative")),
        };
        let list = digest(list);
        let after = match page_token {
            "" => None,
            token => {
                let wrong =
                    || Violation::new("page_token", "must be the `next_page_token` of this very list");
                Some(open(token, list).ok_or_else(wrong)?)
            }
        };
        Ok(Self { items, after, list })
    }

    /// Returns what to ask the store for: one item more than the page has, to know whether there are more.
    pub(crate) fn query(&self) -> Page {
        Page { after: self.after.clone(), limit: self.items + 1 }
    }

    /// Makes a page of the items that the store returned, and the token of the next, if there is one.
    pub(crate) fn cut<T, W>(&self, items: Vec<T>, id: impl Fn(&T) -> String) -> (Vec<W>, String)
    where
        W: Message + for<'a> From<&'a T>,
    {
        let mut filling = Filling::new(self.items);
        let mut last = None;
        for item in &items {
            if !filling.push(item.into()) {
                return (filling.page, last.map(|last| self.token(&id(last))).unwrap_or_default());
            }
            last = Some(item);
        }
        (filling.page, String::new())
    }

    /// Returns the token of the page behind this id.
    pub(crate) fn token(&self, id: &str) -> String {
        let mut bytes = self.list.to_vec();
        bytes.extend_from_slice(id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// A page that is being filled.
pub(crate) struct Filling<W> {
    /// What it has so far.
    pub(crate) page: Vec<W>,
    items: usize,
    bytes: usize,
}

impl<W: Message> Filling<W> {
    /// Begins a page of at most so many items.
    pub(crate) fn new(items: usize) -> Self {
        Self { page: Vec::new(), items, bytes: 0 }
    }

    /// Adds an item and returns true, or returns false if the page is full. The first always fits.
    pub(crate) fn push(&mut self, item: W) -> bool {
        let bytes = self.bytes + item.encoded_len();
        if !self.page.is_empty() && (self.page.len() == self.items || bytes > PAGE_BYTES) {
            return false;
        }
        self.page.push(item);
        self.bytes = bytes;
        true
    }
}

fn digest(list: &[&str]) -> [u8; LIST_BYTES] {
    let mut hash = Sha256::new();
    for part in list {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; LIST_BYTES];
    bytes.copy_from_slice(&hash.finalize()[..LIST_BYTES]);
    bytes
}

/// Returns the id in a token of this list.
fn open(token: &str, list: [u8; LIST_BYTES]) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let id = bytes.strip_prefix(&list)?;
    String::from_utf8(id.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[&str] = &["features", "organisations/acme/projects/shop"];

    /// An item of a list, whose wire form has about as many bytes as it says.
    struct Item(usize);

    impl From<&Item> for prost_types::FileDescriptorProto {
        fn from(item: &Item) -> Self {
            Self { name: Some("x".repeat(item.0)), ..Default::default() }
        }
    }

    fn cut(size: i32, items: &[usize]) -> (usize, String) {
        let paging = Paging::parse(size, "", LIST).unwrap();
        let items = items.iter().map(|bytes| Item(*bytes)).collect();
        let (page, token) =
            paging.cut::<_, prost_types::FileDescriptorProto>(items, |item| item.0.to_string());
        (page.len(), token)
    }

    #[test]
    fn a_page_size_has_a_default_and_a_maximum() {
        for (size, items) in
            [(0, Some(100)), (1, Some(1)), (1_000, Some(1_000)), (1_001, Some(1_000)), (-1, None)]
        {
            let paging = Paging::parse(size, "", LIST);
            assert_eq!(paging.as_ref().ok().map(|paging| paging.items), items);
            assert!(paging.is_ok() || paging.unwrap_err().field == "page_size");
        }
    }

    #[test]
    fn there_is_a_token_only_if_there_is_more() {
        assert_eq!(cut(2, &[1, 2]), (2, String::new()));
        assert_eq!(cut(2, &[]), (0, String::new()));
        let (length, token) = cut(2, &[1, 2, 3]);
        assert_eq!(length, 2);
        assert_eq!(
            Paging::parse(2, &token, LIST).unwrap().query(),
            Page { after: Some("2".into()), limit: 3 }
        );
    }

    #[test]
    fn a_page_ends_before_it_has_too_many_bytes() {
        let (length, token) = cut(10, &[PAGE_BYTES / 2, PAGE_BYTES / 3, PAGE_BYTES / 3]);
        assert_eq!(length, 2);
        assert_eq!(Paging::parse(9, &token, LIST).unwrap().after, Some((PAGE_BYTES / 3).to_string()));
        assert_eq!(cut(10, &[PAGE_BYTES * 2]), (1, String::new()));
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let token = Paging::parse(0, "", LIST).unwrap().token("a");
        for other in [
            &["features", "organisations/acme/projects/shops"][..],
            &["features"],
            &["featuresorganisations"],
        ] {
            assert_eq!(Paging::parse(0, &token, other).unwrap_err().field, "page_token");
        }
        for token in ["x", "%", "AAAA", "AAAAAAAAAAAAAAAA"] {
            assert!(Paging::parse(0, token, LIST).is_err(), "{token}");
        }
    }
}
