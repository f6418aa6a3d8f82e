//! A sink that writes replies as text, for tests to compare.

use std::fmt::Write;

use super::*;

/// Whole replies as text, each element with RESP3's sign before it: `*2[$a, :1]`, `%1{$key: +OK}`.
/// A null is `_`, RESP2's null array `*_`.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    /// Aggregates begun and not complete: elements to come, how it closes, is it a map.
    open: Vec<(usize, char, Shape)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    List,
    Map,
}

impl Text {
    /// The text of the replies written, which must be whole.
    pub(crate) fn take(&mut self) -> String {
        assert!(self.open.is_empty(), "an aggregate lacks elements: {}", self.text);
        std::mem::take(&mut self.text)
    }

    fn put(&mut self, element: &str) {
        self.text.push_str(element);
        self.close_complete();
    }

    fn begin(&mut self, sign: char, count: usize, brackets: [char; 2], shape: Shape) {
        write!(self.text, "{sign}{count}{}", brackets[0]).expect("a string takes any text");
        let elements = if shape == Shape::Map { 2 * count } else { count };
        if elements == 0 {
            self.text.push(brackets[1]);
            self.close_complete();
        } else {
            self.open.push((elements, brackets[1], shape));
        }
    }

    /// An element is complete, and with it perhaps what it is the last of.
    fn close_complete(&mut self) {
        while let Some((missing, bracket, shape)) = self.open.last_mut() {
            *missing -= 1;
            if 0 < *missing {
                let is_key = *shape == Shape::Map && *missing % 2 == 1;
                self.text.push_str(if is_key { ": " } else { ", " });
                return;
            }
            self.text.push(*bracket);
            self.open.pop();
        }
    }
}

impl ReplySink for Text {
    fn simple(&mut self, text: &str) {
        self.put(&format!("+{text}"));
    }

    fn error(&mut self, text: &str) {
        self.put(&format!("-{text}"));
    }

    fn bulk(&mut self, bytes: &[u8]) {
        self.put(&format!("${}", bytes.escape_ascii()));
    }

    fn integer(&mut self, number: i64) {
        self.put(&format!(":{number}"));
    }

    fn null(&mut self) {
        self.put("_");
    }

    fn null_array(&mut self) {
        self.put("*_");
    }

    fn array(&mut self, count: usize) {
        self.begin('*', count, ['[', ']'], Shape::List);
    }

    fn map(&mut self, count: usize) {
        self.begin('%', count, ['{', '}'], Shape::Map);
    }

    fn set(&mut self, count: usize) {
        self.begin('~', count, ['{', '}'], Shape::List);
    }

    fn push(&mut self, count: usize) {
        self.begin('>', count, ['[', ']'], Shape::List);
    }

    fn pairs(&mut self, count: usize) {
        self.array(count);
    }

    fn pair(&mut self) {
        self.array(2);
    }

    fn boolean(&mut self, value: bool) {
        self.put(if value { "#t" } else { "#f" });
    }

    fn double(&mut self, number: f64) {
        self.put(&format!(",{number}"));
    }

    fn verbatim(&mut self, format: &str, bytes: &[u8]) {
        self.put(&format!("={format}:{}", bytes.escape_ascii()));
    }

    fn big_number(&mut self, digits: &str) {
        self.put(&format!("({digits}"));
    }
}
