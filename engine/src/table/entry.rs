//! One key with what it holds: one allocation.
//!
//! ```text
//! bytes 0..8   the header: access word and flags, key size, value size
//!  8 bytes     the key's size, if it does not fit the header
//!  8 bytes     the expiry, if there is one
//! 24 bytes     the value, if it is an object or too large to be inline
//! then         the key, then an inline value
//! ```
//!
//! The form says what the value is and how it is stored: as bytes, inline or in a buffer of their
//! own, or as an object.
//!
//! # Invariants
//!
//! * The sizes and flags of the header describe the allocation; its size is a multiple of 16.
//! * Bytes are in a buffer of their own exactly if they are longer than `INLINE_SIZE_MAX`.
//! * An object form has an object of its type, a byte form has bytes.
//! * An [`EntryBox`] is the only owner of its allocation.

#![allow(unsafe_code, reason = "an entry's size is known at run time only")]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;
use std::slice;

use super::KeyHasher;
use crate::values::{Form, Object, Type};

/// The longest value that lies in the allocation of its key.
pub(crate) const INLINE_SIZE_MAX: usize = 1024;

/// The text of an integer and its size are at most so many times what it takes in bytes: an
/// intset's `-32768`, for one.
const PART_SHARE: usize = 4;

#[repr(C, align(8))]
struct Header {
    /// The access word in the low bits, flags in the high ones.
    meta: Cell<u32>,
    key_size: u16,
    /// Of an inline value.
    value_size: u16,
}

pub(super) const ACCESS_MASK: u32 = (1 << 24) - 1;
const EXPIRES: u32 = 1 << 24;
const RAW: u32 = 1 << 25;
const LARGE: u32 = 1 << 26;
const LONG_KEY: u32 = 1 << 27;
const FORM_SHIFT: u32 = 28;
const FORM_MASK: u32 = 0xf << FORM_SHIFT;

/// A value that is not inline.
#[derive(Debug)]
enum Apart {
    Bytes(Vec<u8>),
    Object(Box<Object>),
}

const HEADER_SIZE: usize = size_of::<Header>();
const _: () = assert!(HEADER_SIZE == 8);
const _: () = assert!(INLINE_SIZE_MAX <= u16::MAX as usize);
const _: () = assert!(align_of::<Apart>() <= align_of::<Header>());
const _: () = assert!(size_of::<Apart>() == 24);

fn field_size(flags: u32, flag: u32, size: usize) -> usize {
    if flags & flag == 0 { 0 } else { size }
}

fn expire_offset(flags: u32) -> usize {
    HEADER_SIZE + field_size(flags, LONG_KEY, 8)
}

fn apart_offset(flags: u32) -> usize {
    expire_offset(flags) + field_size(flags, EXPIRES, 8)
}

fn key_offset(flags: u32) -> usize {
    apart_offset(flags) + field_size(flags, LARGE, size_of::<Apart>())
}

/// Rounded as allocators round anyway, so that a value may grow a little in place.
fn allocation_size(flags: u32, key_size: usize, inline_size: usize) -> usize {
    (key_offset(flags) + key_size + inline_size).next_multiple_of(16)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, align_of::<Header>()).expect("keys are far below that limit")
}

/// What an entry has besides its key and its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) expire_ms: Option<u64>,
    pub(crate) is_raw: bool,
    pub(crate) access: u32,
    pub(crate) form: Form,
}

impl Attributes {
    fn flags(self) -> u32 {
        (self.access & ACCESS_MASK)
            | (self.form as u32) << FORM_SHIFT
            | if self.expire_ms.is_some() { EXPIRES } else { 0 }
            | if self.is_raw { RAW } else { 0 }
    }
}

/// One key with what it holds, borrowed from its keyspace.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    header: NonNull<Header>,
    owner: PhantomData<&'a EntryBox>,
}

impl<'a> Entry<'a> {
    fn header(self) -> &'a Header {
        // SAFETY: the entry is borrowed for 'a, and begins with a header.
        unsafe { self.header.as_ref() }
    }

    fn flags(self) -> u32 {
        self.header().meta.get()
    }

    fn at(self, offset: usize) -> *mut u8 {
        self.header.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    fn bytes(self, offset: usize, size: usize) -> &'a [u8] {
        // SAFETY: the callers stay within the allocation, in parts that were written when it was
        // made; it is borrowed for 'a.
        unsafe { slice::from_raw_parts(self.at(offset), size) }
    }

    fn key_size(self) -> usize {
        if self.flags() & LONG_KEY == 0 {
            usize::from(self.header().key_size)
        } else {
            // SAFETY: the flag says that the size is there, and the place is aligned.
            unsafe { self.at(HEADER_SIZE).cast::<usize>().read() }
        }
    }

    pub fn key(self) -> &'a [u8] {
        self.bytes(key_offset(self.flags()), self.key_size())
    }

    fn apart(self) -> Option<&'a Apart> {
        let flags = self.flags();
        if flags & LARGE == 0 {
            return None;
        }
        // SAFETY: the flag says that it is there, aligned, and it is borrowed for 'a.
        Some(unsafe { &*self.at(apart_offset(flags)).cast::<Apart>() })
    }

    /// What the value is and how it is stored.
    #[inline]
    pub(crate) fn form(self) -> Form {
        Form::of((self.flags() >> FORM_SHIFT) as u8)
    }

    /// What the value is.
    pub fn kind(self) -> Type {
        self.form().kind()
    }

    /// The value, if it is a string.
    #[inline]
    pub fn string(self) -> Option<&'a [u8]> {
        if self.flags() & FORM_MASK == 0 { self.packed() } else { None }
    }

    /// The value as it is stored, if it is stored as bytes.
    pub(crate) fn packed(self) -> Option<&'a [u8]> {
        match self.apart() {
            Some(Apart::Bytes(buffer)) => Some(buffer),
            Some(Apart::Object(_)) => None,
            None => {
                let offset = key_offset(self.flags()) + self.key_size();
                Some(self.bytes(offset, usize::from(self.header().value_size)))
            }
        }
    }

    /// The value, if it is stored as an object.
    pub(crate) fn object(self) -> Option<&'a Object> {
        match self.apart() {
            Some(Apart::Object(object)) => Some(object),
            Some(Apart::Bytes(_)) | None => None,
        }
    }

    /// When it expires: milliseconds since 1970.
    pub fn expire_ms(self) -> Option<u64> {
        let flags = self.flags();
        if flags & EXPIRES == 0 {
            return None;
        }
        // SAFETY: the flag says that the expiry is there, and the place is aligned.
        Some(unsafe { self.at(expire_offset(flags)).cast::<u64>().read() })
    }

    /// When it expires, or when the first of its fields does: not later. None: neither ever does.
    pub(crate) fn due_ms(self) -> Option<u64> {
        let own = self.expire_ms();
        if self.form() != Form::HashTable {
            return own;
        }
        let Some(Object::Hash(fields)) = self.object() else { return own };
        own.into_iter().chain(fields.first_expire_ms()).min()
    }

    /// Some of its fields expire.
    pub(crate) fn has_timed_fields(self) -> bool {
        self.form() == Form::HashTable
            && matches!(self.object(), Some(Object::Hash(fields)) if 0 < fields.timed())
    }

    /// Its time is over, or that of some of its fields may be.
    pub(crate) fn is_due(self, now_ms: u64) -> bool {
        self.due_ms().is_some_and(|due_ms| due_ms < now_ms)
    }

    /// Its time is over, as in Redis after the millisecond it names: it is to be hidden, and to be
    /// deleted by an effect.
    pub fn is_expired(self, now_ms: u64) -> bool {
        self.expire_ms().is_some_and(|expire_ms| expire_ms < now_ms)
    }

    /// The string was changed in place, which clients see as its encoding.
    pub fn is_raw(self) -> bool {
        self.flags() & RAW != 0
    }

    /// The access word: 24 bits whose meaning is the policy's.
    pub fn access(self) -> u32 {
        self.flags() & ACCESS_MASK
    }

    pub(super) fn set_access(self, access: u32) {
        self.header().meta.set((self.flags() & !ACCESS_MASK) | (access & ACCESS_MASK));
    }

    #[cfg(test)]
    pub(crate) fn set_access_for_tests(self, access: u32) {
        self.set_access(access);
    }

    /// Bytes allocated for it.
    pub fn size(self) -> usize {
        let apart = match self.apart() {
            None => 0,
            Some(Apart::Bytes(buffer)) => buffer.capacity(),
            Some(Apart::Object(object)) => object.size(),
        };
        self.allocation_size() + apart
    }

    /// The most bytes its parts take as elements of an effect.
    pub(crate) fn parts_size_max(self) -> usize {
        match self.object() {
            Some(object) => object.size(),
            None => PART_SHARE * self.packed().map_or(0, <[u8]>::len),
        }
    }

    /// No member of the set is longer.
    pub(crate) fn longest_part(self) -> usize {
        match self.object() {
            Some(Object::Set(members)) => members.longest(),
            _ => self.parts_size_max(),
        }
    }

    fn allocation_size(self) -> usize {
        let inline_size = usize::from(self.header().value_size);
        allocation_size(self.flags(), self.key_size(), inline_size)
    }

    pub(crate) fn attributes(self) -> Attributes {
        Attributes {
            expire_ms: self.expire_ms(),
            is_raw: self.is_raw(),
            access: self.access(),
            form: self.form(),
        }
    }

    pub(super) fn address(self) -> *const u8 {
        self.at(0)
    }

    pub(crate) fn check(self, hasher: &KeyHasher) {
        match self.packed() {
            Some(bytes) => {
                assert!(!self.form().is_object());
                assert!((INLINE_SIZE_MAX < bytes.len()) == self.apart().is_some());
            }
            None => {
                let object = self.object().expect("what is not bytes is an object");
                assert!(self.form() == object.form());
                object.check(hasher);
            }
        }
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("attributes", &self.attributes())
            .finish_non_exhaustive()
    }
}

/// Owns an entry. Owner: a bucket, an inverse or the garbage.
#[repr(transparent)]
pub(crate) struct EntryBox(NonNull<Header>);

// SAFETY: it owns its allocation alone, which holds plain bytes.
unsafe impl Send for EntryBox {}

impl EntryBox {
    /// An entry with an inline value of `size` bytes, zeroed before `fill` gets them.
    pub(crate) fn inline(
        key: &[u8],
        size: usize,
        attributes: Attributes,
        fill: impl FnOnce(&mut [u8]),
    ) -> Self {
        assert!(size <= INLINE_SIZE_MAX);
        let mut entry = Self::allocate(key, attributes, 0, size);
        fill(entry.inline_mut());
        entry
    }

    /// An entry whose bytes have a buffer of their own.
    pub(crate) fn large(key: &[u8], value: Vec<u8>, attributes: Attributes) -> Self {
        assert!(INLINE_SIZE_MAX < value.len());
        Self::apart(key, Apart::Bytes(value), attributes)
    }

    /// An entry that holds `object`, whose form it gets.
    pub(crate) fn object(key: &[u8], object: Box<Object>, attributes: Attributes) -> Self {
        let attributes = Attributes { form: object.form(), ..attributes };
        Self::apart(key, Apart::Object(object), attributes)
    }

    fn apart(key: &[u8], value: Apart, attributes: Attributes) -> Self {
        let entry = Self::allocate(key, attributes, LARGE, 0);
        let flags = entry.view().flags();
        let place = entry.view().at(apart_offset(flags)).cast::<Apart>();
        // SAFETY: the allocation has room for it there, aligned; `allocate` left an empty buffer,
        // which owns nothing and need not be dropped.
        unsafe { place.write(value) };
        entry
    }

    /// An entry that holds these bytes, whatever they mean.
    pub(crate) fn packed(key: &[u8], value: &[u8], attributes: Attributes) -> Self {
        assert!(!attributes.form.is_object());
        if value.len() <= INLINE_SIZE_MAX {
            Self::inline(key, value.len(), attributes, |bytes| bytes.copy_from_slice(value))
        } else {
            Self::large(key, value.to_vec(), attributes)
        }
    }

    fn allocate(key: &[u8], attributes: Attributes, large: u32, inline_size: usize) -> Self {
        let is_long = usize::from(u16::MAX) <= key.len();
        let flags = attributes.flags() | large | if is_long { LONG_KEY } else { 0 };
        let layout = layout(allocation_size(flags, key.len(), inline_size));
        // SAFETY: the size is not zero: it includes the header.
        let memory = unsafe { alloc::alloc(layout) };
        let Some(header) = NonNull::new(memory.cast::<Header>()) else {
            alloc::handle_alloc_error(layout)
        };
        let key_size = if is_long { u16::MAX } else { key.len() as u16 };
        let fields = Header { meta: Cell::new(flags), key_size, value_size: inline_size as u16 };
        // SAFETY: the memory is large enough and aligned for a header.
        unsafe { header.write(fields) };
        let at = |offset| memory.wrapping_add(offset);
        if is_long {
            // SAFETY: the flag made room for the size, aligned, behind the header.
            unsafe { at(HEADER_SIZE).cast::<usize>().write(key.len()) };
        }
        if let Some(expire_ms) = attributes.expire_ms {
            // SAFETY: the flag made room for the expiry, aligned.
            unsafe { at(expire_offset(flags)).cast::<u64>().write(expire_ms) };
        }
        if large != 0 {
            // SAFETY: the flag made room for the value, aligned.
            unsafe { at(apart_offset(flags)).cast::<Apart>().write(Apart::Bytes(Vec::new())) };
        }
        let offset = key_offset(flags);
        // SAFETY: the new allocation has room for the key there, and does not overlap it.
        unsafe { at(offset).copy_from_nonoverlapping(key.as_ptr(), key.len()) };
        // SAFETY: the rest of the allocation is not shorter than the value. What rounding adds is
        // never read before a value grew into it and wrote it.
        unsafe { at(offset + key.len()).write_bytes(0, inline_size) };
        Self(header)
    }

    pub(crate) fn view(&self) -> Entry<'_> {
        Entry { header: self.0, owner: PhantomData }
    }

    /// The value, if it is inline; empty if not.
    fn inline_mut(&mut self) -> &mut [u8] {
        let view = self.view();
        let size = usize::from(view.header().value_size);
        let place = view.at(key_offset(view.flags()) + view.key_size());
        // SAFETY: the inline value is there, was written, and is borrowed with the entry.
        unsafe { slice::from_raw_parts_mut(place, size) }
    }

    fn apart_mut(&mut self) -> Option<&mut Apart> {
        let view = self.view();
        let flags = view.flags();
        if flags & LARGE == 0 {
            return None;
        }
        // SAFETY: the flag says that it is there, aligned; it is borrowed with the entry.
        Some(unsafe { &mut *view.at(apart_offset(flags)).cast::<Apart>() })
    }

    /// The buffer of bytes that are not inline.
    pub(crate) fn buffer_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self.apart_mut()? {
            Apart::Bytes(buffer) => Some(buffer),
            Apart::Object(_) => None,
        }
    }

    /// The value, if it is stored as an object.
    pub(crate) fn object_mut(&mut self) -> Option<&mut Object> {
        match self.apart_mut()? {
            Apart::Object(object) => Some(object),
            Apart::Bytes(_) => None,
        }
    }

    /// Takes the object out, if there is one, and leaves an empty string.
    pub(crate) fn take_object(&mut self) -> Option<Box<Object>> {
        self.object_mut()?;
        let attributes = Attributes { form: Form::String, ..self.view().attributes() };
        let emptied = Self::packed(self.view().key(), b"", attributes);
        let mut old = mem::replace(self, emptied);
        let apart = old.apart_mut().expect("the object is there");
        match mem::replace(apart, Apart::Bytes(Vec::new())) {
            Apart::Object(object) => Some(object),
            Apart::Bytes(_) => unreachable!("it was an object"),
        }
    }

    /// Stores the value as an object.
    pub(crate) fn set_object(&mut self, object: Box<Object>) {
        *self = Self::object(self.view().key(), object, self.view().attributes());
    }

    /// Stores the value as these bytes, in a byte form.
    pub(crate) fn set_packed(&mut self, form: Form, value: &[u8]) {
        let attributes = Attributes { form, ..self.view().attributes() };
        let is_kept = form == self.view().form();
        if !(is_kept && self.overwrite(value, attributes.expire_ms)) {
            *self = Self::packed(self.view().key(), value, attributes);
        }
    }

    /// Changes bytes, which stay in their form. `scratch` serves inline ones.
    pub(crate) fn edit<R>(
        &mut self,
        scratch: &mut Vec<u8>,
        change: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let form = self.view().form();
        assert!(!form.is_object());
        if let Some(buffer) = self.buffer_mut() {
            let result = change(buffer);
            if buffer.len() <= INLINE_SIZE_MAX {
                let value = mem::take(buffer);
                self.set_packed(form, &value);
            }
            return result;
        }
        scratch.clear();
        scratch.extend_from_slice(self.inline_mut());
        let result = change(scratch);
        self.set_packed(form, scratch);
        result
    }

    /// Changes bytes within the allocation, if they stay as large; the flag `raw` goes.
    pub(crate) fn overwrite(&mut self, value: &[u8], expire_ms: Option<u64>) -> bool {
        let view = self.view();
        let flags = view.flags();
        let key_size = view.key_size();
        if flags & LARGE != 0
            || (flags & EXPIRES != 0) != expire_ms.is_some()
            || INLINE_SIZE_MAX < value.len()
            || allocation_size(flags, key_size, value.len()) != view.allocation_size()
        {
            return false;
        }
        let place = view.at(key_offset(flags) + key_size);
        // SAFETY: an allocation of this size has room for the value, which is not part of it.
        unsafe { place.copy_from_nonoverlapping(value.as_ptr(), value.len()) };
        // SAFETY: the entry is borrowed exclusively.
        let header = unsafe { self.0.as_mut() };
        header.value_size = value.len() as u16;
        header.meta.set(flags & !RAW);
        if expire_ms.is_some() {
            self.set_expire(expire_ms);
        }
        true
    }

    pub(crate) fn set_expire(&mut self, expire_ms: Option<u64>) {
        let view = self.view();
        let flags = view.flags();
        if (flags & EXPIRES != 0) != expire_ms.is_some() {
            *self = self.with(expire_ms);
            return;
        }
        if let Some(expire_ms) = expire_ms {
            // SAFETY: the flag says that the expiry is there, and the place is aligned.
            unsafe { view.at(expire_offset(flags)).cast::<u64>().write(expire_ms) };
        }
    }

    /// The same with another expiry; takes a value over that is not inline.
    fn with(&mut self, expire_ms: Option<u64>) -> Self {
        let attributes = Attributes { expire_ms, ..self.view().attributes() };
        if let Some(apart) = self.apart_mut() {
            let value = mem::replace(apart, Apart::Bytes(Vec::new()));
            return Self::apart(self.view().key(), value, attributes);
        }
        let value = self.view().packed().expect("what is inline is bytes");
        Self::packed(self.view().key(), value, attributes)
    }

    /// The same value under another key.
    pub(crate) fn renamed(mut self, key: &[u8]) -> Self {
        let attributes = self.view().attributes();
        if let Some(apart) = self.apart_mut() {
            let value = mem::replace(apart, Apart::Bytes(Vec::new()));
            return Self::apart(key, value, attributes);
        }
        Self::packed(key, self.view().packed().expect("what is inline is bytes"), attributes)
    }

    /// A copy of an entry that is stored as bytes.
    pub(crate) fn copy(&self) -> Option<Self> {
        let view = self.view();
        Some(Self::packed(view.key(), view.packed()?, view.attributes()))
    }

    pub(crate) fn set_raw(&mut self, is_raw: bool) {
        let flags = self.view().flags() & !RAW;
        self.view().header().meta.set(if is_raw { flags | RAW } else { flags });
    }
}

impl Drop for EntryBox {
    fn drop(&mut self) {
        let layout = layout(self.view().allocation_size());
        if let Some(apart) = self.apart_mut() {
            drop(mem::replace(apart, Apart::Bytes(Vec::new())));
        }
        // SAFETY: it was allocated with this layout, and nothing else owns it.
        unsafe { alloc::dealloc(self.0.as_ptr().cast(), layout) };
    }
}

impl fmt::Debug for EntryBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// An entry by its address, which does not change while the entry is in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryPointer(NonNull<Header>);

// SAFETY: it is an address; whoever reads what is there keeps that from changing meanwhile.
unsafe impl Send for EntryPointer {}

impl EntryPointer {
    /// Points to nothing, and is never read through.
    pub(super) const DANGLING: Self = Self(NonNull::dangling());

    pub(super) fn to(entry: Entry<'_>) -> Self {
        Self(entry.header)
    }

    pub(super) fn address(self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    /// # Safety
    ///
    /// The entry is neither freed nor changed for as long as `'a`.
    pub(super) unsafe fn entry<'a>(self) -> Entry<'a> {
        Entry { header: self.0, owner: PhantomData }
    }
}
